/* SPDX-License-Identifier: Apache-2.0
 * Stacks that have no room, or that are not where one would look for them. */
#include "torture.h"

#include <asm/prctl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

static sigjmp_buf back;
static volatile int faults;

static void take_stack(void *memory, size_t size)
{
	const stack_t stack = {.ss_sp = memory, .ss_size = size};
	must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
}

/* Less than the kernel's frame takes on processors with large registers; the program itself never uses it. */
static void tiny_altstack(void)
{
	static char memory[2048];
	take_stack(memory, sizeof memory);
	burn(200);
	say("alive");
}

/* An old SIGSTKSZ: room for one frame of the kernel's and functions with variables of their own, not for two frames. */
__attribute__((noinline)) static int look_into_fault(int signo)
{
	volatile char room[3000];
	for (size_t i = 0; i < sizeof room; i++)
		room[i] = (char)signo;
	work(2000000);
	return room[77];
}

static void on_fault(int signo)
{
	if (look_into_fault(signo) == signo)
		faults++;
	siglongjmp(back, 1);
}

static void check_mask(const char *when)
{
	struct sigaction action;
	sigaction(SIGSEGV, NULL, &action);
	say("%s: SIGPROF in the mask: %d, SIGUSR1: %d", when, sigismember(&action.sa_mask, SIGPROF),
		sigismember(&action.sa_mask, SIGUSR1));
}

static void usual_altstack(void)
{
	enum { SIZE = 8192, MARK = 0x5a };
	static char memory[2 * SIZE];
	struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
	char *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaction(SIGSEGV, &action, NULL);
	memset(memory, MARK, SIZE);
	take_stack(memory + SIZE, SIZE);
	check_mask("handler, then stack");
	for (int round = 0; round < 2; round++) {
		for (volatile int i = 0; i < 100; i++)
			if (!sigsetjmp(back, 1)) {
				work(20000);
				*(volatile char *)nowhere = 1;
			}
		say("faults %d", faults);
		sigaction(SIGSEGV, &action, NULL);
		check_mask("stack, then handler");
	}
	int below = 0;
	for (int i = 0; i < SIZE; i++)
		below += memory[i] != MARK;
	say("%d bytes below the stack changed", below);
	sigaddset(&action.sa_mask, SIGPROF);
	sigaction(SIGSEGV, &action, NULL);
	check_mask("asked for");
}

__attribute__((noinline)) static int overflow(int n)
{
	volatile char room[1024];
	room[0] = (char)n;
	work(20);
	return overflow(n + 1) + room[0];
}

static void on_overflow(int signo)
{
	(void)signo;
	faults++;
	work(200000);
	siglongjmp(back, 1);
}

static void main_overflows(void)
{
	static char memory[65536];
	struct sigaction action = {.sa_handler = on_overflow, .sa_flags = SA_ONSTACK};
	take_stack(memory, sizeof memory);
	sigaction(SIGSEGV, &action, NULL);
	for (volatile int i = 0; i < 15; i++)
		if (!sigsetjmp(back, 1))
			overflow(0);
	say("faults %d", faults);
}

/* ---- coroutines ---- */

static ucontext_t scheduler, coroutine;

static void compute(int ms)
{
	burn(ms);
}

/* On stacks with room for the kernel's frame and little else; what lies below is somebody else's. */
static void small_coroutines(void)
{
	enum { MEMORY = 65536, LOW = 32768, MARK = 0x5a };
	for (int size = 16384; size >= 6144; size -= 2048) {
		unsigned char *memory =
			mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(memory, MARK, MEMORY);
		getcontext(&coroutine);
		coroutine.uc_stack.ss_sp = memory + LOW;
		coroutine.uc_stack.ss_size = (size_t)size;
		coroutine.uc_link = &scheduler;
		makecontext(&coroutine, (void (*)(void))(void *)compute, 1, 60);
		swapcontext(&scheduler, &coroutine);
		int below = 0;
		for (int i = 0; i < LOW; i++)
			below += memory[i] != MARK;
		say("size %d: %d bytes below it changed", size, below);
		munmap(memory, MEMORY);
	}
}

/* A scheduler that preempts its coroutines from its own SIGPROF handler. Whoever is switched to begins with SIGPROF
 * blocked: swapcontext() restores the mask before the registers. */
enum { ROUNDS = 100 };
static ucontext_t tasks[2];
static volatile int current, switches, rounds[2];
static volatile bool is_alone; /* the other one has ended */

static void preempt(int signo)
{
	(void)signo;
	if (!is_alone && switches++ < 60) {
		const int me = current;
		current = !me;
		swapcontext(&tasks[me], &tasks[!me]);
	}
}

static void task(int number)
{
	const struct itimerval never = {{0, 0}, {0, 0}};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		work(500000);
		rounds[number]++;
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (rounds[!number] == ROUNDS) {
		setitimer(ITIMER_PROF, &never, NULL);
		setcontext(&scheduler);
	}
	is_alone = true;
	current = !number;
	setcontext(&tasks[!number]);
}

