/* SPDX-License-Identifier: Apache-2.0
 * Signal masks, and the calls that wait for signals.
 *
 * sigprocmask and its spellings decide between a virtual block and a real one (sigprof.h). Calls that take
 * SIGPROF out of the queue, or unblock it for a moment, meet a real block. Not hooked: sigpause, system and
 * popen (seen only by a program that blocks everything, sends itself SIGPROF and waits by these), masks
 * inside libc. */
#include "preload/hooks.h"
#include "preload/real.h"
#include "preload/sigprof.h"

#include "base/syscall.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

static uint64_t bits(const sigset_t *set)
{
	uint64_t mask;
	memcpy(&mask, set, sizeof mask);
	return mask;
}

static void set_bits(sigset_t *set, uint64_t mask)
{
	memcpy(set, &mask, sizeof mask);
}

static bool is_ours(void)
{
	return dp_load_acquire(&dp_sigprof.is_ours);
}

/* What the kernel shall block where the application wants this. */
static uint64_t choose(uint64_t wanted)
{
	dp_sigprof_is_apart = wanted & DP_SIGVTALRM_BIT && !(wanted & DP_SIGPROF_BIT);
	if (dp_sigprof_is_apart)
		dp_store_relaxed(&dp_sigprof.is_real, true);
	if (!(wanted & DP_SIGPROF_BIT))
		return wanted;
	if (wanted & DP_SIGVTALRM_BIT && !dp_load_relaxed(&dp_sigprof.is_real)) {
		dp_store_relaxed(&dp_sigprof.has_virtual, true);
		return wanted & ~DP_SIGPROF_BIT;
	}
	dp_store_relaxed(&dp_sigprof.has_real, true);
	return wanted;
}

typedef int mask_call(int how, const sigset_t *set, sigset_t *old);

static int change_mask(mask_call *real, int how, const sigset_t *set, sigset_t *old)
{
	const uint64_t both = DP_SIGPROF_BIT | DP_SIGVTALRM_BIT;

	if (!is_ours() || !set || (how != SIG_SETMASK && how != SIG_BLOCK && how != SIG_UNBLOCK) ||
		(how != SIG_SETMASK && !(bits(set) & both))) {
		const int result = real(how, set, old);
		if (!result && old && is_ours() && dp_sigprof_is_virtual(bits(old)))
			set_bits(old, bits(old) | DP_SIGPROF_BIT);
		return result;
	}
	uint64_t wanted = bits(set);
	if (how != SIG_SETMASK) {
		uint64_t before = dp_sigprof_mask();
		if (dp_sigprof_is_virtual(before))
			before |= DP_SIGPROF_BIT;
		wanted = how == SIG_BLOCK ? before | wanted : before & ~wanted;
	}
	sigset_t kernel = *set, seen;
	/* Judged by what was true before this call. */
	const bool was_apart = dp_sigprof_is_apart;
	const bool had_virtual = dp_load_relaxed(&dp_sigprof.has_virtual);
	set_bits(&kernel, choose(wanted));
	if (bits(&kernel) & DP_SIGPROF_BIT)
		dp_sigprof_pause(); /* before the block, so that no tick is left behind it */
	const int result = real(SIG_SETMASK, &kernel, &seen);
	if (!(bits(&kernel) & DP_SIGPROF_BIT))
		dp_sigprof_resume();
	if (!result && old) {
		uint64_t before = bits(&seen);
		if (had_virtual && !was_apart && before & DP_SIGVTALRM_BIT)
			before |= DP_SIGPROF_BIT;
		*old = seen;
		set_bits(old, before);
	}
	return result;
}

DP_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return change_mask(DP_REAL(sigprocmask), how, set, old);
}

DP_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	/* Before glibc 2.32 it is in libpthread, which may not be there. */
	if (!DP_REAL(pthread_sigmask))
		return sigprocmask(how, set, old) == 0 ? 0 : errno;
	return change_mask(dp_real.pthread_sigmask, how, set, old);
}

