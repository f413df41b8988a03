/* SPDX-License-Identifier: Apache-2.0
 * The `deepprof` command: one function a subcommand; each returns the exit status. */
#ifndef DEEPPROF_CLI_CLI_H
#define DEEPPROF_CLI_CLI_H

#include "base/profile.h"

int dp_cli_run(int argc, char **argv);
int dp_cli_report(int argc, char **argv);
int dp_cli_doctor(int argc, char **argv);

/* Reads a pprof file. 0 or -errno; nothing is said. */
int dp_cli_read_profile(const char *path, struct dp_profile **profile);

#endif
