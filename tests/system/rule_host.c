/* SPDX-License-Identifier: Apache-2.0
 * Hosts for the tests of the agent's rules: each does one thing that a careless agent would spoil, and prints what
 * it saw. */
#include "tests/torture/torture.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

extern char __libc_single_threaded;

static char **words; /* what follows the case's name */

static int number(int which, int usual)
{
	for (int i = 0; i <= which; i++)
		if (!words[i])
			return usual;
	return atoi(words[which]);
}

static void burns(void)
{
	burn(number(0, 300));
	say("done");
}

/* Computes in pieces until its standard input ends, a line on each. */
static void lives(void)
{
	struct pollfd input = {0, POLLIN, 0};
	char byte;
	say("alive");
	while (poll(&input, 1, 0) == 0 || read(0, &byte, 1) > 0)
		burn(20);
	say("done");
}

/* ---- 1: start ---- */

static volatile bool is_over;

static void *wait_for_any(void *unused)
{
	int status;
	while (!is_over)
		if (waitpid(-1, &status, __WALL) < 0)
			usleep(100);
	return unused;
}

/* What a tracer does. Whether it sees children of ours is not said: only that nothing hangs. */
static void waits_for_all_kinds(void)
{
	pthread_t waiter;
	pthread_create(&waiter, NULL, wait_for_any, NULL);
	for (int i = 0; i < 20; i++) {
		burn(30);
		const pid_t child = fork();
		if (!child)
			_exit(5);
		must(child > 0, "fork");
	}
	burn(300);
	is_over = true;
	pthread_join(waiter, NULL);
	say("nobody left %d", wait(NULL) < 0 && errno == ECHILD);
}

/* No stranger for a plain waiter, no SIGCHLD. */
static volatile int child_signals;

static void on_child(int signo)
{
	(void)signo;
	child_signals++;
}

static void *wait_plainly(void *strangers)
{
	int status;
	while (!is_over) {
		if (waitpid(-1, &status, 0) > 0)
			++*(volatile int *)strangers;
		usleep(50);
	}
	return NULL;
}

static void sees_no_stranger(void)
{
	pthread_t waiter;
	static volatile int strangers;
	signal(SIGCHLD, on_child);
	pthread_create(&waiter, NULL, wait_plainly, (void *)(uintptr_t)&strangers);
	burn(500);
	is_over = true;
	pthread_join(waiter, NULL);
	say("strangers %d, signals %d", strangers, child_signals);
}

static void time_name_space(void)
{
	int status;
	if (unshare(CLONE_NEWTIME) < 0) {
		say("no time name spaces here");
		_exit(77);
	}
	burn(300);
	const pid_t child = fork();
	if (!child) {
		burn(50);
		_exit(5);
	}
	must(child > 0, "fork");
	waitpid(child, &status, 0);
	say("child: %s", ending(status));
	burn(100);
}

/* Enters the pid name space of a child; the next child is a member of it, not its init. */
static void enters_pid_name_space(void)
{
	int ready[2], status;
	char path[64];
	must(pipe(ready) == 0, "pipe");
	const pid_t holder = fork();
	if (!holder) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(77);
		if (!fork()) {
			const char byte = 1;
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (write(ready[1], &byte, 1) < 0)
				_exit(9);
			pause();
		}
		for (;;)
			pause();
	}
	char byte;
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		say("no pid name spaces here");
		_exit(77);
	}
	snprintf(path, sizeof path, "/proc/%d/ns/pid_for_children", holder);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0 && setns(fd, CLONE_NEWPID) == 0, "setns");
	close(fd);
	burn(300);
	const pid_t child = fork();
	if (!child) {
		burn(50);
		_exit(getpid() == 2 ? 11 : 12);
	}
	must(child > 0, "fork");
	waitpid(child, &status, 0);
	say("child: %s", ending(status));
	kill(holder, SIGKILL); /* and its child with it */
	waitpid(holder, &status, 0);
}

