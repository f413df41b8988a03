/* SPDX-License-Identifier: Apache-2.0
 * The trial: a child that shares our memory makes each call that we shall make, with arguments that do nothing. If a
 * filter kills it, it dies alone (before Linux 5.16 only where the filter does not ask for a core dump). What cannot
 * be tried is the child's own clone(): a filter that kills for that kills us. */
#include "capture/trial.h"
#include "capture/clone.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static _Alignas(16) uint8_t trial_stack[8 * 1024];
static volatile bool may_wait, is_survived;

/* The status file, because reading is what every program does: prctl(PR_GET_SECCOMP) may itself be forbidden. */
static bool has_filter(void)
{
	static const char wanted[] = "\nSeccomp:\t";
	static char status[4096];
	const long fd = DP_SYS4(SYS_openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return true; /* nobody knows */
	const long size = DP_SYS3(SYS_read, fd, status, sizeof status - 1);
	DP_SYS1(SYS_close, fd);
	const char *at = size > 0 ? strstr(status, wanted) : NULL;
	return at && at[sizeof wanted - 1] != '0';
}

static void try_calls(void)
{
	const struct rlimit none = {0, 0};
	const struct timespec no_time = {0, 0};
	struct timespec now;
	int flag;
	char link[16];

	/* A core file of ours would be one of the host. */
	DP_SYS4(SYS_prlimit64, 0, RLIMIT_CORE, &none, 0);
	DP_SYS4(SYS_wait4, -1, 0, WNOHANG | (int)__WCLONE, 0);
	may_wait = true;
	DP_SYS4(SYS_rt_sigaction, 0, 0, 0, 8);
	DP_SYS4(SYS_rt_sigprocmask, SIG_BLOCK, 0, 0, 8);
	DP_SYS3(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, 0, 0);
	DP_SYS4(SYS_timer_settime, -1, 0, 0, 0);
	DP_SYS1(SYS_timer_delete, -1);
	DP_SYS0(SYS_getpid);
	DP_SYS0(SYS_gettid);
	DP_SYS0(SYS_geteuid);
	DP_SYS3(SYS_madvise, 0, 0, MADV_DONTDUMP);
	DP_SYS(SYS_mmap, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	DP_SYS2(SYS_munmap, 0, 0);
	DP_SYS4(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/pid", link, sizeof link);
	DP_SYS2(SYS_prctl, PR_GET_CHILD_SUBREAPER, &flag);
	DP_SYS2(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now);
	DP_SYS2(SYS_getcwd, link, 1);
	DP_SYS3(SYS_tgkill, -1, -1, 0);
	DP_SYS2(SYS_kill, 0, -1); /* no such signal */
	DP_SYS3(SYS_rt_sigqueueinfo, -1, 0, 0);
	DP_SYS4(SYS_rt_tgsigqueueinfo, -1, -1, 0, 0);
	DP_SYS4(SYS_rt_sigtimedwait, 0, 0, 0, 0);
	DP_SYS(SYS_process_vm_readv, 0, 0, 0, 0, 0, 0);
	DP_SYS2(SYS_nanosleep, &no_time, 0);
	DP_SYS0(SYS_sched_yield);
	is_survived = true;
	dp_leave();
}

bool dp_trial_is_survived(void)
{
	if (!has_filter())
		return true;
	const long child =
	        dp_clone_call(CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, trial_stack, sizeof trial_stack, try_calls, NULL);
	if (child < 0)
		return true; /* an answer, not a death: so will it be later */
	if (may_wait)
		DP_SYS4(SYS_wait4, child, 0, (int)__WCLONE, 0);
	return is_survived;
}
