/* SPDX-License-Identifier: Apache-2.0
 * The build's folder, and what `cmake --install` makes of it on the usual distributions. */
#include "cli/installation.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool try_path(char *path, const char *directory, const char *rest)
{
	return (size_t)snprintf(path, PATH_MAX, "%s/%s", directory, rest) < PATH_MAX && access(path, R_OK) == 0;
}

static void resolve(char *path)
{
	char *resolved = realpath(path, NULL);
	if (resolved)
		snprintf(path, PATH_MAX, "%s", resolved);
	free(resolved);
}

int dp_installation_find(struct dp_installation *installation)
{
	static const char *const places[] = {
		".", "../lib", "../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu", "../lib64"};
	char *self = installation->command, rest[128];
	*installation = (struct dp_installation){0};
	const ssize_t size = readlink("/proc/self/exe", self, PATH_MAX - 1);
	if (size <= 0)
		return -ENOENT;
	self[size] = 0;
	*strrchr(self, '/') = 0;
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		snprintf(rest, sizeof rest, "%s/libdeepprof.so", places[i]);
		if (!try_path(installation->library, self, rest))
			continue;
		resolve(installation->library);
		snprintf(rest, sizeof rest, "%s/deepprof/deepprof-agent", places[i]);
		if (try_path(installation->agent, self, rest))
			return 0;
		snprintf(rest, sizeof rest, "%s/deepprof-agent", places[i]);
		if (try_path(installation->agent, self, rest))
			return 0;
		*installation->agent = 0;
		return -ENOENT;
	}
	*installation->library = 0;
	return -ENOENT;
}
