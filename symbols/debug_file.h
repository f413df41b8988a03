/* SPDX-License-Identifier: Apache-2.0
 * Files and sections that hold names and lines apart from the code. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_DEBUG_FILE_H
#define DEEPPROF_SYMBOLS_DEBUG_FILE_H

#include "symbols/elf_file.h"

/* The debug file of path (as the host names it) whose code is file: by build-id, then by debuglink, under
 * root (NULL: /). 0, or -ENOENT. */
int dp_debug_file_open(
	struct dp_elf_file *debug, const struct dp_elf_file *file, const char *path, const char *root);
/* The file of shared debug information (dwz) named by link in a debug file at path, whose build-id it must
 * have. 0, or -ENOENT. */
int dp_alt_file_open(
	struct dp_elf_file *alt, const char *link, const char *build_id, const char *path, const char *root);
/* Symbols of static functions as distributions pack them into .gnu_debugdata. 0, or -ENOENT. */
int dp_mini_debug_open(struct dp_elf_file *mini, const struct dp_elf_file *file);

#endif
