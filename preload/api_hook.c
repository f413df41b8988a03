/* SPDX-License-Identifier: Apache-2.0
 * The public API's start, stop and flush. Calls of one process come one after the other. */
#define DEEPPROF_IMPLEMENTATION
#include "deepprof.h"

#include "capture/map.h"
#include "preload/hooks.h"

#include "base/syscall.h"

#include <errno.h>

/* Held across start, stop and flush; a forked child begins with it free. */
static _Atomic uint32_t is_busy;

static void enter(void)
{
	uint32_t free = 0;
	for (int tries = 0; !dp_cas(&is_busy, &free, 1); tries++) {
		const struct {
			int64_t s, ns;
		} pause = {0, 100000};
		if (tries < 100)
			DP_SYS0(SYS_sched_yield);
		else
			DP_SYS2(SYS_nanosleep, &pause, 0);
		free = 0;
	}
}

static void leave(void)
{
	dp_store_release(&is_busy, 0);
}

void dp_api_after_fork(void)
{
	leave();
}

/* Is this process ours to start and stop? */
static bool is_allowed(void)
{
	return dp_hooks_are_on();
}

static bool is_stopped(void)
{
	return dp_load_acquire(&dp_host.off) & DP_OFF_STOPPED;
}

static int stop(void)
{
	if (!is_allowed())
		return -EPERM;
	/* First the word that no new timer begins after, then the timers. */
	atomic_fetch_or(&dp_host.off, DP_OFF_STOPPED);
	atomic_thread_fence(memory_order_seq_cst);
	dp_host_disarm();
	return 0;
}

static int start(const char *options)
{
	const bool is_first = !dp_load_acquire(&dp_host.region) && !dp_load_relaxed(&dp_host.ticks);
	if (!is_allowed())
		return -EPERM;
	if (!is_stopped())
		return options && *options ? -EALREADY : 0;
	const int changed = dp_options_set(options);
	if (changed < 0)
		return changed;
	if (is_first) {
		dp_host_begin();
	} else if (changed) {
		const int error = dp_host_renew();
		if (error)
			return error;
	}
	if (is_first || changed)
		dp_options_apply();
	dp_loader_refresh();
	atomic_fetch_and(&dp_host.off, ~(uint32_t)DP_OFF_STOPPED);
	const int error = dp_host_rearm();
	if (error)
		stop();
	return error;
}

int deepprof_start(const char *options)
{
	const int saved_errno = errno;
	enter();
	const int error = start(options);
	leave();
	errno = saved_errno;
	return error;
}

int deepprof_stop(void)
{
	const int saved_errno = errno;
	enter();
	const int error = stop();
	leave();
	errno = saved_errno;
	return error;
}

int deepprof_is_running(void)
{
	return is_allowed() && !is_stopped();
}

int deepprof_flush(unsigned timeout_ms)
{
	const int saved_errno = errno;
	int error = -EPERM;
	enter();
	if (is_allowed())
		error = dp_host_flush(timeout_ms);
	leave();
	errno = saved_errno;
	return error;
}
