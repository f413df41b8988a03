/* SPDX-License-Identifier: Apache-2.0
 * Our place in SIGPROF, and the answers to whoever asks what is there.
 *
 * sigaction and all its older spellings. Not hooked, because nobody can tell the difference or nobody uses
 * it: sigvec and sigstack (not linkable since glibc 2.21), sigpending (nothing of ours stays pending),
 * setitimer, timer_create, kill, raise and their like (what they send arrives as a foreign SIGPROF). */
#include "preload/hooks.h"
#include "preload/raw.h"
#include "preload/real.h"
#include "preload/sigprof.h"

#include "base/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

/* Absent in musl. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));

enum {
	KNOWN_FLAGS = SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |
		      (int)SA_RESETHAND,
	RESTORER_FLAG = 0x04000000,
};

static void (*our_handler)(int, siginfo_t *, void *);
static void (*libc_restorer)(void);
static _Atomic int installed_flags;
static bool is_interrupting; /* siginterrupt(SIGPROF, 1): for later calls of signal() */

/* Some alternate stack of the program's is too small for a tick. */
static _Atomic bool has_tiny_stack;

/* EINTR and the stack are the application's choice, once it has a handler of its own. */
static int wanted_flags(const struct dp_sigprof_action *action)
{
	const bool is_function =
		action->handler != (uintptr_t)SIG_DFL && action->handler != (uintptr_t)SIG_IGN;
	const int usual = dp_load_relaxed(&has_tiny_stack) ? SA_RESTART : SA_RESTART | SA_ONSTACK;
	return SA_SIGINFO | (is_function ? (int)action->flags & (SA_RESTART | SA_ONSTACK) : usual);
}

static int put_ours(int flags, struct sigaction *old)
{
	struct sigaction ours = {.sa_sigaction = our_handler, .sa_flags = flags};
	memset(&ours.sa_mask, 0xff, sizeof ours.sa_mask); /* glibc's own 32 and 33 included */
	dp_store_relaxed(&installed_flags, flags);
	return DP_REAL(sigaction)(SIGPROF, &ours, old);
}

static struct dp_sigprof_action from_libc(const struct sigaction *action)
{
	struct dp_sigprof_action mine = {
		.handler = (uintptr_t)action->sa_handler,
		.flags = (uint64_t)(unsigned)(action->sa_flags & KNOWN_FLAGS),
	};
	memcpy(&mine.mask, &action->sa_mask, sizeof mine.mask);
	mine.mask &= ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1));
#if defined(__x86_64__)
	mine.flags |= RESTORER_FLAG; /* libc adds it to every action, and shows it */
#endif
	return mine;
}

static void to_libc(const struct dp_sigprof_action *mine, struct sigaction *action)
{
	memset(action, 0, sizeof *action);
	action->sa_handler = (void (*)(int))mine->handler; /* NOLINT: a union in libc */
	action->sa_flags = (int)mine->flags;
	memcpy(&action->sa_mask, &mine->mask, sizeof mine->mask);
	if (mine->flags & RESTORER_FLAG)
		action->sa_restorer = libc_restorer;
}

int dp_sigprof_install(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction before, now;
	our_handler = handler;
	if (put_ours(SA_SIGINFO | SA_RESTART | SA_ONSTACK, &before) != 0)
		return -errno;
	struct dp_sigprof_action action = from_libc(&before);
	action.flags = (uint64_t)(unsigned)before.sa_flags;
	dp_sigprof_action_set(&action, NULL);
	if (DP_REAL(sigaction)(SIGPROF, NULL, &now) == 0)
		libc_restorer = now.sa_restorer;
	dp_host.on_foreign = dp_sigprof_foreign;
	dp_host.on_aimed = dp_sigprof_aimed_tick;
	dp_store_release(&dp_sigprof.is_ours, true);
	return 0;
}

/* Not in a vfork's child, which has the parent's memory, nor in that of a raw fork, whom nobody told. */
static bool is_own_process(void)
{
	return (int32_t)DP_SYS0(SYS_getpid) == dp_host.pid;
}

