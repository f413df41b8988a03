/* SPDX-License-Identifier: Apache-2.0
 * A process that lets its parent trace it: each of its signals would stop it, a tick as well, and tell the parent so. It
 * goes on unprofiled; what it executes later is profiled again. */
#include "preload/hooks.h"
#include "preload/raw.h"
#include "preload/real.h"

#include "base/syscall.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/ptrace.h>

bool dp_before_traceme(void)
{
	const int saved_errno = errno;
	/* A vfork's child has its parent's memory. */
	if (!dp_hooks_are_on() || (int32_t)DP_SYS0(SYS_getpid) != dp_host.pid)
		return false;
	atomic_fetch_or(&dp_host.off, DP_OFF_DISABLED);
	dp_host_disarm();
	errno = saved_errno;
	return true;
}

void dp_after_traceme(long result)
{
	const int saved_errno = errno;
	if (result < 0) {
		atomic_fetch_and(&dp_host.off, ~(uint32_t)DP_OFF_DISABLED);
		if (!(dp_load_relaxed(&dp_host.off) & DP_OFF_STOPPED))
			dp_host_rearm();
	}
	errno = saved_errno;
}

DP_EXPORT long ptrace(enum __ptrace_request request, ...)
{
	va_list list;
	va_start(list, request);
	const pid_t pid = va_arg(list, pid_t);
	void *const address = va_arg(list, void *), *const data = va_arg(list, void *);
	va_end(list);
	const bool is_traced = request == PTRACE_TRACEME && dp_before_traceme();
	const long result = DP_REAL(ptrace)(request, pid, address, data);
	if (is_traced)
		dp_after_traceme(result);
	return result;
}
