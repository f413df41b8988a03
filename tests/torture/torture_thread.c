/* SPDX-License-Identifier: Apache-2.0
 * Threads, stacks, jumps and the loader. */
#include "torture.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total;

static void *add(void *unused)
{
	work(20000);
	pthread_mutex_lock(&lock);
	total++;
	pthread_mutex_unlock(&lock);
	return unused;
}

static void short_threads(void)
{
	pthread_t threads[50];
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 50; i++)
			must(pthread_create(&threads[i], NULL, add, NULL) == 0, "pthread_create");
		for (int i = 0; i < 50; i++)
			pthread_join(threads[i], NULL);
	}
	say("threads %ld", total);
}

static void *add_more(void *unused)
{
	burn(4);
	return add(unused);
}

static void many_threads(void)
{
	enum { MANY = 400 };
	static pthread_t threads[MANY];
	for (int i = 0; i < MANY; i++)
		must(pthread_create(&threads[i], NULL, add_more, NULL) == 0, "pthread_create");
	for (int i = 0; i < MANY; i++)
		pthread_join(threads[i], NULL);
	say("threads %ld", total);
}

static void *recurse_and_burn(void *unused)
{
	volatile char room[8192];
	for (size_t i = 0; i < sizeof room; i++)
		room[i] = (char)i;
	burn(25);
	total += room[77];
	return unused;
}

static void tiny_stacks(void)
{
	pthread_attr_t attributes;
	pthread_t threads[8];
	pthread_attr_init(&attributes);
	must(pthread_attr_setstacksize(&attributes, 16384) == 0, "16 KiB");
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			must(pthread_create(&threads[i], &attributes, recurse_and_burn, NULL) == 0,
				"pthread_create");
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
	}
	char *memory = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(pthread_attr_setstack(&attributes, memory, 16384) == 0, "own stack");
	must(pthread_create(&threads[0], &attributes, recurse_and_burn, NULL) == 0, "pthread_create");
	pthread_join(threads[0], NULL);
	munmap(memory, 16384);
	say("done %ld", total);
}

static void count_cleanup(void *unused)
{
	(void)unused;
	__atomic_add_fetch(&total, 1, __ATOMIC_RELAXED);
}

static void *compute_for_ever(void *is_async)
{
	pthread_setcanceltype(is_async ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED, NULL);
	pthread_cleanup_push(count_cleanup, NULL);
	for (;;) {
		work(1000);
		if (!is_async)
			pthread_testcancel();
	}
	pthread_cleanup_pop(0);
	return NULL;
}

static void *sleep_for_ever(void *unused)
{
	pthread_cleanup_push(count_cleanup, NULL);
	for (;;) {
		burn(1);
		usleep(100);
	}
	pthread_cleanup_pop(0);
	return unused;
}

static void cancelled(void)
{
	int wrong = 0;
	for (int round = 0; round < 30; round++) {
		pthread_t threads[6];
		for (int i = 0; i < 6; i++)
			pthread_create(&threads[i], NULL, i < 4 ? compute_for_ever : sleep_for_ever,
				i < 2 ? &total : NULL);
		burn(8);
		for (int i = 0; i < 6; i++)
			pthread_cancel(threads[i]);
		for (int i = 0; i < 6; i++) {
			void *result;
			pthread_join(threads[i], &result);
			wrong += result != PTHREAD_CANCELED;
		}
	}
	say("wrong %d", wrong);
}

static void *outlive(void *unused)
{
	burn(200);
	say("the last thread");
	return unused;
}

static void main_leaves(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, outlive, NULL);
	burn(50);
	pthread_exit(NULL);
}

static void *detached(void *unused)
{
	burn(2);
	count_cleanup(NULL);
	pthread_exit(unused);
}

static void detached_threads(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (int i = 0; i < 200; i++)
		must(pthread_create(&thread, &attributes, detached, NULL) == 0, "pthread_create");
	while (__atomic_load_n(&total, __ATOMIC_RELAXED) < 200)
		usleep(1000);
	say("done %ld", total);
}

static pthread_key_t key;

static void at_thread_end(void *value)
{
	burn(3);
	if ((intptr_t)value > 1)
		pthread_setspecific(key, (void *)((intptr_t)value - 1));
	count_cleanup(NULL);
}

static void *with_specific(void *unused)
{
	pthread_setspecific(key, (void *)4);
	burn(2);
	return unused;
}

static void thread_specific(void)
{
	pthread_t threads[20];
	pthread_key_create(&key, at_thread_end);
	for (int i = 0; i < 20; i++)
		pthread_create(&threads[i], NULL, with_specific, NULL);
	for (int i = 0; i < 20; i++)
		pthread_join(threads[i], NULL);
	say("destructors %ld", total);
}

/* ---- threads that nobody was told of ---- */

static char raw_stacks[8][65536] __attribute__((aligned(16)));
static volatile int raw_done[8];

