/* SPDX-License-Identifier: Apache-2.0
 * An arena: memory that is freed whole. One profile window is one arena. Agent only. */
#ifndef DEEPPROF_BASE_ARENA_H
#define DEEPPROF_BASE_ARENA_H

#include <stddef.h>

struct dp_arena_block;

struct dp_arena {
	struct dp_arena_block *blocks; /* newest first */
	size_t used_bytes;             /* handed out in all */
	size_t cap_bytes;              /* 0: no cap */
};

/* cap_bytes: most that dp_arena_alloc() will hand out in all; 0 for no cap. */
void dp_arena_init(struct dp_arena *arena, size_t cap_bytes);
/* Zeroed, 16-byte aligned. NULL when the cap or the memory is reached. */
void *dp_arena_alloc(struct dp_arena *arena, size_t size);
/* A NUL-terminated copy of size bytes. NULL like dp_arena_alloc(). */
char *dp_arena_copy(struct dp_arena *arena, const char *text, size_t size);
void dp_arena_fini(struct dp_arena *arena);

#endif