static int change_one(int how, int signo)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signo);
	return sigprocmask(how, &set, NULL);
}

DP_EXPORT int sighold(int signo)
{
	return signo == SIGPROF && is_ours() ? change_one(SIG_BLOCK, signo) : DP_REAL(sighold)(signo);
}

DP_EXPORT int sigrelse(int signo)
{
	return signo == SIGPROF && is_ours() ? change_one(SIG_UNBLOCK, signo) : DP_REAL(sigrelse)(signo);
}

/* BSD's masks of 32 signals. */
static int change_word(int how, int mask)
{
	sigset_t set, old;
	sigemptyset(&set);
	set_bits(&set, (uint32_t)mask);
	return sigprocmask(how, &set, &old) == 0 ? (int)(uint32_t)bits(&old) : -1;
}

DP_EXPORT int sigblock(int mask)
{
	return change_word(SIG_BLOCK, mask);
}

DP_EXPORT int sigsetmask(int mask)
{
	return change_word(SIG_SETMASK, mask);
}

DP_EXPORT int siggetmask(void)
{
	return change_word(SIG_BLOCK, 0);
}

/* ---- new threads ---- */

/* A SIGPROF that a thread sends itself while it blocks SIGPROF (in a handler, say, that cleans up and dies by the same
 * signal) is one signal with a tick that is pending already: the tick gives way. */
static int send_self(int (*send)(pthread_t, int), pthread_t thread, int signo)
{
	const int saved_errno = errno;
	struct dp_thread *self = NULL;
	if (signo == SIGPROF && is_ours() && dp_sigprof_mask() & DP_SIGPROF_BIT && !dp_sigprof_is_paused())
		self = dp_thread_by_tid((int32_t)DP_SYS0(SYS_gettid));
	if (self) {
		dp_timer_pause(self);
		dp_sigprof_drop_tick();
	}
	errno = saved_errno;
	const int result = send ? send(thread, signo) : DP_REAL(raise)(signo);
	if (self)
		dp_timer_resume(self);
	return result;
}

DP_EXPORT int raise(int signo)
{
	return send_self(NULL, 0, signo);
}

DP_EXPORT int pthread_kill(pthread_t thread, int signo)
{
	if (pthread_equal(thread, pthread_self()))
		return send_self(DP_REAL(pthread_kill), thread, signo);
	const bool is_aimed = signo == SIGPROF && is_ours() && dp_sigprof_aim((uintptr_t)thread);
	const int result = DP_REAL(pthread_kill)(thread, signo);
	if (is_aimed)
		dp_sigprof_aimed((uintptr_t)thread, result == 0);
	return result;
}

void dp_sigprof_thread_start(bool is_apart)
{
	static _Atomic bool has_started; /* the first caller is the main thread: its mask is from before us */
	dp_sigprof_forget();
	dp_sigprof_is_apart = is_apart;
	if (!is_ours() || (dp_load_relaxed(&has_started) && !dp_load_relaxed(&dp_sigprof.has_real)))
		return;
	dp_store_relaxed(&has_started, true);
	const uint64_t mask = dp_sigprof_mask();
	if (!(mask & DP_SIGPROF_BIT))
		return;
	const uint64_t chosen = choose(mask);
	if (chosen != mask) {
		dp_sigprof_set_mask(chosen);
	} else {
		dp_sigprof_pause();
		dp_sigprof_drop_tick(); /* that came between arming and pausing */
	}
}

/* ---- calls that wait ---- */

/* Makes a virtual block real and stops the timer, where the call could take a tick for a signal of the
 * application's. */
static void begin(struct dp_sigprof_bracket *bracket, bool takes_signals)
{
	*bracket = (struct dp_sigprof_bracket){0};
	if (!is_ours() || (!takes_signals && !dp_load_relaxed(&dp_sigprof.has_virtual)))
		return;
	const int saved_errno = errno;
	const uint64_t mask = dp_sigprof_mask();
	if (dp_sigprof_is_virtual(mask)) {
		dp_sigprof_pause();
		dp_sigprof_set_mask(mask | DP_SIGPROF_BIT);
		bracket->has_paused = bracket->has_blocked = true;
	} else if (takes_signals && !(mask & DP_SIGPROF_BIT)) {
		dp_sigprof_pause();
		bracket->has_paused = true;
	}
	errno = saved_errno;
}

