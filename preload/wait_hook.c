/* SPDX-License-Identifier: Apache-2.0
 * Whoever waits for children of all kinds (__WALL, __WCLONE), as debuggers do, would meet the helper that another thread's
 * tick has sent: it is passed over. */
#include "capture/helper.h"
#include "preload/hooks.h"
#include "preload/real.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* With takes it is known to be gone. */
static bool is_helper(pid_t pid, bool takes)
{
	for (unsigned i = 0; pid > 0 && i < DP_HELPERS; i++) {
		int32_t helper = (int32_t)pid;
		if (dp_load_relaxed(&dp_helpers[i]) == helper && (!takes || dp_cas(&dp_helpers[i], &helper, 0)))
			return true;
	}
	return false;
}

/* May it meet the helper? */
static bool meets_all(pid_t pid, int options)
{
	return pid <= 0 && options & (int)(__WALL | __WCLONE);
}

DP_EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	if (!meets_all(pid, options))
		return DP_REAL(waitpid)(pid, status, options);
	int seen = 0;
	pid_t child;
	do
		child = DP_REAL(waitpid)(pid, &seen, options);
	while (is_helper(child, true));
	if (child > 0 && status)
		*status = seen;
	return child;
}

DP_EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	if (!meets_all(pid, options))
		return DP_REAL(wait4)(pid, status, options, usage);
	int seen = 0;
	struct rusage used = {0};
	pid_t child;
	do
		child = DP_REAL(wait4)(pid, &seen, options, &used);
	while (is_helper(child, true));
	if (child > 0 && status)
		*status = seen;
	if (child > 0 && usage)
		*usage = used;
	return child;
}

/* With WNOWAIT the helper stays for its own parent, and goes in a moment. */
DP_EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	int result;
	do
		result = DP_REAL(waitid)(type, id, info, options);
	while (result == 0 && info && type != P_PID && meets_all(-1, options) && is_helper(info->si_pid, !(options & WNOWAIT)));
	return result;
}
