/* SPDX-License-Identifier: Apache-2.0
 * What the torture programs share: output that is the same in every run, CPU time to be ticked in. */
#ifndef DEEPPROF_TESTS_TORTURE_H
#define DEEPPROF_TESTS_TORTURE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct torture {
	const char *name;
	void (*run)(void);
};

static volatile unsigned long burnt;

__attribute__((noinline)) static unsigned long work(unsigned long rounds)
{
	unsigned long x = burnt + 1;
	for (unsigned long i = 0; i < rounds; i++)
		x = x * 6364136223846793005ul + 1442695040888963407ul;
	burnt = x;
	return x;
}

/* Uses that much CPU time of the calling thread. */
static inline void burn(int ms)
{
	struct timespec start, now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	do {
		work(20000);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

/* A line by one write(): nothing in a buffer for a fork to double or a kill to lose. */
__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	char line[512];
	va_list arguments;
	va_start(arguments, format);
	int size = vsnprintf(line, sizeof line - 1, format, arguments);
	va_end(arguments);
	if (size > (int)sizeof line - 2)
		size = sizeof line - 2;
	line[size++] = '\n';
	if (write(1, line, (size_t)size) < 0)
		_exit(99);
}

static inline void must(bool is_true, const char *what)
{
	if (is_true)
		return;
	say("failed: %s: %s", what, strerror(errno));
	_exit(98);
}

/* How a child ended. */
static inline const char *ending(int status)
{
	static char text[64];
	if (WIFEXITED(status))
		snprintf(text, sizeof text, "exit %d", WEXITSTATUS(status));
	else
		snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
	return text;
}

static inline int run_torture(const struct torture *cases, int argc, char **argv)
{
	for (; cases->name; cases++)
		if (argc < 2)
			puts(cases->name); /* the runner asks for the list */
		else if (!strcmp(argv[1], cases->name)) {
			cases->run();
			return 0;
		}
	return argc < 2 ? 0 : 97;
}

#endif
