/* SPDX-License-Identifier: Apache-2.0
 * tick_sender PID HZ SECONDS [EVERY]: ticks from outside, as many as no timer delivers.
 *
 * A copy of what each of the process's own CPU timers sends, to the thread that it sends to, by rt_tgsigqueueinfo(2): which
 * timers there are, /proc/PID/timers says. Prints how many were sent. The weights of such a profile mean nothing. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TIMERS_MOST = 256, LOOK_EVERY = 256 /* rounds, unless given */ };

static struct {
	int id, tid;
	unsigned long long cookie;
} timers[TIMERS_MOST];
static int timer_count;

static void read_timers(int pid)
{
	char path[64], line[256];
	int id = -1, signo = 0;
	unsigned long long cookie = 0;
	snprintf(path, sizeof path, "/proc/%d/timers", pid);
	FILE *file = fopen(path, "r");
	timer_count = 0;
	while (file && fgets(line, sizeof line, file)) {
		int tid;
		if (sscanf(line, "ID: %d", &id) == 1 || sscanf(line, "signal: %d/%llx", &signo, &cookie) == 2)
			continue;
		if (sscanf(line, "notify: signal/tid.%d", &tid) == 1 && signo == SIGPROF && timer_count < TIMERS_MOST) {
			timers[timer_count].id = id;
			timers[timer_count].tid = tid;
			timers[timer_count++].cookie = cookie;
		}
	}
	if (file)
		fclose(file);
}

int main(int argc, char **argv)
{
	if (argc != 4 && argc != 5)
		return 2;
	const int pid = atoi(argv[1]), hz = atoi(argv[2]);
	const double seconds = atof(argv[3]);
	const unsigned every = argc == 5 && atoi(argv[4]) > 0 ? (unsigned)atoi(argv[4]) : LOOK_EVERY;
	const struct timespec pause = {0, 1000000000 / (hz > 0 ? hz : 1)};
	struct timespec start, now;
	unsigned long long sent = 0;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned round = 0;; round++) {
		if (round % every == 0) {
			read_timers(pid);
			clock_gettime(CLOCK_MONOTONIC, &now);
			if ((double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 > seconds)
				break;
		}
		for (int i = 0; i < timer_count; i++) {
			siginfo_t info;
			memset(&info, 0, sizeof info);
			info.si_signo = SIGPROF;
			info.si_code = SI_TIMER;
			info.si_timerid = timers[i].id;
			info.si_value.sival_ptr = (void *)timers[i].cookie;
			sent += syscall(SYS_rt_tgsigqueueinfo, pid, timers[i].tid, SIGPROF, &info) == 0;
		}
		if (kill(pid, 0) != 0 && errno == ESRCH)
			break;
		/* Shorter pauses than the kernel's timer slack are none. */
		if (hz < 10000)
			nanosleep(&pause, NULL);
		else
			for (volatile int spin = 0; spin < 100; spin++) {}
	}
	printf("%llu\n", sent);
	return 0;
}
