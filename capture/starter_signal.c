/* SPDX-License-Identifier: Apache-2.0
 * The agent's birth, by system calls alone. */
#include "capture/starter.h"
#include "capture/clone.h"
#include "capture/host.h"

#include "base/rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

enum {
	CHILD_STACK = 8 * 1024,
	ROOM = 16,          /* processes that must be left: the agent's two and a program's few */
	EXEC_MS = 1000,     /* an exec that has not failed by then has been done */
};

static _Alignas(16) uint8_t child_stack[CHILD_STACK];
static _Alignas(16) uint8_t nanny_stack[CHILD_STACK];
static volatile long exec_result;
static int32_t nanny; /* housekeeper and exec hook; 0: none */
static _Atomic uint32_t is_executing;

/* ---- room for it ---- */

static long read_file(const char *path, char *bytes, size_t size)
{
	const long fd = DP_SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	const long got = DP_SYS3(SYS_read, fd, bytes, size - 1);
	DP_SYS1(SYS_close, fd);
	bytes[got > 0 ? got : 0] = 0;
	return got;
}

static bool begins_with(const char *text, const char *beginning)
{
	while (*beginning)
		if (*text++ != *beginning++)
			return false;
	return true;
}

/* Copies up to the end of text, of its line or of the room; returns where it stopped. */
static char *put(char *at, const char *end, const char *text)
{
	while (*text && *text != '\n' && at < end - 1)
		*at++ = *text++;
	*at = 0;
	return at;
}

/* A file of the group that holds this process; -1: no such file, or "max". */
static long group_value(const char *mount, const char *group, const char *name)
{
	char path[512], bytes[32];
	const char *const end = path + sizeof path;
	put(put(put(path, end, mount), end, group), end, name);
	if (read_file(path, bytes, sizeof bytes) <= 0 || bytes[0] < '0' || bytes[0] > '9')
		return -1;
	long value = 0;
	for (const char *c = bytes; *c >= '0' && *c <= '9' && value < 1 << 30; c++)
		value = value * 10 + (*c - '0');
	return value;
}

/* Would the agent take a process's place from the program? Only the own group's limit is asked, where it can be. */
static bool has_room(void)
{
	static char groups[2048]; /* one housekeeper at a time */
	if (read_file("/proc/self/cgroup", groups, sizeof groups) <= 0)
		return true;
	for (const char *line = groups; *line; line++) {
		const char *const fields = line;
		const char *mount = NULL;
		while (*line && *line != ':')
			line++;
		if (begins_with(line, ":pids:"))
			mount = "/sys/fs/cgroup/pids";
		else if (begins_with(fields, "0::"))
			mount = "/sys/fs/cgroup";
		if (*line)
			line++;
		while (*line && *line != ':' && *line != '\n')
			line++;
		if (mount && *line == ':') {
			const long most = group_value(mount, line + 1, "/pids.max");
			const long used = group_value(mount, line + 1, "/pids.current");
			if (most >= 0 && used >= 0 && most - used < ROOM)
				return false;
		}
		while (*line && *line != '\n')
			line++;
		if (!*line)
			break;
	}
	return true;
}

/* ---- the agent ---- */

/* The agent to be: nothing of the host's but its memory until exec takes that away too. */
static void become_agent(void)
{
	char title[] = "deepprof-agent", option[] = "--name", name[DP_RENDEZVOUS_SIZE];
	char *arguments[] = {title, option, name, NULL};
	char *environment[] = {NULL};
	if (!dp_rendezvous_name(name, dp_host.agent_path[0])) {
		exec_result = -ENOENT;
		dp_leave();
	}
	DP_SYS0(SYS_setsid);
	const long null = DP_SYS4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	if (null >= 0) {
		for (int fd = 0; fd < 3; fd++)
			if (null != fd)
				DP_SYS3(SYS_dup3, null, fd, 0);
		if (null > 2)
			DP_SYS1(SYS_close, null);
	}
	long error = -ENOENT;
	for (unsigned i = 0; i < 2; i++)
		if (dp_host.agent_path[i][0])
			error = DP_SYS3(SYS_execve, dp_host.agent_path[i], arguments, environment);
	exec_result = error; /* still here: none could be executed */
	dp_leave();
}

