/* SPDX-License-Identifier: Apache-2.0
 * The parser of a perf map over bytes; symbols.h has what the agent calls. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_PERF_MAP_H
#define DEEPPROF_SYMBOLS_PERF_MAP_H

#include "symbols/symbols.h"

enum { DP_PERF_MAP_LINE_MOST = 32 * 1024 }; /* a longer line is cut */

/* The next bytes of the file. Returns how many were taken: whole lines, or all when they are one line that is
 * longer than any of ours; the rest is to be given again with what follows it. */
size_t dp_perf_map_take(struct dp_perf_map *map, const char *bytes, size_t size);
/* Of what was taken. NULL: no name there. */
const char *dp_perf_map_name(struct dp_perf_map *map, uint64_t address);

#endif
