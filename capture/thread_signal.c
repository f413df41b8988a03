/* SPDX-License-Identifier: Apache-2.0
 * Records of threads: claimed by a hook or a housekeeping tick, found by the number in the timer's cookie. */
#include "capture/host.h"

#include "base/syscall.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

/* The cookie: not an address, so that a value made up by someone else leads nowhere. */
#define COOKIE_MAGIC UINT64_C(0xd9f0000000000000)
#define COOKIE_MASK  UINT64_C(0xffff000000000000)

static struct dp_thread *thread_at(uint32_t number)
{
	const uint32_t chunk = number < DP_THREAD_CHUNK ? 0 : 1 + (number - DP_THREAD_CHUNK) / DP_THREAD_CHUNK_MORE;
	const uint32_t place = number < DP_THREAD_CHUNK ? number : (number - DP_THREAD_CHUNK) % DP_THREAD_CHUNK_MORE;
	if (chunk >= DP_THREAD_CHUNKS)
		return NULL;
	struct dp_thread *threads = dp_load_acquire(&dp_host.thread_chunks[chunk]);
	return threads ? &threads[place] : NULL;
}

/* Where a free record may be, so that a claim is not a search: the one released last, which is still in the caches, or
 * behind the one claimed last. */
static _Atomic uint32_t hint;

struct dp_thread *dp_thread_claim(void)
{
	const uint32_t from = dp_load_relaxed(&hint);
	bool wrapped = false;
	for (uint32_t number = from;; number++) {
		struct dp_thread *thread = thread_at(number);
		if (!thread) {
			if (wrapped)
				return NULL;
			wrapped = true;
			number = UINT32_MAX; /* continue at 0 */
			continue;
		}
		uint32_t free = DP_THREAD_FREE;
		if (dp_load_relaxed(&thread->state) == DP_THREAD_FREE &&
		        dp_cas(&thread->state, &free, DP_THREAD_CLAIMED)) {
			thread->number = number;
			dp_zero(thread->memory, sizeof thread->memory);
			thread->timer = -1;
			thread->first_ns = UINT64_MAX;
			dp_store_relaxed(&thread->expired, 0);
			dp_store_relaxed(&thread->blocked_ns, 0);
			thread->is_new = false;
			thread->self = 0;
			thread->wanted_bytes = 0;
			dp_store_relaxed(&thread->is_paused, false);
			dp_store_relaxed(&thread->labels, 0);
			thread->last_lane = number % DP_LANES_EARLY;
			dp_store_relaxed(&hint, number + 1);
			return thread;
		}
		if (wrapped && number >= from)
			return NULL;
	}
}

int dp_thread_grow(void)
{
	const size_t size = DP_THREAD_CHUNK_MORE * sizeof(struct dp_thread);
	const long memory = DP_SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory < 0 && memory > -4096)
		return (int)memory;
	for (unsigned chunk = 1; chunk < DP_THREAD_CHUNKS; chunk++) {
		struct dp_thread *none = NULL;
		if (dp_cas(&dp_host.thread_chunks[chunk], &none, (struct dp_thread *)memory))
			return 0;
	}
	DP_SYS2(SYS_munmap, memory, size);
	return -ENOSPC;
}

static void list_thread(const struct dp_thread *thread, uint32_t tid)
{
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	if (region && thread->number < DP_THREAD_MAX) {
		dp_store_relaxed(&region->threads[thread->number].ticks, 0);
		dp_store_release(&region->threads[thread->number].tid, tid);
	}
}

void dp_thread_release(struct dp_thread *thread)
{
	list_thread(thread, 0);
	thread->tid = 0;
	thread->stack_low = thread->stack_high = 0;
	thread->stack_asked = 0;
	dp_store_relaxed(&hint, thread->number);
	dp_store_release(&thread->state, DP_THREAD_FREE);
}

struct dp_thread *dp_thread_by_tid(int32_t tid)
{
	struct dp_thread *thread;
	for (uint32_t number = 0; (thread = thread_at(number)); number++)
		if (dp_load_acquire(&thread->state) != DP_THREAD_FREE && thread->tid == tid)
			return thread;
	return NULL;
}

bool dp_is_tick(const siginfo_t *info)
{
	return info->si_code == SI_TIMER &&
	       ((uint64_t)(uintptr_t)info->si_value.sival_ptr & COOKIE_MASK) == COOKIE_MAGIC;
}

struct dp_thread *dp_thread_of(const siginfo_t *info)
{
	if (!dp_is_tick(info))
		return NULL;
	struct dp_thread *thread = thread_at((uint32_t)(uintptr_t)info->si_value.sival_ptr);
	return thread && dp_load_acquire(&thread->state) == DP_THREAD_ARMED && thread->timer == info->si_timerid
	                ? thread
	                : NULL;
}

/* struct sigevent as the kernel has it (include/uapi/asm-generic/siginfo.h). */
struct kernel_sigevent {
	uint64_t value;
	int32_t signo, notify, tid;
	int32_t pad[11];
};

/* A phase anywhere in one period: no two threads in lockstep, and a short life is sampled as often as its CPU time
 * deserves. From the nanosecond at which the process began and a count: the clock would be one more system call in
 * each new thread. */
