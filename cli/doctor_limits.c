/* SPDX-License-Identifier: Apache-2.0
 * What a process may do: resource limits, its cgroup's, filters, its place among processes. Without a
 * process: this one's, which a command inherits. */
#include "cli/doctor.h"

#include "base/region.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	AGENT_MEMORY = 64 << 20, /* address space that the agent may want, with a margin */
	HOST_MEMORY = 4 << 20,   /* the same of a host: pieces and tables */
	AGENT_DESCRIPTORS = 64,  /* a few of its own, one to three for each process it serves */
	TASKS = 3,               /* a helper or a nanny, and the agent's two threads */
	TIMERS_SPARE = 16,
};

/* ---- resource limits ---- */

struct limit {
	uint64_t soft, hard; /* UINT64_MAX: none */
};

/* Of /proc/PID/limits, which everyone may read. name: as it stands there. */
static struct limit limit_of(const char *limits, const char *name)
{
	struct limit limit = {UINT64_MAX, UINT64_MAX};
	const char *line = strstr(limits, name);
	char soft[24], hard[24];
	if (!line || sscanf(line + strlen(name), "%23s %23s", soft, hard) != 2)
		return limit;
	if (isdigit((unsigned char)*soft))
		limit.soft = strtoull(soft, NULL, 10);
	if (isdigit((unsigned char)*hard))
		limit.hard = strtoull(hard, NULL, 10);
	return limit;
}

/* The library raises soft limits for its helper and the agent; the hard one stands. */
static void examine_sizes(const char *limits)
{
	const uint64_t file = limit_of(limits, "Max file size").hard,
		       files = limit_of(limits, "Max open files").hard;
	const uint64_t space = limit_of(limits, "Max address space").hard,
		       data = limit_of(limits, "Max data size").hard;
	if (file < DP_PIECE_SIZE)
		dp_finding(DP_NOT, "limits",
			"RLIMIT_FSIZE is %llu bytes and a piece of shared memory needs %d: raise it (ulimit "
			"-Hf)",
			(unsigned long long)file, (int)DP_PIECE_SIZE);
	if (space < AGENT_MEMORY || data < AGENT_MEMORY)
		dp_finding(DP_LESS, "limits",
			"%s is %llu MiB, which the agent inherits; it may want %d: raise it (ulimit %s)",
			space < AGENT_MEMORY ? "RLIMIT_AS" : "RLIMIT_DATA",
			(unsigned long long)(space < data ? space : data) >> 20, AGENT_MEMORY >> 20,
			space < AGENT_MEMORY ? "-Hv" : "-Hd");
	if (files < AGENT_DESCRIPTORS)
		dp_finding(DP_LESS, "limits",
			"RLIMIT_NOFILE is %llu, which the agent inherits; it wants %d and more for many "
			"processes: raise it (ulimit -Hn)",
			(unsigned long long)files, AGENT_DESCRIPTORS);
	if (file >= DP_PIECE_SIZE && space >= AGENT_MEMORY && data >= AGENT_MEMORY &&
		files >= AGENT_DESCRIPTORS)
		dp_finding(DP_FINE, "limits",
			"RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA and RLIMIT_NOFILE leave room");
}

/* Region and tables are mapped into the process itself, under its soft limit. */
static void examine_room(pid_t pid, const char *limits, const char *status)
{
	const uint64_t most = limit_of(limits, "Max address space").soft;
	const uint64_t used = strtoull(dp_proc_field(status, "VmSize"), NULL, 10) * 1024;
	if (pid && most != UINT64_MAX && used + HOST_MEMORY > most)
		dp_finding(DP_LESS, "limits",
			"RLIMIT_AS leaves the process %llu KiB of address space, in which what we map may "
			"not fit: "
			"raise it (ulimit -v)",
			(unsigned long long)(most > used ? most - used : 0) >> 10);
}

/* One POSIX timer a thread counts as one pending signal of the user. */
static void examine_timers(pid_t pid, const char *status)
{
	unsigned long long used = 0, most = 0;
	const unsigned long threads = strtoul(dp_proc_field(status, "Threads"), NULL, 10);
	if (sscanf(dp_proc_field(status, "SigQ"), "%llu/%llu", &used, &most) != 2)
		return;
	const unsigned long long left = most > used ? most - used : 0;
	if (!left)
		dp_finding(DP_NOT, "timers",
			"RLIMIT_SIGPENDING is %llu and all of it is in use, so no timer can be made: raise "
			"it (ulimit -i)",
			most);
	else if (left < TIMERS_SPARE || (pid && left < threads))
		dp_finding(DP_LESS, "timers",
			"RLIMIT_SIGPENDING leaves room for %llu more timers, one a thread%s: raise it "
			"(ulimit -i), threads beyond it are not sampled",
			left, pid && left < threads ? ", and there are more threads" : "");
	else
		dp_finding(DP_FINE, "timers", "RLIMIT_SIGPENDING leaves room for %llu threads' timers", left);
}

/* Threads of a user, of all of /proc that can be seen. */
static unsigned long tasks_of(uid_t uid)
{
	DIR *proc = opendir("/proc");
	unsigned long count = 0;
	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		char *status = isdigit((unsigned char)*entry->d_name)
				       ? dp_proc_read(atoi(entry->d_name), "status", NULL)
				       : NULL;
		if (status && strtoul(dp_proc_field(status, "Uid"), NULL, 10) == uid)
			count += strtoul(dp_proc_field(status, "Threads"), NULL, 10);
		free(status);
	}
	if (proc)
		closedir(proc);
	return count;
}