static void preempted(void)
{
	static char stacks[2][65536];
	static volatile bool has_run;
	const struct itimerval often = {{0, 4000}, {0, 4000}};
	struct sigaction action = {.sa_handler = preempt};
	sigset_t set;
	sigaction(SIGPROF, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGPROF);
	sigprocmask(SIG_BLOCK, &set, NULL);
	getcontext(&scheduler);
	if (!has_run) {
		has_run = true;
		for (int i = 0; i < 2; i++) {
			getcontext(&tasks[i]);
			tasks[i].uc_stack.ss_sp = stacks[i];
			tasks[i].uc_stack.ss_size = sizeof stacks[i];
			makecontext(&tasks[i], (void (*)(void))(void *)task, 1, i);
		}
		setitimer(ITIMER_PROF, &often, NULL);
		setcontext(&tasks[0]);
	}
	say("rounds %d %d", rounds[0], rounds[1]);
}

/* ---- threads ---- */

static volatile int ended;

#if defined(__x86_64__)
/* Threads without thread-local storage: nothing may be read by their thread pointer. */
static int without_tls(void *unused)
{
	volatile unsigned long x = 1;
	(void)unused;
	for (long i = 0; i < 80000000; i++)
		x = x * 3 + 1;
	__atomic_add_fetch(&ended, 1, __ATOMIC_SEQ_CST);
	__asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0));
	return 0;
}

static void threads_without_tls(void)
{
	static char stacks[4][65536] __attribute__((aligned(16)));
	for (int i = 0; i < 4; i++)
		must(clone(without_tls, stacks[i] + sizeof stacks[i],
			     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS,
			     NULL, NULL, NULL, NULL) > 0,
			"clone");
	while (ended < 4)
		burn(1);
	usleep(10000);
	say("ended %d", ended);
}

static void no_thread_pointer(void)
{
	unsigned long pointer, result;
	syscall(SYS_arch_prctl, ARCH_GET_FS, &pointer);
	for (int i = 0; i < 10; i++) {
		__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(0) : "rcx", "r11", "memory");
		for (volatile long n = 0; n < 15000000; n++)
			;
		__asm__ volatile("syscall" : "=a"(result) : "a"(SYS_arch_prctl), "D"(ARCH_SET_FS), "S"(pointer) : "rcx", "r11", "memory");
	}
	say("alive");
}

/* Most of its stack goes while it stands on the rest. */
static void *give_stack_back(void *unused)
{
	pthread_attr_t attributes;
	void *memory;
	size_t size;
	burn(5);
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstack(&attributes, &memory, &size);
	__asm__ volatile("syscall\n\t"
			 "mov $60, %%eax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "syscall"
			 :
			 : "a"(SYS_munmap), "D"(memory), "S"(size - 65536)
			 : "rcx", "r11", "memory");
	return unused;
}

static void stacks_go(void)
{
	pthread_t thread;
	for (int i = 0; i < 30; i++) {
		must(pthread_create(&thread, NULL, give_stack_back, NULL) == 0, "pthread_create");
		burn(8);
	}
	say("alive");
}
#endif

static void *compute_a_little(void *unused)
{
	burn(20);
	return unused;
}

static void no_guard(void)
{
	pthread_attr_t attributes;
	pthread_t threads[4];
	pthread_attr_init(&attributes);
	pthread_attr_setguardsize(&attributes, 0);
	pthread_attr_setstacksize(&attributes, 16384);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 4; i++)
			must(pthread_create(&threads[i], &attributes, compute_a_little, NULL) == 0, "pthread_create");
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
	say("done");
}

/* Far below where the main thread's stack ended when the program began. */
static void deep_frame(void)
{
	enum { DEEP = 40 << 20 };
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	if (setrlimit(RLIMIT_STACK, &unlimited) < 0) {
		say("the stack's limit is fixed here");
		_exit(77);
	}
	volatile char *memory = __builtin_alloca(DEEP);
	for (long i = DEEP - 1; i >= 0; i -= 4096)
		memory[i] = 1;
	burn(200);
	say("ok %d", memory[DEEP - 1]);
}

int main(int argc, char **argv)
{
	static const struct torture cases[] = {{"tiny_altstack", tiny_altstack}, {"usual_altstack", usual_altstack},
		{"main_overflows", main_overflows}, {"small_coroutines", small_coroutines}, {"preempted", preempted},
#if defined(__x86_64__)
		{"threads_without_tls", threads_without_tls}, {"no_thread_pointer", no_thread_pointer}, {"stacks_go", stacks_go},
#endif
		{"no_guard", no_guard}, {"deep_frame", deep_frame}, {0}};
	return run_torture(cases, argc, argv);
}