/* setns to one's own user name space is refused, and with threads for another reason: the error shows which. */
static void enters_user_name_space(void)
{
	int ready[2], status;
	char path[64], byte;
	must(pipe(ready) == 0, "pipe");
	const pid_t holder = fork();
	if (!holder) {
		if (unshare(CLONE_NEWUSER) < 0)
			_exit(77);
		if (write(ready[1], "x", 1) < 0)
			_exit(9);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		say("no user name spaces here");
		_exit(77);
	}
	burn(300);
	snprintf(path, sizeof path, "/proc/%d/ns/user", holder);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const int result = fd < 0 ? -2 : setns(fd, CLONE_NEWUSER);
	say("setns %d %d", result, result ? errno : 0);
	burn(100);
	kill(holder, SIGKILL);
	waitpid(holder, &status, 0);
}

/* Reaps until there is nobody left, having given away that it is a subreaper; then executes another program. */
static void subreaper_executes(void)
{
	must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
	char *const block = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(block, 1, 64 << 20);
	burn(300);
	execl("/proc/self/exe", "rule_host", "lives", NULL);
	must(false, "exec");
}

/* A subreaper that goes on. */
static void subreaper_lives(void)
{
	must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
	lives();
}

/* rule_host behind_filter ACTION NUMBER PROGRAM...: a filter that is there before the program, and us. */
static void behind_filter(void)
{
	const unsigned action = !strcmp(words[0], "kill")   ? SECCOMP_RET_KILL_PROCESS
	                        : !strcmp(words[0], "trap") ? SECCOMP_RET_TRAP
	                                                    : SECCOMP_RET_ERRNO | (unsigned)atoi(words[0]);
	const struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number(1, 0), 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, action),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof code / sizeof *code, (struct sock_filter *)(uintptr_t)code};
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	if (getenv("RULE_PRELOAD"))
		setenv("LD_PRELOAD", getenv("RULE_PRELOAD"), 1);
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "filter");
	execv(words[2], words + 2);
	must(false, "exec");
}

/* A filter by the system call itself, before the first tick: all but what is needed kills. */
static void filters_by_number(void)
{
	static const int allowed[] = {SYS_write, SYS_exit_group, SYS_rt_sigreturn, SYS_clock_gettime};
	enum { COUNT = sizeof allowed / sizeof *allowed };
	struct sock_filter code[3 + 2 * COUNT];
	int n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++) {
		code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	const struct sock_fprog program = {(unsigned short)n, code};
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
	burn(300);
	say("done");
	syscall(SYS_exit_group, 3);
}

static void *tick_much(void *unused)
{
	burn(number(1, 200));
	return unused;
}

static void ticks_in_threads(void)
{
	pthread_t threads[64];
	const int count = number(0, 8);
	for (int i = 0; i < count; i++)
		must(pthread_create(&threads[i], NULL, tick_much, NULL) == 0, "pthread_create");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	say("done");
}

/* Children up to the last that the limit on processes allows; the parent has ticked before. */
static void fills_process_limit(void)
{
	int status, started = 0, ended = 0;
	burn(300);
	for (int i = 0; i < number(0, 4); i++) {
		const pid_t child = fork();
		if (!child) {
			sleep(1);
			_exit(5);
		}
		started += child > 0;
	}
	while (wait(&status) > 0)
		ended++;
	say("started %d, ended %d", started, ended);
}

/* ---- 2: who it is ---- */

static void not_dumpable(void)
{
	must(prctl(PR_SET_DUMPABLE, 0) == 0, "prctl");
	burn(number(0, 500));
	say("done");
}

/* ---- 3: fork ---- */

static void *nothing(void *unused)
{
	return unused;
}