static void examine_tasks(const char *limits, const char *status)
{
	enum { CAP_SYS_ADMIN = 21, CAP_SYS_RESOURCE = 24 };
	const uint64_t most = limit_of(limits, "Max processes").soft;
	const uid_t uid = (uid_t)strtoul(dp_proc_field(status, "Uid"), NULL, 10);
	const uint64_t capabilities = strtoull(dp_proc_field(status, "CapEff"), NULL, 16);
	if (most == UINT64_MAX || !uid || capabilities & (1 << CAP_SYS_ADMIN | 1 << CAP_SYS_RESOURCE))
		return;
	const unsigned long used = tasks_of(uid);
	if (used + TASKS > most)
		dp_finding(DP_NOT, "processes",
			"RLIMIT_NPROC is %llu and the user has %lu threads: helper and agent need %d more; "
			"raise it (ulimit -u)",
			(unsigned long long)most, used, TASKS);
}

/* ---- the cgroup's limit ---- */

/* Reads a number of a cgroup's file; false: no such file, or "max". */
static bool read_number(const char *folder, const char *file, unsigned long long *number)
{
	char path[1200], *end;
	snprintf(path, sizeof path, "%s/%s", folder, file);
	char *text = dp_proc_read(0, path, NULL);
	if (!text)
		return false;
	*number = strtoull(text, &end, 10);
	const bool is_number = end != text;
	free(text);
	return is_number;
}

/* pids.max counts in each group above too. */
static bool examine_group(const char *mount, const char *group)
{
	char folder[1024];
	snprintf(folder, sizeof folder, "%s%s", mount, group);
	for (;;) {
		unsigned long long most, used;
		if (read_number(folder, "pids.max", &most) && read_number(folder, "pids.current", &used) &&
			used + TASKS > most) {
			dp_finding(DP_NOT, "processes",
				"%s/pids.max is %llu and %llu are in use: helper and agent need %d more; "
				"raise it (docker run --pids-limit, systemd TasksMax=)",
				folder, most, used, TASKS);
			return false;
		}
		char *slash = strrchr(folder, '/');
		if (!slash || strlen(folder) <= strlen(mount))
			return true;
		*slash = 0;
	}
}

static void examine_cgroup(pid_t pid)
{
	char *groups = dp_proc_read(pid, "cgroup", NULL), *rest = groups, *line;
	while ((line = strsep(&rest, "\n"))) {
		const char *controllers = strchr(line, ':');
		const char *group = controllers ? strchr(++controllers, ':') : NULL;
		if (!group)
			continue;
		char mount[128] = "/sys/fs/cgroup";
		if (*controllers != ':' && strncmp(controllers, "pids:", 5) == 0)
			strcpy(mount, "/sys/fs/cgroup/pids");
		else if (*controllers != ':')
			continue;
		if (!examine_group(mount, group + 1))
			break;
	}
	free(groups);
}

/* ---- filters, privileges, place ---- */

static int filters_of(pid_t pid)
{
	char *status = pid > 0 ? dp_proc_read(pid, "status", NULL) : NULL;
	const char *field = status ? dp_proc_field(status, "Seccomp_filters") : "";
	const int count = *field ? atoi(field) : -1;
	free(status);
	return count;
}

static void examine_seccomp(pid_t pid, const char *status)
{
	const int mode = atoi(dp_proc_field(status, "Seccomp"));
	const int parent = atoi(dp_proc_field(status, "PPid"));
	if (mode == 0) {
		dp_finding(DP_FINE, "seccomp", "no filter");
	} else if (mode == 1) {
		dp_finding(DP_NOT, "seccomp",
			"strict mode: the process may only read, write and return from signals, so nothing "
			"of ours may be done in it any more; profile it from outside (perf, Parca Agent)");
	} else if (!pid) {
		dp_finding(DP_FINE, "seccomp",
			"there is a filter, as containers have one; the lines below say what it allows");
	} else if (filters_of(pid) > filters_of(parent) && filters_of(parent) >= 0) {
		dp_finding(DP_LESS, "seccomp",
			"it has put a filter of its own over itself (%d, its parent %d): after that the "
			"library makes no system call, so the agent must have come before, within the first "
			"30 ms of CPU time; else profile from outside (perf, Parca Agent)",
			filters_of(pid), filters_of(parent));
	} else {
		dp_finding(DP_FINE, "seccomp",
			"it lives under the filter that it was started with, as in a container");
	}
}

static void examine_place(pid_t pid, const char *status)
{
	int is_subreaper = 0;
	if (!pid)
		prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper);
	const char *pids = dp_proc_field(status, "NSpid");
	const char *last = strrchr(pids, '\t');
	if (pid && atoi(last ? last + 1 : pids) == 1)
		dp_finding(DP_FINE, "init",
			"it is PID 1 of its container, which takes the agent along when it ends: an orderly "
			"end waits up to 3 s for the last window, SIGKILL loses it");
	if (is_subreaper)
		dp_finding(DP_FINE, "subreaper",
			"orphans come to this process: a nanny stands between it and the agent");
	if (atoi(dp_proc_field(status, "NoNewPrivs")))
		dp_finding(DP_FINE, "privileges",
			"no_new_privs is set: setuid programs gain nothing here, and so can be preloaded "
			"like others");
}

void dp_examine_limits(const struct dp_patient *patient)
{
	char *status = dp_proc_read(patient->pid, "status", NULL);
	char *limits = dp_proc_read(patient->pid, "limits", NULL);
	if (status && limits) {
		examine_sizes(limits);
		examine_room(patient->pid, limits, status);
		examine_tasks(limits, status);
	}
	free(limits);
	if (!status)
		return;
	examine_timers(patient->pid, status);
	examine_cgroup(patient->pid);
	examine_seccomp(patient->pid, status);
	examine_place(patient->pid, status);
	free(status);
}
