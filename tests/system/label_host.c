/* SPDX-License-Identifier: Apache-2.0
 * A program that labels its threads in every way deepprof.h offers; labels.py knows which function ran under
 * which labels. */
#include "deepprof.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

static void burn(double seconds)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	const double end = (double)now.tv_sec + (double)now.tv_nsec / 1e9 + seconds;
	do {
		for (int i = 0; i < 20000; i++)
			sink += sink * 31 + (unsigned)i;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < end);
}

/* A variable of its own keeps the compiler from folding them into one. */
#define WORK(name)                                                          \
	static volatile int after_##name;                                   \
	__attribute__((noinline, noclone)) static void name(double seconds) \
	{                                                                   \
		burn(seconds);                                              \
		after_##name = 1;                                           \
	}
WORK(plain)
WORK(red)
WORK(red_large)
WORK(blue_large)
WORK(large)
WORK(in_thread)
WORK(in_thread_given)
WORK(in_child)
WORK(in_child_own)
WORK(after_restart)
WORK(after_new_settings)
WORK(many)
WORK(few)

static deepprof_labels given;

static void *thread_main(void *unused)
{
	in_thread(0.3);
	deepprof_set_labels(given);
	in_thread_given(0.3);
	return unused;
}

static void child_main(void)
{
	in_child(0.3);
	printf("child %d\n", deepprof_set_label("role", "child"));
	in_child_own(0.3);
	printf("flush %d\n", deepprof_flush(20000));
	fflush(stdout);
	_exit(0);
}

static int do_ways(void)
{
	char text[300];
	pthread_t thread;

	plain(0.3);
	errno = 77;
	printf("red %d errno %d\n", deepprof_set_label("colour", "red"), errno);
	red(0.3);
	deepprof_set_label("size", "large");
	given = deepprof_get_labels();
	red_large(0.3);
	const deepprof_labels blue = deepprof_make_labels(given, "colour", "blue");
	printf("made %d same %d\n", blue != given, deepprof_make_labels(blue, "colour", "red") == given);
	printf("before %d\n", deepprof_set_labels(blue) == given);
	blue_large(0.3);
	deepprof_unset_label("colour");
	large(0.3);
	printf("unknown %d %d\n", deepprof_set_labels(999999) == deepprof_get_labels(),
		deepprof_get_labels() != 999999);
	pthread_create(&thread, NULL, thread_main, NULL);
	pthread_join(thread, NULL);

	fflush(stdout);
	const pid_t child = fork();
	if (child == 0)
		child_main();
	waitpid(child, NULL, 0);

	/* Limits. */
	deepprof_set_labels(0);
	memset(text, 'x', sizeof text);
	text[64] = 0;
	printf("keys %d %d %d %d %d %d\n", deepprof_set_label("", "a"), deepprof_set_label(NULL, "a"),
		deepprof_set_label("tid", "a"), deepprof_set_label("__a", "a"),
		deepprof_set_label("a\n", "a"), deepprof_set_label(text, "a"));
	text[63] = 0;
	printf("longest key %d\n", deepprof_set_label(text, "a"));
	for (int i = 0; i < 7; i++) {
		snprintf(text, sizeof text, "key%d", i);
		deepprof_set_label(text, "b");
	}
	printf("ninth %d, changed %d\n", deepprof_set_label("ninth", "b"), deepprof_set_label("key3", "c"));
	printf("none %d\n", deepprof_make_labels(1, "x", "y") != 1 && deepprof_get_labels() != 0);
	deepprof_set_labels(0);
	memset(text, 'v', sizeof text);
	strcpy(text + 126, "\xc3\xa4 cut inside of a character");
	printf("long value %d\n", deepprof_set_label("long", text));

	deepprof_stop();
	deepprof_set_labels(given);
	deepprof_start(NULL);
	after_restart(0.3);
	return 0;
}

/* For servers: two labels, few values. */
static int do_colours(void)
{
	plain(0.3);
	deepprof_set_label("colour", "red");
	red(0.3);
	deepprof_set_label("size", "large");
	red_large(0.3);
	deepprof_set_label("colour", "blue");
	blue_large(0.3);
	deepprof_unset_label("colour");
	large(0.3);
	return 0;
}

/* The library given other settings has another region: the agent hears the labels again. */
static int do_settings(const char *options)
{
	deepprof_set_label("colour", "red");
	red(0.3);
	deepprof_flush(20000);
	deepprof_stop();
	printf("start %d\n", deepprof_start(options));
	after_new_settings(0.3);
	printf("flush %d\n", deepprof_flush(20000));
	return 0;
}

/* More sets than are kept, from two threads. */
static void *makes_many(void *name)
{
	char text[32];
	for (int i = 0; i < 5000; i++) {
		snprintf(text, sizeof text, "%s%d", (const char *)name, i);
		deepprof_set_label("request", text);
		if (i % 100 == 0)
			burn(0.001);
	}
	many(0.3);
	return NULL;
}

static int do_many(void)
{
	pthread_t one, other;
	char first[] = "a", second[] = "b";
	plain(0.1);
	deepprof_set_label("phase", "start");
	few(0.2);
	pthread_create(&one, NULL, makes_many, first);
	pthread_create(&other, NULL, makes_many, second);
	pthread_join(one, NULL);
	pthread_join(other, NULL);
	few(0.2);
	printf("flush %d\n", deepprof_flush(20000));
	return 0;
}

/* Nanoseconds: a known set's label, the same by its number. */
static int do_cost(void)
{
	struct timespec from, to;
	static const char *const values[] = {"one", "two", "three", "four"};
	const int count = 1000000;
	deepprof_labels sets[4];
	double ns[2];
	deepprof_set_label("tenant", "somebody");
	for (int i = 0; i < 4; i++)
		sets[i] = deepprof_make_labels(deepprof_get_labels(), "endpoint", values[i]);
	for (int by_number = 0; by_number < 2; by_number++) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		for (int i = 0; i < count; i++) {
			if (by_number)
				deepprof_set_labels(sets[i % 4]);
			else
				deepprof_set_label("endpoint", values[i % 4]);
		}
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		ns[by_number] =
			((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
			count;
	}
	printf("set_label %.1f ns, set_labels %.1f ns\n", ns[0], ns[1]);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	if (!strcmp(mode, "ways"))
		return do_ways();
	if (!strcmp(mode, "settings") && argc > 2)
		return do_settings(argv[2]);
	if (!strcmp(mode, "colours"))
		return do_colours();
	if (!strcmp(mode, "many"))
		return do_many();
	if (!strcmp(mode, "cost"))
		return do_cost();
	return 2;
}
