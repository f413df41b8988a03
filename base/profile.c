/* SPDX-License-Identifier: Apache-2.0
 * The profile builder: every table deduplicated by a hash with a full compare behind it. */
#include "base/profile.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing. Outside the arena: rebuilt when it grows, by the hashes it keeps. */
struct slot {
	uint32_t hash;
	uint32_t entry; /* index + 1 in its table; 0: free */
};

struct index {
	struct slot *slots;
	uint32_t size, count;
};

struct text {
	const char *at;
	size_t size;
};

struct dp_profile_index {
	struct index strings, mappings, functions, locations, samples;
	DP_TABLE(struct text) texts;
	bool has_overflow; /* until then functions, locations and samples keep one entry free for it */
};

/* ---- hashing ---- */

static uint64_t hash_bytes(const char *bytes, size_t size)
{
	uint64_t hash = dp_mix(UINT64_C(0xcbf29ce484222325), size), word = 0;
	for (; size >= sizeof word; size -= sizeof word, bytes += sizeof word) {
		memcpy(&word, bytes, sizeof word);
		hash = dp_mix(hash, word);
	}
	word = 0;
	memcpy(&word, bytes, size);
	return dp_mix(hash, word);
}

static uint32_t folded(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}

static bool index_grow(struct index *index)
{
	const uint32_t size = index->size ? index->size * 2 : 32;
	struct slot *slots = calloc(size, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t i = 0; i < index->size; i++) {
		if (!index->slots[i].entry)
			continue;
		uint32_t at = index->slots[i].hash & (size - 1);
		while (slots[at].entry)
			at = (at + 1) & (size - 1);
		slots[at] = index->slots[i];
	}
	free(index->slots);
	index->slots = slots;
	index->size = size;
	return true;
}

typedef bool (*is_equal_fn)(const struct dp_profile *profile, uint32_t index, const void *key);

/* The slot of the equal entry, or the free one where it would be, with its hash. NULL: no memory. */
static struct slot *index_find(
        struct index *index, const struct dp_profile *profile, uint64_t hash, is_equal_fn is_equal, const void *key)
{
	if (index->count * 2 >= index->size && !index_grow(index))
		return NULL;
	const uint32_t wanted = folded(hash);
	uint32_t at = wanted & (index->size - 1);
	for (; index->slots[at].entry; at = (at + 1) & (index->size - 1))
		if (index->slots[at].hash == wanted && is_equal(profile, index->slots[at].entry - 1, key))
			return &index->slots[at];
	index->slots[at].hash = wanted;
	return &index->slots[at];
}

/* The newest entry of a table of so many takes the free slot. */
static int index_take(struct index *index, struct slot *slot, uint32_t count)
{
	slot->entry = count;
	index->count++;
	return (int)count - 1;
}

/* ---- tables in the arena ---- */

static bool table_grow(struct dp_profile *profile, void **at, uint32_t count, uint32_t *capacity, size_t size)
{
	if (count < *capacity)
		return true;
	const uint32_t more = *capacity ? *capacity * 2 : 32;
	void *memory = dp_arena_alloc(&profile->arena, more * size);
	if (!memory)
		return false;
	if (*capacity)
		memcpy(memory, *at, *capacity * size);
	*at = memory;
	*capacity = more;
	return true;
}

/* Room for one more entry? */
#define GROW(profile, table)                                                                                  \
	table_grow((profile), (void **)&(table).at, (table).count, &(table).capacity, sizeof *(table).at)

/* The same, and one more for the overflow sample while there is none. */
#define GROW_KEEPING(profile, table)                                                                 \
	table_grow((profile), (void **)&(table).at, (table).count + !(profile)->index->has_overflow, \
		&(table).capacity, sizeof *(table).at)

/* ---- strings ---- */

/* Length of the valid UTF-8 sequence at text, 0 when there is none. RFC 3629. */
static size_t utf8_length(const uint8_t *text, size_t left)
{
	const uint8_t lead = text[0];
	size_t size = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
	if (!size || size > left)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] >= 0xa0) || (lead == 0xf0 && text[1] < 0x90) ||
	        (lead == 0xf4 && text[1] >= 0x90))
		return 0;
	return size;
}

