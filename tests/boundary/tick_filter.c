/* SPDX-License-Identifier: Apache-2.0
 * Ordinary ticks under a filter that kills on every system call but the one that ends a handler.
 *
 * Linked with the host's objects instead of preloading them, so that it can see when nothing rare is due any
 * more. The host waits until its agent serves it and every table is mapped, holds the housekeeper's flag (as
 * another thread would that keeps house at this moment), and puts the filter over all its threads. The
 * kernel's timers tick on; millions more ticks come by the trap flag: after each instruction the kernel
 * enters a handler for SIGTRAP, which gives dp_on_tick() what it was given itself, under the timer's name. So
 * each instruction of the work is interrupted, by the kernel's own signal frame, and neither raising the
 * signal nor ending it needs a call that the filter forbids. The host ends by SIGKILL, or, where a tick makes
 * a system call, by SIGSYS.
 *
 * Usage: tick_filter AGENT TICKS [planted]. "planted" raises one SIGPROF that is not ours at the end, whose
 * handler makes system calls: the host must die of it, or this test could not fail. */
#include "capture/host.h"

#include "base/syscall.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COOKIE_MAGIC \
	UINT64_C(0xd9f0000000000000) /* as in thread_signal.c; another one and no tick is counted */

enum { THREADS = 4, SETTLE_S = 60 };

/* Between the host and who started it. */
static struct shared {
	_Atomic uint32_t is_filtered, ticks, written;
} * shared;
static bool is_planted;
static uint32_t wanted;

/* ---- the host: code of many kinds, none of which makes a system call ---- */

static _Atomic uint32_t is_on_stack[THREADS];
static volatile unsigned long sink;

static int by_value(const void *one, const void *other)
{
	const long a = *(const long *)one, b = *(const long *)other;
	return a < b ? -1 : a > b;
}

__attribute__((noinline)) static void sort_some(void)
{
	long values[64]; /* small enough for qsort not to ask malloc */
	unsigned long x = sink;
	for (int i = 0; i < 64; i++)
		values[i] = (long)(x = x * 6364136223846793005ul + 1442695040888963407ul);
	qsort(values, 64, sizeof values[0], by_value);
	sink += (unsigned long)values[7];
}

__attribute__((noinline)) static void copy_some(void)
{
	char text[512], copy[512];
	memset(text, 'a' + (int)(sink & 7), sizeof text - 1);
	text[sizeof text - 1] = 0;
	strcpy(copy, text);
	sink += strlen(copy) + (memchr(copy, 'z', sizeof copy) != NULL);
}

__attribute__((noinline)) static unsigned long recurse(unsigned depth)
{
	volatile unsigned long here = depth;
	return depth ? recurse(depth - 1) + here : here;
}

/* A frame whose size only rbp knows. */
__attribute__((noinline)) static void varying_frame(unsigned size)
{
	volatile char *room = __builtin_alloca(size);
	for (unsigned i = 0; i < size; i += 16)
		room[i] = (char)i;
	sink += (unsigned long)room[0];
}

__attribute__((noinline)) static void work(unsigned round)
{
	sort_some();
	copy_some();
	sink += recurse(round % 120);
	varying_frame(64 + round % 512);
}

/* ---- a tick after each instruction ---- */

__attribute__((noinline)) static void set_trap_flag(void)
{
#if defined(__x86_64__)
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "memory", "cc");
#endif
}

static __thread siginfo_t tick;

static void on_trap(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)info;
	if (!dp_load_acquire(&shared->is_filtered))
		return;
	dp_on_tick(SIGPROF, &tick, context);
}

static void begin_steps(int which)
{
	const struct dp_thread *thread = dp_thread_by_tid((int32_t)DP_SYS0(SYS_gettid));
	if (!thread) {
		fprintf(stderr, "thread %d has no timer\n", which);
		exit(1);
	}
	tick.si_signo = SIGPROF;
	tick.si_code = SI_TIMER;
	tick.si_timerid = thread->timer;
	tick.si_value.sival_ptr = (void *)(uintptr_t)(COOKIE_MAGIC | thread->number);
	dp_store_release(&is_on_stack[which], 1);
	if (which == 0)
		return;
	while (!dp_load_acquire(&shared->is_filtered))
		work(0);
	set_trap_flag();
}

static void *work_on_small_stack(void *unused)
{
	begin_steps(1);
	for (unsigned round = 0;; round++)
		sink += recurse(round % 8), sort_some();
	return unused;
}

static void *work_deep(void *unused)
{
	begin_steps(2);
	for (unsigned round = 0;; round++)
		sink += recurse(400), work(round);
	return unused;
}

static void work_in_handler(int signo)
{
	(void)signo;
	begin_steps(3);
	for (unsigned round = 0;; round++)
		work(round);
}

