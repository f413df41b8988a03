/* SPDX-License-Identifier: Apache-2.0
 * Threads from their first instruction to their last: pthread_create armed, the end noticed. */
#include "capture/host.h"
#include "capture/label.h"
#include "capture/module.h"
#include "preload/hooks.h"
#include "preload/sigprof.h"
#include "preload/real.h"

#include "base/syscall.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

static pthread_key_t end_key;
static bool has_end_key;


/* Destructors of the application's run before and after ours: the timer stays until the last round. Which one it is
 * stands in the low bits of the value. A raw fork's child has the value too, but not the region. */
static void on_thread_end(void *value)
{
	enum { ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS - 2, ROUND_BITS = _Alignof(struct dp_thread) - 1 };
	_Static_assert(ROUNDS >= 0 && ROUNDS <= ROUND_BITS, "rounds must fit below the record's address");
	const uintptr_t round = (uintptr_t)value & ROUND_BITS;
	struct dp_thread *thread = (struct dp_thread *)((uintptr_t)value - round);
	if (dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP || dp_load_relaxed(&dp_owner.pid) != dp_host.pid)
		return; /* the filter came after the timer, which stays */
	if (round < ROUNDS && pthread_setspecific(end_key, (char *)value + 1) == 0)
		return;
	if (dp_load_relaxed(&thread->state) == DP_THREAD_FREE || thread->self != (uintptr_t)__builtin_thread_pointer())
		return; /* forked meanwhile: the record is another's */
	/* Somebody who starts or stops the profiler may have it in hands. */
	for (int i = 0; i < 1000; i++) {
		if (dp_timer_disarm(thread)) {
			dp_thread_release(thread);
			return;
		}
		DP_SYS0(SYS_sched_yield);
	}
}

void dp_threads_init(void)
{
	has_end_key = pthread_key_create(&end_key, on_thread_end) == 0;
}

/* The thread pointer sits at the top of a thread's stack, also of one that the program brought itself (glibc:
 * nptl/allocatestack.c; musl: src/thread/pthread_create.c). */
static void find_stack(struct dp_thread *thread, size_t size)
{
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	const uintptr_t top = (uintptr_t)__builtin_thread_pointer();
	if (here < top && top - here < size) {
		thread->stack_high = top & ~(uintptr_t)7;
		thread->stack_low = top > size ? top - size : 0;
		thread->stack_usable = thread->stack_low + thread->guard_size;
	}
}

/* A thread that was long in coming to its first instruction may have been found without a timer meanwhile. Two would
 * count its time twice. */
static void give_up_other_timer(int32_t tid)
{
	struct dp_thread *other = dp_thread_by_tid(tid);
	if (other && dp_load_acquire(&other->state) == DP_THREAD_ARMED) {
		dp_timer_disarm(other);
		dp_thread_release(other);
	}
}

static void *run_thread(void *argument)
{
	struct dp_thread *thread = argument;
	void *(*const start)(void *) = thread->start;
	void *const start_argument = thread->argument;
	const bool is_apart = thread->is_apart;
	find_stack(thread, thread->stack_size);
	thread->is_new = true;
	thread->self = (uintptr_t)__builtin_thread_pointer();
	const int32_t tid = (int32_t)DP_SYS0(SYS_gettid);
	if (dp_load_relaxed(&dp_host.siblings_armed))
		give_up_other_timer(tid);
	const int error = dp_timer_arm(thread, tid);
	if (error) {
		dp_count_loss(DP_DROP_TIMER_MISSING, 0);
		dp_thread_release(thread);
	} else {
		dp_labels_attach(thread);
		if (has_end_key)
			pthread_setspecific(end_key, thread);
	}
	dp_sigprof_thread_start(is_apart);
	return start(start_argument);
}

static void read_attributes(struct dp_thread *record, const pthread_attr_t *attributes)
{
	pthread_attr_t usual;
	record->stack_size = record->guard_size = 0;
	if (!attributes && pthread_attr_init(&usual) != 0)
		return;
	const pthread_attr_t *from = attributes ? attributes : &usual;
	pthread_attr_getstacksize(from, &record->stack_size);
	pthread_attr_getguardsize(from, &record->guard_size);
	if (!attributes)
		pthread_attr_destroy(&usual);
}

DP_EXPORT int pthread_create(
        pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
	struct dp_thread *record = NULL;
	if (dp_hooks_are_on()) {
		/* The loader's lock is taken where there is something to see alone: whoever walks its list may wait for
		 * the threads that he starts. */
		if (dp_modules_are_stale())
			dp_loader_refresh();
		record = dp_thread_claim();
		if (!record && dp_thread_grow() == 0)
			record = dp_thread_claim();
	}
	if (!record)
		return DP_REAL(pthread_create)(thread, attributes, start, argument);
	record->start = start;
	record->argument = argument;
	record->is_apart = dp_sigprof_is_apart;
	read_attributes(record, attributes);
	const int error = DP_REAL(pthread_create)(thread, attributes, run_thread, record);
	if (error)
		dp_thread_release(record);
	return error;
}