/* A copy on the heap whose bad bytes are U+FFFD; NUL bytes count as bad. */
static char *clean_copy(const char *text, size_t size, size_t *clean_size)
{
	const uint8_t *from = (const uint8_t *)text;
	char *copy = malloc(size * 3 + 1);
	size_t at = 0;
	for (size_t i = 0, step; copy && i < size; i += step) {
		step = from[i] ? utf8_length(from + i, size - i) : 0;
		memcpy(copy + at, step ? text + i : "\xef\xbf\xbd", step ? step : 3);
		at += step ? step : 3;
		step += !step;
	}
	*clean_size = at;
	return copy;
}

/* Eight bytes at once, while all of them are ASCII and none is NUL. */
static size_t plain_length(const char *text, size_t size)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	size_t at = 0;
	for (uint64_t word; size - at >= sizeof word; at += sizeof word) {
		memcpy(&word, text + at, sizeof word);
		if ((word | (word - ones)) & tops)
			break;
	}
	return at;
}

static bool is_clean(const char *text, size_t size)
{
	for (size_t i = plain_length(text, size); i < size;) {
		const size_t step = text[i] ? utf8_length((const uint8_t *)text + i, size - i) : 0;
		if (!step)
			return false;
		i += step;
	}
	return true;
}

static bool string_is_equal(const struct dp_profile *profile, uint32_t index, const void *key)
{
	const struct text *one = &profile->index->texts.at[index], *other = key;
	return one->size == other->size && !memcmp(one->at, other->at, other->size);
}

static const char *intern(struct dp_profile *profile, const char *text, size_t size)
{
	struct dp_profile_index *index = profile->index;
	const struct text key = {text, size};
	struct slot *slot =
	        index_find(&index->strings, profile, hash_bytes(text, size), string_is_equal, &key);
	if (!slot)
		return NULL;
	if (slot->entry)
		return index->texts.at[slot->entry - 1].at;
	const char *copy = dp_arena_copy(&profile->arena, text, size);
	if (!copy || !GROW(profile, index->texts))
		return NULL;
	index->texts.at[index->texts.count++] = (struct text){copy, size};
	index_take(&index->strings, slot, index->texts.count);
	return copy;
}

/* Cleaned outside the arena: the same bad name asked for again must not cost the window memory again. */
const char *dp_profile_string(struct dp_profile *profile, const char *text, size_t size)
{
	if (is_clean(text, size))
		return intern(profile, text, size);
	char *copy = clean_copy(text, size, &size);
	const char *interned = copy ? intern(profile, copy, size) : NULL;
	free(copy);
	return interned;
}

const char *dp_profile_text(struct dp_profile *profile, const char *text)
{
	return dp_profile_string(profile, text ? text : "", text ? strlen(text) : 0);
}

/* ---- mappings, functions, locations ---- */

/* Foreign strings become ours, so that equal text is an equal pointer. */
static bool own(struct dp_profile *profile, const char **text)
{
	*text = dp_profile_text(profile, *text);
	return *text != NULL;
}

static uint64_t mapping_hash(const struct dp_mapping *m)
{
	return dp_mix((uintptr_t)m->path, (uintptr_t)m->build_id);
}

static bool mapping_is_equal(const struct dp_profile *profile, uint32_t index, const void *key)
{
	const struct dp_mapping *one = &profile->mappings.at[index], *other = key;
	return one->path == other->path && one->build_id == other->build_id;
}

