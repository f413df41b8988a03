/* SPDX-License-Identifier: Apache-2.0
 * A tap on SIGPROF: preloaded before any profiler, it stands between the kernel and the profiler's handler, times
 * each tick as the host has it, and turns the profiler's timers off and on.
 *
 * What it measures lies in a file that others may map: struct bench_tap. Programs find the functions by
 * bench_tap_find(), or NULL where the tap is not preloaded. */
#ifndef DEEPPROF_BENCH_TICK_TAP_H
#define DEEPPROF_BENCH_TICK_TAP_H

#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>

enum { BENCH_TAP_LOG = 65536 };

struct bench_tap {
	volatile uint64_t ticks;     /* handler runs that have ended */
	volatile uint64_t cycles;    /* in them */
	volatile uint64_t cpu_ns;    /* of the process, when it was last asked for */
	double cycles_per_ns;
	volatile uint64_t wanted_hz; /* of the next SIGRTMIN + 9 */
	volatile uint64_t set_hz;    /* its answer */
	uint64_t reserved[2];
	volatile uint32_t log[BENCH_TAP_LOG]; /* cycles of each tick, in the order of their ends, round and round */
};

struct bench_tap_functions {
	struct bench_tap *tap;
	/* What the kernel would call, and the siginfo of the last genuine tick (si_signo 0: none yet). */
	void (*handler)(int, siginfo_t *, void *);
	siginfo_t *last_info;
	/* 0: every timer of the profiler stands still. */
	void (*set_hz)(uint64_t hz);
};

static inline const struct bench_tap_functions *bench_tap_find(void)
{
	const struct bench_tap_functions *(*find)(void);
	*(void **)&find = dlsym(RTLD_DEFAULT, "bench_tap_functions");
	return find ? find() : 0;
}

static inline uint64_t bench_cycles(void)
{
#if defined(__x86_64__)
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
#else
	uint64_t now;
	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(now) : : "memory");
	return now;
#endif
}

#endif
