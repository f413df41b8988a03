/* SPDX-License-Identifier: Apache-2.0
 * A foreign SIGPROF: the application's handler is run as the kernel would have run it. */
#include "preload/sigprof.h"

#include "base/syscall.h"

#include <time.h>
#include <ucontext.h>

enum { SLOTS = 16, MASK_SIZE = 8 };

struct dp_sigprof dp_sigprof;
__thread bool dp_sigprof_is_apart;

/* ---- the application's action ---- */

/* sigaction() may be called by any thread and by any handler in the middle of another call, so there is no
 * lock: each action is written to a slot of its own and published by its number. A slot comes round again
 * after 16 changes; a reader sees by the version whether that happened under its hands. */
static struct {
	_Atomic uint32_t version;
	_Atomic uintptr_t handler;
	_Atomic uint64_t mask, flags;
} slots[SLOTS];
static _Atomic uint32_t current, last;

uint32_t dp_sigprof_action_get(struct dp_sigprof_action *action)
{
	uint32_t number = 0;

	for (int tries = 0; tries < 1000; tries++) {
		number = dp_load_acquire(&current);
		const uint32_t slot = number % SLOTS;
		if (dp_load_acquire(&slots[slot].version) != number)
			continue;
		action->handler = dp_load_acquire(&slots[slot].handler);
		action->mask = dp_load_acquire(&slots[slot].mask);
		action->flags = dp_load_acquire(&slots[slot].flags);
		if (dp_load_relaxed(&slots[slot].version) == number)
			break;
	}
	return number;
}

void dp_sigprof_action_set(const struct dp_sigprof_action *action, const uint32_t *expected)
{
	const uint32_t number = dp_add_relaxed(&last, 1) + 1;
	const uint32_t slot = number % SLOTS;

	dp_store_release(&slots[slot].version, number - 1);
	atomic_thread_fence(memory_order_seq_cst);
	dp_store_release(&slots[slot].handler, action->handler);
	dp_store_release(&slots[slot].mask, action->mask);
	dp_store_release(&slots[slot].flags, action->flags);
	dp_store_release(&slots[slot].version, number);
	if (expected) {
		uint32_t seen = *expected;
		dp_cas(&current, &seen, number);
	} else {
		dp_store_release(&current, number);
	}
}

/* ---- masks and the thread's timer ---- */

uint64_t dp_sigprof_mask(void)
{
	uint64_t mask = 0;
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, 0, &mask, MASK_SIZE);
	return mask;
}

void dp_sigprof_set_mask(uint64_t mask)
{
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, 0, MASK_SIZE);
}

static void drop_aims(void);

/* Which of our timers stands still. After a vfork the child sees its parent's: hence the comparison of the tid. */
static __thread struct dp_thread *paused;

void dp_sigprof_pause(void)
{
	const int32_t tid = (int32_t)DP_SYS0(SYS_gettid);
	if (paused && paused->tid == tid)
		return;
	struct dp_thread *thread = dp_thread_by_tid(tid);
	if (!thread)
		return;
	dp_store_relaxed(&thread->is_paused, true);
	atomic_thread_fence(memory_order_seq_cst); /* see dp_timer_arm() */
	dp_timer_pause(thread);
	dp_store_relaxed(&thread->blocked_ns, dp_thread_cpu_ns(tid));
	paused = thread;
}

bool dp_sigprof_is_paused(void)
{
	return paused && paused->tid == (int32_t)DP_SYS0(SYS_gettid);
}

void dp_sigprof_forget(void)
{
	drop_aims();
	paused = NULL;
}

void dp_sigprof_resume(void)
{
	struct dp_thread *thread = paused;
	if (!thread || thread->tid != (int32_t)DP_SYS0(SYS_gettid))
		return;
	paused = NULL;
	drop_aims();
	dp_store_relaxed(&thread->is_paused, false);
	atomic_thread_fence(memory_order_seq_cst);
	if (dp_load_acquire(&thread->state) != DP_THREAD_ARMED) {
		dp_store_relaxed(&thread->blocked_ns, 0); /* stopped: by request, no loss */
		return;
	}
	dp_timer_settle(thread);
	dp_timer_resume(thread);
}

/* ---- the signal ---- */

/* The siginfo of a signal that was sent again under a plainer one. There can be only one: of a signal below
 * 32 the process holds one. */
static struct {
	_Atomic uint32_t state; /* 0 empty, 1 in someone's hands, 2 full */
	siginfo_t info;
} original;

