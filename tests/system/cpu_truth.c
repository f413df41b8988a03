/* SPDX-License-Identifier: Apache-2.0
 * Hosts that know how much CPU time each of their threads used, by the kernel's own clocks.
 *
 * Usage: cpu_truth CASE [ARGUMENT...]. Prints "thread TID CPU_NS" at the end of each thread, read as the last thing it
 * does, and "process CPU_NS" at the end of main: what the profile is held against. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define MS       UINT64_C(1000000)

static volatile unsigned long burnt;

static uint64_t clock_ns(int clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t thread_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

NOINLINE static unsigned long compute(unsigned long rounds)
{
	unsigned long x = burnt + 1;
	for (unsigned long i = 0; i < rounds; i++)
		x = x * 6364136223846793005ul + 1442695040888963407ul;
	return burnt = x;
}

/* Each caller has a name of its own in the profile, so this one is always a part of it. */
static inline __attribute__((always_inline)) void burn(uint64_t ns)
{
	const uint64_t end = thread_ns() + ns;
	do
		compute(20000);
	while (thread_ns() < end);
}

/* One write, no buffer: threads of a raw clone have no libc of their own. */
static void tell(const char *what, uint64_t id, uint64_t ns)
{
	char line[96], digits[24];
	size_t size = strlen(what);
	memcpy(line, what, size);
	const uint64_t numbers[] = {id, ns};
	for (int i = id ? 0 : 1; i < 2; i++) {
		int count = 0;
		for (uint64_t rest = numbers[i]; rest || !count; rest /= 10)
			digits[count++] = (char)('0' + rest % 10);
		line[size++] = ' ';
		while (count)
			line[size++] = digits[--count];
	}
	line[size++] = '\n';
	if (write(1, line, size) < 0)
		_exit(9);
}

static void tell_thread(void)
{
	tell("thread", (uint64_t)syscall(SYS_gettid), thread_ns());
}

static void must(bool is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(8);
}

static pthread_t start(void *(*run)(void *), void *argument, size_t stack_size)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	if (stack_size)
		pthread_attr_setstacksize(&attributes, stack_size);
	must(pthread_create(&thread, &attributes, run, argument) == 0, "pthread_create");
	pthread_attr_destroy(&attributes);
	return thread;
}

/* ---- threads of unequal load ---- */

static void *unequal_work(void *ns)
{
	burn((uint64_t)(uintptr_t)ns);
	tell_thread();
	return NULL;
}

/* threads COUNT TOTAL_MS: thread k works 1/k as much as the first, but 15 ms at least. */
static void threads(char **arguments)
{
	const unsigned count = (unsigned)atoi(arguments[0]);
	const double total = atof(arguments[1]);
	pthread_t *all = calloc(count, sizeof *all);
	double sum = 0;
	for (unsigned k = 1; k <= count; k++)
		sum += 1.0 / k;
	for (unsigned k = 1; k <= count; k++) {
		const uint64_t ns = (uint64_t)(total * 1e6 / sum / k);
		all[k - 1] = start(unequal_work, (void *)(uintptr_t)(ns > 15 * MS ? ns : 15 * MS), 0);
	}
	for (unsigned k = 0; k < count; k++)
		pthread_join(all[k], NULL);
	free(all);
}

/* ---- raw clone: the thread has its creator's TLS, so it calls nothing that uses any ---- */

enum { CLONES = 3 };
static _Atomic int clone_tids[CLONES];

NOINLINE static void clone_work(uint64_t ns)
{
	burn(ns);
}

static int clone_main(void *ms)
{
	clone_work((uint64_t)(uintptr_t)ms * MS);
	tell_thread();
	syscall(SYS_exit, 0);
	return 0;
}

NOINLINE static void beside_clones(void)
{
	burn(50 * MS);
}

static void clones(char **unused)
{
	(void)unused;
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
	                  CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	for (int i = 0; i < CLONES; i++) {
		char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(clone(clone_main, stack + 65536, flags, (void *)(uintptr_t)(2000 * (i + 1)), &clone_tids[i], NULL,
		             &clone_tids[i]) > 0,
		        "clone");
	}
	for (int i = 0; i < CLONES; i++)
		while (clone_tids[i])
			beside_clones(); /* somebody must tick */
}

/* ---- threads older than us ---- */

NOINLINE static void older_work(void)
{
	burn(3000 * MS);
}

static _Atomic int older_ready, older_go;

static void *older_main(void *unused)
{
	burn(200 * MS); /* not ours to know */
	older_ready++;
	while (!older_go)
		usleep(1000);
	const uint64_t before = thread_ns();
	older_work();
	tell("thread", (uint64_t)syscall(SYS_gettid), thread_ns() - before);
	return unused;
}

NOINLINE static void beside_older(void)
{
	burn(2000 * MS);
}

static uint64_t late_ns;

/* late LIBRARY */
static void late(char **arguments)
{
	pthread_t all[3];
	for (int i = 0; i < 3; i++)
		all[i] = start(older_main, NULL, 0);
	while (older_ready < 3)
		usleep(1000);
	late_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	must(dlopen(arguments[0], RTLD_NOW) != NULL, "dlopen");
	older_go = 1;
	beside_older();
	for (int i = 0; i < 3; i++)
		pthread_join(all[i], NULL);
}

/* ---- coroutines ---- */

static ucontext_t scheduler, left, right;

enum { STEPS = 100 };

/* Steps of one length, a multiple of the period, would meet every tick at the same place, and that at the edge of a
 * step gives its part to the next. These are between a half and three halves of their mean, each length once, so that
 * their sum is known. */
