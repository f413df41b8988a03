/* SPDX-License-Identifier: Apache-2.0
 * Open addressing, at most half full, a full compare behind each hash. */
#include "export/unique.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 64, MOST = INT32_MAX / 4 };

static uint64_t hash_of(const uint8_t *bytes, size_t size)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ size, word;
	for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
		memcpy(&word, bytes, sizeof word);
		hash = dp_mix(hash, word);
	}
	while (size--)
		hash = (hash ^ *bytes++) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static int grow(struct dp_unique *table)
{
	const uint32_t capacity = table->capacity ? table->capacity * 2 : FIRST, mask = capacity * 2 - 1;
	if (capacity > MOST)
		return -ENOMEM;
	struct dp_unique_entry *at = realloc(table->at, capacity * sizeof *at);
	if (!at)
		return -ENOMEM;
	table->at = at;
	uint32_t *slots = calloc((size_t)capacity * 2, sizeof *slots);
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < table->count; i++) {
		uint32_t slot = (uint32_t)at[i].hash & mask;
		while (slots[slot])
			slot = (slot + 1) & mask;
		slots[slot] = i + 1;
	}
	free(table->slots);
	table->slots = slots;
	table->capacity = capacity;
	return 0;
}

int32_t dp_unique(struct dp_unique *table, struct dp_arena *arena, const void *bytes, size_t size)
{
	const uint64_t hash = hash_of(bytes, size);
	if (table->count == table->capacity && grow(table) != 0)
		return -ENOMEM;
	const uint32_t mask = table->capacity * 2 - 1;
	uint32_t slot = (uint32_t)hash & mask;
	for (; table->slots[slot]; slot = (slot + 1) & mask) {
		const struct dp_unique_entry *entry = &table->at[table->slots[slot] - 1];
		if (entry->hash == hash && entry->size == size && !memcmp(entry->bytes, bytes, size))
			return (int32_t)table->slots[slot] - 1;
	}
	const char *copy = dp_arena_copy(arena, bytes, size);
	if (!copy)
		return -ENOMEM;
	table->at[table->count] = (struct dp_unique_entry){copy, size, hash};
	table->slots[slot] = ++table->count;
	return (int32_t)table->count - 1;
}

void dp_unique_fini(struct dp_unique *table)
{
	free(table->at);
	free(table->slots);
	*table = (struct dp_unique){0};
}
