/* SPDX-License-Identifier: Apache-2.0
 * A running process: is it profiled, by whom else, and would it be after a restart? */
#include "cli/doctor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { SOON_MS = 1000 }; /* of CPU time, within which an agent should have come */

struct process {
	pid_t pid;
	char *status, *maps; /* maps: NULL when not to be read */
	char program[PATH_MAX];
	bool has_program;
	bool is_loaded;
};

/* ---- who it is ---- */

static void say_owner(const struct process *process)
{
	const uid_t uid = (uid_t)strtoul(dp_proc_field(process->status, "Uid"), NULL, 10);
	const struct passwd *owner = getpwuid(uid);
	if (process->maps)
		return;
	if (uid != geteuid())
		dp_finding(DP_LESS, "owner",
			"process %d belongs to %s (uid %u): what only its owner may see is left out; ask as "
			"that user or as root",
			(int)process->pid, owner ? owner->pw_name : "another user", (unsigned)uid);
	else
		dp_finding(DP_LESS, "owner",
			"process %d keeps its memory map from its own user (it changed its privileges, or "
			"may not be dumped): ask as root",
			(int)process->pid);
}

/* False: it is nothing that could be profiled, and that was said. */
static bool is_profilable(const struct process *process)
{
	const char state = *dp_proc_field(process->status, "State");
	if (state == 'Z' || state == 'X')
		dp_finding(DP_NOT, "process", "process %d has ended and waits to be reaped by its parent",
			(int)process->pid);
	else if (!*dp_proc_field(process->status, "VmSize"))
		dp_finding(DP_NOT, "process",
			"process %d is a thread of the kernel; perf shows what the kernel does",
			(int)process->pid);
	else
		return true;
	return false;
}

/* Reads its status; a thread's id leads to its process. False: there is none, and that was said. */
static bool find_process(struct process *process)
{
	process->status = dp_proc_read(process->pid, "status", NULL);
	if (!process->status) {
		if (kill(process->pid, 0) == 0 || errno == EPERM)
			dp_finding(DP_NOT, "process",
				"process %d is there but /proc does not show it (another user's, hidepid): "
				"ask as root",
				(int)process->pid);
		else
			dp_finding(DP_NOT, "process", "there is no process %d", (int)process->pid);
		return false;
	}
	const pid_t leader = (pid_t)atoi(dp_proc_field(process->status, "Tgid"));
	if (leader > 0 && leader != process->pid) {
		dp_finding(DP_FINE, "process", "%d is a thread of process %d, which is looked at",
			(int)process->pid, (int)leader);
		process->pid = leader;
		free(process->status);
		return find_process(process);
	}
	return true;
}

/* ---- is it profiled? ---- */

/* A file's name in the last column of maps. */
static bool has_mapped(const char *maps, const char *name)
{
	for (const char *at = maps; at && (at = strstr(at, name)); at++)
		if (at > maps && (at[-1] == '/' || !strncmp(name, "/memfd:", 7)))
			return true;
	return false;
}

/* An agent holds a pidfd of each process it serves. 0: nobody does. */
static pid_t holder_of(pid_t agent, pid_t pid)
{
	char path[64], name[320];
	snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)agent);
	DIR *files = opendir(path);
	pid_t holder = files ? 0 : -1;
	for (struct dirent *entry; files && holder <= 0 && (entry = readdir(files));) {
		snprintf(name, sizeof name, "fdinfo/%s", entry->d_name);
		char *info = isdigit((unsigned char)*entry->d_name) ? dp_proc_read(agent, name, NULL) : NULL;
		if (info && atoi(dp_proc_field(info, "Pid")) == pid)
			holder = agent;
		free(info);
	}
	if (files)
		closedir(files);
	return holder;
}

/* Its agent; 0: none has it; -1: there are agents into which we may not look. */
static pid_t find_agent(pid_t pid)
{
	DIR *proc = opendir("/proc");
	pid_t found = 0;
	for (struct dirent *entry; proc && found <= 0 && (entry = readdir(proc));) {
		const pid_t other = (pid_t)atoi(entry->d_name);
		char *name = other > 0 ? dp_proc_read(other, "comm", NULL) : NULL;
		if (name && !strncmp(name, "deepprof-agent", 14)) {
			const pid_t holder = holder_of(other, pid);
			found = holder ? holder : found;
		}
		free(name);
	}
	if (proc)
		closedir(proc);
	return found;
}