static uint64_t irregular(int step, int stride, uint64_t mean_ns)
{
	const uint64_t place = (uint64_t)(step * stride % STEPS);
	return mean_ns / 2 + mean_ns * (2 * place + 1) / (2 * STEPS);
}

NOINLINE static void coroutine_left(void)
{
	for (int i = 0;; i++) {
		burn(irregular(i, 37, 20 * MS));
		swapcontext(&left, &scheduler);
	}
}

NOINLINE static void coroutine_right(void)
{
	for (int i = 0;; i++) {
		burn(irregular(i, 61, 10 * MS));
		swapcontext(&right, &scheduler);
	}
}

static void make_coroutine(ucontext_t *context, void (*run)(void))
{
	getcontext(context);
	context->uc_stack.ss_size = 64 * 1024;
	context->uc_stack.ss_sp = mmap(
	        NULL, context->uc_stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	context->uc_link = &scheduler;
	makecontext(context, run, 0);
}

NOINLINE static void between_coroutines(int step)
{
	burn(irregular(step, 23, 10 * MS));
}

static void coroutines(char **unused)
{
	(void)unused;
	make_coroutine(&left, coroutine_left);
	make_coroutine(&right, coroutine_right);
	for (int i = 0; i < STEPS; i++) {
		swapcontext(&scheduler, &left);
		swapcontext(&scheduler, &right);
		between_coroutines(i);
	}
}

/* ---- small stacks, alternate stacks, blocked signals, vfork, no timers ---- */

static void *small_stack_work(void *unused)
{
	burn(2500 * MS);
	tell_thread();
	return unused;
}

static void small_stacks(char **unused)
{
	(void)unused;
	pthread_t all[2];
	for (int i = 0; i < 2; i++)
		all[i] = start(small_stack_work, NULL, 16384);
	for (int i = 0; i < 2; i++)
		pthread_join(all[i], NULL);
}

static void handler_work(int signo)
{
	(void)signo;
	burn(100 * MS);
}

NOINLINE static void interrupted_work(void)
{
	for (int i = 0; i < 15; i++) {
		burn(100 * MS);
		raise(SIGUSR1);
	}
}

static void alternate_stacks(char **unused)
{
	(void)unused;
	const stack_t alternate = {.ss_sp = malloc(65536), .ss_size = 65536};
	const struct sigaction action = {.sa_handler = handler_work, .sa_flags = SA_ONSTACK};
	sigaltstack(&alternate, NULL);
	sigaction(SIGUSR1, &action, NULL);
	interrupted_work();
}

NOINLINE static void blocked_work(void)
{
	burn(1500 * MS);
}

static void *block_for_good(void *unused)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	burn(1000 * MS);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	blocked_work();
	tell_thread();
	return unused;
}

static _Atomic bool has_blocked;

static void *block_beyond_the_end(void *unused)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	blocked_work();
	has_blocked = true;
	pause();
	return unused;
}

/* One thread that ends so, one that the end of the process meets so, one that unblocks in between. */
static void blocked(char **unused)
{
	sigset_t set;
	pthread_t one = start(block_for_good, NULL, 0);
	start(block_beyond_the_end, NULL, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	burn(1000 * MS);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	blocked_work();
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_join(one, NULL);
	while (!has_blocked)
		usleep(1000);
	(void)unused;
}

NOINLINE static void child_of_vfork(void)
{
	burn(40 * MS);
}

NOINLINE static void parent_of_vfork(void)
{
	burn(100 * MS);
}

static void vforks(char **unused)
{
	(void)unused;
	for (int i = 0; i < 25; i++) {
		const pid_t pid = vfork();
		if (pid == 0) {
			child_of_vfork();
			_exit(0);
		}
		must(waitpid(pid, NULL, 0) == pid, "waitpid");
		parent_of_vfork();
	}
}

static void *no_timer_work(void *unused)
{
	burn(1000 * MS);
	tell_thread();
	return unused;
}

NOINLINE static void beside_no_timer(void)
{
	burn(1500 * MS);
}

/* From here on the kernel refuses timers. */
static void no_timers(char **unused)
{
	(void)unused;
	const struct rlimit none = {0, 0};
	pthread_t all[4];
	must(setrlimit(RLIMIT_SIGPENDING, &none) == 0, "setrlimit");
	for (int i = 0; i < 4; i++)
		all[i] = start(no_timer_work, NULL, 0);
	beside_no_timer();
	for (int i = 0; i < 4; i++)
		pthread_join(all[i], NULL);
}

/* ---- a crowd of short threads: each shorter than a period ---- */

static void *short_work(void *unused)
{
	burn(3 * MS);
	return unused;
}

static void short_threads(char **unused)
{
	(void)unused;
	for (int i = 0; i < 1000; i++)
		pthread_join(start(short_work, NULL, 0), NULL);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(char **arguments);
	} cases[] = {
	        {"threads", threads},
	        {"clones", clones},
	        {"late", late},
	        {"coroutines", coroutines},
	        {"small_stacks", small_stacks},
	        {"alternate_stacks", alternate_stacks},
	        {"blocked", blocked},
	        {"vforks", vforks},
	        {"no_timers", no_timers},
	        {"short_threads", short_threads},
	};
	for (size_t i = 0; argc > 1 && i < sizeof cases / sizeof cases[0]; i++)
		if (!strcmp(cases[i].name, argv[1])) {
			cases[i].run(argv + 2);
			tell("thread", (uint64_t)getpid(), thread_ns());
			tell("process", 0, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - late_ns);
			return 0;
		}
	return 2;
}
