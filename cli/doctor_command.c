/* SPDX-License-Identifier: Apache-2.0
 * From what the user types to the program that the kernel will map: PATH, #! lines, and what cannot be run.
 */
#include "cli/doctor.h"

#include "symbols/elf_inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCRIPTS_MOST = 5 }; /* as many #! lines in a row as the kernel follows (fs/exec.c) */

/* Where execvp() would find the name. 0; -EACCES: found, but not to be executed; -ENOENT. */
static int find_in_path(const char *name, char *found, size_t size)
{
	const char *path = getenv("PATH");
	int error = -ENOENT;
	struct stat status;
	if (strchr(name, '/')) {
		snprintf(found, size, "%s", name);
		return 0; /* what is wrong with it is said later */
	}
	for (path = path ? path : "/bin:/usr/bin"; path; path = strchr(path, ':')) {
		path += *path == ':';
		const int length = (int)strcspn(path, ":");
		snprintf(found, size, "%.*s/%s", length ? length : 1, length ? path : ".", name);
		if (stat(found, &status) != 0 || !S_ISREG(status.st_mode))
			continue;
		if (access(found, X_OK) == 0)
			return 0;
		error = -EACCES;
	}
	return error;
}

/* The start of a file; its size, 0 when it is empty or not to be read. */
static size_t read_start(const char *path, char *start, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const ssize_t got = fd < 0 ? 0 : read(fd, start, size);
	if (fd >= 0)
		close(fd);
	return got > 0 ? (size_t)got : 0;
}

/* False: it cannot be run, and why was said. */
static bool may_be_run(const char *path)
{
	struct stat status;
	if (stat(path, &status) != 0)
		dp_finding(DP_NOT, "command", "%s: %s; check the name", path, strerror(errno));
	else if (S_ISDIR(status.st_mode))
		dp_finding(DP_NOT, "command", "%s is a directory; name the program in it", path);
	else if (!S_ISREG(status.st_mode))
		dp_finding(DP_NOT, "command", "%s is no regular file, so it cannot be run", path);
	else if (access(path, X_OK) != 0)
		dp_finding(
			DP_NOT, "command", "%s may not be executed: %s; chmod +x it", path, strerror(errno));
	else
		return true;
	return false;
}

/* Neither ELF nor #!: execvp() gives it to /bin/sh, as shells do. */
static bool is_shell_text(const char *path)
{
	char start[256];
	const size_t size = read_start(path, start, sizeof start);
	if (!size) {
		dp_finding(DP_NOT, "command", "%s is empty: there is nothing to run", path);
		return false;
	}
	if (memchr(start, 0, size)) {
		dp_finding(DP_NOT, "command", "%s is neither an ELF program nor a script: it cannot be run",
			path);
		return false;
	}
	dp_finding(DP_FINE, "script", "%s has no #! line; /bin/sh runs it", path);
	return true;
}

static bool find_interpreter(const char *script, const char *interpreter, char *found, size_t size)
{
	if (!*interpreter) {
		dp_finding(DP_LESS, "script",
			"%s: its #! line names no program, or one of too long a name, so /bin/sh runs it; "
			"correct the line",
			script);
		snprintf(found, size, "/bin/sh");
		return true;
	}
	const int error = find_in_path(interpreter, found, size);
	if (error || access(found, F_OK) != 0) {
		dp_finding(DP_NOT, "script", "%s: its interpreter %s: %s; install it or correct the #! line",
			script, interpreter, error ? strerror(-error) : strerror(errno));
		return false;
	}
	dp_finding(DP_FINE, "script", "%s is run by %s", script, found);
	return true;
}

bool dp_examine_command(struct dp_patient *patient, char **command)
{
	char path[PATH_MAX], next[PATH_MAX];
	struct dp_program program;
	const int error = find_in_path(command[0], path, sizeof path);
	if (error) {
		dp_finding(DP_NOT, "command", "%s: %s in PATH; check the name", command[0],
			error == -EACCES ? "nothing that may be executed" : "not found");
		return false;
	}
	if (strcmp(path, command[0]) != 0)
		dp_finding(DP_FINE, "command", "%s is %s", command[0], path);
	for (int scripts = 0;; scripts++) {
		if (!may_be_run(path) || dp_program_inspect(&program, path) != 0)
			return false;
		if (program.kind == DP_PROGRAM_ELF || program.kind == DP_PROGRAM_FOREIGN)
			break;
		if (scripts == SCRIPTS_MOST) {
			dp_finding(DP_NOT, "script",
				"%s: more than %d #! lines in a row, which the kernel does not follow", path,
				SCRIPTS_MOST);
			return false;
		}
		if (program.kind == DP_PROGRAM_OTHER) {
			patient->is_hidden = !program.is_readable;
			if (patient->is_hidden) {
				dp_finding(DP_LESS, "command",
					"%s may be executed but not read: what it is cannot be told; ask as "
					"root",
					path);
				return true;
			}
			if (!is_shell_text(path))
				return false;
			strcpy(next, "/bin/sh");
		} else if (!find_interpreter(path, program.interpreter, next, sizeof next)) {
			return false;
		}
		strcpy(path, next);
		patient->is_script = true;
	}
	const struct dp_subject subject = {.shown = path, .opened = path, .arguments = command};
	return dp_examine_program(patient, &subject);
}