void dp_sigprof_restore_info(siginfo_t *info)
{
	uint32_t full = 2;
	if (info->si_code != SI_USER || dp_load_relaxed(&original.state) != full ||
		info->si_pid != (int32_t)DP_SYS0(SYS_getpid) || !dp_cas(&original.state, &full, 1))
		return;
	dp_copy(info, &original.info, sizeof *info);
	dp_store_release(&original.state, 0);
}

/* Sends it again with all that it carried, to this thread or to whichever thread of the process will have it.
 * The kernel lets nobody but the main thread forge, for the whole process, what kill() or the kernel sent:
 * from others it is kill(), and the truth is kept aside. */
static void send_again(const siginfo_t *info, bool to_this_thread)
{
	const long pid = DP_SYS0(SYS_getpid);
	if (to_this_thread) {
		DP_SYS4(SYS_rt_tgsigqueueinfo, pid, DP_SYS0(SYS_gettid), SIGPROF, info);
	} else if (DP_SYS3(SYS_rt_sigqueueinfo, pid, SIGPROF, info) < 0) {
		uint32_t empty = 0;
		if (dp_cas(&original.state, &empty, 1)) {
			dp_copy(&original.info, info, sizeof *info);
			dp_store_release(&original.state, 2);
		}
		DP_SYS2(SYS_kill, pid, SIGPROF);
	}
}

/* True: the application's. */
static bool take_pending(siginfo_t *info)
{
	const uint64_t set = DP_SIGPROF_BIT;
	const struct timespec now = {0};
	if (dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP)
		return false;
	return DP_SYS4(SYS_rt_sigtimedwait, &set, info, &now, MASK_SIZE) == SIGPROF && !dp_is_tick(info);
}

void dp_sigprof_drop_tick(void)
{
	siginfo_t info;
	if (take_pending(&info))
		send_again(&info, info.si_code == SI_TKILL);
}

/* The block becomes real when this handler returns, and the signal waits as it would have waited. A tick that has come
 * since the handler began is out of the way first: to the kernel a pending one and ours are one signal, and what it
 * keeps is the tick, which it then throws away because its timer was stopped. */
static void hold(const siginfo_t *info, uint64_t *mask)
{
	siginfo_t other;
	dp_store_relaxed(&dp_sigprof.is_real, true);
	dp_store_relaxed(&dp_sigprof.has_real, true);
	*mask |= DP_SIGPROF_BIT;
	dp_sigprof_pause();
	const bool has_other = take_pending(&other);
	send_again(info, info->si_code == SI_TKILL);
	if (has_other)
		send_again(&other, other.si_code == SI_TKILL);
}

/* Dies of it, by the signal itself, so that whoever waits for us sees the same status. */
static void die(const siginfo_t *info, uint64_t *mask)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} usual = {0};
	if (DP_SYS0(SYS_getpid) == 1)
		return; /* the kernel passes over what would end the first process of a name space */
	DP_SYS4(SYS_rt_sigaction, SIGPROF, &usual, 0, MASK_SIZE);
	*mask &= ~DP_SIGPROF_BIT;
	dp_sigprof_drop_tick(); /* see hold(); one that comes now does as well */
	send_again(info, true);
}

/* ---- signals from one thread to another ---- */

enum aim_state { AIM_FREE, AIM_TAKEN, AIM_SENDING, AIM_SENT };

static struct aim {
	_Atomic uint32_t state; /* enum aim_state; the sender takes it and says that it has sent, the receiver frees it */
	_Atomic uintptr_t thread;
} aims[16];

bool dp_sigprof_aim(uintptr_t thread)
{
	for (unsigned i = 0; i < sizeof aims / sizeof *aims; i++) {
		uint32_t free = AIM_FREE;
		if (dp_load_relaxed(&aims[i].state) != AIM_FREE || !dp_cas(&aims[i].state, &free, AIM_TAKEN))
			continue;
		dp_store_relaxed(&aims[i].thread, thread);
		dp_add_relaxed(&dp_host.is_aimed, 1);
		dp_store_release(&aims[i].state, AIM_SENDING);
		return true;
	}
	return false;
}

