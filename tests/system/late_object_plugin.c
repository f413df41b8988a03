/* SPDX-License-Identifier: Apache-2.0
 * What late_object opens. */
#include <time.h>

static __attribute__((noinline)) unsigned long spin(unsigned long x)
{
	for (int i = 0; i < 100000; i++)
		x = x * 6364136223846793005ul + 1;
	return x + 1;
}

__attribute__((visibility("default"))) unsigned long late_spin(double until_cpu_s)
{
	struct timespec now;
	unsigned long x = 1;
	do {
		x = spin(x);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < until_cpu_s);
	return x;
}