int dp_profile_mapping(struct dp_profile *profile, const struct dp_mapping *mapping)
{
	struct dp_mapping wanted = *mapping;
	if (!own(profile, &wanted.path) || !own(profile, &wanted.build_id) ||
	        !own(profile, &wanted.hash))
		return -ENOMEM;
	struct slot *slot = index_find(
	        &profile->index->mappings, profile, mapping_hash(&wanted), mapping_is_equal, &wanted);
	if (!slot)
		return -ENOMEM;
	if (slot->entry) { /* what it can name may be learnt later */
		struct dp_mapping *known = &profile->mappings.at[slot->entry - 1];
		known->has_functions |= wanted.has_functions;
		if (!*known->hash)
			known->hash = wanted.hash;
		known->has_files |= wanted.has_files;
		known->has_lines |= wanted.has_lines;
		known->has_inlines |= wanted.has_inlines;
		return (int)slot->entry - 1;
	}
	if (!GROW(profile, profile->mappings))
		return -ENOMEM;
	profile->mappings.at[profile->mappings.count++] = wanted;
	return index_take(&profile->index->mappings, slot, profile->mappings.count);
}

static uint64_t function_hash(const struct dp_function *f)
{
	return dp_mix(dp_mix(dp_mix((uintptr_t)f->name, (uintptr_t)f->system_name), (uintptr_t)f->file), f->start_line);
}

static bool function_is_equal(const struct dp_profile *profile, uint32_t index, const void *key)
{
	const struct dp_function *one = &profile->functions.at[index], *other = key;
	return one->name == other->name && one->system_name == other->system_name && one->file == other->file &&
	       one->start_line == other->start_line;
}

int dp_profile_function(struct dp_profile *profile, const struct dp_function *function)
{
	struct dp_function wanted = *function;
	if (!own(profile, &wanted.name) || !own(profile, &wanted.system_name) || !own(profile, &wanted.file))
		return -ENOMEM;
	struct slot *slot = index_find(
	        &profile->index->functions, profile, function_hash(&wanted), function_is_equal, &wanted);
	if (!slot)
		return -ENOMEM;
	if (slot->entry)
		return (int)slot->entry - 1;
	if (!GROW_KEEPING(profile, profile->functions))
		return -ENOMEM;
	profile->functions.at[profile->functions.count++] = wanted;
	return index_take(&profile->index->functions, slot, profile->functions.count);
}

static uint64_t location_hash(const struct dp_location *l)
{
	uint64_t hash = dp_mix(dp_mix(dp_mix((uint32_t)l->mapping, l->runtime), l->address), l->line_count);
	for (uint32_t i = 0; i < l->line_count; i++)
		hash = dp_mix(hash, (uint64_t)(uint32_t)l->lines[i].function << 32 | l->lines[i].line);
	return hash;
}

static bool location_is_equal(const struct dp_profile *profile, uint32_t index, const void *key)
{
	const struct dp_location *one = &profile->locations.at[index], *other = key;
	if (one->mapping != other->mapping || one->runtime != other->runtime || one->address != other->address ||
	        one->line_count != other->line_count)
		return false;
	for (uint32_t i = 0; i < one->line_count; i++)
		if (one->lines[i].function != other->lines[i].function || one->lines[i].line != other->lines[i].line)
			return false;
	return true;
}

int dp_profile_location(struct dp_profile *profile, const struct dp_location *location)
{
	struct slot *slot = index_find(
	        &profile->index->locations, profile, location_hash(location), location_is_equal, location);
	if (!slot)
		return -ENOMEM;
	if (slot->entry)
		return (int)slot->entry - 1;
	struct dp_line *lines = NULL;
	if (location->line_count) {
		lines = dp_arena_alloc(&profile->arena, location->line_count * sizeof *lines);
		if (!lines)
			return -ENOMEM;
		memcpy(lines, location->lines, location->line_count * sizeof *lines);
	}
	if (!GROW_KEEPING(profile, profile->locations))
		return -ENOMEM;
	struct dp_location *added = &profile->locations.at[profile->locations.count++];
	*added = *location;
	added->lines = lines;
	return index_take(&profile->index->locations, slot, profile->locations.count);
}

/* ---- samples ---- */