static bool take_aim(uintptr_t thread, enum aim_state from, enum aim_state to)
{
	for (unsigned i = 0; i < sizeof aims / sizeof *aims; i++) {
		uint32_t state = from;
		if (dp_load_acquire(&aims[i].state) != (uint32_t)from || dp_load_acquire(&aims[i].thread) != thread)
			continue;
		if (!dp_cas(&aims[i].state, &state, to))
			continue;
		if (to == AIM_FREE)
			atomic_fetch_sub_explicit(&dp_host.is_aimed, 1, memory_order_relaxed);
		return true;
	}
	return false;
}

void dp_sigprof_aimed(uintptr_t thread, bool is_sent)
{
	/* None: it has arrived meanwhile. */
	take_aim(thread, AIM_SENDING, is_sent ? AIM_SENT : AIM_FREE);
}

static void aim_has_arrived(void)
{
	const uintptr_t self = (uintptr_t)__builtin_thread_pointer();
	if (!take_aim(self, AIM_SENT, AIM_FREE))
		take_aim(self, AIM_SENDING, AIM_FREE);
}

/* What was sent while this thread blocked SIGPROF, and had no ticks, the kernel holds or sigwait has taken; what was
 * sent to another thread at this place before us is nobody's. */
static void drop_aims(void)
{
	const uintptr_t self = (uintptr_t)__builtin_thread_pointer();
	while (dp_load_relaxed(&dp_host.is_aimed) && take_aim(self, AIM_SENT, AIM_FREE))
		;
}

void dp_sigprof_aims_after_fork(void)
{
	for (unsigned i = 0; i < sizeof aims / sizeof *aims; i++)
		dp_store_relaxed(&aims[i].state, AIM_FREE);
	dp_store_relaxed(&dp_host.is_aimed, 0);
}

/* Sent, not delivered, not pending: it was dropped, because the tick that is being handled was pending. */
void dp_sigprof_aimed_tick(int signo, void *ucontext)
{
	const uintptr_t self = (uintptr_t)__builtin_thread_pointer();
	uint64_t pending = 0;
	siginfo_t info;
	bool is_aimed = false;
	for (unsigned i = 0; i < sizeof aims / sizeof *aims; i++)
		is_aimed |= dp_load_acquire(&aims[i].state) == AIM_SENT && dp_load_acquire(&aims[i].thread) == self;
	if (!is_aimed || dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP ||
		DP_SYS2(SYS_rt_sigpending, &pending, MASK_SIZE) != 0 || pending & DP_SIGPROF_BIT ||
		!take_aim(self, AIM_SENT, AIM_FREE))
		return;
	dp_zero(&info, sizeof info);
	info.si_signo = SIGPROF;
	info.si_code = SI_TKILL;
	info.si_pid = (int32_t)DP_SYS0(SYS_getpid);
	info.si_uid = (uint32_t)DP_SYS0(SYS_getuid);
	dp_sigprof_foreign(signo, &info, ucontext);
}

void dp_sigprof_foreign(int signo, siginfo_t *info, void *ucontext)
{
	/* The kernel's mask is eight bytes at this place, whatever libc makes of the rest. */
	uint64_t *mask = (uint64_t *)&((ucontext_t *)ucontext)->uc_sigmask;
	struct dp_sigprof_action action;

	if (dp_is_tick(info)) { /* of a timer that has been deleted since */
		if (dp_load_relaxed(&dp_host.is_aimed))
			dp_sigprof_aimed_tick(signo, ucontext);
		return;
	}
	if (info->si_code == SI_TKILL && dp_load_relaxed(&dp_host.is_aimed))
		aim_has_arrived();
	dp_sigprof_restore_info(info);
	if (dp_sigprof_is_virtual(*mask)) {
		hold(info, mask);
		return;
	}
	const uint32_t number = dp_sigprof_action_get(&action);
	if (action.handler == (uintptr_t)SIG_IGN)
		return;
	if (action.handler == (uintptr_t)SIG_DFL) {
		die(info, mask);
		return;
	}
	if (action.flags & SA_RESETHAND)
		dp_sigprof_action_set(
			&(struct dp_sigprof_action){(uintptr_t)SIG_DFL, action.mask, action.flags}, &number);
	/* We stand here with everything blocked; the application's handler runs with what it asked for. Its
	 * return restores the mask by the signal frame, its siglongjmp by the mask that it saved. */
	dp_sigprof_set_mask(*mask | action.mask | (action.flags & SA_NODEFER ? 0 : DP_SIGPROF_BIT));
	((void (*)(int, siginfo_t *, void *))action.handler)(signo, info, ucontext);
}