static uint64_t random_phase(uint64_t period_ns, int32_t tid)
{
	static _Atomic uint64_t count;
	uint64_t x = dp_host.start_ns + (dp_add_relaxed(&count, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15);
	x ^= (uint64_t)tid << 40;
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return 1 + x % period_ns;
}

/* The raw id of another thread's CPU clock (kernel: include/linux/posix-timers.h, CPUCLOCK_PERTHREAD_MASK and
 * CPUCLOCK_SCHED); for the calling thread it names the same clock as CLOCK_THREAD_CPUTIME_ID. */
static int32_t clock_of(int32_t tid)
{
	return (int32_t)((~(uint32_t)tid << 3) | 6);
}

uint64_t dp_thread_cpu_ns(int32_t tid)
{
	struct timespec now = {0};
	if (DP_SYS2(SYS_clock_gettime, clock_of(tid), &now) != 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int dp_timer_resume(struct dp_thread *thread)
{
	const uint64_t start = thread->is_new ? 0 : dp_thread_cpu_ns(thread->tid);
	const uint64_t first = start + random_phase(dp_host.period_ns, thread->tid);
	struct {
		int64_t interval_s, interval_ns, first_s, first_ns;
	} times = {
	        (int64_t)(dp_host.period_ns / 1000000000),
	        (int64_t)(dp_host.period_ns % 1000000000),
	        (int64_t)(first / 1000000000),
	        (int64_t)(first % 1000000000),
	};
	thread->is_new = false;
	dp_store_relaxed(&thread->expired, 0);
	thread->first_ns = first;
	return (int)DP_SYS4(SYS_timer_settime, thread->timer, TIMER_ABSTIME, &times, 0);
}

void dp_timer_settle(struct dp_thread *thread)
{
	const uint64_t blocked = dp_load_relaxed(&thread->blocked_ns);
	const uint64_t now = dp_thread_cpu_ns(thread->tid);
	if (blocked) {
		dp_store_relaxed(&thread->blocked_ns, 0);
		if (now > blocked)
			dp_count_loss(DP_DROP_SIGNAL_BLOCKED, now - blocked);
		return;
	}
	if (now < thread->first_ns)
		return;
	const uint64_t due = (now - thread->first_ns) / dp_host.period_ns + 1;
	const uint64_t expired = dp_load_relaxed(&thread->expired);
	if (due > expired) {
		dp_count_loss(DP_DROP_TAIL, (due - expired) * dp_host.period_ns);
		dp_store_relaxed(&thread->expired, due);
	}
}

void dp_timer_pause(struct dp_thread *thread)
{
	const int64_t never[4] = {0};
	DP_SYS4(SYS_timer_settime, thread->timer, 0, never, 0);
	dp_timer_settle(thread);
	thread->first_ns = UINT64_MAX;
}

int dp_timer_arm(struct dp_thread *thread, int32_t tid)
{
	struct kernel_sigevent event = {
	        .value = COOKIE_MAGIC | thread->number,
	        .signo = SIGPROF,
	        .notify = SIGEV_THREAD_ID,
	        .tid = tid,
	};
	int32_t timer = -1;
	thread->tid = tid;
	if (dp_load_acquire(&dp_host.off) & DP_OFF_STOPPED) {
		list_thread(thread, (uint32_t)tid);
		dp_store_release(&thread->state, DP_THREAD_IDLE);
		return 0;
	}
	long error = DP_SYS3(SYS_timer_create, clock_of(tid), &event, &timer);
	if (error < 0)
		return (int)error;
	thread->timer = timer;
	list_thread(thread, (uint32_t)tid);
	dp_store_release(&thread->state, DP_THREAD_ARMED);
	/* Either we see that the thread blocks SIGPROF, or that all is being stopped, or whoever does so sees our
	 * timer. */
	atomic_thread_fence(memory_order_seq_cst);
	if (!dp_load_relaxed(&thread->is_paused))
		error = dp_timer_resume(thread);
	if (error < 0) {
		dp_timer_disarm(thread);
		return (int)error;
	}
	if (dp_load_relaxed(&thread->is_paused)) {
		dp_timer_pause(thread);
		dp_store_relaxed(&thread->blocked_ns, dp_thread_cpu_ns(tid));
	}
	if (dp_load_relaxed(&dp_host.off) & DP_OFF_STOPPED)
		dp_timer_rest(thread);
	return 0;
}

bool dp_timer_disarm(struct dp_thread *thread)
{
	uint32_t armed = DP_THREAD_ARMED, idle = DP_THREAD_IDLE;
	if (!dp_cas(&thread->state, &armed, DP_THREAD_CLAIMED))
		return dp_cas(&thread->state, &idle, DP_THREAD_CLAIMED);
	const int32_t timer = thread->timer;
	thread->timer = -1;
	if (timer >= 0) {
		DP_SYS1(SYS_timer_delete, timer);
		dp_timer_settle(thread);
		thread->first_ns = UINT64_MAX;
	}
	return true;
}

void dp_timer_rest(struct dp_thread *thread)
{
	if (dp_timer_disarm(thread))
		dp_store_release(&thread->state, DP_THREAD_IDLE);
}

void dp_count_losses(enum dp_drop reason, uint32_t count)
{
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	dp_add_relaxed(region ? &region->losses[reason].count : &dp_host.losses[reason].count, count);
}

void dp_count_loss(enum dp_drop reason, uint64_t weight_ns)
{
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	struct dp_shared_loss *loss = region ? &region->losses[reason] : &dp_host.losses[reason];
	dp_add_relaxed(&loss->count, 1);
	if (weight_ns)
		dp_add_relaxed(&loss->weight_ns, weight_ns);
}