static uint64_t sample_hash(const struct dp_profile_sample *s)
{
	uint64_t hash = dp_mix(s->location_count, s->label_count);
	for (uint32_t i = 0; i < s->location_count; i++)
		hash = dp_mix(hash, (uint32_t)s->locations[i]);
	for (uint32_t i = 0; i < s->label_count; i++)
		hash = dp_mix(dp_mix(dp_mix(hash, (uintptr_t)s->labels[i].key), (uintptr_t)s->labels[i].text),
		        (uint64_t)s->labels[i].number);
	return hash;
}

static bool sample_is_equal(const struct dp_profile *profile, uint32_t index, const void *key)
{
	const struct dp_profile_sample *one = &profile->samples.at[index], *other = key;
	if (one->location_count != other->location_count || one->label_count != other->label_count)
		return false;
	if (one->location_count &&
		memcmp(one->locations, other->locations, one->location_count * sizeof *one->locations) != 0)
		return false;
	for (uint32_t i = 0; i < one->label_count; i++)
		if (one->labels[i].key != other->labels[i].key || one->labels[i].text != other->labels[i].text ||
		        one->labels[i].number != other->labels[i].number || one->labels[i].unit != other->labels[i].unit)
			return false;
	return true;
}

/* A sum too large for its type stays at the edge: only a hostile file gets there. */
static int64_t add_saturated(int64_t a, int64_t b)
{
	int64_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static void add_values(struct dp_profile *profile, uint32_t sample, const int64_t *values)
{
	for (uint32_t i = 0; i < DP_PROFILE_VALUES; i++)
		profile->samples.at[sample].values[i] =
			add_saturated(profile->samples.at[sample].values[i], values[i]);
}

static int compare_labels(const void *one, const void *other)
{
	return strcmp(((const struct dp_label *)one)->key, ((const struct dp_label *)other)->key);
}

/* Adds the entry, or says -ENOMEM with nothing changed that matters. labels: room for the sample's. */
static int add_sample(
	struct dp_profile *profile, const struct dp_profile_sample *sample, struct dp_label *labels)
{
	struct dp_profile_sample wanted = *sample;
	for (uint32_t i = 0; i < sample->label_count; i++) {
		labels[i] = sample->labels[i];
		if (!own(profile, &labels[i].key) || !own(profile, &labels[i].unit) ||
		        (labels[i].text && !own(profile, &labels[i].text)))
			return -ENOMEM;
	}
	if (sample->label_count > 1)
		qsort(labels, sample->label_count, sizeof labels[0], compare_labels);
	wanted.labels = labels;
	struct slot *slot =
	        index_find(&profile->index->samples, profile, sample_hash(&wanted), sample_is_equal, &wanted);
	if (!slot)
		return -ENOMEM;
	if (slot->entry) {
		add_values(profile, slot->entry - 1, sample->values);
		return 0;
	}
	int32_t *locations = dp_arena_alloc(&profile->arena, (sample->location_count + 1) * sizeof *locations);
	struct dp_label *kept = dp_arena_alloc(&profile->arena, (sample->label_count + 1) * sizeof *kept);
	if (!locations || !kept || !GROW_KEEPING(profile, profile->samples))
		return -ENOMEM;
	if (sample->location_count)
		memcpy(locations, sample->locations, sample->location_count * sizeof *locations);
	if (sample->label_count)
		memcpy(kept, labels, sample->label_count * sizeof *kept);
	wanted.locations = locations;
	wanted.labels = kept;
	profile->samples.at[profile->samples.count++] = wanted;
	index_take(&profile->index->samples, slot, profile->samples.count);
	return 0;
}

/* Types, comments, identity and the overflow sample are few, small and what makes the rest readable: a full
 * arena still takes them. */
static size_t lift_cap(struct dp_profile *profile)
{
	const size_t cap_bytes = profile->arena.cap_bytes;
	profile->arena.cap_bytes = 0;
	return cap_bytes;
}

/* Made while there is room: the strings and the table entries of the place where weight goes that found none.
 */
static int reserve_overflow(struct dp_profile *profile)
{
	const bool is_ready = dp_profile_text(profile, "[overflow]") && dp_profile_text(profile, "") &&
			      GROW_KEEPING(profile, profile->functions) &&
			      GROW_KEEPING(profile, profile->locations) &&
			      GROW_KEEPING(profile, profile->samples);
	return is_ready ? 0 : -ENOMEM;
}

static int add_to_overflow(struct dp_profile *profile, const struct dp_profile_sample *sample)
{
	const struct dp_function function = {"[overflow]", "[overflow]", "", 0};
	const size_t cap_bytes = lift_cap(profile);
	struct dp_profile_sample overflow = {.location_count = 1};
	profile->index->has_overflow = true;
	struct dp_line line = {dp_profile_function(profile, &function), 0};
	const struct dp_location location = {.mapping = DP_NO_INDEX, .lines = &line, .line_count = 1};
	const int32_t index = line.function < 0 ? line.function : dp_profile_location(profile, &location);
	overflow.locations = &index;
	memcpy(overflow.values, sample->values, sizeof overflow.values);
	const int error = index < 0 ? index : add_sample(profile, &overflow, NULL);
	profile->losses[DP_DROP_TABLE_FULL].count += 1;
	profile->arena.cap_bytes = cap_bytes;
	return error;
}

int dp_profile_sample(struct dp_profile *profile, const struct dp_profile_sample *sample)
{
	struct dp_label few[16], *labels = few;
	int error = -ENOMEM;
	if (sample->label_count > sizeof few / sizeof few[0])
		labels = malloc(sample->label_count * sizeof *labels);
	if (labels)
		error = add_sample(profile, sample, labels);
	if (labels != few)
		free(labels);
	return error ? add_to_overflow(profile, sample) : 0;
}

/* ---- the rest ---- */

static int add_type(struct dp_profile *profile, const char *type, const char *unit)
{
	struct dp_value_type added = {type, unit};
	if (profile->types.count == DP_PROFILE_VALUES)
		return -ENOSPC;
	if (!own(profile, &added.type) || !own(profile, &added.unit) || !GROW(profile, profile->types))
		return -ENOMEM;
	profile->types.at[profile->types.count++] = added;
	return 0;
}

static int add_comment(struct dp_profile *profile, const char *text)
{
	const char *comment = dp_profile_text(profile, text);
	for (uint32_t i = 0; comment && i < profile->comments.count; i++)
		if (profile->comments.at[i] == comment)
			return 0;
	if (!comment || !GROW(profile, profile->comments))
		return -ENOMEM;
	profile->comments.at[profile->comments.count++] = comment;
	return 0;
}

/* Is value one of those in a list like "shop, cart"? */
static bool is_listed(const char *list, const char *value)
{
	const size_t size = strlen(value);
	for (const char *at = list; (at = strstr(at, value)); at++)
		if ((at == list || (at >= list + 2 && !memcmp(at - 2, ", ", 2))) &&
			(!at[size] || !strncmp(at + size, ", ", 2)))
			return true;
	return false;
}

/* What two profiles say differently of themselves, the merged one says of both. */
static void merge_identity(struct dp_profile *into, const struct dp_pair *pair)
{
	char both[256];
	const char *before = NULL;
	for (uint32_t i = 0; i < into->identity.count; i++)
		if (!strcmp(into->identity.at[i].key, pair->key))
			before = into->identity.at[i].value;
	if (before && is_listed(before, pair->value))
		return;
	if (before && (size_t)snprintf(both, sizeof both, "%s, %s", before, pair->value) >= sizeof both)
		return;
	dp_profile_add_identity(into, pair->key, before ? both : pair->value);
}

static int set_pair(struct dp_profile *profile, struct dp_pairs *pairs, const char *key, const char *value)
{
	struct dp_pair pair = {key, value};
	if (!own(profile, &pair.key) || !own(profile, &pair.value))
		return -ENOMEM;
	for (uint32_t i = 0; i < pairs->count; i++)
		if (pairs->at[i].key == pair.key) {
			pairs->at[i].value = pair.value;
			return 0;
		}
	if (!GROW(profile, *pairs))
		return -ENOMEM;
	pairs->at[pairs->count++] = pair;
	return 0;
}

int dp_profile_add_type(struct dp_profile *profile, const char *type, const char *unit)
{
	const size_t cap_bytes = lift_cap(profile);
	const int error = add_type(profile, type, unit);
	profile->arena.cap_bytes = cap_bytes;
	return error;
}

int dp_profile_add_comment(struct dp_profile *profile, const char *text)
{
	const size_t cap_bytes = lift_cap(profile);
	const int error = add_comment(profile, text);
	profile->arena.cap_bytes = cap_bytes;
	return error;
}

int dp_profile_add_identity(struct dp_profile *profile, const char *key, const char *value)
{
	const size_t cap_bytes = lift_cap(profile);
	const int error = set_pair(profile, &profile->identity, key, value);
	profile->arena.cap_bytes = cap_bytes;
	return error;
}

int dp_profile_add_resource(struct dp_profile *profile, const char *key, const char *value)
{
	const size_t cap_bytes = lift_cap(profile);
	const int error = *value ? set_pair(profile, &profile->resource, key, value) : 0;
	profile->arena.cap_bytes = cap_bytes;
	return error;
}

enum { NOT_MOVED = INT32_MIN };

/* Where each entry of the one stands in the other; negative where there was no room. Entries move when something
 * that needs them does, so that a full arena holds whole stacks, not a heap of unused names. */
struct moves {
	int32_t *locations, *functions, *mappings;
};

static int moves_init(struct moves *moves, const struct dp_profile *from)
{
	const size_t count = (size_t)from->locations.count + from->functions.count + from->mappings.count;
	int32_t *all = malloc((count + 1) * sizeof *all);
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		all[i] = NOT_MOVED;
	*moves = (struct moves){all, all + from->locations.count, all + from->locations.count + from->functions.count};
	return 0;
}

static void moves_fini(struct moves *moves)
{
	free(moves->locations);
}

static int move_mapping(struct dp_profile *into, const struct dp_profile *from, struct moves *moves, int32_t mapping)
{
	if (mapping < 0)
		return DP_NO_INDEX;
	if (moves->mappings[mapping] == NOT_MOVED)
		moves->mappings[mapping] = dp_profile_mapping(into, &from->mappings.at[mapping]);
	return moves->mappings[mapping];
}

static int move_function(struct dp_profile *into, const struct dp_profile *from, struct moves *moves, int32_t function)
{
	if (moves->functions[function] == NOT_MOVED)
		moves->functions[function] = dp_profile_function(into, &from->functions.at[function]);
	return moves->functions[function];
}

static int merge_location(struct dp_profile *into, const struct dp_profile *from, struct moves *moves,
        const struct dp_location *location)
{
	struct dp_line lines[256];
	struct dp_location copy = *location;
	if (location->line_count > sizeof lines / sizeof lines[0])
		return -EINVAL;
	copy.mapping = move_mapping(into, from, moves, location->mapping);
	if (copy.mapping < 0 && location->mapping >= 0)
		return copy.mapping;
	for (uint32_t i = 0; i < location->line_count; i++) {
		lines[i].function = move_function(into, from, moves, location->lines[i].function);
		lines[i].line = location->lines[i].line;
		if (lines[i].function < 0)
			return lines[i].function;
	}
	copy.lines = lines;
	return dp_profile_location(into, &copy);
}

static bool has_same_types(const struct dp_profile *one, const struct dp_profile *other)
{
	if (one->types.count != other->types.count)
		return false;
	for (uint32_t i = 0; i < one->types.count; i++)
		if (strcmp(one->types.at[i].type, other->types.at[i].type) != 0 ||
		        strcmp(one->types.at[i].unit, other->types.at[i].unit) != 0)
			return false;
	return true;
}

static int64_t common_period(int64_t a, int64_t b)
{
	while (b) {
		const int64_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static void merge_times(struct dp_profile *into, const struct dp_profile *from)
{
	const int64_t into_end = add_saturated(into->time_ns, into->duration_ns);
	const int64_t from_end = add_saturated(from->time_ns, from->duration_ns);
	if (!into->time_ns || (from->time_ns && from->time_ns < into->time_ns))
		into->time_ns = from->time_ns;
	if (__builtin_sub_overflow(
		    into_end > from_end ? into_end : from_end, into->time_ns, &into->duration_ns))
		into->duration_ns = INT64_MAX;
	if (into->period <= 0) {
		into->period = from->period;
		into->period_type = (struct dp_value_type){dp_profile_text(into, from->period_type.type),
		        dp_profile_text(into, from->period_type.unit)};
		if (!into->period_type.type || !into->period_type.unit)
			into->period_type = (struct dp_value_type){"", ""};
	} else if (from->period > 0) {
		/* Of different rates: the longest period that divides both, so that each value is whole
		 * periods. */
		into->period = common_period(into->period, from->period);
	}
}

/* A stack goes over whole or into the overflow sample, never with frames exchanged. */
static int merge_sample(struct dp_profile *into, const struct dp_profile *from,
	const struct dp_profile_sample *sample, struct moves *moves)
{
	struct dp_profile_sample copy = *sample;
	int32_t *locations = malloc((sample->location_count + 1) * sizeof *locations);
	bool is_whole = locations != NULL;
	for (uint32_t i = 0; i < sample->location_count && is_whole; i++) {
		int32_t *place = &moves->locations[sample->locations[i]];
		if (*place == NOT_MOVED)
			*place = merge_location(into, from, moves, &from->locations.at[sample->locations[i]]);
		locations[i] = *place;
		is_whole = locations[i] >= 0;
	}
	copy.locations = locations;
	const int error = is_whole ? dp_profile_sample(into, &copy) : add_to_overflow(into, sample);
	free(locations);
	return error;
}

int dp_profile_merge(struct dp_profile *into, const struct dp_profile *from)
{
	if (!into->types.count)
		for (uint32_t i = 0; i < from->types.count; i++)
			dp_profile_add_type(into, from->types.at[i].type, from->types.at[i].unit);
	if (!has_same_types(into, from))
		return -EINVAL;
	struct moves moves;
	int error = moves_init(&moves, from);
	if (error)
		return error;
	for (uint32_t i = 0; i < from->samples.count && !error; i++)
		error = merge_sample(into, from, &from->samples.at[i], &moves);
	moves_fini(&moves);
	merge_times(into, from);
	for (uint32_t i = 0; i < from->comments.count; i++)
		dp_profile_add_comment(into, from->comments.at[i]);
	for (uint32_t i = 0; i < from->identity.count; i++)
		merge_identity(into, &from->identity.at[i]);
	for (uint32_t i = 0; i < from->resource.count; i++)
		dp_profile_add_resource(into, from->resource.at[i].key, from->resource.at[i].value);
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		into->losses[i].count += from->losses[i].count;
		into->losses[i].weight_ns += from->losses[i].weight_ns;
	}
	return error;
}

struct dp_profile *dp_profile_new(enum dp_profile_kind kind, size_t cap_bytes)
{
	struct dp_profile *profile = calloc(1, sizeof *profile);
	if (!profile)
		return NULL;
	profile->kind = kind;
	dp_arena_init(&profile->arena, cap_bytes);
	profile->index = calloc(1, sizeof *profile->index);
	if (!profile->index || reserve_overflow(profile) != 0) {
		dp_profile_free(profile);
		return NULL;
	}
	profile->period_type = (struct dp_value_type){"", ""};
	return profile;
}

void dp_profile_free(struct dp_profile *profile)
{
	if (!profile)
		return;
	if (profile->index) {
		free(profile->index->strings.slots);
		free(profile->index->mappings.slots);
		free(profile->index->functions.slots);
		free(profile->index->locations.slots);
		free(profile->index->samples.slots);
		free(profile->index);
	}
	dp_arena_fini(&profile->arena);
	free(profile);
}
