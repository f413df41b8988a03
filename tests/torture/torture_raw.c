/* SPDX-License-Identifier: Apache-2.0
 * Programs that speak to the kernel past libc, trace each other, and wait for everything there is. */
#include "torture.h"

#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

/* As the kernel has it. */
struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

static long raw_action(const void *action, void *old)
{
	return syscall(SYS_rt_sigaction, SIGPROF, action, old, 8);
}

static void default_action(void)
{
	const struct kernel_action usual = {0}, ignored = {.handler = SIG_IGN};
	struct kernel_action old;
	burn(20);
	must(raw_action(NULL, &old) == 0, "rt_sigaction");
	say("handler %p flags %lx mask %lx", old.handler, old.flags, old.mask);
	must(raw_action(&ignored, NULL) == 0, "rt_sigaction");
	burn(100);
	raise(SIGPROF);
	must(raw_action(&usual, &old) == 0, "rt_sigaction");
	say("handler %p flags %lx mask %lx", old.handler, old.flags, old.mask);
	burn(100);
	say("alive");
	raise(SIGPROF);
	say("never");
}

static void odd_action(void)
{
	say("%ld", raw_action((void *)8, NULL));
	say("%d", errno);
	say("%ld", raw_action(NULL, (void *)8));
	say("%d", errno);
	say("%ld", syscall(SYS_rt_sigaction, SIGPROF, NULL, NULL, 4));
	say("%d", errno);
	say("%ld", syscall(SYS_rt_sigaction, 1000, NULL, NULL, 8));
	say("%d", errno);
	burn(100);
	say("alive");
}

static void filter_by_prctl(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof code / sizeof *code, code};
	must(syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	must(syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "filter");
	burn(200);
	say("done");
}

/* ---- tracing ---- */

static void count_stops(bool is_raw)
{
	int status, stops = 0;
	const pid_t child = fork();
	if (!child) {
		burn(30);
		const long result = is_raw ? syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) : ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		must(result == 0, "PTRACE_TRACEME");
		raise(SIGSTOP);
		burn(150);
		_exit(3);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		if (stops++ < 3)
			say("stopped by %d", WSTOPSIG(status));
		ptrace(PTRACE_CONT, child, NULL, NULL);
	}
	say("stops %d, %s", stops, ending(status));
}

static void traced(void)
{
	count_stops(false);
	count_stops(true);
}

/* Its parent knows of no tracing: a stop would be the end. */
static void traced_unaware(void)
{
	int status;
	const pid_t child = fork();
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		say("traced twice: %ld", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		burn(150);
		_exit(3);
	}
	waitpid(child, &status, WUNTRACED);
	say("stopped %d, %s", WIFSTOPPED(status) != 0, ending(status));
	kill(child, SIGKILL);
}

/* ---- waiting ---- */

static volatile bool is_over;
static pid_t the_child;

static void *wait_for_all_kinds(void *how)
{
	int status, odd = 0;
	while (!is_over) {
		pid_t child;
		siginfo_t info = {0};
		if (how == (void *)0)
			child = waitpid(-1, &status, __WALL);
		else if (how == (void *)1)
			child = wait4(-1, &status, __WALL | WNOHANG, NULL);
		else
			child = waitid(P_ALL, 0, &info, WEXITED | __WCLONE) == 0 ? info.si_pid : -1;
		odd += child > 0 && child != the_child;
	}
	return (void *)(intptr_t)odd;
}

static void waits_for_all_kinds(void)
{
	pthread_t threads[3];
	void *odd;
	the_child = fork();
	if (!the_child) {
		burn(20);
		_exit(0);
	}
	for (intptr_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, wait_for_all_kinds, (void *)i);
	burn(200);
	is_over = true;
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &odd);
		say("strange children %d", (int)(intptr_t)odd);
	}
}

/* ---- the loader's lock ---- */

static void *inner(void *unused)
{
	return unused;
}

static void *outer(void *unused)
{
	pthread_t thread;
	pthread_create(&thread, NULL, inner, NULL);
	pthread_join(thread, NULL);
	return unused;
}

static int on_object(struct dl_phdr_info *info, size_t size, void *unused)
{
	pthread_t thread;
	(void)info, (void)size, (void)unused;
	pthread_create(&thread, NULL, outer, NULL);
	pthread_join(thread, NULL);
	return 1;
}

static void threads_under_lock(void)
{
	dl_iterate_phdr(on_object, NULL);
	say("done");
}

/* ---- calls that are interrupted ---- */

static void uninterrupted(void)
{
	int ends[2], pair[2], odd = 0;
	const struct timeval patience = {0, 1000};
	const struct timespec moment = {0, 500000};
	struct epoll_event event = {.events = EPOLLIN};
	char byte;
	must(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "pipe");
	const int epoll = epoll_create1(0), semaphore = semget(IPC_PRIVATE, 1, 0600);
	epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	for (int i = 0; i < 60; i++) {
		struct pollfd poll_end = {ends[0], POLLIN, 0};
		struct sembuf down = {0, -1, 0};
		work(300000);
		odd += poll(&poll_end, 1, 1) < 0;
		work(300000);
		odd += epoll_wait(epoll, &event, 1, 1) < 0;
		work(300000);
		odd += nanosleep(&moment, NULL) < 0;
		work(300000);
		odd += recv(pair[0], &byte, 1, 0) < 0 && errno == EINTR;
		work(300000);
		odd += semaphore >= 0 && semtimedop(semaphore, &down, 1, &moment) < 0 && errno == EINTR;
		odd += usleep(300) < 0;
	}
	semctl(semaphore, 0, IPC_RMID);
	say("interrupted %d", odd);
}

/* ---- the end ---- */

static void *cancel_me(void *unused)
{
	for (;;) {
		burn(1);
		pthread_testcancel();
	}
	return unused;
}

static void exit_among_threads(void)
{
	pthread_t thread;
	for (int i = 0; i < 8; i++)
		pthread_create(&thread, NULL, cancel_me, NULL);
	burn(40);
	exit(7);
}

static void no_processes(void)
{
	const struct rlimit none = {0, 0};
	if (setgid(65534) < 0 || setuid(65534) < 0) {
		say("not root");
		_exit(77);
	}
	setrlimit(RLIMIT_NPROC, &none);
	burn(200);
	say("fork %d", fork());
}

int main(int argc, char **argv)
{
	static const struct torture cases[] = {{"default_action", default_action}, {"odd_action", odd_action},
		{"filter_by_prctl", filter_by_prctl}, {"traced", traced}, {"traced_unaware", traced_unaware},
		{"waits_for_all_kinds", waits_for_all_kinds}, {"threads_under_lock", threads_under_lock},
		{"uninterrupted", uninterrupted}, {"exit_among_threads", exit_among_threads},
		{"no_processes", no_processes}, {0}};
	return run_torture(cases, argc, argv);
}