static int raw_thread(void *number)
{
	work(60000000);
	raw_done[(intptr_t)number] = 1;
	syscall(SYS_exit, 0);
	return 0;
}

static void raw_threads(void)
{
	for (intptr_t i = 0; i < 8; i++)
		must(clone(raw_thread, raw_stacks[i] + sizeof raw_stacks[i],
			     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
			     (void *)i) > 0,
			"clone");
	burn(100);
	int done = 0;
	while (done < 8) {
		done = 0;
		for (int i = 0; i < 8; i++)
			done += raw_done[i];
		burn(1);
	}
	usleep(10000);
	say("raw threads %d", done);
}

/* ---- stacks ---- */

static sigjmp_buf back;
static volatile int faults;

static void on_fault(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	faults++;
	work(200000);
	siglongjmp(back, 1);
}

static char alternate[32768];

static void faults_on_altstack(void)
{
	const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	char *memory = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (volatile int i = 0; i < 1500; i++)
		if (!sigsetjmp(back, 1)) {
			work(20000);
			*(volatile char *)memory = 1;
		}
	say("faults %d", faults);
}

__attribute__((noinline)) static int overflow(int n)
{
	volatile char room[1024];
	room[0] = (char)n;
	return overflow(n + 1) + room[0];
}

static void *overflowing(void *unused)
{
	char *own = malloc(32768);
	const stack_t stack = {.ss_sp = own, .ss_size = 32768};
	sigaltstack(&stack, NULL);
	for (volatile int i = 0; i < 100; i++)
		if (!sigsetjmp(back, 1))
			overflow(0);
	sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
	free(own);
	return unused;
}

static void stack_overflows(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	pthread_t thread;
	sigaction(SIGSEGV, &action, NULL);
	pthread_create(&thread, NULL, overflowing, NULL);
	pthread_join(thread, NULL);
	say("faults %d", faults);
}

static void on_alarm(int signo)
{
	(void)signo;
	faults++;
	siglongjmp(back, 1);
}

static void jumps_by_alarm(void)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	const struct itimerspec often = {{0, 700000}, {0, 700000}}, never = {{0, 0}, {0, 0}};
	timer_t timer;
	signal(SIGALRM, on_alarm);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	volatile bool is_set = false;
	while (faults < 400) {
		if (!sigsetjmp(back, 1)) {
			if (!is_set)
				timer_settime(timer, 0, &often, NULL);
			is_set = true;
			for (;;)
				work(100);
		}
	}
	timer_settime(timer, 0, &never, NULL);
	say("enough");
}

enum { COROUTINES = 16 };
static ucontext_t scheduler, coroutines[COROUTINES];
static long switches;

static void coroutine(int number)
{
	for (int i = 0; i < 40; i++) {
		work(20000 + (unsigned long)number);
		switches++;
		swapcontext(&coroutines[number], &scheduler);
	}
}

static void contexts(void)
{
	static char stacks[COROUTINES][16384];
	for (int i = 0; i < COROUTINES; i++) {
		getcontext(&coroutines[i]);
		coroutines[i].uc_stack.ss_sp = stacks[i];
		coroutines[i].uc_stack.ss_size = sizeof stacks[i];
		coroutines[i].uc_link = &scheduler;
		makecontext(&coroutines[i], (void (*)(void))(void *)coroutine, 1, i);
	}
	for (int round = 0; round < 41; round++)
		for (int i = 0; i < COROUTINES; i++)
			swapcontext(&scheduler, &coroutines[i]);
	say("switches %ld", switches);
}

/* ---- the loader ---- */

static void *load_and_unload(void *name)
{
	for (int i = 0; i < 60; i++) {
		void *handle = dlopen(name, i % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_LOCAL);
		must(handle != NULL, name);
		double (*cosine)(double);
		*(void **)&cosine = dlsym(handle, "cos");
		for (int n = 0; n < 3000; n++)
			if (cosine && cosine(n) > 2)
				say("cos");
		burn(1);
		dlclose(handle);
	}
	return NULL;
}

static void loads(void)
{
	static char names[4][16] = {"libm.so.6", "libresolv.so.2", "libz.so.1", "libm.so.6"};
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, load_and_unload, names[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	errno = 0;
	say("missing: %d", dlopen("libnowhere.so.9", RTLD_NOW) == NULL);
	say("%s", dlerror());
}

int main(int argc, char **argv)
{
	static const struct torture cases[] = {{"short_threads", short_threads},
		{"many_threads", many_threads}, {"tiny_stacks", tiny_stacks}, {"cancelled", cancelled},
		{"main_leaves", main_leaves}, {"detached_threads", detached_threads},
		{"thread_specific", thread_specific}, {"raw_threads", raw_threads},
		{"faults_on_altstack", faults_on_altstack}, {"stack_overflows", stack_overflows},
		{"jumps_by_alarm", jumps_by_alarm}, {"contexts", contexts}, {"loads", loads}, {0}};
	return run_torture(cases, argc, argv);
}