long dp_start_agent(void)
{
	if (!has_room())
		return -EDQUOT;
	exec_result = 0;
	const long child = dp_clone_call(
	        CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, child_stack, sizeof child_stack, become_agent, NULL);
	if (child > 0 && exec_result)
		DP_SYS4(SYS_wait4, child, 0, (int)__WALL, 0); /* else the host might inherit what is left of it */
	return child < 0 ? child : exec_result;
}

/* ---- the nanny ---- */

/* An exec was announced. True: it has happened, this memory is nobody's any more. */
static bool has_executed(void)
{
	struct timespec pause = {EXEC_MS / 1000, EXEC_MS % 1000 * 1000000};
	DP_SYS2(SYS_nanosleep, &pause, 0);
	return dp_load_acquire(&is_executing);
}

/* Stays between the agent and a host that would inherit it: waits for the agent's end, or for the host's. When the
 * host is another program, agent and nanny give way to what that starts. All signals are blocked here. */
static void be_nanny(void)
{
	const struct rlimit none = {0, 0};
	uint64_t calls = UINT64_C(1) << (SIGUSR1 - 1);
	struct pollfd ends[3] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};

	DP_SYS3(SYS_close_range, 0, ~0u, 0);
	DP_SYS4(SYS_prlimit64, 0, RLIMIT_CORE, &none, 0);
	exec_result = 0;
	const long agent = dp_clone_call(
	        CLONE_VM | CLONE_VFORK | CLONE_UNTRACED, child_stack, sizeof child_stack, become_agent, NULL);
	if (agent <= 0)
		dp_leave();
	ends[0].fd = (int)DP_SYS2(SYS_pidfd_open, dp_host.pid, 0);
	ends[1].fd = (int)DP_SYS2(SYS_pidfd_open, agent, 0);
	ends[2].fd = (int)DP_SYS4(SYS_signalfd4, -1, &calls, sizeof calls, 0);
	while (ends[1].fd >= 0) {
		DP_SYS(SYS_ppoll, ends, 3, 0, 0, 0, 0);
		if (ends[0].revents || ends[1].revents)
			break;
		uint8_t call[128];
		if (ends[2].revents)
			DP_SYS3(SYS_read, ends[2].fd, call, sizeof call);
		if (ends[2].revents && has_executed()) {
			DP_SYS2(SYS_kill, agent, SIGUSR1);
			ends[2].fd = -1; /* it leaves now, which ends this loop */
		}
	}
	if (ends[1].revents)
		DP_SYS4(SYS_wait4, agent, 0, WNOHANG | (int)__WALL, 0);
	dp_leave();
}

bool dp_has_nanny(void)
{
	if (!nanny)
		return false;
	/* ECHILD: somebody who waits for all kinds of children got it first. */
	if (DP_SYS4(SYS_wait4, nanny, 0, WNOHANG | (int)__WCLONE, 0) == 0)
		return true;
	nanny = 0;
	return false;
}

long dp_start_nanny(void)
{
	if (dp_has_nanny())
		return -EBUSY; /* its stack is in use */
	if (!has_room())
		return -EDQUOT;
	const long child = dp_clone_call(CLONE_VM | CLONE_UNTRACED, nanny_stack, sizeof nanny_stack, be_nanny, NULL);
	nanny = child > 0 ? (int32_t)child : 0;
	return child < 0 ? child : 0;
}

void dp_nanny_before_exec(void)
{
	/* A vfork's child executes too, in the same memory: that is not the host. */
	if (!nanny || dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP || (int32_t)DP_SYS0(SYS_getpid) != dp_host.pid)
		return;
	dp_store_release(&is_executing, 1);
	DP_SYS2(SYS_kill, nanny, SIGUSR1);
}

void dp_nanny_after_exec(void)
{
	if (nanny && !(dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP) && (int32_t)DP_SYS0(SYS_getpid) == dp_host.pid)
		dp_store_release(&is_executing, 0);
}

void dp_nanny_forget(void)
{
	nanny = 0;
}
