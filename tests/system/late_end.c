/* SPDX-License-Identifier: Apache-2.0
 * A library that is still at work when the profiler has said its last word: preloaded behind it, its destructor comes
 * after ours. */
#include <time.h>

static double cpu_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

__attribute__((noinline)) static unsigned long late_work(void)
{
	const double end = cpu_s() + 0.3;
	volatile unsigned long x = 1;
	while (cpu_s() < end)
		for (int i = 0; i < 100000; i++)
			x = x * 6364136223846793005ul + 1;
	return x;
}

__attribute__((destructor)) static void work_at_the_end(void)
{
	late_work();
}
