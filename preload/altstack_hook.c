/* SPDX-License-Identifier: Apache-2.0
 * Alternate signal stacks that have no room for us.
 *
 * A tick that interrupts a handler on such a stack lays a second frame of the kernel's on it: 3.3 KiB and more where
 * processors have large registers, beside an old SIGSTKSZ of 8 KiB for both. Where it does not fit the kernel ends the
 * program. So as soon as a thread has a stack that is not roomy, SIGPROF waits while the handlers run that use it: the
 * kernel's masks of those have one bit more than the program asked for, and do not show it. A stack that could not hold
 * one tick is not used for ticks at all. */
#include "preload/hooks.h"
#include "preload/real.h"
#include "preload/sigprof.h"

#include "base/syscall.h"

#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

enum {
	SIGNALS = 64,
	ROOMY = 64 * 1024, /* a stack of this size holds handlers and ticks */
	TICK = 4 * 1024,   /* what a tick needs beside the kernel's frame; tests/torture measures less than 1 KiB */
};

static _Atomic bool has_narrow_stack;
static _Atomic uint64_t shielded; /* signals whose mask has our bit */

static uint64_t bit_of(int signo)
{
	return UINT64_C(1) << (signo - 1);
}

static bool needs_shield(const struct sigaction *action)
{
	return action->sa_flags & SA_ONSTACK && action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN &&
	       !sigismember(&action->sa_mask, SIGPROF);
}

/* Not in a vfork's child, which has the parent's memory. */
static bool is_on(void)
{
	return dp_load_acquire(&dp_sigprof.is_ours) && (int32_t)DP_SYS0(SYS_getpid) == dp_host.pid;
}

int dp_shielded_action(int signo, const struct sigaction *action, struct sigaction *old)
{
	if (signo < 1 || signo > SIGNALS || !dp_load_acquire(&has_narrow_stack))
		return DP_REAL(sigaction)(signo, action, old);
	struct sigaction with;
	const bool was_shielded = dp_load_relaxed(&shielded) & bit_of(signo);
	const bool is_shielded = action && is_on() && needs_shield(action);
	if (is_shielded) {
		with = *action;
		sigaddset(&with.sa_mask, SIGPROF);
		action = &with;
	}
	const int result = DP_REAL(sigaction)(signo, action, old);
	if (result != 0)
		return result;
	if (old && was_shielded && old->sa_flags & SA_ONSTACK)
		sigdelset(&old->sa_mask, SIGPROF);
	if (is_shielded)
		atomic_fetch_or(&shielded, bit_of(signo));
	else if (action && is_on())
		atomic_fetch_and(&shielded, ~bit_of(signo));
	return 0;
}

static void shield_all(void)
{
	struct sigaction action;
	dp_store_release(&has_narrow_stack, true);
	for (int signo = 1; signo <= SIGNALS; signo++)
		if (signo != SIGPROF && signo != SIGKILL && signo != SIGSTOP && DP_REAL(sigaction)(signo, NULL, &action) == 0 &&
			needs_shield(&action))
			dp_shielded_action(signo, &action, NULL);
}

DP_EXPORT int sigaltstack(const stack_t *stack, stack_t *old)
{
	if (!stack || stack->ss_flags & SS_DISABLE || stack->ss_size >= ROOMY || !is_on())
		return DP_REAL(sigaltstack)(stack, old);
	/* Before it is there. */
	const int saved_errno = errno;
	if (stack->ss_size < getauxval(AT_MINSIGSTKSZ) + TICK)
		dp_sigprof_leave_alternate_stack();
	if (!dp_load_acquire(&has_narrow_stack))
		shield_all();
	errno = saved_errno;
	return DP_REAL(sigaltstack)(stack, old);
}
