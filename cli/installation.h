/* SPDX-License-Identifier: Apache-2.0
 * Our own files, as the command finds them beside itself. */
#ifndef DEEPPROF_CLI_INSTALLATION_H
#define DEEPPROF_CLI_INSTALLATION_H

#include <limits.h>

struct dp_installation {
	char command[PATH_MAX]; /* the command itself */
	char library[PATH_MAX], agent[PATH_MAX];
};

/* 0; -ENOENT: library or agent is missing, its field is "". Nothing is said. */
int dp_installation_find(struct dp_installation *installation);

#endif
