/* SPDX-License-Identifier: Apache-2.0
 * Nanoseconds per frame of the walk at several depths, beside libunwind's and libgcc's; and how fast tables
 * are built.
 *
 * Everything runs in one process, in turns, on the same stack; each figure is the median of the rounds.
 * "empty cache" has rules searched in the tables, "first sample" also has the CPU's caches emptied.
 * Arguments: files to build tables of (default: the machine's big libraries). */
#include "tests/unit/unwind_host.h"
#include "tests/unit/unwind_local.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { ROUNDS = 31, REPEATS = 200, FRAMES = 512, EVICT = 64 << 20 };

enum way { TABLE_WARM, TABLE_EMPTY, TABLE_FIRST, UNW_BACKTRACE, UNW_STEP, GCC_BACKTRACE, FINISHER, WAYS };
static const char *const way_names[WAYS] = {"table, warm cache", "table, empty cache", "table, first sample",
	"unw_backtrace", "unw_step", "backtrace (libgcc)", "libunwind, copied stack"};

static const char *const big_files[] = {"/usr/lib/*-linux-gnu/libc.so.6",
	"/usr/lib/*-linux-gnu/libcrypto.so.3", "/usr/lib/*-linux-gnu/libstdc++.so.6",
	"/usr/lib/*-linux-gnu/libpython3.*.so.1.0", "/usr/lib/*-linux-gnu/libLLVM-1?.so.1",
	"/usr/lib/*-linux-gnu/libicui18n.so.??", "/usr/lib/jvm/*/lib/server/libjvm.so", "/usr/bin/gdb",
	"/usr/bin/node", "/usr/lib/gcc/*/12/cc1plus"};

static struct unwind_host host;
static struct dp_rule_cache cache;
static struct dp_finisher *finisher;
static volatile char *evict;
static double results[WAYS][ROUNDS];
static int counts[WAYS];
static volatile int sink;
static int (*gcc_backtrace)(void **, int); /* libunwind has a function of that name, too */
static int depth;

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, count, sizeof *values, compare);
	return values[count / 2];
}

static void registers_of(const ucontext_t *context, struct dp_registers *to)
{
#if defined(__x86_64__)
	static const int greg_of[DP_REG_USED] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
		REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
		REG_RIP};

	for (int i = 0; i < DP_REG_USED; i++)
		to->value[i] = context->uc_mcontext.gregs[greg_of[i]];
#else
	memcpy(to->value, context->uc_mcontext.regs, 31 * 8);
	to->value[DP_REG_SP] = context->uc_mcontext.sp;
	to->value[DP_REG_PC] = context->uc_mcontext.pc;
#endif
}

static int once(enum way way, ucontext_t *context, const struct dp_walk *start, struct dp_finish_input *input)
{
	static struct dp_frame frames[FRAMES];
	static uint64_t addresses[FRAMES];
	struct dp_walk walk = *start;
	enum dp_stop stop;

	switch (way) {
	case TABLE_WARM:
		return dp_unwind(host.map, &cache, &walk, frames, FRAMES);
	case TABLE_EMPTY:
	case TABLE_FIRST:
		return dp_unwind(host.map, NULL, &walk, frames, FRAMES);
	case UNW_BACKTRACE:
		return unwind_local_backtrace((void **)addresses, FRAMES);
	case UNW_STEP:
		return unwind_local_step(context, addresses, FRAMES);
	case GCC_BACKTRACE:
		return gcc_backtrace((void **)addresses, FRAMES);
	default:
		return dp_finish(finisher, input, frames, FRAMES, &stop);
	}
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	struct dp_walk walk = {
		.stack = {.count = 1, .ranges = {{.low = host.stack_low, .high = host.stack_high}}}};
	struct dp_finish_input input = {.find = unwind_host_find, .context = &host};
	static uint8_t copy[1 << 18];

	(void)signo, (void)info;
	registers_of(context, &walk.registers);
	input.registers = walk.registers;
	input.stack_address = walk.registers.value[DP_REG_SP] & ~(uint64_t)7;
	input.stack_size = host.stack_high - input.stack_address;
	if (input.stack_size > sizeof copy)
		input.stack_size = sizeof copy;
	memcpy(copy, (void *)input.stack_address, input.stack_size);
	input.stack = copy;
	for (int round = 0; round < ROUNDS; round++) {
		for (enum way way = 0; way < WAYS; way++) {
			const int repeats = way == TABLE_FIRST ? 1 : REPEATS;
			double start;

			if (way == TABLE_FIRST)
				for (size_t i = 0; i < EVICT; i += 64)
					evict[i]++;
			else
				once(way, context, &walk, &input);
			start = now_ns();
			for (int i = 0; i < repeats; i++)
				counts[way] = once(way, context, &walk, &input);
			results[way][round] = (now_ns() - start) / repeats / counts[way];
		}
	}
}

/* Different functions with frames of different sizes: a recursion of one function would be too easy. */
#define FUNCTION(n, next)                                     \
	static int next(int);                                 \
	static __attribute__((noinline)) int n(int left)      \
	{                                                     \
		volatile char room[__COUNTER__ * 40 + 8];     \
                                                              \
		room[0] = left;                               \
		if (!left)                                    \
			raise(SIGUSR1);                       \
		return (left ? next(left - 1) : 0) + room[0]; \
	}
