/* SPDX-License-Identifier: Apache-2.0
 * A profile as pprof: ids 1..n in table order (Parca), addresses as ELF virtual addresses under a mapping that spans
 * everything (the one form that pprof, Parca and Pyroscope all read alike), no Line where there is no name. */
#include "export/export.h"
#include "export/pprof.h"

#include "profile.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Perftools__Profiles__Profile Profile;
typedef Perftools__Profiles__Sample Sample;
typedef Perftools__Profiles__Label Label;
typedef Perftools__Profiles__Mapping Mapping;
typedef Perftools__Profiles__Location Location;
typedef Perftools__Profiles__Line Line;
typedef Perftools__Profiles__Function Function;
typedef Perftools__Profiles__ValueType ValueType;

/* Strings of the profile are interned: a pointer is a string. */
struct encoder {
	struct dp_arena arena;
	Profile out;
	char **strings;
	uint32_t string_count, string_capacity;
	struct slot {
		const char *text;
		int64_t number;
	} *slots;
	uint32_t slot_count;
	bool has_failed;
};

static void *take(struct encoder *encoder, size_t count, size_t size)
{
	void *memory = dp_arena_alloc(&encoder->arena, count * size + 1);
	if (!memory)
		encoder->has_failed = true;
	return memory;
}

static bool grow_slots(struct encoder *encoder)
{
	const uint32_t size = encoder->slot_count ? encoder->slot_count * 2 : 1024;
	struct slot *slots = calloc(size, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t i = 0; i < encoder->slot_count; i++) {
		if (!encoder->slots[i].text)
			continue;
		uint32_t at = (uint32_t)((uintptr_t)encoder->slots[i].text * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (size - 1);
		while (slots[at].text)
			at = (at + 1) & (size - 1);
		slots[at] = encoder->slots[i];
	}
	free(encoder->slots);
	encoder->slots = slots;
	encoder->slot_count = size;
	return true;
}

static int64_t add_string(struct encoder *encoder, const char *text)
{
	if (encoder->string_count == encoder->string_capacity) {
		const uint32_t capacity = encoder->string_capacity ? encoder->string_capacity * 2 : 1024;
		char **strings = realloc(encoder->strings, capacity * sizeof *strings);
		if (!strings) {
			encoder->has_failed = true;
			return 0;
		}
		encoder->strings = strings;
		encoder->string_capacity = capacity;
	}
	encoder->strings[encoder->string_count] = (char *)(uintptr_t)text;
	return encoder->string_count++;
}

static int64_t string_number(struct encoder *encoder, const char *text)
{
	if (!text || !*text)
		return 0;
	if (encoder->string_count * 2 >= encoder->slot_count && !grow_slots(encoder)) {
		encoder->has_failed = true;
		return 0;
	}
	uint32_t at = (uint32_t)((uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (encoder->slot_count - 1);
	while (encoder->slots[at].text && encoder->slots[at].text != text)
		at = (at + 1) & (encoder->slot_count - 1);
	if (!encoder->slots[at].text)
		encoder->slots[at] = (struct slot){text, add_string(encoder, text)};
	return encoder->slots[at].number;
}

/* Tables of messages: n structs behind n pointers. */
#define TABLE(encoder, type, init, n, structs, pointers)                                                      \
	type *structs = take((encoder), (n), sizeof *structs);                                                \
	type **pointers = take((encoder), (n), sizeof *pointers);                                             \
	for (uint32_t i_ = 0; structs && pointers && i_ < (n); i_++) {                                        \
		init(&structs[i_]);                                                                           \
		pointers[i_] = &structs[i_];                                                                  \
	}                                                                                                     \
	if (!structs || !pointers)                                                                            \
		return

static void put_types(struct encoder *encoder, const struct dp_profile *profile)
{
	TABLE(encoder, ValueType, perftools__profiles__value_type__init, profile->types.count + 1, types, pointers);
	for (uint32_t i = 0; i < profile->types.count; i++) {
		types[i].type = string_number(encoder, profile->types.at[i].type);
		types[i].unit = string_number(encoder, profile->types.at[i].unit);
		encoder->out.default_sample_type = types[i].type;
	}
	ValueType *period = &types[profile->types.count];
	period->type = string_number(encoder, profile->period_type.type);
	period->unit = string_number(encoder, profile->period_type.unit);
	encoder->out.n_sample_type = profile->types.count;
	encoder->out.sample_type = pointers;
	encoder->out.period_type = period;
	encoder->out.period = profile->period;
	encoder->out.time_nanos = profile->time_ns;
	encoder->out.duration_nanos = profile->duration_ns;
}

static void put_mappings(struct encoder *encoder, const struct dp_profile *profile)
{
	const uint32_t count = profile->mappings.count;
	TABLE(encoder, Mapping, perftools__profiles__mapping__init, count, mappings, pointers);
	for (uint32_t i = 0; i < count; i++) {
		const struct dp_mapping *from = &profile->mappings.at[i];
		mappings[i].id = i + 1;
		mappings[i].memory_limit = UINT64_MAX;
		mappings[i].filename = string_number(encoder, from->path);
		mappings[i].build_id = string_number(encoder, from->build_id);
		mappings[i].has_functions = from->has_functions;
		mappings[i].has_filenames = from->has_files;
		mappings[i].has_line_numbers = from->has_lines;
		mappings[i].has_inline_frames = from->has_inlines;
	}
	encoder->out.n_mapping = count;
	encoder->out.mapping = pointers;
}

static void put_functions(struct encoder *encoder, const struct dp_profile *profile)
{
	const uint32_t count = profile->functions.count;
	TABLE(encoder, Function, perftools__profiles__function__init, count, functions, pointers);
	for (uint32_t i = 0; i < count; i++) {
		const struct dp_function *from = &profile->functions.at[i];
		functions[i].id = i + 1;
		functions[i].name = string_number(encoder, from->name);
		functions[i].system_name = string_number(encoder, from->system_name);
		functions[i].filename = string_number(encoder, from->file);
		functions[i].start_line = from->start_line;
	}
	encoder->out.n_function = count;
	encoder->out.function = pointers;
}

static void put_lines(struct encoder *encoder, const struct dp_location *from, Location *to)
{
	TABLE(encoder, Line, perftools__profiles__line__init, from->line_count, lines, pointers);
	for (uint32_t i = 0; i < from->line_count; i++) {
		lines[i].function_id = (uint64_t)from->lines[i].function + 1;
		lines[i].line = from->lines[i].line;
	}
	to->n_line = from->line_count;
	to->line = pointers;
}

static void put_locations(struct encoder *encoder, const struct dp_profile *profile)
{
	const uint32_t count = profile->locations.count;
	TABLE(encoder, Location, perftools__profiles__location__init, count, locations, pointers);
	for (uint32_t i = 0; i < count && !encoder->has_failed; i++) {
		const struct dp_location *from = &profile->locations.at[i];
		locations[i].id = i + 1;
		locations[i].mapping_id = from->mapping < 0 ? 0 : (uint64_t)from->mapping + 1;
		locations[i].address = from->address;
		put_lines(encoder, from, &locations[i]);
	}
	encoder->out.n_location = count;
	encoder->out.location = pointers;
}

static void put_sample(
        struct encoder *encoder, const struct dp_profile *profile, const struct dp_profile_sample *from, Sample *to)
{
	uint64_t *locations = take(encoder, from->location_count, sizeof *locations);
	int64_t *values = take(encoder, profile->types.count, sizeof *values);
	TABLE(encoder, Label, perftools__profiles__label__init, from->label_count, labels, pointers);
	if (!locations || !values)
		return;
	for (uint32_t i = 0; i < from->location_count; i++)
		locations[i] = (uint64_t)from->locations[i] + 1;
	for (uint32_t i = 0; i < profile->types.count; i++)
		values[i] = from->values[i];
	for (uint32_t i = 0; i < from->label_count; i++) {
		labels[i].key = string_number(encoder, from->labels[i].key);
		labels[i].str = string_number(encoder, from->labels[i].text);
		labels[i].num = from->labels[i].text ? 0 : from->labels[i].number;
		labels[i].num_unit = from->labels[i].text ? 0 : string_number(encoder, from->labels[i].unit);
	}
	to->n_location_id = from->location_count;
	to->location_id = locations;
	to->n_value = profile->types.count;
	to->value = values;
	to->n_label = from->label_count;
	to->label = pointers;
}

static void put_samples(struct encoder *encoder, const struct dp_profile *profile)
{
	const uint32_t count = profile->samples.count;
	TABLE(encoder, Sample, perftools__profiles__sample__init, count, samples, pointers);
	for (uint32_t i = 0; i < count && !encoder->has_failed; i++)
		put_sample(encoder, profile, &profile->samples.at[i], &samples[i]);
	encoder->out.n_sample = count;
	encoder->out.sample = pointers;
}

/* Identity and losses travel as comments, one per line; pprof_decode.c reads them back. A line is never cut:
 * half a character makes a server refuse the whole profile. */
static int64_t add_line(struct encoder *encoder, const char *prefix, const char *key, const char *value)
{
	const size_t size = strlen(prefix) + strlen(key) + strlen(value) + 2;
	char *line = take(encoder, size, 1);
	if (!line)
		return 0;
	snprintf(line, size, "%s%s=%s", prefix, key, value);
	return add_string(encoder, line);
}

static void put_comments(struct encoder *encoder, const struct dp_profile *profile)
{
	char numbers[64];
	uint32_t count = 0;
	int64_t *comments =
	        take(encoder, profile->comments.count + profile->identity.count + DP_DROP_COUNT, sizeof *comments);
	if (!comments)
		return;
	for (uint32_t i = 0; i < profile->comments.count; i++)
		comments[count++] = string_number(encoder, profile->comments.at[i]);
	for (uint32_t i = 0; i < profile->identity.count; i++)
		comments[count++] = add_line(
			encoder, DP_PPROF_LABEL, profile->identity.at[i].key, profile->identity.at[i].value);
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		if (!profile->losses[i].count && !profile->losses[i].weight_ns)
			continue;
		snprintf(numbers, sizeof numbers, "%llu weight_ns=%llu",
			(unsigned long long)profile->losses[i].count,
			(unsigned long long)profile->losses[i].weight_ns);
		comments[count++] = add_line(encoder, DP_PPROF_LOSS, dp_drop_name(i), numbers);
	}
	encoder->out.n_comment = count;
	encoder->out.comment = comments;
}

int dp_pprof_encode(const struct dp_profile *profile, struct dp_buffer *out)
{
	struct encoder encoder = {0};
	int error = -ENOMEM;
	perftools__profiles__profile__init(&encoder.out);
	dp_arena_init(&encoder.arena, 0);
	add_string(&encoder, "");
	put_types(&encoder, profile);
	put_mappings(&encoder, profile);
	put_functions(&encoder, profile);
	put_locations(&encoder, profile);
	put_samples(&encoder, profile);
	put_comments(&encoder, profile);
	encoder.out.n_string_table = encoder.string_count;
	encoder.out.string_table = encoder.strings;
	if (!encoder.has_failed)
		error = dp_buffer_pack(out, &encoder.out.base);
	free(encoder.strings);
	free(encoder.slots);
	dp_arena_fini(&encoder.arena);
	return error;
}