static uint64_t cpu_ms(pid_t pid)
{
	clockid_t clock;
	struct timespec used = {0};
	if (clock_getcpuclockid(pid, &clock) == 0)
		clock_gettime(clock, &used);
	return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

/* Threads that have a timer of ours: SIGPROF with our cookie (capture/thread_signal.c). -1: the kernel does
 * not say. */
static int count_timers(pid_t pid)
{
	char ours[32];
	char *timers = dp_proc_read(pid, "timers", NULL);
	if (!timers)
		return -1;
	int count = 0;
	snprintf(ours, sizeof ours, "signal: %d/", SIGPROF);
	for (const char *at = timers; (at = strstr(at, ours)); at++)
		count += strtoull(at + strlen(ours), NULL, 16) >> 48 == 0xd9f0;
	free(timers);
	return count;
}

static void examine_agent(const struct process *process)
{
	const pid_t agent = find_agent(process->pid);
	const uint64_t used_ms = cpu_ms(process->pid);
	if (has_mapped(process->maps, "libdeepprof-agent.so"))
		dp_finding(DP_FINE, "agent", "it runs inside the process, as a thread (agent=thread)");
	else if (agent > 0)
		dp_finding(DP_FINE, "agent", "deepprof-agent, process %d, serves it", (int)agent);
	else if (agent < 0)
		dp_finding(DP_LESS, "agent",
			"there is a deepprof-agent of another user, into which only root may look");
	else if (has_mapped(process->maps, "/memfd:deepprof"))
		dp_finding(DP_LESS, "agent",
			"the agent that served it is gone; the library looks for another within a few "
			"seconds of CPU time, what it recorded since is lost");
	else if (used_ms < SOON_MS)
		dp_finding(DP_FINE, "agent",
			"none yet: it has used %llu ms of CPU time, and the third sample brings one",
			(unsigned long long)used_ms);
	else
		dp_finding(DP_NOT, "agent",
			"no deepprof-agent serves it, after %.1f s of CPU time: the lines below say what may "
			"be in the way",
			(double)used_ms / 1000);
}

static void examine_loaded(const struct process *process)
{
	const int timers = count_timers(process->pid);
	const int threads = atoi(dp_proc_field(process->status, "Threads"));
	dp_finding(DP_FINE, "loaded", "libdeepprof.so is in process %d", (int)process->pid);
	if (!timers) {
		dp_finding(DP_NOT, "timers",
			"none of its threads has a timer of ours: the settings below switch it off, or a "
			"seccomp filter came that does not let a signal handler return");
		return;
	}
	if (timers > 0 && timers < threads)
		dp_finding(DP_FINE, "timers",
			"%d of %d threads have a timer; the others get one when they are seen to compute",
			timers, threads);
	else if (timers > 0)
		dp_finding(DP_FINE, "timers", "each of its %d threads has a timer", threads);
	examine_agent(process);
}

static void examine_unloaded(const struct process *process, const struct dp_patient *patient)
{
	const char *preload = dp_variable(patient->environment, "LD_PRELOAD");
	if (!process->maps)
		dp_finding(DP_LESS, "loaded", "whether libdeepprof.so is in process %d cannot be seen",
			(int)process->pid);
	else if (preload && strstr(preload, "libdeepprof.so"))
		dp_finding(DP_NOT, "loaded",
			"LD_PRELOAD names libdeepprof.so, but it is not in process %d: a line below says "
			"why, or the file was not there",
			(int)process->pid);
	else
		dp_finding(DP_NOT, "loaded",
			"libdeepprof.so is not in process %d and a running native program cannot be made to "
			"load it: start it again with LD_PRELOAD=%s; the lines below say how that would go",
			(int)process->pid,
			*patient->files.library ? patient->files.library : "/path/to/libdeepprof.so");
}

/* ---- company ---- */

static void examine_company(const struct process *process)
{
	static const struct {
		const char *file, *title;
	} profilers[] = {
		{"libprofiler.so", "gperftools' CPU profiler"},
		{"libtcmalloc_and_profiler.so", "gperftools' CPU profiler"},
		{"libdd_profiling", "Datadog's ddprof"},
		{"libddprof", "Datadog's ddprof"},
		{"libasyncProfiler.so", "async-profiler"},
		{"libjavaProfiler", "Datadog's Java profiler"},
		{"libpyroscope", "a Pyroscope client"},
	};
	for (size_t i = 0; process->maps && i < sizeof profilers / sizeof profilers[0]; i++)
		if (has_mapped(process->maps, profilers[i].file))
			dp_finding(DP_LESS, "profilers",
				"%s (%s) is in it too: use one CPU profiler at a time, each sees the other's "
				"cost",
				profilers[i].file, profilers[i].title);
	const uint64_t caught = strtoull(dp_proc_field(process->status, "SigCgt"), NULL, 16);
	if (process->maps && !process->is_loaded && caught >> (SIGPROF - 1) & 1)
		dp_finding(DP_FINE, "SIGPROF",
			"it has a handler of its own (a profiler's?): under libdeepprof.so it keeps the "
			"signals that are its own");
}

/* ---- its program ---- */

/* Is the file at this path still the one that runs? */
static bool is_still_there(pid_t pid, const char *path)
{
	char exe[64];
	struct stat there, running;
	snprintf(exe, sizeof exe, "/proc/%d/exe", (int)pid);
	return stat(path, &there) == 0 && stat(exe, &running) == 0 && there.st_dev == running.st_dev &&
	       there.st_ino == running.st_ino;
}

static void examine_jit(const struct process *process, const struct dp_patient *patient)
{
	char path[PATH_MAX];
	const char *pids = dp_proc_field(process->status, "NSpid");
	const char *last = strrchr(pids, '\t');
	snprintf(path, sizeof path, "%s/tmp/perf-%d.map", patient->root,
		last ? atoi(last + 1) : (int)process->pid);
	if (access(path, R_OK) == 0)
		dp_finding(DP_FINE, "perf map", "%s names code that is compiled at run time",
			path + strlen(patient->root));
}

static bool examine_its_program(const struct process *process, const struct dp_patient *patient)
{
	char placed[PATH_MAX + 64], exe[64];
	struct dp_subject subject = {.shown = process->program, .opened = placed, .is_running = true};
	if (!process->has_program)
		return true;
	snprintf(placed, sizeof placed, "%s%s", patient->root, process->program);
	if (!is_still_there(process->pid, placed)) {
		dp_finding(DP_LESS, "program",
			"%s is no longer the file that runs (it was replaced or removed): names of what runs "
			"cannot be found; start the program again",
			process->program);
		snprintf(exe, sizeof exe, "/proc/%d/exe", (int)process->pid);
		subject.opened = exe;
	}
	subject.arguments = dp_proc_read_list(process->pid, "cmdline");
	const bool is_open = dp_examine_program(patient, &subject);
	dp_proc_free_list(subject.arguments);
	examine_jit(process, patient);
	return is_open;
}

static bool is_own_root(pid_t pid)
{
	char root[64];
	struct stat its, ours;
	snprintf(root, sizeof root, "/proc/%d/root/", (int)pid);
	return stat(root, &its) != 0 || stat("/", &ours) != 0 ||
	       (its.st_dev == ours.st_dev && its.st_ino == ours.st_ino);
}

bool dp_examine_process(struct dp_patient *patient)
{
	static char root[64], directory[64];
	static struct process process;
	process = (struct process){.pid = patient->pid};
	if (!find_process(&process) || !is_profilable(&process))
		return false;
	patient->pid = process.pid;
	snprintf(root, sizeof root, "/proc/%d/root", (int)process.pid);
	snprintf(directory, sizeof directory, "/proc/%d/cwd", (int)process.pid);
	patient->root = is_own_root(process.pid) ? "" : root;
	patient->directory = directory;
	patient->environment = dp_proc_read_list(process.pid, "environ"); /* lives as long as we */
	process.maps = dp_proc_read(process.pid, "maps", NULL);
	process.has_program = dp_proc_link(process.pid, "exe", process.program, sizeof process.program);
	process.is_loaded = process.maps && has_mapped(process.maps, "libdeepprof.so");
	patient->is_hidden = !process.maps;
	say_owner(&process);
	if (process.is_loaded)
		examine_loaded(&process);
	else
		examine_unloaded(&process, patient);
	examine_company(&process);
	const bool is_open = examine_its_program(&process, patient);
	free(process.maps);
	free(process.status);
	return is_open;
}