FUNCTION(f0, f1)
FUNCTION(f1, f2)
FUNCTION(f2, f3)
FUNCTION(f3, f4)
FUNCTION(f4, f5)
FUNCTION(f5, f6)
FUNCTION(f6, f7)
FUNCTION(f7, f8)
FUNCTION(f8, f9)
FUNCTION(f9, f0)

static void measure_walk(int frames)
{
	double base;

	depth = frames;
	sink += f0(depth - 7); /* the rest: raise, main, the C library's start */
	printf("\n%d frames%*sns/frame   x unw_backtrace   ns in all\n", counts[TABLE_WARM], 21, "");
	base = median(results[UNW_BACKTRACE], ROUNDS);
	for (enum way way = 0; way < WAYS; way++) {
		const double ns = median(results[way], ROUNDS);

		printf("  %-26s %8.1f %12.2f %14.0f\n", way_names[way], ns, ns / base, ns * counts[way]);
	}
}

/* ---- the first sample of a new thread ---- */

static enum way first_way;
static double first_ns;
static int first_count;

static void on_first(int signo, siginfo_t *info, void *context)
{
	pthread_attr_t attributes;
	struct dp_walk walk = {.stack.count = 1};
	void *low;
	size_t size;
	double start;

	(void)signo, (void)info;
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &low, &size);
	pthread_attr_destroy(&attributes);
	walk.stack.ranges[0] = (struct dp_stack_range){.low = (uintptr_t)low, .high = (uintptr_t)low + size};
	registers_of(context, &walk.registers);
	start = now_ns();
	first_count = once(first_way, context, &walk, NULL);
	first_ns = now_ns() - start;
}

static void *new_thread(void *unused)
{
	(void)unused;
	sink += f0(30);
	return NULL;
}

/* Threads come and go; what a walker keeps for each of them it must make first. Ours keeps nothing: lanes, and the
 * caches in them, belong to whoever ticks. */
static void measure_first(void)
{
	static const enum way ways[] = {TABLE_WARM, UNW_BACKTRACE, UNW_STEP, GCC_BACKTRACE};
	struct sigaction action = {.sa_sigaction = on_first, .sa_flags = SA_SIGINFO}, before;

	sigaction(SIGUSR1, &action, &before);
	printf("\nfirst sample of a new thread%*sframes       ns in all\n", 5, "");
	for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
		double ns[ROUNDS];

		first_way = ways[w];
		for (int round = 0; round < ROUNDS; round++) {
			pthread_t thread;

			if (pthread_create(&thread, NULL, new_thread, NULL) != 0)
				return;
			pthread_join(thread, NULL);
			ns[round] = first_ns;
		}
		printf("  %-26s %8d %15.0f\n", way_names[first_way], first_count, median(ns, ROUNDS));
	}
	sigaction(SIGUSR1, &before, NULL);
}

static void measure_build(char **paths, size_t path_count)
{
	double all_ns = 0;
	unsigned long rows = 0, bytes = 0;

	printf("\n%-60s %10s %8s %10s %8s\n", "table of", "rows", "complex", "bytes/row", "Mrows/s");
	for (size_t i = 0; i < path_count; i++) {
		double times[5], ns;
		struct dp_table_image image;
		struct stat status;
		const int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		void *file;
		int ret = 0;

		if (fd < 0 || fstat(fd, &status))
			continue;
		file = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
		close(fd);
		if (file == MAP_FAILED)
			continue;
		for (int k = 0; k < 5 && !ret; k++) {
			const double start = now_ns();

			ret = dp_table_compile(file, status.st_size, &image);
			times[k] = now_ns() - start;
			if (k < 4)
				free(image.bytes);
		}
		munmap(file, status.st_size);
		if (ret)
			continue;
		ns = median(times, 5);
		printf("%-60s %10u %8u %10.2f %8.1f\n", paths[i], image.rows, image.complex_rows,
			(double)image.size / image.rows, image.rows / ns * 1e3);
		rows += image.rows;
		bytes += image.size;
		all_ns += ns;
		free(image.bytes);
	}
	if (rows)
		printf("%-60s %10lu %8s %10.2f %8.1f\n", "all", rows, "", (double)bytes / rows,
			rows / all_ns * 1e3);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	glob_t big = {0};

	evict = calloc(1, EVICT);
	finisher = dp_finisher_new();
	if (!evict || !finisher || sigaction(SIGUSR1, &action, NULL))
		return 1;
	*(void **)&gcc_backtrace = dlsym(dlopen("libc.so.6", RTLD_NOW), "backtrace");
	if (!gcc_backtrace)
		return 1;
	sink += gcc_backtrace((void *[4]){0}, 4); /* loads libgcc_s, so that the map has it */
	if (unwind_host_read(&host, getpid()))
		return 1;
	measure_walk(15);
	measure_walk(40);
	measure_walk(135);
	measure_first();
	if (argc > 1) {
		measure_build(argv + 1, argc - 1);
		return 0;
	}
	for (size_t i = 0; i < sizeof big_files / sizeof *big_files; i++)
		glob(big_files[i], i ? GLOB_APPEND : 0, NULL, &big);
	measure_build(big.gl_pathv, big.gl_pathc);
	globfree(&big);
	return 0;
}
