/* SPDX-License-Identifier: Apache-2.0
 * The tap's own side: see tick_tap.h. Its constructor runs after those of what is preloaded behind it.
 *
 * BENCH_TAP names the file to measure into. BENCH_TAP_EMPTY=HZ: no profiler at all but a timer like deepprof's whose
 * handler does nothing, i.e. what the kernel alone takes. */
#include "tick_tap.h"

#include "base/syscall.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct kernel_action { /* as rt_sigaction has it (kernel: include/linux/signal_types.h) */
	void (*handler)(int, siginfo_t *, void *);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static struct bench_tap *tap;
static siginfo_t last_info;
static void (*their_handler)(int, siginfo_t *, void *);
static bool has_itimer;

static void on_tick(int signo, siginfo_t *info, void *context)
{
	const uint64_t start = bench_cycles();
	if (their_handler)
		their_handler(signo, info, context);
	const uint64_t cycles = bench_cycles() - start;
	const uint64_t number = __atomic_fetch_add(&tap->ticks, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&tap->cycles, cycles, __ATOMIC_RELAXED);
	tap->log[number % BENCH_TAP_LOG] = (uint32_t)cycles;
	last_info = *info;
}

/* The kernel numbers a process's timers from 0. */
static void set_hz(uint64_t hz)
{
	enum { TIMERS_MOST = 64 };
	const long period_ns = hz ? 1000000000 / (long)hz : 0;
	static uint64_t random = 1;
	/* The first tick anywhere in a period: a slice of less than one has its share of ticks, too. */
	for (int timer = 0; timer < (has_itimer ? 1 : TIMERS_MOST); timer++) {
		random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		const long first_ns = period_ns ? 1000 + (long)((random >> 33) % (uint64_t)period_ns) : 0;
		const struct itimerspec times = {{0, period_ns}, {0, first_ns}};
		const struct itimerval itimer = {{0, period_ns / 1000}, {0, first_ns / 1000}};
		if (has_itimer)
			setitimer(ITIMER_PROF, &itimer, NULL);
		else
			DP_SYS4(SYS_timer_settime, timer, 0, &times, 0);
	}
	tap->set_hz = hz;
}

/* From outside: set the rate, say how much CPU time there was. */
static void on_control(int signo, siginfo_t *info, void *context)
{
	struct timespec now;
	(void)signo, (void)info, (void)context;
	DP_SYS2(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now);
	tap->cpu_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	set_hz(tap->wanted_hz);
}

static void start_empty_timer(uint64_t hz)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
	timer_t timer;
	event._sigev_un._tid = (int)DP_SYS0(SYS_gettid);
	sigaction(SIGPROF, &action, NULL);
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0)
		set_hz(hz);
}

static void measure_cycles(void)
{
	struct timespec before, after;
	clock_gettime(CLOCK_MONOTONIC_RAW, &before);
	const uint64_t start = bench_cycles();
	do
		clock_gettime(CLOCK_MONOTONIC_RAW, &after);
	while ((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < 2000000);
	const double ns = (double)((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec);
	tap->cycles_per_ns = (double)(bench_cycles() - start) / ns;
}

static void *shared_memory(void)
{
	const char *path = getenv("BENCH_TAP");
	const int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	if (fd < 0 || ftruncate(fd, sizeof *tap) != 0)
		return mmap(NULL, sizeof *tap, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *memory = mmap(NULL, sizeof *tap, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	return memory;
}

static void take_their_place(void)
{
	struct kernel_action action;
	/* By the kernel's own interface: a profiler that hides its handler from sigaction() hides it from us too. */
	if (DP_SYS4(SYS_rt_sigaction, SIGPROF, 0, &action, sizeof action.mask) != 0 || (uintptr_t)action.handler <= 1)
		return;
	their_handler = action.handler;
	action.handler = on_tick;
	DP_SYS4(SYS_rt_sigaction, SIGPROF, &action, 0, sizeof action.mask);
}

__attribute__((constructor)) static void stand_between(void)
{
	const struct sigaction control = {.sa_sigaction = on_control, .sa_flags = SA_SIGINFO | SA_RESTART};
	const char *empty = getenv("BENCH_TAP_EMPTY");
	struct itimerval itimer;
	tap = shared_memory();
	if (tap == MAP_FAILED)
		abort();
	has_itimer = getitimer(ITIMER_PROF, &itimer) == 0 && (itimer.it_interval.tv_sec || itimer.it_interval.tv_usec);
	sigaction(SIGRTMIN + 9, &control, NULL);
	if (empty)
		start_empty_timer(strtoul(empty, NULL, 10));
	else
		take_their_place();
	measure_cycles(); /* last: it takes longer than the first tick may wait */
}

__attribute__((visibility("default"))) const struct bench_tap_functions *bench_tap_functions(void);
const struct bench_tap_functions *bench_tap_functions(void)
{
	static struct bench_tap_functions functions;
	functions = (struct bench_tap_functions){tap, their_handler, &last_info, set_hz};
	return &functions;
}
