/* SPDX-License-Identifier: Apache-2.0
 * pthread_create and pthread_join of a thread that does nothing: microseconds of CPU and of waiting, one line a
 * batch. bench_threads BATCHES */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 500 };

static double microseconds(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void *nothing(void *argument)
{
	return argument;
}

int main(int argc, char **argv)
{
	const int batches = argc > 1 ? atoi(argv[1]) : 10;
	for (int batch = -1; batch < batches; batch++) {
		const double cpu = microseconds(CLOCK_PROCESS_CPUTIME_ID), wall = microseconds(CLOCK_MONOTONIC);
		for (int i = 0; i < BATCH; i++) {
			pthread_t thread;
			if (pthread_create(&thread, NULL, nothing, NULL) != 0)
				return 1;
			pthread_join(thread, NULL);
		}
		if (batch >= 0)
			printf("%.3f %.3f\n", (microseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / BATCH,
				(microseconds(CLOCK_MONOTONIC) - wall) / BATCH);
	}
	return 0;
}
