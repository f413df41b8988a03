/* SPDX-License-Identifier: Apache-2.0
 * What the library asks of the kernel, asked of the kernel. Each is tried in a child: a seccomp filter may
 * answer by killing who asks. */
#include "cli/doctor.h"

#include "base/region.h"
#include "base/rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE (1U << 1)
#endif

/* ---- a probe: a function tried in a child ---- */

struct probe {
	int error;       /* errno of the step that failed, 0 */
	int signal;      /* that ended the child, 0 */
	char step[64];   /* the step under way */
	uint64_t number; /* a result */
};

typedef void probe_function(struct probe *probe);

static bool fails(struct probe *probe, long result)
{
	if (result < 0)
		probe->error = errno;
	return result < 0;
}

/* A step is named before it is made: it may be the last. */
#define STEP(probe, name, call) (strcpy((probe)->step, name), fails(probe, (long)(call)))

static struct probe try(probe_function *function)
{
	struct probe result = {.step = "fork"};
	struct probe *shared =
		mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	if (shared == MAP_FAILED) {
		result.error = errno;
		return result;
	}
	const pid_t child = fork();
	if (child == 0) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		function(shared);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		result.error = errno;
	} else {
		result = *shared;
		result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	}
	munmap(shared, sizeof *shared);
	return result;
}

/* True: the probe failed, and that was said. */
static bool report_failure(const struct probe *probe, const char *subject, const char *what, const char *todo)
{
	if (probe->signal)
		dp_finding(DP_NOT, subject, "%s: %s is answered with %s%s; %s", what, probe->step,
			strsignal(probe->signal), probe->signal == SIGSYS ? ", by a seccomp filter" : "",
			todo);
	else if (probe->error)
		dp_finding(
			DP_NOT, subject, "%s: %s: %s; %s", what, probe->step, strerror(probe->error), todo);
	return probe->signal || probe->error;
}

/* ---- the timer ---- */

static volatile sig_atomic_t ticks;

static void on_tick(int signo)
{
	(void)signo;
	ticks++;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* As the library arms it: by the raw clock of the thread's id, to that thread. Ticks within 300 ms of CPU
 * time. */
static void probe_timer(struct probe *probe)
{
	enum { ENOUGH = 3 };
	const uint64_t most_ns = 300000000;
	const int clock = (int)(~(unsigned)gettid() << 3 | 6);
	struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
	const struct itimerspec every = {{0, 10000000}, {0, 10000000}};
	int timer;
	event._sigev_un._tid = gettid();
	sigaction(SIGPROF, &action, NULL);
	if (STEP(probe, "timer_create", syscall(SYS_timer_create, clock, &event, &timer)) ||
		STEP(probe, "timer_settime", syscall(SYS_timer_settime, timer, 0, &every, NULL)))
		return;
	const uint64_t from = thread_cpu_ns();
	uint64_t now = from;
	while (ticks < ENOUGH && now - from < most_ns)
		now = thread_cpu_ns();
	probe->number = (uint64_t)ticks;
	STEP(probe, "timer_delete", syscall(SYS_timer_delete, timer));
}

static void examine_timer(void)
{
	const struct probe probe = try(probe_timer);
	if (report_failure(&probe, "timer", "no timer on a thread's CPU clock",
		    probe.error == EAGAIN ? "raise RLIMIT_SIGPENDING (ulimit -i)"
					  : "profile from outside, by perf or an eBPF profiler"))
		return;
	if (!probe.number)
		dp_finding(DP_NOT, "timer",
			"a timer on a thread's CPU clock can be armed but did not tick in 0.3 s of CPU time; "
			"this kernel (a sandbox's?) does not really have them: profile from outside");
	else
		dp_finding(DP_FINE, "timer", "a timer on a thread's CPU clock ticks and signals that thread");
}

/* The kernel looks at CPU timers once in a tick of its own; the coarse clock's resolution is that tick. */
static void examine_rate(const struct dp_patient *patient)
{
	struct timespec tick = {0};
	const unsigned rate = patient->settings.rate;
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || !tick.tv_nsec)
		return;
	const unsigned hz = (unsigned)((1000000000 + tick.tv_nsec / 2) / tick.tv_nsec);
	if (rate > hz)
		dp_finding(DP_LESS, "rate",
			"rate %u is more than this kernel's %u ticks a second (CONFIG_HZ): %u samples per "
			"CPU second come, their weight stays true; set rate to %u or less",
			rate, hz, hz, hz);
	else
		dp_finding(DP_FINE, "rate",
			"%u samples per CPU second; this kernel has %u ticks a second (CONFIG_HZ)", rate, hz);
}