static int change_action(const struct sigaction *action, struct sigaction *old)
{
	struct dp_sigprof_action before;

	dp_sigprof_action_get(&before);
	if (!is_own_process()) {
		const int result = DP_REAL(sigaction)(SIGPROF, action, old);
		if (!result && old && (old->sa_flags & SA_SIGINFO) && old->sa_sigaction == our_handler)
			to_libc(&before, old);
		return result;
	}
	if (action) {
		const struct dp_sigprof_action after = from_libc(action);
		dp_sigprof_action_set(&after, NULL);
		if (wanted_flags(&after) != dp_load_relaxed(&installed_flags))
			put_ours(wanted_flags(&after), NULL);
	}
	if (old)
		to_libc(&before, old);
	return 0;
}

static bool is_ours(int signo)
{
	return signo == SIGPROF && dp_load_acquire(&dp_sigprof.is_ours);
}

void dp_sigprof_leave_alternate_stack(void)
{
	struct dp_sigprof_action action;
	if (!dp_load_acquire(&dp_sigprof.is_ours) || !is_own_process() || dp_load_relaxed(&has_tiny_stack))
		return;
	dp_store_relaxed(&has_tiny_stack, true);
	dp_sigprof_action_get(&action);
	if (wanted_flags(&action) != dp_load_relaxed(&installed_flags))
		put_ours(wanted_flags(&action), NULL);
}

DP_EXPORT int sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
	return is_ours(signo) ? change_action(action, old) : dp_shielded_action(signo, action, old);
}

/* As the kernel has it (include/uapi/asm-generic/signal.h). */
struct kernel_action {
	uintptr_t handler;
	uint64_t flags;
	uintptr_t restorer;
	uint64_t mask;
};

/* Memory that the program names, which may not be there. Where the kernel may not be asked, it is taken at its word. */
static bool copy_checked(void *to, const void *from, size_t size, bool is_write)
{
	struct iovec here = {is_write ? (void *)(uintptr_t)from : to, size}, there = {is_write ? to : (void *)(uintptr_t)from, size};
	long done = -EPERM;
	if (!(dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP))
		done = DP_SYS(is_write ? SYS_process_vm_writev : SYS_process_vm_readv, DP_SYS0(SYS_getpid), &here, 1, &there, 1, 0);
	if (done == -EPERM || done == -ENOSYS) {
		memcpy(to, from, size);
		return true;
	}
	return done == (long)size;
}

bool dp_sigprof_raw_action(const void *action, void *old, unsigned long mask_size, long *result)
{
	struct dp_sigprof_action before, after;
	struct kernel_action raw;
	if (!is_ours(SIGPROF) || !is_own_process() || mask_size != sizeof raw.mask)
		return false;
	dp_sigprof_action_get(&before);
	if (action) {
		if (!copy_checked(&raw, action, sizeof raw, false))
			return false;
		after.handler = raw.handler;
		after.flags = raw.flags & (KNOWN_FLAGS | RESTORER_FLAG);
		after.mask = raw.mask & ~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1));
		dp_sigprof_action_set(&after, NULL);
		if (wanted_flags(&after) != dp_load_relaxed(&installed_flags))
			put_ours(wanted_flags(&after), NULL);
	}
	*result = 0;
	if (old) {
		raw = (struct kernel_action){.handler = before.handler, .flags = before.flags, .mask = before.mask};
		if (before.flags & RESTORER_FLAG)
			raw.restorer = (uintptr_t)libc_restorer;
		if (!copy_checked(old, &raw, sizeof raw, true))
			*result = -EFAULT;
	}
	return true;
}

/* glibc's second name for it. */
DP_EXPORT int __sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
	return sigaction(signo, action, old);
}

