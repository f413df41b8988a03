/* SPDX-License-Identifier: Apache-2.0
 * Readable names of linker symbols. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_DEMANGLE_H
#define DEEPPROF_SYMBOLS_DEMANGLE_H

#include <stddef.h>

enum { DP_NAME_BYTES_MOST = 4096 };

/* C++ and Rust names without parameters, hashes, clones' suffixes and versions; other names lose their suffix
 * alone. The result is cut to name[size] as it is needed (size > 0) and is never longer than
 * DP_NAME_BYTES_MOST; a name whose readable form would be longer stays as the linker knows it. */
void dp_demangle(const char *system_name, char *name, size_t size);

#endif