/* ---- memory, helper, socket ---- */

static void probe_memory(struct probe *probe)
{
	strcpy(probe->step, "memfd_create");
	long fd = syscall(SYS_memfd_create, "deepprof", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = syscall(SYS_memfd_create, "deepprof", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (STEP(probe, "memfd_create", fd) || STEP(probe, "ftruncate", ftruncate((int)fd, DP_PIECE_SIZE)) ||
		STEP(probe, "fallocate", fallocate((int)fd, 0, 0, DP_PIECE_SIZE)) ||
		STEP(probe, "sealing", fcntl((int)fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL)))
		return;
	STEP(probe, "mmap",
		mmap(NULL, DP_PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0) == MAP_FAILED ? -1
													: 0);
}

static int helper(void *argument)
{
	struct probe *probe = argument;
	strcpy(probe->step, "close_range");
	if (syscall(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) != 0)
		probe->number =
			(uint64_t)errno; /* the library then works with a copied table: before Linux 5.9 */
	return 0;
}

/* As capture/helper_signal.c: shares memory, not descriptors. */
static void probe_helper(struct probe *probe)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	const int flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_UNTRACED;
	int status = 0;
	int child;
	if (STEP(probe, "clone", child = clone(helper, stack + sizeof stack, flags, probe)))
		return;
	if (waitpid(child, &status, __WCLONE) == child && WIFSIGNALED(status))
		probe->signal = WTERMSIG(status);
}

static void probe_socket(struct probe *probe)
{
	struct sockaddr_un address;
	char name[64];
	snprintf(name, sizeof name, "deepprof/doctor/%d", (int)getpid());
	const uint32_t length = dp_rendezvous_named(&address, name);
	int server, client;
	if (STEP(probe, "socket", server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) ||
		STEP(probe, "bind", bind(server, (struct sockaddr *)&address, length)) ||
		STEP(probe, "listen", listen(server, 1)) ||
		STEP(probe, "socket",
			client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)))
		return;
	STEP(probe, "connect", connect(client, (struct sockaddr *)&address, length));
}

static void examine_services(void)
{
	struct probe probe = try(probe_memory);
	if (!report_failure(&probe, "memory", "no sealed shared memory",
		    probe.error == EPERM || probe.error == ENOSYS
			    ? "allow memfd_create in the container's seccomp profile"
			    : "raise the limit that the error names"))
		dp_finding(DP_FINE, "memory", "shared memory can be made, sealed and mapped");
	probe = try(probe_helper);
	if (!report_failure(&probe, "helper", "no helper process, so no agent can be reached",
		    probe.error == EAGAIN ? "raise RLIMIT_NPROC (ulimit -u) or the cgroup's pids.max"
					  : "allow clone and close_range in the seccomp profile"))
		dp_finding(DP_FINE, "helper", "a helper can be cloned%s",
			probe.number
				? " (without close_range, before Linux 5.9: by a copied descriptor table)"
				: "");
	probe = try(probe_socket);
	if (!report_failure(&probe, "socket", "no abstract AF_UNIX socket, so no agent can be reached",
		    "allow AF_UNIX (systemd: RestrictAddressFamilies=AF_UNIX ...)"))
		dp_finding(DP_FINE, "socket", "abstract AF_UNIX sockets work");
}

/* ---- /proc, memory policy, kernel ---- */

