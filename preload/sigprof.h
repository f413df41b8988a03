/* SPDX-License-Identifier: Apache-2.0
 * SIGPROF as the application would see it without us.
 *
 * Our handler is the kernel's; the application's action is a copy of ours that queries are answered from. A
 * foreign SIGPROF is one that no timer of ours sent: kill, raise, setitimer(ITIMER_PROF), the application's
 * own timers.
 *
 * Masks. Many programs block every signal in their worker threads, which would blind us there for good. So
 * where SIGPROF and SIGVTALRM are blocked together (somebody blocks everything), the kernel blocks SIGVTALRM
 * alone, and this alone is the memory of the wish: a thread whose SIGVTALRM is blocked has SIGPROF blocked
 * virtually. Nothing is stored beside it, so whatever libc and kernel do with masks behind our back
 * (siglongjmp, swapcontext, threads, fork, vfork, handlers' sa_mask) carries it along. The first foreign
 * SIGPROF that meets a virtual block makes it real and is queued again: from then on the kernel itself holds,
 * delivers and counts. A SIGPROF that is blocked without SIGVTALRM is blocked really, from the start.
 *
 * While SIGPROF is blocked really, the thread's timer stands still: a pending tick would swallow a
 * thread-directed SIGPROF of the application (of a signal below 32 a thread holds one). What the thread
 * computes meanwhile is counted as lost (signal_blocked). */
#ifndef DEEPPROF_PRELOAD_SIGPROF_H
#define DEEPPROF_PRELOAD_SIGPROF_H

#include "base/atomic.h"
#include "capture/host.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define DP_SIGPROF_BIT   (UINT64_C(1) << (SIGPROF - 1))
#define DP_SIGVTALRM_BIT (UINT64_C(1) << (SIGVTALRM - 1))

/* What the application asked for, in the kernel's terms. All zero: the default action. */
struct dp_sigprof_action {
	uintptr_t handler; /* SIG_DFL, SIG_IGN or a function */
	uint64_t mask, flags;
};

struct dp_sigprof {
	_Atomic bool is_ours; /* our handler is installed; false: every hook passes straight through */
	_Atomic bool is_real; /* the program uses SIGPROF, or tells it from SIGVTALRM: new blocks are real */
	_Atomic bool has_virtual; /* some thread has been blocked virtually */
	_Atomic bool has_real;    /* some thread has been blocked really */
};
extern struct dp_sigprof dp_sigprof;

/* ---- any context ---- */

/* The action now; its number is for dp_sigprof_action_set(). */
uint32_t dp_sigprof_action_get(struct dp_sigprof_action *action);
/* Publishes an action. expected: NULL, or the number that must still be the current one. */
void dp_sigprof_action_set(const struct dp_sigprof_action *action, const uint32_t *expected);

/* The one thing that the mask cannot say: this thread wants SIGVTALRM blocked and SIGPROF not. */
extern __thread bool dp_sigprof_is_apart;

/* Is SIGPROF blocked in the application's eyes though not in the kernel's? mask: the kernel's. */
static inline bool dp_sigprof_is_virtual(uint64_t mask)
{
	return !(mask & DP_SIGPROF_BIT) && mask & DP_SIGVTALRM_BIT &&
	       dp_load_relaxed(&dp_sigprof.has_virtual) && !dp_sigprof_is_apart;
}

/* The calling thread's mask in the kernel. */
uint64_t dp_sigprof_mask(void);
void dp_sigprof_set_mask(uint64_t mask);
/* Stop and start the calling thread's timer; both harmless when there is nothing to do. */
void dp_sigprof_pause(void);
void dp_sigprof_resume(void);
/* Does the calling thread's timer stand still for a blocked SIGPROF? */
bool dp_sigprof_is_paused(void);
/* In a thread or child whose timer is new: nothing stands still. */
void dp_sigprof_forget(void);
/* SIGPROF is blocked: takes a tick that is pending out of the queue; the application's signal goes back into it. */
void dp_sigprof_drop_tick(void);

/* Hook, around a SIGPROF for another thread of this process: the kernel drops it where a tick is pending there already,
 * for both are one signal to it; that tick then stands for both. thread: its thread pointer, as pthread_t is. False:
 * too many at once; it is sent all the same. */
bool dp_sigprof_aim(uintptr_t thread);
void dp_sigprof_aimed(uintptr_t thread, bool is_sent);
/* Hook, in a forked child: nothing is pending there. */
void dp_sigprof_aims_after_fork(void);
/* Signal. dp_host's on_aimed. */
void dp_sigprof_aimed_tick(int signo, void *ucontext);
/* Gives a SIGPROF that had to be sent again its own siginfo back. */
void dp_sigprof_restore_info(siginfo_t *info);
/* Signal. A SIGPROF that is not one of our timers': do what the application asked for. May not return. */
void dp_sigprof_foreign(int signo, siginfo_t *info, void *ucontext);

/* ---- hook ---- */

/* Installs our handler; what was there is the application's. 0 or -errno. */
int dp_sigprof_install(void (*handler)(int, siginfo_t *, void *));
/* sigaction() for a signal other than SIGPROF. */
int dp_shielded_action(int signo, const struct sigaction *action, struct sigaction *old);
/* Ticks no longer run on alternate stacks, but where the application's own handler does. */
void dp_sigprof_leave_alternate_stack(void);
/* In a thread that has just been armed: the main thread, a new thread, a forked child. is_apart: its
 * creator's dp_sigprof_is_apart. */
void dp_sigprof_thread_start(bool is_apart);

/* What has to be real for a moment: the mask and the ignored action that a new program inherits, the mask
 * during a call that waits for signals. */
struct dp_sigprof_bracket {
	bool has_blocked, has_ignored, has_paused;
};
void dp_sigprof_before_exec(struct dp_sigprof_bracket *bracket);
void dp_sigprof_after_exec(const struct dp_sigprof_bracket *bracket);

#endif
