/* SPDX-License-Identifier: Apache-2.0
 * A child of another kind: built static, or for musl, or both. It burns, forks, and sees of SIGPROF what it
 * would. */
#include "torture.h"

static volatile int hits;

static void on_signal(int signo)
{
	(void)signo;
	hits++;
}

static void *busy(void *unused)
{
	burn(60);
	return unused;
}

int main(void)
{
	pthread_t thread;
	struct sigaction action;
	sigset_t set;
	int status;

	burn(150);
	sigaction(SIGPROF, NULL, &action);
	say("default %d", action.sa_handler == SIG_DFL);
	signal(SIGPROF, on_signal);
	raise(SIGPROF);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	burn(50);
	raise(SIGPROF);
	say("hits %d", hits);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	sigprocmask(SIG_SETMASK, NULL, &set);
	say("hits %d, blocked %d", hits, sigismember(&set, SIGPROF));
	if (pthread_create(&thread, NULL, busy, NULL) == 0)
		pthread_join(thread, NULL);
	const pid_t child = fork();
	if (!child) {
		burn(50);
		_exit(9);
	}
	waitpid(child, &status, 0);
	say("child %s", ending(status));
	say("open gives %d", open("/dev/null", O_RDONLY));
	signal(SIGPROF, SIG_DFL);
	burn(50);
	raise(SIGPROF);
	say("never");
	return 0;
}