/* A child that nobody prepared uses what is hooked, while the parent samples on. */
static void hooks_in_raw_child(void)
{
	int status, odd = 0;
	pthread_t thread;
	for (int i = 0; i < 30; i++) {
		burn(10);
		const pid_t child = i % 2 ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : _Fork();
		if (!child) {
			sigset_t set;
			struct sigaction action;
			if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
				_exit(6);
			void *library = dlopen("libm.so.6", RTLD_NOW);
			sigemptyset(&set);
			if (!library || sigprocmask(SIG_SETMASK, &set, NULL) || sigaction(SIGPROF, NULL, &action))
				_exit(7);
			work(10000000);
			_exit(action.sa_handler == SIG_DFL ? 5 : 8);
		}
		must(child > 0, "clone");
		waitpid(child, &status, 0);
		odd += !WIFEXITED(status) || WEXITSTATUS(status) != 5;
	}
	say("odd endings %d", odd);
}

/* ---- 4: memory ---- */

static void file_size_limit(void)
{
	const struct rlimit limit = {(rlim_t)number(0, 0), words[1] ? RLIM_INFINITY : (rlim_t)number(0, 0)};
	must(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
	burn(400);
	say("done");
}

static void locks_memory(void)
{
	char line[256];
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
		say("no locked memory here");
		_exit(77);
	}
	burn(400);
	FILE *maps = fopen("/proc/self/smaps", "re");
	long locked = 0, is_ours = 0;
	must(maps != NULL, "smaps");
	while (fgets(line, sizeof line, maps)) {
		if (strstr(line, "memfd:deepprof"))
			is_ours = 1;
		else if (strchr(line, '-') && strchr(line, ' ') && line[0] != ' ' && !strchr(line, ':'))
			is_ours = 0;
		if (is_ours && !strncmp(line, "Locked:", 7))
			locked += strtol(line + 7, NULL, 10), is_ours = 0;
	}
	say("locked of the guest's %ld", locked);
}

static void dumps_core(void)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	must(setrlimit(RLIMIT_CORE, &all) == 0, "setrlimit");
	burn(600);
	abort();
}

/* ---- 5: signals and threads ---- */

static void stays_single_threaded(void)
{
	say("before %d", __libc_single_threaded);
	burn(600);
	say("after %d", __libc_single_threaded);
	const int fd = open("/dev/null", O_RDONLY);
	say("first descriptor %d", fd);
}

/* Sleeps and waits of all kinds beside much computing: none is cut short. */
static void is_never_interrupted(void)
{
	int interrupted = 0, pipe_ends[2];
	const int epoll = epoll_create1(0);
	must(pipe(pipe_ends) == 0, "pipe");
	struct pollfd end = {pipe_ends[0], POLLIN, 0};
	for (int i = 0; i < 4000; i++) {
		struct epoll_event event;
		const struct timespec pause = {0, 20000};
		work(60000);
		interrupted += nanosleep(&pause, NULL) < 0;
		interrupted += epoll_wait(epoll, &event, 1, 0) < 0;
		if (i % 16 == 0)
			interrupted += poll(&end, 1, 1) < 0;
	}
	say("interrupted %d", interrupted);
}

int main(int argc, char **argv)
{
	static const struct torture cases[] = {{"burns", burns}, {"lives", lives},
	        {"waits_for_all_kinds", waits_for_all_kinds}, {"sees_no_stranger", sees_no_stranger},
	        {"time_name_space", time_name_space}, {"enters_pid_name_space", enters_pid_name_space},
	        {"enters_user_name_space", enters_user_name_space}, {"subreaper_executes", subreaper_executes},
	        {"subreaper_lives", subreaper_lives}, {"behind_filter", behind_filter},
	        {"filters_by_number", filters_by_number}, {"ticks_in_threads", ticks_in_threads},
	        {"fills_process_limit", fills_process_limit}, {"not_dumpable", not_dumpable},
	        {"hooks_in_raw_child", hooks_in_raw_child}, {"file_size_limit", file_size_limit},
	        {"locks_memory", locks_memory}, {"dumps_core", dumps_core},
	        {"stays_single_threaded", stays_single_threaded}, {"is_never_interrupted", is_never_interrupted},
	        {0}};
	words = argv + (argc < 2 ? 1 : 2);
	return run_torture(cases, argc, argv);
}
