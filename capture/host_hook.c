/* SPDX-License-Identifier: Apache-2.0
 * The life of the guest: set up, armed, forked, ended. */
#include "capture/host.h"
#include "capture/helper.h"
#include "capture/label.h"
#include "capture/map.h"
#include "capture/module.h"
#include "capture/starter.h"

#include "base/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static uint64_t clock_ns(int clock)
{
	struct timespec now = {0};
	DP_SYS2(SYS_clock_gettime, clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The kernel puts strings at the end of the main thread's stack: arguments, environment, the program's name. Below
 * them are 16 random bytes. Copies of the stack end there: nobody's environment belongs into a region. */
static void find_main_stack(void)
{
	enum { UNLIMITED = 64 * 1024 * 1024 };
	const uintptr_t random_bytes = getauxval(AT_RANDOM);
	struct rlimit limit;
	if (!random_bytes)
		return;
	dp_host.main_stack_high = random_bytes & ~(uintptr_t)7;
	uint64_t size = UNLIMITED;
	if (DP_SYS4(SYS_prlimit64, 0, RLIMIT_STACK, 0, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		size = limit.rlim_cur;
	dp_host.main_stack_low = size < dp_host.main_stack_high ? dp_host.main_stack_high - size : 0;
}

static void reset_lanes(void)
{
	for (unsigned i = 0; i < DP_LANE_MAX; i++)
		if (dp_host.lanes[i]) {
			dp_store_relaxed(&dp_host.lanes[i]->is_leased, 0);
			dp_store_relaxed(&dp_host.lanes[i]->map, NULL);
			dp_lane_forget_names(dp_host.lanes[i]);
		}
	for (unsigned i = 0; i < DP_LANES_EARLY; i++) {
		struct dp_lane *lane = &dp_host.early_lanes[i];
		lane->number = i;
		lane->view = (struct dp_ring_view){
		        &dp_host.early_rings[i], dp_host.early_bytes[i], DP_EARLY_RING_SIZE};
		dp_store_relaxed(&dp_host.early_rings[i].head, 0);
		dp_store_relaxed(&dp_host.early_rings[i].tail, 0);
		dp_lane_forget_names(lane);
		dp_host.lanes[i] = lane;
	}
	dp_store_relaxed(&dp_host.lane_count, DP_LANES_EARLY);
	dp_store_relaxed(&dp_host.lanes_short, 0);
}

static void take_identity(void)
{
	dp_host.pid = (int32_t)DP_SYS0(SYS_getpid);
	dp_host.uid = (uint32_t)DP_SYS0(SYS_geteuid);
	dp_host.start_ns = clock_ns(CLOCK_REALTIME);
	dp_host.image_start_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	dp_store_relaxed(&dp_owner.pid, dp_host.pid);
}

void dp_host_init(uint64_t period_ns)
{
	dp_host.period_ns = period_ns;
	for (unsigned i = 0; i < DP_THREAD_CHUNK; i++)
		dp_host.first_threads[i].number = i;
	dp_store_relaxed(&dp_host.thread_chunks[0], dp_host.first_threads);
	DP_SYS3(SYS_madvise, &dp_owner, sizeof dp_owner, MADV_WIPEONFORK);
	reset_lanes();
	find_main_stack();
	take_identity();
	dp_modules_refresh();
	dp_map_rebuild();
}

/* low, high: the calling thread's stack; 0, 0: the main thread's, if it stands on that. */
static int arm_caller(uintptr_t low, uintptr_t high)
{
	struct dp_thread *thread = dp_thread_claim();
	if (!thread)
		return -ENOSPC;
	const int32_t tid = (int32_t)DP_SYS0(SYS_gettid);
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	if (!high && here >= dp_host.main_stack_low && here < dp_host.main_stack_high) {
		low = dp_host.main_stack_low;
		high = dp_host.main_stack_high;
	}
	thread->stack_low = thread->stack_usable = low;
	thread->stack_high = high;
	thread->self = (uintptr_t)__builtin_thread_pointer();
	const int error = dp_timer_arm(thread, tid);
	if (error) {
		dp_count_loss(DP_DROP_TIMER_MISSING, 0);
		dp_thread_release(thread);
	} else {
		dp_labels_attach(thread);
	}
	return error;
}

int dp_host_arm(void)
{
	dp_store_release(&dp_host.is_armed, 1);
	return arm_caller(0, 0);
}

void dp_host_disarm(void)
{
	for (uint32_t chunk = 0; chunk < DP_THREAD_CHUNKS; chunk++) {
		struct dp_thread *threads = dp_load_acquire(&dp_host.thread_chunks[chunk]);
		const uint32_t size = chunk ? DP_THREAD_CHUNK_MORE : DP_THREAD_CHUNK;
		for (uint32_t i = 0; threads && i < size; i++)
			dp_timer_rest(&threads[i]);
	}
}

/* A thread that ended while we were stopped has no clock any more. */
static void rearm(struct dp_thread *thread)
{
	uint32_t idle = DP_THREAD_IDLE;
	if (!dp_cas(&thread->state, &idle, DP_THREAD_CLAIMED))
		return;
	const int error = dp_timer_arm(thread, thread->tid);
	if (error == -EINVAL || error == -ESRCH) {
		dp_thread_release(thread);
	} else if (error) {
		dp_count_loss(DP_DROP_TIMER_MISSING, 0);
		dp_store_release(&thread->state, DP_THREAD_IDLE);
	}
}

int dp_host_rearm(void)
{
	for (uint32_t chunk = 0; chunk < DP_THREAD_CHUNKS; chunk++) {
		struct dp_thread *threads = dp_load_acquire(&dp_host.thread_chunks[chunk]);
		const uint32_t size = chunk ? DP_THREAD_CHUNK_MORE : DP_THREAD_CHUNK;
		for (uint32_t i = 0; threads && i < size; i++)
			rearm(&threads[i]);
	}
	const struct dp_thread *self = dp_thread_by_tid((int32_t)DP_SYS0(SYS_gettid));
	if (!self)
		return arm_caller(0, 0);
	return dp_load_acquire(&self->state) == DP_THREAD_ARMED ? 0 : -EAGAIN;
}

void dp_host_begin(void)
{
	take_identity();
}

int dp_host_renew(void)
{
	uint64_t all = ~UINT64_C(0), before;
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
	const int error = dp_housekeep_renew();
	if (!error) {
		memset(dp_host.losses, 0, sizeof dp_host.losses);
		reset_lanes();
		take_identity();
	}
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
	return error;
}

void dp_host_after_fork(void)
{
	if (dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP) {
		dp_store_relaxed(&dp_host.is_armed, 0); /* not one call of ours: the child runs unprofiled */
		return;
	}
	dp_host.is_under_reaper |= dp_host.is_subreaper || dp_host.pid == 1;
	dp_host.is_subreaper = false;
	uintptr_t low = 0, high = 0;
	/* A fork from another thread than the main one: its stack is the child's main thread's now. */
	for (uint32_t chunk = 0; chunk < DP_THREAD_CHUNKS; chunk++) {
		struct dp_thread *threads = dp_load_acquire(&dp_host.thread_chunks[chunk]);
		const uint32_t size = chunk ? DP_THREAD_CHUNK_MORE : DP_THREAD_CHUNK;
		const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
		for (uint32_t i = 0; threads && i < size; i++) {
			if (here >= threads[i].stack_low && here < threads[i].stack_high) {
				low = threads[i].stack_low;
				high = threads[i].stack_high;
			}
			threads[i].timer = -1;
			threads[i].stack_low = threads[i].stack_high = 0;
			dp_store_relaxed(&threads[i].state, DP_THREAD_FREE);
		}
	}
	dp_store_relaxed(&dp_host.region, NULL); /* not mapped here */
	atomic_fetch_and(&dp_host.off, ~(uint32_t)DP_OFF_ENDED);
	dp_store_relaxed(&dp_host.is_keeping, 0);
	dp_labels_after_fork();
	dp_store_relaxed(&dp_host.ticks, 0);
	memset(dp_host.losses, 0, sizeof dp_host.losses);
	dp_host.attempts = dp_host.next_attempt_tick = dp_host.sweep_tick = 0;
	dp_host.has_started = false;
	dp_host.first_name = dp_host.given_up = 0;
	dp_host.started_ms = dp_host.restarted_ms = dp_host.silence_ms = 0;
	dp_nanny_forget();
	for (unsigned i = 0; i < DP_HELPERS; i++)
		dp_store_relaxed(&dp_helpers[i], 0); /* the parent's: a child of ours may come to have such a number */
	dp_host.unpublished = NULL;
	reset_lanes();
	take_identity();
	for (uint32_t i = 0; i < dp_load_relaxed(&dp_module_count); i++) {
		struct dp_module *module = dp_module_at(i);
		module->told = 0;
		/* Tables stay mapped and right. Which number they have with the agent is forgotten with it: another
		 * one may serve this child. */
	}
	dp_host.modules_published = 0;
	if (dp_load_relaxed(&dp_host.off) & (DP_OFF_DISABLED | DP_OFF_SECCOMP))
		return;
	arm_caller(low, high);
}

int dp_host_flush(uint32_t timeout_ms)
{
	uint64_t all = ~UINT64_C(0), before;
	if (dp_load_relaxed(&dp_owner.pid) != dp_host.pid)
		return -EPERM;
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
	const int error = dp_housekeep_flush(timeout_ms);
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
	return error;
}

bool dp_host_end(uint32_t answer_ms)
{
	uint64_t all = ~UINT64_C(0), before;
	if (dp_load_relaxed(&dp_owner.pid) != dp_host.pid || dp_load_relaxed(&dp_host.off) & ~(uint32_t)DP_OFF_STOPPED)
		return false;
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
	const bool is_answered = dp_housekeep_end(answer_ms);
	DP_SYS4(SYS_rt_sigprocmask, SIG_SETMASK, &before, 0, sizeof before);
	return is_answered;
}
