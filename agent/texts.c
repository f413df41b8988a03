/* SPDX-License-Identifier: Apache-2.0
 * Texts hashed as they came, turned into UTF-8 once. */
#include "agent/texts.h"

#include "runtimes/names.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024, COUNT_MOST = 64 * 1024, BYTES_MOST = 8 * 1024 * 1024 };

struct dp_text {
	struct dp_text *next;
	uint32_t number, size;
	uint8_t width;
	uint8_t bytes[];
};

static uint32_t bucket_of(const uint8_t *bytes, uint32_t size)
{
	uint32_t hash = 0x811c9dc5;
	for (uint32_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x01000193; /* FNV-1a */
	return (hash ^ hash >> 16) % BUCKETS;
}

static int make_room(struct dp_texts *texts)
{
	if (!texts->buckets) {
		texts->buckets = calloc(BUCKETS, sizeof *texts->buckets);
		dp_arena_init(&texts->arena, BYTES_MOST);
	}
	if (!texts->buckets || texts->count == COUNT_MOST)
		return 0;
	if (texts->count + 1 < texts->capacity)
		return 1;
	const uint32_t capacity = texts->capacity ? texts->capacity * 2 : 64;
	const char **at = realloc(texts->at, capacity * sizeof *at);
	if (!at)
		return 0;
	texts->at = at;
	texts->capacity = capacity;
	return 1;
}

uint32_t dp_texts_add(struct dp_texts *texts, const uint8_t *bytes, uint32_t size, unsigned width)
{
	const uint32_t bucket = bucket_of(bytes, size);
	for (const struct dp_text *text = texts->buckets ? texts->buckets[bucket] : NULL; text; text = text->next)
		if (text->size == size && text->width == width && !memcmp(text->bytes, bytes, size))
			return text->number;
	if (!make_room(texts))
		return 0;
	char *utf8 = dp_utf8_of(bytes, size, width);
	const char *kept = utf8 ? dp_arena_copy(&texts->arena, utf8, strlen(utf8)) : NULL;
	struct dp_text *text = kept ? dp_arena_alloc(&texts->arena, sizeof *text + size) : NULL;
	free(utf8);
	if (!text)
		return 0;
	text->next = texts->buckets[bucket];
	text->number = ++texts->count;
	text->size = size;
	text->width = (uint8_t)width;
	memcpy(text->bytes, bytes, size);
	texts->buckets[bucket] = text;
	texts->at[text->number] = kept;
	return text->number;
}

const char *dp_texts_at(const struct dp_texts *texts, uint32_t number)
{
	return number && number <= texts->count ? texts->at[number] : NULL;
}

void dp_texts_clear(struct dp_texts *texts)
{
	if (texts->buckets)
		dp_arena_fini(&texts->arena);
	free(texts->buckets);
	free(texts->at);
	*texts = (struct dp_texts){0};
}