static void end(const struct dp_sigprof_bracket *bracket)
{
	if (!bracket->has_paused)
		return;
	const int saved_errno = errno;
	if (bracket->has_blocked)
		dp_sigprof_set_mask(dp_sigprof_mask() & ~DP_SIGPROF_BIT);
	dp_sigprof_resume();
	errno = saved_errno;
}

/* call: the real one. takes: dequeues SIGPROF, or unblocks it while it waits. */
#define BRACKETED(takes, matters, call)                  \
	do {                                             \
		struct dp_sigprof_bracket bracket = {0}; \
		if (matters)                             \
			begin(&bracket, takes);          \
		const int result = (call);               \
		end(&bracket);                           \
		return result;                           \
	} while (0)

static bool has_sigprof(const sigset_t *set)
{
	return set && bits(set) & DP_SIGPROF_BIT;
}

static bool frees_sigprof(const sigset_t *set)
{
	return set && !(bits(set) & DP_SIGPROF_BIT);
}

DP_EXPORT int sigwait(const sigset_t *set, int *signo)
{
	BRACKETED(true, has_sigprof(set), DP_REAL(sigwait)(set, signo));
}

static int restored(int signo, siginfo_t *info)
{
	if (signo == SIGPROF && info && is_ours())
		dp_sigprof_restore_info(info);
	return signo;
}

DP_EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	BRACKETED(true, has_sigprof(set), restored(DP_REAL(sigwaitinfo)(set, info), info));
}

DP_EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	BRACKETED(true, has_sigprof(set), restored(DP_REAL(sigtimedwait)(set, info, timeout), info));
}

DP_EXPORT int sigsuspend(const sigset_t *mask)
{
	BRACKETED(false, frees_sigprof(mask), DP_REAL(sigsuspend)(mask));
}

DP_EXPORT int pselect(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
	const struct timespec *timeout, const sigset_t *mask)
{
	BRACKETED(false, frees_sigprof(mask),
		DP_REAL(pselect)(count, readable, writable, exceptional, timeout, mask));
}

DP_EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	BRACKETED(false, frees_sigprof(mask), DP_REAL(ppoll)(fds, count, timeout, mask));
}

/* What ppoll is called by in programs built with _FORTIFY_SOURCE. */
DP_EXPORT int __ppoll_chk(
	struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask, size_t size)
{
	BRACKETED(false, frees_sigprof(mask), DP_REAL(__ppoll_chk)(fds, count, timeout, mask, size));
}

DP_EXPORT int epoll_pwait(int epoll, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
	BRACKETED(false, frees_sigprof(mask), DP_REAL(epoll_pwait)(epoll, events, most, timeout, mask));
}

DP_EXPORT int epoll_pwait2(
	int epoll, struct epoll_event *events, int most, const struct timespec *timeout, const sigset_t *mask)
{
	BRACKETED(false, frees_sigprof(mask), DP_REAL(epoll_pwait2)(epoll, events, most, timeout, mask));
}

/* Whoever reads the descriptor takes SIGPROF out of the queue: blocks are real from here on, beginning with
 * the caller's. */
DP_EXPORT int signalfd(int fd, const sigset_t *mask, int flags)
{
	if (is_ours() && has_sigprof(mask)) {
		const uint64_t now = dp_sigprof_mask();
		dp_store_relaxed(&dp_sigprof.is_real, true);
		dp_store_relaxed(&dp_sigprof.has_real, true);
		if (dp_sigprof_is_virtual(now)) {
			dp_sigprof_pause();
			dp_sigprof_set_mask(now | DP_SIGPROF_BIT);
		}
	}
	return DP_REAL(signalfd)(fd, mask, flags);
}
