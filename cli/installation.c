/* SPDX-License-Identifier: Apache-2.0
 * The build's folder, and what `cmake --install` makes of it on the usual distributions. */
#include "cli/installation.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static bool try_path(char *path, const char *directory, const char *rest)
{
	return (size_t)snprintf(path, PATH_MAX, "%s/%s", directory, rest) < PATH_MAX &&
	       access(path, R_OK) == 0;
}

static void resolve(char *path)
{
	char *resolved = realpath(path, NULL);
	if (resolved)
		snprintf(path, PATH_MAX, "%s", resolved);
	free(resolved);
}

/* Where /proc is not mounted, the kernel's word at the start remains. */
static bool find_command(char *path)
{
	const ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
	path[size > 0 ? size : 0] = 0;
	if (size > 0)
		return true;
	const char *started = (const char *)getauxval(AT_EXECFN);
	if (started && access(started, R_OK) == 0)
		snprintf(path, PATH_MAX, "%s", started);
	resolve(path);
	return *path;
}

int dp_installation_find(struct dp_installation *installation)
{
	static const char *const places[] = {
		".", "../lib", "../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu", "../lib64"};
	char folder[PATH_MAX], rest[128];
	*installation = (struct dp_installation){0};
	if (!find_command(installation->command))
		return -ENOENT;
	strcpy(folder, installation->command);
	*strrchr(folder, '/') = 0;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		snprintf(rest, sizeof rest, "%s/libdeepprof.so", places[i]);
		if (!try_path(installation->library, folder, rest))
			continue;
		resolve(installation->library);
		snprintf(rest, sizeof rest, "%s/deepprof/deepprof-agent", places[i]);
		if (try_path(installation->agent, folder, rest))
			return 0;
		snprintf(rest, sizeof rest, "%s/deepprof-agent", places[i]);
		if (try_path(installation->agent, folder, rest))
			return 0;
		*installation->agent = 0;
		return -ENOENT;
	}
	*installation->library = 0;
	return -ENOENT;
}
