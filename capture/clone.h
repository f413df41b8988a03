/* SPDX-License-Identifier: Apache-2.0
 * Births and ends of the processes that share the host's memory. Signal. */
#ifndef DEEPPROF_CAPTURE_CLONE_H
#define DEEPPROF_CAPTURE_CLONE_H

#include "base/syscall.h"

#include <stddef.h>
#include <stdint.h>

/* clone() whose child calls run() on a stack of its own and never comes back. number: with CLONE_PARENT_SETTID, where its
 * number is written before it runs. */
static inline long dp_clone_call(
        unsigned long flags, uint8_t *stack, size_t stack_size, void (*run)(void), volatile void *number)
{
	uint8_t *top = stack + stack_size;
#if defined(__x86_64__)
	long result;
	register void (*function)(void) __asm__("r12") = run;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall\n\t"
	                 "test %%rax, %%rax\n\t"
	                 "jnz 1f\n\t"
	                 "xor %%ebp, %%ebp\n\t"
	                 "call *%%r12\n\t"
	                 "ud2\n"
	                 "1:"
	                 : "=a"(result)
	                 : "a"(SYS_clone), "D"(flags), "S"(top), "d"(number), "r"(r10), "r"(r8), "r"(function)
	                 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)top;
	register long x2 __asm__("x2") = (long)number;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;
	register void (*function)(void) __asm__("x9") = run;
	__asm__ volatile("svc 0\n\t"
	                 "cbnz x0, 1f\n\t"
	                 "mov x29, xzr\n\t"
	                 "blr x9\n\t"
	                 "brk 1\n"
	                 "1:"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(function)
	                 : "memory");
	return x0;
#endif
}

static inline void dp_leave(void)
{
	for (;;)
		DP_SYS1(SYS_exit, 0);
}

#endif
