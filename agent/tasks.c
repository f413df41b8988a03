/* SPDX-License-Identifier: Apache-2.0
 * Reads /proc/PID/task. */
#include "agent/tasks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_listed(const struct dp_region *region, uint32_t tid)
{
	for (uint32_t i = 0; i < DP_THREAD_MAX; i++)
		if (dp_load_relaxed(&region->threads[i].tid) == tid)
			return true;
	return false;
}

unsigned dp_tasks_without_timer(int32_t pid, const struct dp_region *region, uint32_t *tids, unsigned max)
{
	char path[64];
	unsigned count = 0;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	for (struct dirent *entry; tasks && count < max && (entry = readdir(tasks));) {
		const uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
		if (tid && !is_listed(region, tid))
			tids[count++] = tid;
	}
	if (tasks)
		closedir(tasks);
	return count;
}

void dp_task_name(int32_t pid, uint32_t tid, char *name, size_t size)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%u/comm", pid, tid);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, name, size - 1) : 0;
	if (fd >= 0)
		close(fd);
	while (got > 0 && name[got - 1] == '\n')
		got--;
	name[got > 0 ? got : 0] = 0;
}
