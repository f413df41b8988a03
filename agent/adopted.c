/* SPDX-License-Identifier: Apache-2.0
 * A subreaper, and the init of a pid name space, inherit what their descendants leave behind, and so an agent that one
 * of those has started. A host that waits for all its children then waits for us, and we for its end. */
#include "agent/adopted.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The file's first bytes as text; empty when there are none. */
static void read_text(char *text, size_t size, const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t got = fd >= 0 ? read(fd, text, size - 1) : 0;
	text[got > 0 ? got : 0] = 0;
	if (fd >= 0)
		close(fd);
}

/* A zombie whose parent does not take it is one of ours, of a kind that plain wait() does not see. */
static bool is_alive(int32_t pid)
{
	char path[64], text[512];
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	read_text(text, sizeof text, path);
	const char *state = strrchr(text, ')');
	return state && state[1] == ' ' && state[2] != 'Z' && state[2] != 'X';
}

static bool has_another_child(const char *task)
{
	char path[96], text[4096];
	snprintf(path, sizeof path, "%s/children", task);
	read_text(text, sizeof text, path);
	for (char *at = text, *end; *at; at = end) {
		const long child = strtol(at, &end, 10);
		if (end == at)
			break;
		if (child != getpid() && is_alive((int32_t)child))
			return true;
	}
	return false;
}

bool dp_is_waited_for_by(int32_t pid)
{
	char path[64], task[80], text[64];
	bool is_waiting = false, is_alone = true;
	if (pid != getppid())
		return false;
	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	for (struct dirent *entry; tasks && is_alone && (entry = readdir(tasks));) {
		if (*entry->d_name == '.' || strlen(entry->d_name) > 10)
			continue;
		snprintf(task, sizeof task, "%s/%.10s", path, entry->d_name);
		is_alone = !has_another_child(task);
		char wait_channel[96];
		snprintf(wait_channel, sizeof wait_channel, "%s/wchan", task);
		read_text(text, sizeof text, wait_channel);
		is_waiting |= !strcmp(text, "do_wait");
	}
	if (tasks)
		closedir(tasks);
	return is_waiting && is_alone;
}
