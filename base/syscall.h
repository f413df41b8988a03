/* SPDX-License-Identifier: Apache-2.0
 * System calls by themselves: no libc, no errno, no cancellation point. Any context; what may be called from
 * where, the caller's file name says. Each returns the kernel's answer: a result or -errno. */
#ifndef DEEPPROF_BASE_SYSCALL_H
#define DEEPPROF_BASE_SYSCALL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long dp_syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long dp_syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
	                 : "memory");
	return x0;
}
#endif

#define DP_SYS(number, a, b, c, d, e, f)                                                                      \
	dp_syscall6((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define DP_SYS0(n)             DP_SYS(n, 0, 0, 0, 0, 0, 0)
#define DP_SYS1(n, a)          DP_SYS(n, a, 0, 0, 0, 0, 0)
#define DP_SYS2(n, a, b)       DP_SYS(n, a, b, 0, 0, 0, 0)
#define DP_SYS3(n, a, b, c)    DP_SYS(n, a, b, c, 0, 0, 0)
#define DP_SYS4(n, a, b, c, d) DP_SYS(n, a, b, c, d, 0, 0)

/* Bytes by a string instruction or words: no libc memcpy, which a program may interpose. */
static inline void dp_copy(void *to, const void *from, size_t size)
{
#if defined(__x86_64__)
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
#else
	uint8_t *t = to;
	const uint8_t *f = from;
	while (size >= 8) {
		__builtin_memcpy(t, f, 8);
		t += 8, f += 8, size -= 8;
	}
	while (size--)
		*t++ = *f++;
#endif
}

static inline void dp_zero(void *to, size_t size)
{
	volatile uint8_t *t = to;
	while (size--)
		*t++ = 0;
}

#endif