static void (*set_handler(void (*handler)(int), int flags, bool masks_itself))(int)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;
	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (masks_itself)
		sigaddset(&action.sa_mask, SIGPROF);
	return change_action(&action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

#define HANDLER_HOOK(name) DP_EXPORT void (*name(int signo, void (*handler)(int)))(int)

HANDLER_HOOK(signal)
{
	return is_ours(signo)
		       ? set_handler(handler, is_interrupting ? 0 : SA_RESTART, gnu_get_libc_version != NULL)
		       : DP_REAL(signal)(signo, handler);
}

HANDLER_HOOK(bsd_signal)
{
	return is_ours(signo) ? signal(signo, handler) : DP_REAL(bsd_signal)(signo, handler);
}

HANDLER_HOOK(ssignal)
{
	return is_ours(signo) ? signal(signo, handler) : DP_REAL(ssignal)(signo, handler);
}

/* Reliable as it was in System V: once. */
HANDLER_HOOK(__sysv_signal)
{
	return is_ours(signo) ? set_handler(handler, (int)SA_RESETHAND | SA_NODEFER, false)
			      : DP_REAL(__sysv_signal)(signo, handler);
}

HANDLER_HOOK(sysv_signal)
{
	return __sysv_signal(signo, handler);
}

HANDLER_HOOK(sigset)
{
	sigset_t set, before;
	if (!is_ours(signo))
		return DP_REAL(sigset)(signo, handler);
	sigemptyset(&set);
	sigaddset(&set, signo);
	if (handler == SIG_HOLD) {
		struct sigaction action;
		if (sigprocmask(SIG_BLOCK, &set, &before) < 0)
			return SIG_ERR;
		change_action(NULL, &action);
		return sigismember(&before, signo) ? SIG_HOLD : action.sa_handler;
	}
	void (*const old)(int) = set_handler(handler, 0, false);
	if (old == SIG_ERR || sigprocmask(SIG_UNBLOCK, &set, &before) < 0)
		return SIG_ERR;
	return sigismember(&before, signo) ? SIG_HOLD : old;
}

DP_EXPORT int sigignore(int signo)
{
	const struct sigaction action = {.sa_handler = SIG_IGN};
	return is_ours(signo) ? change_action(&action, NULL) : DP_REAL(sigignore)(signo);
}

DP_EXPORT int siginterrupt(int signo, int is_on)
{
	struct sigaction action;
	if (!is_ours(signo))
		return DP_REAL(siginterrupt)(signo, is_on);
	change_action(NULL, &action);
	is_interrupting = is_on;
	action.sa_flags = is_on ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
	return change_action(&action, NULL);
}

/* Programs built with -pg: libc installs a handler of its own by an inner call. It becomes the application's.
 */
DP_EXPORT void __monstartup(unsigned long low, unsigned long high)
{
	struct sigaction action;
	DP_REAL(__monstartup)(low, high);
	if (is_ours(SIGPROF) && DP_REAL(sigaction)(SIGPROF, NULL, &action) == 0 &&
		action.sa_sigaction != our_handler) {
		const struct dp_sigprof_action theirs = from_libc(&action);
		dp_sigprof_action_set(&theirs, NULL);
		put_ours(wanted_flags(&theirs), NULL);
	}
}

/* ---- what a new program inherits ---- */

void dp_sigprof_before_exec(struct dp_sigprof_bracket *bracket)
{
	const int saved_errno = errno;
	struct dp_sigprof_action action;

	*bracket = (struct dp_sigprof_bracket){0};
	if (!is_ours(SIGPROF))
		return;
	const uint64_t mask = dp_sigprof_mask();
	if (dp_sigprof_is_virtual(mask)) {
		dp_sigprof_set_mask(mask | DP_SIGPROF_BIT);
		bracket->has_blocked = true;
	}
	dp_sigprof_action_get(&action);
	if (action.handler == (uintptr_t)SIG_IGN) {
		struct sigaction now;
		const struct sigaction ignore = {.sa_handler = SIG_IGN};
		/* A child of vfork may have chosen otherwise. */
		if (DP_REAL(sigaction)(SIGPROF, NULL, &now) == 0 && now.sa_sigaction == our_handler) {
			DP_REAL(sigaction)(SIGPROF, &ignore, NULL);
			bracket->has_ignored = true;
		}
	}
	errno = saved_errno;
}

void dp_sigprof_after_exec(const struct dp_sigprof_bracket *bracket)
{
	const int saved_errno = errno;
	if (bracket->has_ignored)
		put_ours(dp_load_relaxed(&installed_flags), NULL);
	if (bracket->has_blocked)
		dp_sigprof_set_mask(dp_sigprof_mask() & ~DP_SIGPROF_BIT);
	errno = saved_errno;
}