/* hidepid= of the mount at /proc: 0, 1, 2 or 4; -1: nothing is mounted there. */
static int hidepid(void)
{
	char *mounts = dp_proc_read(0, "mounts", NULL), *rest = mounts, *line;
	int hidden = mounts ? -1 : 0;
	while ((line = strsep(&rest, "\n"))) {
		char place[256], kind[64], options[512];
		if (sscanf(line, "%*s %255s %63s %511s", place, kind, options) != 3 ||
			strcmp(place, "/proc") != 0 || strcmp(kind, "proc") != 0)
			continue;
		const char *option = strstr(options, "hidepid=");
		const char *value = option ? option + strlen("hidepid=") : "0";
		hidden = !strncmp(value, "noaccess", 8)      ? 1
			 : !strncmp(value, "invisible", 9)   ? 2
			 : !strncmp(value, "ptraceable", 10) ? 4
							     : atoi(value);
	}
	free(mounts);
	return hidden;
}

static void examine_proc(void)
{
	char name[DP_RENDEZVOUS_SIZE];
	const int hidden = hidepid();
	if (!dp_rendezvous_name(name, ""))
		dp_finding(DP_NOT, "/proc",
			"/proc/self/ns cannot be read, so host and agent cannot find each other; mount proc "
			"on /proc");
	else if (hidden > 0)
		dp_finding(DP_FINE, "/proc",
			"mounted with hidepid=%d: enough for programs that their user may look into (for "
			"others, threads that are older than the library may stay unseen)",
			hidden);
	else
		dp_finding(DP_FINE, "/proc", "mounted");
}

/* ---- children ---- */

static void do_nothing(struct probe *probe)
{
	(void)probe;
}

/* Asked before there is a child: the first one in a new pid name space is its init, and the last when it
 * ends. */
static bool examine_children(void)
{
	char mine[64], next[64];
	/* As long as it has no init, the next name space has no name either. */
	if (dp_proc_link(0, "ns/pid", mine, sizeof mine) &&
		(!dp_proc_link(0, "ns/pid_for_children", next, sizeof next) || strcmp(mine, next) != 0)) {
		dp_finding(DP_NOT, "children",
			"the next child would be the init of another pid name space, which ours must not be; "
			"start the program in a child, as unshare --fork does");
		return false;
	}
	const struct probe probe = try(do_nothing);
	return !report_failure(&probe, "children", "no process can be started",
		"raise RLIMIT_NPROC (ulimit -u) or the cgroup's pids.max");
}

static void examine_overcommit(void)
{
	char *policy = dp_proc_read(0, "/proc/sys/vm/overcommit_memory", NULL);
	char *info = dp_proc_read(0, "/proc/meminfo", NULL);
	if (policy && info && *policy == '2') {
		const uint64_t limit = strtoull(dp_proc_field(info, "CommitLimit"), NULL, 10);
		const uint64_t used = strtoull(dp_proc_field(info, "Committed_AS"), NULL, 10);
		const uint64_t left_mib = limit > used ? (limit - used) / 1024 : 0;
		const uint64_t wanted_mib = 64;
		dp_finding(left_mib < wanted_mib ? DP_LESS : DP_FINE, "overcommit",
			"vm.overcommit_memory is 2 and %llu MiB may still be promised; the agent wants up to "
			"%llu%s",
			(unsigned long long)left_mib, (unsigned long long)wanted_mib,
			left_mib < wanted_mib ? ": free memory or raise vm.overcommit_ratio" : "");
	}
	free(policy);
	free(info);
}

static void examine_kernel(void)
{
	struct utsname system;
	int major = 0, minor = 0;
	uname(&system);
	sscanf(system.release, "%d.%d", &major, &minor);
#if defined(__x86_64__)
	const char *machine = "x86_64";
#else
	const char *machine = "aarch64";
#endif
	if (major < 5 || (major == 5 && minor < 3))
		dp_finding(DP_LESS, "kernel",
			"Linux %s has no pidfd (5.3): the end of a killed program is seen late; a newer "
			"kernel is better",
			system.release);
	else
		dp_finding(DP_FINE, "kernel", "Linux %s on %s", system.release, machine);
}

bool dp_examine_machine(const struct dp_patient *patient)
{
	examine_kernel();
	examine_rate(patient);
	examine_proc();
	examine_overcommit();
	if (!examine_children())
		return false;
	examine_timer();
	examine_services();
	return true;
}
