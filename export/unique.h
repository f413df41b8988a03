/* SPDX-License-Identifier: Apache-2.0
 * A table in which equal bytes stand once: texts, or rows of numbers. An entry's index is its place in the
 * order in which entries came. Agent and command only. */
#ifndef DEEPPROF_EXPORT_UNIQUE_H
#define DEEPPROF_EXPORT_UNIQUE_H

#include "base/arena.h"

#include <stddef.h>
#include <stdint.h>

struct dp_unique_entry {
	const void *bytes; /* in the arena, 8-byte aligned, a 0 behind them */
	size_t size;
	uint64_t hash;
};

/* Zeroed memory is an empty table. The entries' bytes live in the caller's arena. */
struct dp_unique {
	struct dp_unique_entry *at;
	uint32_t count, capacity;
	uint32_t *slots; /* index + 1, 0 is free; capacity * 2 of them */
};

/* The index of the equal entry, added where there is none. -ENOMEM. */
int32_t dp_unique(struct dp_unique *table, struct dp_arena *arena, const void *bytes, size_t size);
void dp_unique_fini(struct dp_unique *table);

#endif
