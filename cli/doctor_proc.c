/* SPDX-License-Identifier: Apache-2.0
 * Files of /proc, which have no size before they are read and may vanish at any moment. */
#include "cli/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MOST = 64 << 20 }; /* maps of a large process have megabytes */

static void name_file(char *path, size_t size, pid_t pid, const char *name)
{
	if (pid)
		snprintf(path, size, "/proc/%d/%s", (int)pid, name);
	else
		snprintf(path, size, "/proc/self/%s", name);
}

char *dp_proc_read(pid_t pid, const char *name, size_t *size)
{
	char path[256];
	size_t used = 0, room = 4096;
	char *bytes = NULL;
	if (*name == '/' || *name == '.')
		snprintf(path, sizeof path, "%s", name);
	else
		name_file(path, sizeof path, pid, name);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	ssize_t got;
	do {
		char *more = bytes && room - used > 1 ? bytes : realloc(bytes, room *= 2);
		if (!more) {
			got = -1;
			break;
		}
		bytes = more;
		got = read(fd, bytes + used, room - used - 1);
		used += got > 0 ? (size_t)got : 0;
	} while (got > 0 && used < FILE_MOST);
	const int error = errno;
	close(fd);
	if (got < 0) {
		free(bytes);
		errno = error;
		return NULL;
	}
	bytes[used] = 0;
	if (size)
		*size = used;
	return bytes;
}

char **dp_proc_read_list(pid_t pid, const char *name)
{
	size_t size, count = 0;
	char *bytes = dp_proc_read(pid, name, &size);
	if (!bytes)
		return NULL;
	for (size_t i = 0; i < size; i++)
		count += !bytes[i] || i + 1 == size;
	char **list = malloc((count + 2) * sizeof *list);
	if (!list) {
		free(bytes);
		return NULL;
	}
	*list++ = bytes; /* kept before the first entry, to be freed */
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		list[i] = bytes + at;
		at += strlen(bytes + at) + 1;
	}
	list[count] = NULL;
	return list;
}

void dp_proc_free_list(char **list)
{
	if (!list)
		return;
	free(list[-1]);
	free(list - 1);
}

const char *dp_proc_field(const char *status, const char *name)
{
	static char value[256];
	const size_t length = strlen(name);
	for (const char *line = status; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) != 0 || line[length] != ':')
			continue;
		line += length + 1;
		line += strspn(line, " \t");
		snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\n"), line);
		return value;
	}
	return "";
}

bool dp_proc_link(pid_t pid, const char *name, char *target, size_t size)
{
	char path[256];
	name_file(path, sizeof path, pid, name);
	const ssize_t length = readlink(path, target, size - 1);
	target[length > 0 ? length : 0] = 0;
	return length > 0;
}

const char *dp_variable(char *const *environment, const char *name)
{
	const size_t size = strlen(name);
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, name, size) && (*environment)[size] == '=')
			return *environment + size + 1;
	return NULL;
}
