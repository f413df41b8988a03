/* SPDX-License-Identifier: Apache-2.0
 * A small host: uses some CPU time in each of some threads, says so, and waits until its input ends.
 *
 * bench_host THREADS MS [CHILDREN]: so many threads beside the main one, each of MS milliseconds of CPU time (the
 * main thread, too); with CHILDREN, so many forked workers do the same. Says "ready". */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double burn_ms;
static pthread_barrier_t all_done;
static volatile unsigned sink;

static __attribute__((noinline)) void burn(int depth)
{
	struct timespec now;
	if (depth) {
		burn(depth - 1);
		sink++;
		return;
	}
	do {
		for (int i = 0; i < 2000; i++)
			sink += (unsigned)i;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while ((double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6 < burn_ms);
}

static void *work(void *unused)
{
	burn(12);
	pthread_barrier_wait(&all_done);
	pause();
	return unused;
}

static void wait_for_the_end(void)
{
	char byte;
	while (read(0, &byte, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	const int threads = argc > 1 ? atoi(argv[1]) : 0;
	const int children = argc > 3 ? atoi(argv[3]) : 0;
	pthread_attr_t attributes;
	burn_ms = argc > 2 ? atof(argv[2]) : 0;
	for (int i = 0; i < children; i++) {
		if (fork() == 0) {
			burn(12);
			wait_for_the_end();
			_exit(0);
		}
	}
	pthread_barrier_init(&all_done, NULL, (unsigned)threads + 1);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 128 * 1024);
	for (int i = 0; i < threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, &attributes, work, NULL) != 0)
			return 1;
	}
	burn(12);
	pthread_barrier_wait(&all_done);
	printf("ready\n");
	fflush(stdout);
	wait_for_the_end();
	while (wait(NULL) > 0)
		;
	return 0;
}
