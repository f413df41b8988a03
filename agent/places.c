/* SPDX-License-Identifier: Apache-2.0
 * A hash table of words. An entry that is not filled stays free for its word, and is asked for again. */
#include "agent/places.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 64, MOST_SIZE = 1 << 17 };

void dp_places_begin(struct dp_places *places, uint32_t runtimes)
{
	if (places->runtimes != runtimes)
		dp_places_fini(places);
	places->runtimes = runtimes;
	places->window++;
}

static struct dp_place *slot_of(const struct dp_places *places, uint64_t word, uint32_t generation)
{
	const uint64_t hash = (word ^ (uint64_t)generation << 40) * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t at = (uint32_t)(hash >> 32) & (places->size - 1);
	while (places->at[at].word && (places->at[at].word != word || places->at[at].generation != generation))
		at = (at + 1) & (places->size - 1);
	return &places->at[at];
}

static bool is_believed(const struct dp_places *places, const struct dp_place *place)
{
	return place->location >= 0 && (place->is_lasting || place->window == places->window);
}

/* Twice as large, without what is no longer believed; too large, without everything. */
static bool make_room(struct dp_places *places)
{
	const struct dp_places former = *places;
	if (places->count * 2 < places->size)
		return true;
	if (former.size == MOST_SIZE) {
		memset(places->at, 0, former.size * sizeof *places->at);
		places->count = 0;
		return true;
	}
	places->size = former.size ? former.size * 2 : FIRST_SIZE;
	places->at = calloc(places->size, sizeof *places->at);
	if (!places->at) {
		*places = former;
		return false;
	}
	places->count = 0;
	for (uint32_t i = 0; i < former.size; i++)
		if (former.at[i].word && is_believed(places, &former.at[i])) {
			*slot_of(places, former.at[i].word, former.at[i].generation) = former.at[i];
			places->count++;
		}
	free(former.at);
	return true;
}

struct dp_place *dp_places_find(struct dp_places *places, uint64_t word, uint32_t generation)
{
	if (!make_room(places))
		return NULL;
	struct dp_place *place = slot_of(places, word, generation);
	if (place->word && is_believed(places, place))
		return place;
	places->count += !place->word;
	*place = (struct dp_place){.word = word, .generation = generation, .window = places->window, .location = -1};
	return place;
}

void dp_places_fini(struct dp_places *places)
{
	free(places->at);
	*places = (struct dp_places){.window = places->window};
}
