/* SPDX-License-Identifier: Apache-2.0
 * A filter that comes after us: from then on no system call that the program does not make itself. Ticks may go on
 * where the filter lets a signal handler return; else the timers are taken away first. */
#include "preload/hooks.h"
#include "preload/raw.h"
#include "preload/real.h"

#include "base/syscall.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

/* What the filter would answer to a call with this number; arguments and address count as zero. Instructions as in
 * the kernel's net/core/filter.c, seccomp's subset. */
static uint32_t answer_of(const struct sock_fprog *program, int number)
{
	const struct seccomp_data data = {.nr = number, .arch = ARCHITECTURE};
	uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
	for (uint32_t pc = 0; pc < program->len; pc++) {
		const struct sock_filter *at = &program->filter[pc];
		const uint32_t operand = BPF_SRC(at->code) == BPF_X ? x : at->k;
		switch (at->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (at->k > sizeof data - sizeof a)
				return SECCOMP_RET_KILL_PROCESS;
			__builtin_memcpy(&a, (const char *)&data + at->k, sizeof a);
			break;
		case BPF_LD | BPF_W | BPF_LEN:
			a = sizeof data;
			break;
		case BPF_LDX | BPF_W | BPF_LEN:
			x = sizeof data;
			break;
		case BPF_LD | BPF_IMM:
			a = at->k;
			break;
		case BPF_LDX | BPF_IMM:
			x = at->k;
			break;
		case BPF_LD | BPF_MEM:
			a = memory[at->k % BPF_MEMWORDS];
			break;
		case BPF_LDX | BPF_MEM:
			x = memory[at->k % BPF_MEMWORDS];
			break;
		case BPF_ST:
			memory[at->k % BPF_MEMWORDS] = a;
			break;
		case BPF_STX:
			memory[at->k % BPF_MEMWORDS] = x;
			break;
		case BPF_MISC | BPF_TAX:
			x = a;
			break;
		case BPF_MISC | BPF_TXA:
			a = x;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
		case BPF_ALU | BPF_AND | BPF_X:
			a &= operand;
			break;
		case BPF_ALU | BPF_OR | BPF_K:
		case BPF_ALU | BPF_OR | BPF_X:
			a |= operand;
			break;
		case BPF_ALU | BPF_ADD | BPF_K:
		case BPF_ALU | BPF_ADD | BPF_X:
			a += operand;
			break;
		case BPF_ALU | BPF_SUB | BPF_K:
		case BPF_ALU | BPF_SUB | BPF_X:
			a -= operand;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			a = at->k < 32 ? a >> at->k : 0;
			break;
		case BPF_ALU | BPF_LSH | BPF_K:
			a = at->k < 32 ? a << at->k : 0;
			break;
		case BPF_JMP | BPF_JA:
			pc += at->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JEQ | BPF_X:
			pc += a == operand ? at->jt : at->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_X:
			pc += a > operand ? at->jt : at->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_X:
			pc += a >= operand ? at->jt : at->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_X:
			pc += a & operand ? at->jt : at->jf;
			break;
		case BPF_RET | BPF_K:
			return at->k;
		case BPF_RET | BPF_A:
			return a;
		default:
			return SECCOMP_RET_KILL_PROCESS; /* not understood: the worst */
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* Before the kernel has the filter: afterwards nothing of this could be done. program: NULL for strict mode, which
 * lets a handler return. */
static void before_filter(const struct sock_fprog *program)
{
	if (!dp_load_acquire(&dp_host.is_armed) || dp_load_relaxed(&dp_owner.pid) != dp_host.pid)
		return;
	atomic_fetch_or(&dp_host.off, DP_OFF_SECCOMP);
	/* A housekeeping tick in another thread that has begun ends first. */
	for (int i = 0; i < 10000 && dp_load_acquire(&dp_host.is_keeping); i++)
		DP_SYS0(SYS_sched_yield);
	if (!program || (answer_of(program, SYS_rt_sigreturn) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW)
		return;
	atomic_fetch_or(&dp_host.off, DP_OFF_DISABLED);
	dp_host_disarm();
}

void dp_before_seccomp(unsigned long operation, const void *arguments)
{
	const int saved_errno = errno;
	if (operation == SECCOMP_SET_MODE_STRICT)
		before_filter(NULL);
	else if (operation == SECCOMP_SET_MODE_FILTER && arguments)
		before_filter(arguments);
	errno = saved_errno;
}

void dp_before_prctl(unsigned long option, unsigned long mode, const void *arguments)
{
	const int saved_errno = errno;
	if (option == PR_SET_SECCOMP && mode == SECCOMP_MODE_STRICT)
		before_filter(NULL);
	else if (option == PR_SET_SECCOMP && mode == SECCOMP_MODE_FILTER && arguments)
		before_filter(arguments);
	errno = saved_errno;
}

void dp_after_prctl(unsigned long option, unsigned long value, long result)
{
	if (option == PR_SET_CHILD_SUBREAPER && result == 0 && (int32_t)DP_SYS0(SYS_getpid) == dp_host.pid)
		dp_host.is_subreaper = value != 0;
}

DP_EXPORT int prctl(int option, ...)
{
	va_list list;
	va_start(list, option);
	const unsigned long one = va_arg(list, unsigned long), two = va_arg(list, unsigned long);
	const unsigned long three = va_arg(list, unsigned long), four = va_arg(list, unsigned long);
	va_end(list);
	dp_before_prctl((unsigned)option, one, (const void *)two);
	const int result = DP_REAL(prctl)(option, one, two, three, four);
	dp_after_prctl((unsigned)option, one, result);
	return result;
}