static void *work_on_alternate_stack(void *unused)
{
	static char room[256 * 1024];
	const stack_t alternate = {.ss_sp = room, .ss_size = sizeof room};
	const struct sigaction action = {.sa_handler = work_in_handler, .sa_flags = SA_ONSTACK};
	sigaltstack(&alternate, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	return unused;
}

static bool is_settled(void)
{
	const struct dp_region *region = dp_load_acquire(&dp_host.region);
	const struct dp_code_map *map = dp_load_acquire(&dp_host.map);
	if (!region || dp_load_acquire(&region->agent_state) != DP_AGENT_SERVING || !map || !map->count)
		return false;
	for (uint32_t i = 0; i < map->count; i++)
		if (map->ranges[i].flags & DP_CODE_PENDING)
			return false;
	return true;
}

static void start_threads(void)
{
	static void *(*const starts[])(void *) = {work_on_small_stack, work_deep, work_on_alternate_stack};
	for (int i = 1; i < THREADS; i++) {
		pthread_attr_t attributes;
		pthread_t thread;
		pthread_attr_init(&attributes);
		if (i == 1)
			pthread_attr_setstacksize(&attributes, 16384);
		if (pthread_create(&thread, &attributes, starts[i - 1], NULL) != 0)
			exit(1);
		pthread_attr_destroy(&attributes);
	}
}

static uint32_t written(void)
{
	const struct dp_region *region = dp_load_relaxed(&dp_host.region);
	uint32_t bytes = 0;
	for (uint32_t i = 0; i < DP_LANES_FIRST_PIECE; i++)
		bytes |= dp_load_relaxed(&region->lanes[i].head);
	return bytes;
}

static void close_the_door(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	static const struct sock_fprog program = {sizeof code / sizeof code[0], code};
	uint32_t free = 0;
	while (!dp_cas(&dp_host.is_keeping, &free, 1))
		free = 0;
	/* By the bare instruction: our own hook would see the filter and keep quiet by intent. */
	DP_SYS(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);
	if (DP_SYS3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
		DP_SYS1(SYS_exit_group, 3);
	dp_store_release(&shared->is_filtered, 1);
}

static void be_host(const char *agent)
{
	const time_t end = time(NULL) + SETTLE_S;
	struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigfillset(&action.sa_mask);
	sigaction(SIGTRAP, &action, NULL);
	strncpy(dp_host.agent_path[0], agent, sizeof dp_host.agent_path[0] - 1);
	start_threads();
	begin_steps(0);
	for (unsigned round = 0; !is_settled(); round++) {
		work(round);
		if (round % 1024 == 0 && time(NULL) > end) {
			const struct dp_region *region = dp_load_acquire(&dp_host.region);
			fprintf(stderr,
				"no agent, or a table is missing, after %d s: state %u, tables %u of %u, %u "
				"ticks\n",
				SETTLE_S, region ? dp_load_relaxed(&region->agent_state) : 99,
				region ? dp_load_relaxed(&region->tables_seen) : 0,
				region ? dp_load_relaxed(&region->tables_ready) : 0,
				dp_load_relaxed(&dp_host.ticks));
			exit(2);
		}
	}
	for (int i = 0; i < THREADS; i++)
		while (!dp_load_acquire(&is_on_stack[i]))
			work(0);
	const uint32_t before = dp_load_relaxed(&dp_host.ticks);
	close_the_door();
	set_trap_flag();
	for (unsigned round = 0;; round++) {
		work(round);
		const uint32_t ticks = dp_load_relaxed(&dp_host.ticks) - before;
		dp_store_relaxed(&shared->written, written());
		dp_store_relaxed(&shared->ticks, ticks);
		if (is_planted && ticks > wanted)
			tick.si_code =
				SI_USER; /* the handler for what is not ours asks the kernel for much */
	}
}

/* ---- who starts it ---- */

static pid_t start_host(char **argv)
{
	const int fd = memfd_create("tick_filter", 0);
	if (fd < 0 || ftruncate(fd, sizeof *shared) != 0)
		exit(2);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	const pid_t pid = fork();
	if (pid)
		return pid;
	char number[16];
	snprintf(number, sizeof number, "%d", fd);
	setenv("TICK_FILTER_HOST", number, 1);
	unsetenv("DEEPPROF_ENABLED");
	execv("/proc/self/exe", argv);
	_exit(2);
}

int main(int argc, char **argv)
{
	const char *fd = getenv("TICK_FILTER_HOST");
	if (argc < 3) {
		fprintf(stderr, "usage: %s AGENT TICKS [planted]\n", argv[0]);
		return 2;
	}
	wanted = (uint32_t)strtoul(argv[2], NULL, 0);
	is_planted = argc > 3;
	if (fd) {
		shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(fd), 0);
		close(atoi(fd));
		be_host(argv[1]);
	}
	const pid_t pid = start_host(argv);
	int status;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		usleep(1000);
		if (!is_planted && dp_load_relaxed(&shared->ticks) >= wanted)
			kill(pid, SIGKILL);
	}
	const uint32_t ticks = dp_load_relaxed(&shared->ticks);
	const int end = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	printf("pid %d: %u ticks under the filter, then signal %d\n", (int)pid, ticks, end);
	if (ticks < wanted || !dp_load_relaxed(&shared->written)) {
		fprintf(stderr, end == SIGSYS ? "a tick made a system call\n" : "the host ended early\n");
		return 1;
	}
	if (end != (is_planted ? SIGSYS : SIGKILL)) {
		fprintf(stderr, "the filter did not kill: this test cannot fail\n");
		return 1;
	}
	return 0;
}
