/* SPDX-License-Identifier: Apache-2.0
 * Names and texts that live as long as their object, each once; demangling is slow, so it is done once too.
 */
#include "symbols/name_pool.h"

#include "base/hash.h"
#include "symbols/demangle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MOST = 64 * 1024 };

void dp_name_pool_init(struct dp_name_pool *pool)
{
	*pool = (struct dp_name_pool){0};
	dp_arena_init(&pool->arena, 0);
}

static uint32_t hash_of(const char *text, size_t size)
{
	uint64_t hash = dp_mix(0, size), word = 0;
	for (; size >= sizeof word; size -= sizeof word, text += sizeof word) {
		memcpy(&word, text, sizeof word);
		hash = dp_mix(hash, word);
	}
	word = 0;
	memcpy(&word, text, size);
	hash = dp_mix(hash, word);
	return (uint32_t)(hash ^ hash >> 32);
}

static bool grow(struct dp_name_pool *pool)
{
	const size_t room = pool->room ? 2 * pool->room : 64;
	struct dp_pooled_name *slots = calloc(room, sizeof *slots);
	if (!slots)
		return false;
	for (size_t i = 0; i < pool->room; i++) {
		if (!pool->slots[i].system_name)
			continue;
		size_t at = pool->slots[i].hash & (room - 1);
		while (slots[at].system_name)
			at = (at + 1) & (room - 1);
		slots[at] = pool->slots[i];
	}
	free(pool->slots);
	pool->slots = slots;
	pool->room = room;
	return true;
}

/* The slot of text; its name is NULL until somebody asked for it. */
static struct dp_pooled_name *slot_of(struct dp_name_pool *pool, const char *text)
{
	const size_t size = strnlen(text, TEXT_BYTES_MOST);
	const uint32_t hash = hash_of(text, size);
	if (pool->count * 4 >= pool->room * 3 && !grow(pool))
		return NULL;
	size_t at = hash & (pool->room - 1);
	for (; pool->slots[at].system_name; at = (at + 1) & (pool->room - 1)) {
		const char *there = pool->slots[at].system_name;
		if (pool->slots[at].hash == hash && !strncmp(there, text, size) && !there[size])
			return &pool->slots[at];
	}
	const char *copy = dp_arena_copy(&pool->arena, text, size);
	if (!copy)
		return NULL;
	pool->slots[at] = (struct dp_pooled_name){.hash = hash, .system_name = copy};
	pool->count++;
	return &pool->slots[at];
}

const struct dp_pooled_name *dp_name_pool_symbol(struct dp_name_pool *pool, const char *system_name)
{
	struct dp_pooled_name *slot = slot_of(pool, system_name);
	if (!slot || slot->name)
		return slot;
	char name[DP_NAME_BYTES_MOST];
	dp_demangle(slot->system_name, name, sizeof name);
	slot->name = !strcmp(name, slot->system_name) ? slot->system_name
						      : dp_arena_copy(&pool->arena, name, strlen(name));
	if (!slot->name)
		slot->name = slot->system_name;
	return slot;
}

const char *dp_name_pool_text(struct dp_name_pool *pool, const char *text)
{
	const struct dp_pooled_name *slot = slot_of(pool, text);
	return slot ? slot->system_name : NULL;
}

size_t dp_name_pool_memory(const struct dp_name_pool *pool)
{
	return pool->arena.used_bytes + pool->room * sizeof *pool->slots;
}

void dp_name_pool_fini(struct dp_name_pool *pool)
{
	dp_arena_fini(&pool->arena);
	free(pool->slots);
	*pool = (struct dp_name_pool){0};
}
