/* SPDX-License-Identifier: Apache-2.0
 * A program that uses deepprof.h, in C and (included by api_host_cxx.cpp) in C++: what each of its modes
 * prints is what api.py expects. */
#include "deepprof.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

static double thread_cpu(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void burn(double seconds)
{
	const double end = thread_cpu() + seconds;
	while (thread_cpu() < end)
		for (int i = 0; i < 20000; i++)
			sink += sink * 31 + (unsigned)i;
}

/* A variable of its own keeps the compiler from folding them into one. */
#define WORK(name)                                                          \
	static volatile int after_##name;                                   \
	__attribute__((noinline, noclone)) static void name(double seconds) \
	{                                                                   \
		burn(seconds);                                              \
		after_##name = 1;                                           \
	}
WORK(before_start)
WORK(while_started)
WORK(while_stopped)
WORK(started_again)
WORK(in_old_thread)
WORK(in_new_thread)
WORK(in_child)

/* How many POSIX timers this process has: from the kernel, not from us. */
static int timer_count(void)
{
	char line[256];
	int count = 0;
	FILE *file = fopen("/proc/self/timers", "r");
	if (!file)
		return -1;
	while (fgets(line, sizeof line, file))
		count += !strncmp(line, "ID:", 3);
	fclose(file);
	return count;
}

static int do_start_stop(void)
{
	printf("version %s\n", deepprof_version());
	printf("running %d timers %d\n", deepprof_is_running(), timer_count());
	before_start(0.3);
	errno = 77;
	printf("start %d\n", deepprof_start(NULL));
	printf("errno %d\n", errno);
	printf("again %d\n", deepprof_start(NULL));
	printf("options %d\n", deepprof_start("rate=50") == -EALREADY);
	printf("running %d timers %d\n", deepprof_is_running(), timer_count());
	while_started(0.5);
	printf("stop %d\n", deepprof_stop());
	printf("running %d timers %d\n", deepprof_is_running(), timer_count());
	while_stopped(0.5);
	printf("start %d\n", deepprof_start(NULL));
	started_again(0.5);
	printf("flush %d\n", deepprof_flush(20000));
	return 0;
}

/* ---- threads that are there already, and that come while all is stopped ---- */

static sem_t is_there, may_go;

static void *old_thread(void *unused)
{
	(void)unused;
	sem_post(&is_there);
	sem_wait(&may_go);
	in_old_thread(0.5);
	return NULL;
}

static void *new_thread(void *unused)
{
	(void)unused;
	sem_post(&is_there);
	sem_wait(&may_go);
	in_new_thread(0.5);
	return NULL;
}

static int do_threads(void)
{
	pthread_t one, other;
	sem_init(&is_there, 0, 0);
	sem_init(&may_go, 0, 0);
	deepprof_start(NULL);
	pthread_create(&one, NULL, old_thread, NULL);
	sem_wait(&is_there);
	printf("timers %d\n", timer_count());
	deepprof_stop();
	printf("timers %d\n", timer_count());
	pthread_create(&other, NULL, new_thread, NULL);
	sem_wait(&is_there);
	printf("timers %d\n", timer_count());
	deepprof_start(NULL);
	printf("timers %d\n", timer_count());
	sem_post(&may_go);
	sem_post(&may_go);
	pthread_join(one, NULL);
	pthread_join(other, NULL);
	printf("timers %d\n", timer_count());
	return 0;
}

/* ---- a thread that blocks SIGPROF while others start and stop ---- */

static int is_pending(void)
{
	sigset_t pending;
	sigpending(&pending);
	return sigismember(&pending, SIGPROF);
}

static int do_blocked(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	deepprof_start(NULL);
	while_started(0.2);
	deepprof_stop();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	printf("start %d\n", deepprof_start(NULL));
	printf("timers %d\n", timer_count());
	while_stopped(0.3); /* blocked: as good as stopped */
	printf("pending %d\n", is_pending());
	deepprof_stop();
	deepprof_start(NULL);
	while_stopped(0.3);
	printf("pending %d\n", is_pending());
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	started_again(0.5);
	deepprof_stop();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	printf("timers %d\n", timer_count());
	before_start(0.2);
	printf("flush %d\n", deepprof_flush(20000));
	return 0;
}

/* ---- many at once ---- */

static void *starts_and_stops(void *unused)
{
	(void)unused;
	for (int i = 0; i < 300; i++) {
		deepprof_start(i % 16 ? NULL : i % 32 ? "rate=200" : "rate=100");
		burn(0.0005);
		deepprof_stop();
	}
	return NULL;
}

static void *nothing(void *unused)
{
	burn(0.0002);
	return unused;
}

static void *comes_and_goes(void *is_over)
{
	pthread_t thread;
	while (!__atomic_load_n((int *)is_over, __ATOMIC_RELAXED))
		if (pthread_create(&thread, NULL, nothing, NULL) == 0)
			pthread_join(thread, NULL);
	return NULL;
}

static int do_at_once(void)
{
	pthread_t threads[4], goer;
	int is_over = 0;
	pthread_create(&goer, NULL, comes_and_goes, &is_over);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, starts_and_stops, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	pthread_join(goer, NULL);
	printf("stopped timers %d\n", timer_count());
	printf("start %d\n", deepprof_start(NULL));
	printf("timers %d\n", timer_count());
	while_started(0.5);
	/* The file may be there already: each start with other settings ended a profile of the same name. */
	printf("flush %d\n", deepprof_flush(20000));
	return 0;
}

/* ---- a forked child ---- */

static int do_fork(void)
{
	deepprof_start(NULL);
	while_started(0.3);
	deepprof_stop();
	fflush(stdout);
	const pid_t child = fork();
	if (child == 0) {
		printf("child %d timers %d\n", deepprof_is_running(), timer_count());
		while_stopped(0.3);
		printf("start %d\n", deepprof_start(NULL));
		in_child(0.4);
		printf("flush %d\n", deepprof_flush(20000));
		fflush(stdout);
		_exit(3);
	}
	int status = 0;
	waitpid(child, &status, 0);
	printf("status %d\n", WEXITSTATUS(status));
	printf("parent %d timers %d\n", deepprof_is_running(), timer_count());
	return 0;
}

/* ---- other settings ---- */

static int do_settings(const char *first, const char *second)
{
	printf("bad %d\n", deepprof_start("rate=none") == -EINVAL);
	printf("running %d\n", deepprof_is_running());
	printf("start %d\n", deepprof_start(first));
	while_started(0.5);
	printf("stop %d\n", deepprof_stop());
	printf("start %d\n", deepprof_start(second));
	started_again(0.5);
	printf("flush %d\n", deepprof_flush(20000));
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	if (!strcmp(mode, "start_stop"))
		return do_start_stop();
	if (!strcmp(mode, "threads"))
		return do_threads();
	if (!strcmp(mode, "at_once"))
		return do_at_once();
	if (!strcmp(mode, "blocked"))
		return do_blocked();
	if (!strcmp(mode, "fork"))
		return do_fork();
	if (!strcmp(mode, "settings") && argc > 3)
		return do_settings(argv[2], argv[3]);
	return 2;
}
