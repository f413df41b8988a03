/* SPDX-License-Identifier: Apache-2.0
 * An arena of growing blocks; nothing is freed before all is. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BLOCK = 16 * 1024, LARGEST_BLOCK = 1024 * 1024, ALIGNMENT = 16 };

struct dp_arena_block {
	struct dp_arena_block *next;
	size_t size, used;
	_Alignas(ALIGNMENT) char bytes[];
};

void dp_arena_init(struct dp_arena *arena, size_t cap_bytes)
{
	*arena = (struct dp_arena){.cap_bytes = cap_bytes};
}

static struct dp_arena_block *grow(struct dp_arena *arena, size_t need)
{
	size_t size = arena->blocks ? arena->blocks->size * 2 : FIRST_BLOCK;
	if (size > LARGEST_BLOCK)
		size = LARGEST_BLOCK;
	if (size < need)
		size = need;
	struct dp_arena_block *block = malloc(sizeof *block + size);
	if (!block)
		return NULL;
	block->size = size;
	block->used = 0;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

void *dp_arena_alloc(struct dp_arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (arena->cap_bytes && (size > arena->cap_bytes || arena->used_bytes > arena->cap_bytes - size))
		return NULL;
	struct dp_arena_block *block = arena->blocks;
	if (!block || block->size - block->used < size)
		block = grow(arena, size);
	if (!block)
		return NULL;
	void *memory = block->bytes + block->used;
	block->used += size;
	arena->used_bytes += size;
	return memset(memory, 0, size);
}

char *dp_arena_copy(struct dp_arena *arena, const char *text, size_t size)
{
	char *copy = dp_arena_alloc(arena, size + 1);
	if (copy)
		memcpy(copy, text, size);
	return copy;
}

void dp_arena_fini(struct dp_arena *arena)
{
	while (arena->blocks) {
		struct dp_arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
	*arena = (struct dp_arena){0};
}
