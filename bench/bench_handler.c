/* SPDX-License-Identifier: Apache-2.0
 * The whole handler, called as the kernel calls it: with the siginfo of a genuine tick and the context of a signal
 * that interrupted 40 frames. Without the kernel's own part, which the gap below tells.
 *
 * bench_handler DEPTH BURSTS SECONDS [MAPPED], with the tap and a profiler preloaded; it begins when something of that
 * name is mapped. Prints "handler" lines: ns of each call, in bursts with pauses in which an agent may empty its rings;
 * the first call of a burst finds the CPU's caches as a pause left them. Then "gap" lines: how long a thread that does
 * nothing but read the clock was away, by ticks of the profiler ("tick") and by interrupts without one ("plain"). */
#include "tick_tap.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 16, GAPS = 100000 };

static const struct bench_tap_functions *tap;
static volatile int sink;
static int bursts;

static double ns_of(uint64_t cycles)
{
	return (double)cycles / tap->tap->cycles_per_ns;
}

static void call_handler(int signo, siginfo_t *info, void *context)
{
	const siginfo_t genuine = *tap->last_info;
	(void)signo, (void)info;
	for (int burst = 0; burst < bursts; burst++) {
		double ns[BURST];
		usleep(60000);
		for (int i = 0; i < BURST; i++) {
			siginfo_t copy = genuine;
			const uint64_t start = bench_cycles();
			tap->handler(SIGPROF, &copy, context);
			ns[i] = ns_of(bench_cycles() - start);
		}
		for (int i = 0; i < BURST; i++)
			printf("handler %d %.0f\n", i, ns[i]);
	}
}

static double cpu_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void look_for_gaps(double seconds)
{
	static struct {
		uint32_t cycles;
		bool has_tick;
	} gaps[GAPS];
	int count = 0;
	const double end = cpu_seconds() + seconds;
	const uint64_t long_enough = (uint64_t)(tap->tap->cycles_per_ns * 400);
	while (count < GAPS && cpu_seconds() < end) {
		uint64_t ticks = tap->tap->ticks, before = bench_cycles();
		for (int i = 0; i < 1000000 && count < GAPS; i++) {
			const uint64_t now = bench_cycles();
			if (now - before > long_enough) {
				const uint64_t ticks_now = tap->tap->ticks;
				gaps[count].cycles = (uint32_t)(now - before);
				gaps[count++].has_tick = ticks_now != ticks;
				ticks = ticks_now;
				before = bench_cycles();
			} else {
				before = now;
			}
		}
	}
	for (int i = 0; i < count; i++)
		printf("gap %s %.0f\n", gaps[i].has_tick ? "tick" : "plain", ns_of(gaps[i].cycles));
}

static double gap_seconds;

static __attribute__((noinline)) void at_depth(int left)
{
	volatile char room[64];
	room[0] = (char)left;
	if (left) {
		at_depth(left - 1);
	} else {
		tap->set_hz(0);
		if (tap->handler && tap->last_info->si_signo)
			raise(SIGUSR1);
		tap->set_hz(250);
		look_for_gaps(gap_seconds);
	}
	sink += room[0];
}

/* Is something of this name mapped here? */
static bool is_mapped(const char *name)
{
	char line[512];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && !found && fgets(line, sizeof line, maps))
		found = strstr(line, name) != NULL;
	if (maps)
		fclose(maps);
	return found;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = call_handler, .sa_flags = SA_SIGINFO};
	tap = bench_tap_find();
	if (!tap || argc < 4)
		return 2;
	const int depth = atoi(argv[1]);
	bursts = atoi(argv[2]);
	gap_seconds = atof(argv[3]);
	sigaction(SIGUSR1, &action, NULL);
	/* An agent is there, its tables are mapped. */
	for (double end = cpu_seconds() + 1.0, last = end + 10; cpu_seconds() < end;)
		if (argc > 4 && !is_mapped(argv[4]) && end < last)
			end = cpu_seconds() + 0.5;
	at_depth(depth - 5); /* the rest: raise and its two, main and the C library's start */
	return 0;
}
