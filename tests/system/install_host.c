/* SPDX-License-Identifier: Apache-2.0
 * Built against an installed deepprof: computes in a function that its profile must name. */
#include <deepprof.h>
#include <stdio.h>
#include <time.h>

static volatile unsigned long sink;

__attribute__((noinline)) static void busy(double seconds)
{
	struct timespec now;
	do {
		for (int i = 0; i < 20000; i++)
			sink += sink * 31 + (unsigned)i;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < seconds);
}

int main(void)
{
	printf("%s %d\n", deepprof_version(), deepprof_start(NULL));
	busy(0.5);
	printf("%d\n", deepprof_flush(20000));
	return 0;
}
