/* SPDX-License-Identifier: Apache-2.0
 * Calls that a program makes by syscall() although libc has functions for them. */
#include "preload/raw.h"

#include "preload/hooks.h"
#include "preload/real.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#include "preload/x86_64/syscall_stub.h"
#define NUMBERS "317", "157", "13", "101"
_Static_assert(SYS_seccomp == 317 && SYS_prctl == 157 && SYS_rt_sigaction == 13 && SYS_ptrace == 101, "NUMBERS are these");
#elif defined(__aarch64__)
#include "preload/aarch64/syscall_stub.h"
#define NUMBERS "277", "167", "134", "117"
_Static_assert(SYS_seccomp == 277 && SYS_prctl == 167 && SYS_rt_sigaction == 134 && SYS_ptrace == 117, "NUMBERS are these");
#endif

__attribute__((visibility("hidden"))) void *dp_real_syscall;

__attribute__((visibility("hidden"), used)) void dp_resolve_syscall(void)
{
	dp_real_syscall = (void *)DP_REAL(syscall);
}

__attribute__((visibility("hidden"), used)) long dp_raw_call(
        long number, unsigned long one, unsigned long two, unsigned long three, unsigned long four, unsigned long five)
{
	long result;
	if (number == SYS_rt_sigaction && (int)one == SIGPROF &&
	        dp_sigprof_raw_action((const void *)two, (void *)three, four, &result)) {
		if (result < 0)
			errno = (int)-result;
		return result < 0 ? -1 : result;
	}
	if (number == SYS_seccomp)
		dp_before_seccomp(one, (const void *)three);
	else if (number == SYS_prctl)
		dp_before_prctl(one, two, (const void *)three);
	const bool is_traced = number == SYS_ptrace && one == PTRACE_TRACEME && dp_before_traceme();
	result = DP_REAL(syscall)(number, one, two, three, four, five);
	if (is_traced)
		dp_after_traceme(result);
	if (number == SYS_prctl)
		dp_after_prctl(one, two, result);
	return result;
}

#define HOOK(...) DP_SYSCALL_HOOK(__VA_ARGS__)
HOOK(NUMBERS, dp_real_syscall, dp_resolve_syscall, dp_raw_call);
