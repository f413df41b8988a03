/* SPDX-License-Identifier: Apache-2.0
 * Programs that fork, spawn, wait and are killed. */
#include "torture.h"

#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

extern char **environ;

static void wait_for_all(const char *when)
{
	int status, ended = 0, odd = 0;
	pid_t child;
	while ((child = wait(&status)) > 0) {
		ended++;
		odd += !WIFEXITED(status) || WEXITSTATUS(status) != 5;
	}
	say("%s: %d ended, %d oddly, errno %d", when, ended, odd, errno);
}

static void fork_storm(void)
{
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 20; i++) {
			const pid_t child = fork();
			if (!child) {
				burn(3);
				_exit(5);
			}
			must(child > 0, "fork");
			burn(1);
		}
		wait_for_all("round");
	}
}

static void *busy(void *flag)
{
	while (!*(volatile bool *)flag)
		burn(1);
	return NULL;
}

static void fork_with_threads(void)
{
	static volatile bool is_over;
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, busy, (void *)&is_over);
	for (int i = 0; i < 100; i++) {
		const pid_t child = fork();
		if (!child) {
			burn(2);
			void *p = malloc(1000);
			free(p);
			_exit(5);
		}
		must(child > 0, "fork");
	}
	wait_for_all("children");
	is_over = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void deep_forks(void)
{
	int status;
	for (int depth = 0; depth < 15; depth++) {
		burn(10);
		const pid_t child = fork();
		must(child >= 0, "fork");
		if (child) {
			waitpid(child, &status, 0);
			say("depth %d: %s", depth, ending(status));
			_exit(depth);
		}
	}
	burn(50);
	_exit(15);
}

static void vforks(void)
{
	static char self[] = "/proc/self/exe", nothing[] = "nothing";
	char *const arguments[] = {self, nothing, NULL};
	for (volatile int i = 0; i < 60; i++) {
		burn(2);
		const pid_t child = vfork();
		if (!child) {
			execv(self, arguments);
			_exit(6);
		}
		must(child > 0, "vfork");
	}
	wait_for_all("vfork");
	for (int i = 0; i < 60; i++) {
		pid_t child;
		burn(2);
		must(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0, "posix_spawn");
	}
	wait_for_all("posix_spawn");
	for (int i = 0; i < 10; i++)
		say("system %s", ending(system("exit 3")));
	FILE *pipe_end = popen("echo from a shell; exit 2", "r");
	char line[64] = "";
	must(pipe_end && fgets(line, sizeof line, pipe_end), "popen");
	line[strcspn(line, "\n")] = 0;
	say("popen: %s", line);
	say("pclose %s", ending(pclose(pipe_end)));
}

/* The program becomes itself again and again. */
static void execs(void)
{
	const char *left = getenv("TORTURE_LEFT");
	const int n = left ? atoi(left) : 40;
	char text[16];
	burn(8);
	if (!n) {
		say("the last");
		return;
	}
	snprintf(text, sizeof text, "%d", n - 1);
	setenv("TORTURE_LEFT", text, 1);
	execl("/proc/self/exe", "torture_process", "execs", NULL);
	must(false, "exec");
}

static void exec_from_thread_(void)
{
	execl("/proc/self/exe", "torture_process", "nothing", NULL);
	must(false, "exec");
}

static void *exec_it(void *unused)
{
	burn(30);
	exec_from_thread_();
	return unused;
}

static void exec_from_thread(void)
{
	static volatile bool never;
	pthread_t threads[3];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, busy, (void *)&never);
	pthread_create(&threads[2], NULL, exec_it, NULL);
	for (;;)
		burn(1);
}

static void raw_forks(void)
{
	for (int i = 0; i < 50; i++) {
		burn(2);
		const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
		if (!child) {
			work(10000000);
			_exit(5);
		}
	}
	wait_for_all("raw");
	for (int i = 0; i < 50; i++) {
		burn(2);
		const pid_t child = _Fork();
		if (!child) {
			work(10000000);
			_exit(5);
		}
	}
	wait_for_all("_Fork");
}

static void subreaper(void)
{
	must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0, "prctl");
	for (int i = 0; i < 10; i++) {
		const pid_t child = fork();
		if (!child) {
			if (!fork()) {
				burn(30);
				_exit(5);
			}
			_exit(5);
		}
		burn(20);
	}
	burn(200);
	wait_for_all("subreaper");
	burn(200);
	wait_for_all("subreaper");
}

/* Waits for everything, as an init does; run as PID 1 of a name space by its script. */
static void init(void)
{
	say("first %d", getpid() == 1);
	burn(200);
	for (int i = 0; i < 5; i++)
		if (!fork()) {
			burn(50);
			_exit(5);
		}
	wait_for_all("init");
	burn(100);
	wait_for_all("init");
}

static void killed_by(int signo)
{
	say("before");
	burn(150);
	kill(getpid(), signo);
	for (;;)
		pause();
}

static void killed(void)
{
	killed_by(SIGKILL);
}

static void terminated(void)
{
	killed_by(SIGTERM);
}

static void crashes(void)
{
	say("before");
	burn(150);
	volatile int *volatile nowhere = (volatile int *)8;
	*nowhere = 1;
}

static void aborts(void)
{
	say("before");
	burn(150);
	abort();
}

static void exits_at_once(void)
{
	burn(150);
	say("before");
	_exit(42);
}

static void at_exit(void)
{
	burn(50);
	say("in atexit");
}

static void exits_orderly(void)
{
	atexit(at_exit);
	burn(150);
	printf("in a buffer\n");
	exit(43);
}

static void quits(void)
{
	at_quick_exit(at_exit);
	burn(150);
	quick_exit(44);
}

static void *leave_process(void *unused)
{
	burn(50);
	exit(45);
	return unused;
}

static void thread_exits(void)
{
	static volatile bool never;
	pthread_t threads[3];
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, busy, (void *)&never);
	pthread_create(&threads[2], NULL, leave_process, NULL);
	for (;;)
		burn(1);
}

/* At any moment of its life. */
static void killed_at_random(void)
{
	int wrong = 0, status;
	srand(7);
	for (int i = 0; i < 120; i++) {
		const pid_t child = fork();
		if (!child) {
			execl("/proc/self/exe", "torture_process", "busy", NULL);
			_exit(6);
		}
		usleep((useconds_t)(rand() % 25000));
		kill(child, i % 2 ? SIGKILL : SIGTERM);
		waitpid(child, &status, 0);
		wrong += !WIFSIGNALED(status);
	}
	say("wrong endings %d", wrong);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 5;
	if (argc == 2 && !strcmp(argv[1], "busy"))
		for (;;)
			burn(1);
	static const struct torture cases[] = {{"fork_storm", fork_storm},
		{"fork_with_threads", fork_with_threads}, {"deep_forks", deep_forks}, {"vforks", vforks},
		{"execs", execs}, {"exec_from_thread", exec_from_thread}, {"raw_forks", raw_forks},
		{"subreaper", subreaper}, {"init", init}, {"killed", killed}, {"terminated", terminated},
		{"crashes", crashes}, {"aborts", aborts}, {"exits_at_once", exits_at_once},
		{"exits_orderly", exits_orderly}, {"quits", quits}, {"thread_exits", thread_exits},
		{"killed_at_random", killed_at_random}, {0}};
	return run_torture(cases, argc, argv);
}
