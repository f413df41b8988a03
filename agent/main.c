/* SPDX-License-Identifier: Apache-2.0
 * deepprof-agent: started by a host's helper or by `deepprof run`, never by people. */
#include "agent/agent.h"

#include "base/log.h"
#include "symbols/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* A host that the OOM killer must spare is one thing, a guest's process another. */
static void be_expendable(void)
{
	char text[16] = "";
	const int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && text[0] == '-' && write(fd, "0", 1) < 0)
		dp_debug("oom_score_adj: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Whatever the host was, the agent is not: signals, working directory, umask, priority, limits. */
static void shed_inheritance(void)
{
	static const int limits[] = {RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_STACK, RLIMIT_AS, RLIMIT_DATA, RLIMIT_CPU,
	        RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING};
	const struct sched_param usual_priority = {0};
	const struct rlimit no_core = {0, 0};
	cpu_set_t every_cpu;
	sigset_t none;
	struct sigaction usual = {.sa_handler = SIG_DFL};
	for (int signo = 1; signo < NSIG; signo++)
		sigaction(signo, &usual, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* a terminal's Ctrl-C is for the host: we stay to deliver its profile */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") != 0)
		dp_debug("cannot change to /: %s", strerror(errno));
	umask(022);
	sched_setscheduler(0, SCHED_OTHER, &usual_priority);
	setpriority(PRIO_PROCESS, 0, 0);
	memset(&every_cpu, 0xff, sizeof every_cpu);
	sched_setaffinity(0, sizeof every_cpu, &every_cpu); /* what the cpuset does not allow is left out */
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		struct rlimit limit;
		if (getrlimit(limits[i], &limit) == 0) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit(limits[i], &limit);
		}
	}
	setrlimit(RLIMIT_CORE, &no_core); /* it would hold secrets, and nobody looks for it in / */
	be_expendable();
	prctl(PR_SET_NAME, "deepprof-agent");
}

int main(int argc, char **argv)
{
	struct dp_agent_options options = {.linger_ms = 1000};
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--run"))
			options.run_socket = argv[i + 1];
		else if (!strcmp(argv[i], "--name"))
			options.name = argv[i + 1];
		else if (!strcmp(argv[i], "--output"))
			options.run_output = argv[i + 1];
		else
			fprintf(stderr, "deepprof-agent: unknown option %s; it is started by libdeepprof.so\n", argv[i]);
	}
	const char *level = getenv("DEEPPROF_AGENT_LOG"); /* for debugging the agent itself */
	if (level)
		dp_log_init(DP_LOG_DEBUG, level);
	if (!options.name && !options.run_socket) {
		fprintf(stderr, "deepprof-agent: it is started by libdeepprof.so or by deepprof run\n");
		return 0;
	}
	shed_inheritance();
	/* What the ears allocate the hands free: two heaps would each keep it. What is large, debug information and the
	 * windows of a life, goes back when it is freed. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	dp_object_guard_bus(); /* a mapped file that somebody cuts must not end us */
	const int error = dp_ears_run(&options);
	if (error && error != -EADDRINUSE)
		dp_error("agent: %s", strerror(-error));
	return 0; /* always: an init that finds us among its children must not think of a crash */
}
