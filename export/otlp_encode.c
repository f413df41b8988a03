/* SPDX-License-Identifier: Apache-2.0
 * A profile as OTLP: one ResourceProfiles and the dictionary it points into. The bytes are an
 * ExportProfilesServiceRequest and, field for field, a ProfilesData, so that a file holds what a server gets.
 *
 * Every entry of the dictionary stands once and is pointed at: entries come into being when a sample needs
 * them. Index 0 of each table is the zero entry. CPU goes out as samples/count by a period of
 * cpu/nanoseconds, which is what OpenTelemetry's own profiler sends and all that some backends take; a time
 * that is no multiple of the period goes out as itself. */
#include "export/export.h"
#include "export/frames.h"
#include "export/unique.h"

#include "base/frame.h"
#include "otlp.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { ATTRIBUTES_MOST = 32, LINES_MOST = 256, TRACE_BYTES = 16, SPAN_BYTES = 8, ID_BYTES = 16 };

enum value_kind { VALUE_TEXT, VALUE_NUMBER, VALUE_TEXTS };

/* Rows, as they are compared: all numbers are int64_t, so that none has padding. */
struct attribute_row {
	int64_t key, unit;
	int64_t kind;  /* enum value_kind */
	int64_t value; /* of VALUE_TEXT: index of values; VALUE_NUMBER: itself; VALUE_TEXTS: how many indices
			  follow */
};
struct mapping_row {
	int64_t file, build_id, hash; /* the last two: attributes */
};
struct function_row {
	int64_t name, system_name, file, start_line;
};
struct location_row {
	int64_t mapping, address, type; /* type: an attribute; pairs of function and line follow */
};
struct sample_row {
	int64_t stack, link; /* attributes follow, ascending */
};

struct encoder {
	const struct dp_profile *from;
	struct dp_arena arena;
	struct dp_unique strings, values; /* values: texts of attributes, which stand where they are used */
	struct dp_unique attributes, mappings, functions, locations, stacks, links, samples;
	int32_t *location_of;               /* by location of the profile; DP_NO_INDEX: not yet */
	int64_t (*sums)[DP_PROFILE_VALUES]; /* of each row of samples */
	Otlp__ProfilesDictionary dictionary;
	int error;
};

static void fail(struct encoder *encoder, int error)
{
	if (!encoder->error)
		encoder->error = error;
}

static void *take(struct encoder *encoder, size_t count, size_t size)
{
	void *memory = dp_arena_alloc(&encoder->arena, count * size + 1);
	if (!memory)
		fail(encoder, -ENOMEM);
	return memory;
}

static int32_t index_of(struct encoder *encoder, struct dp_unique *table, const void *row, size_t size)
{
	const int32_t index = dp_unique(table, &encoder->arena, row, size);
	if (index < 0)
		fail(encoder, index);
	return index < 0 ? 0 : index;
}

static int32_t string_of(struct encoder *encoder, const char *text)
{
	return index_of(encoder, &encoder->strings, text, strlen(text));
}

/* ---- attributes ---- */

static int32_t add_attribute(
	struct encoder *encoder, const char *key, enum value_kind kind, int64_t value, const char *unit)
{
	const struct attribute_row row = {string_of(encoder, key), string_of(encoder, unit), kind, value};
	return index_of(encoder, &encoder->attributes, &row, sizeof row);
}

static int32_t text_attribute(struct encoder *encoder, const char *key, const char *text)
{
	return add_attribute(
		encoder, key, VALUE_TEXT, index_of(encoder, &encoder->values, text, strlen(text)), "");
}

static int32_t number_attribute(struct encoder *encoder, const char *key, int64_t number, const char *unit)
{
	return add_attribute(encoder, key, VALUE_NUMBER, number, unit);
}

static int32_t texts_attribute(
	struct encoder *encoder, const char *key, const char *const *texts, uint32_t count)
{
	int64_t *row = take(encoder, 4 + count, sizeof *row);
	if (!row)
		return 0;
	const struct attribute_row head = {
		string_of(encoder, key), string_of(encoder, ""), VALUE_TEXTS, count};
	memcpy(row, &head, sizeof head);
	for (uint32_t i = 0; i < count; i++)
		row[4 + i] = index_of(encoder, &encoder->values, texts[i], strlen(texts[i]));
	return index_of(encoder, &encoder->attributes, row, (4 + count) * sizeof *row);
}

/* ---- what a stack is made of ---- */

/* What is no file, "[python]", is no mapping: where such a frame is from, its type says. */
static int32_t mapping_of(struct encoder *encoder, const struct dp_location *location)
{
	if (location->mapping < 0)
		return 0;
	const struct dp_mapping *from = &encoder->from->mappings.at[location->mapping];
	if (*from->path == '[' && !*from->build_id)
		return 0;
	const struct mapping_row row = {string_of(encoder, from->path),
		*from->build_id ? text_attribute(encoder, "process.executable.build_id.gnu", from->build_id)
				: 0,
		from->hash && *from->hash
			? text_attribute(encoder, "process.executable.build_id.htlhash", from->hash)
			: 0};
	return index_of(encoder, &encoder->mappings, &row, sizeof row);
}

static int32_t function_of(struct encoder *encoder, int32_t number)
{
	const struct dp_function *from = &encoder->from->functions.at[number];
	const struct function_row row = {string_of(encoder, from->name),
		string_of(encoder, from->system_name), string_of(encoder, from->file), from->start_line};
	return index_of(encoder, &encoder->functions, &row, sizeof row);
}

/* OpenTelemetry's semantic conventions, profile.frame.type. */
static const char *frame_type(uint8_t runtime)
{
	return runtime == DP_FRAME_PYTHON ? "cpython" : runtime == DP_FRAME_JVM ? "jvm" : "native";
}

static int32_t location_of(struct encoder *encoder, int32_t number)
{
	if (encoder->location_of[number] != DP_NO_INDEX)
		return encoder->location_of[number];
	const struct dp_location *from = &encoder->from->locations.at[number];
	const uint32_t lines = from->line_count < LINES_MOST ? from->line_count : LINES_MOST;
	int64_t row[3 + 2 * LINES_MOST];
	/* The address of a managed frame is a number of this agent's alone: with it the same function would
	 * be another one in each process. */
	const struct location_row head = {mapping_of(encoder, from),
		from->runtime == DP_FRAME_NATIVE ? (int64_t)from->address : 0,
		text_attribute(encoder, "profile.frame.type", frame_type(from->runtime))};
	memcpy(row, &head, sizeof head);
	for (uint32_t i = 0; i < lines; i++) {
		row[3 + 2 * i] = function_of(encoder, from->lines[i].function);
		row[4 + 2 * i] = from->lines[i].line;
	}
	encoder->location_of[number] =
		index_of(encoder, &encoder->locations, row, (3 + 2 * lines) * sizeof *row);
	return encoder->location_of[number];
}

static int32_t stack_of(struct encoder *encoder, const struct dp_profile_sample *sample)
{
	int64_t *row = take(encoder, sample->location_count, sizeof *row);
	if (!row)
		return 0;
	for (uint32_t i = 0; i < sample->location_count; i++)
		row[i] = location_of(encoder, sample->locations[i]);
	return index_of(encoder, &encoder->stacks, row, sample->location_count * sizeof *row);
}

/* ---- samples ---- */

static bool read_hex(const char *text, uint8_t *bytes, size_t size)
{
	if (strlen(text) != size * 2 || strspn(text, "0123456789abcdefABCDEF") != size * 2)
		return false;
	for (size_t i = 0; i < size; i++)
		sscanf(text + i * 2, "%2hhx", &bytes[i]);
	return true;
}

static const char *find_text(const struct dp_profile_sample *sample, const char *key)
{
	for (uint32_t i = 0; i < sample->label_count; i++)
		if (sample->labels[i].text && !strcmp(sample->labels[i].key, key))
			return sample->labels[i].text;
	return NULL;
}

/* Our label as OpenTelemetry calls it. */
static const char *attribute_name(const struct dp_label *label)
{
	static const struct {
		const char *ours, *theirs;
		bool is_text;
	} names[] = {{"thread", "thread.name", true}, {"tid", "thread.id", false},
		{"pid", "process.pid", false}, {"process", "process.executable.name", true}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(label->key, names[i].ours) && names[i].is_text == (label->text != NULL))
			return names[i].theirs;
	return label->key;
}

static bool is_among(const char *const *keys, uint32_t count, const char *key)
{
	for (uint32_t i = 0; i < count; i++)
		if (!strcmp(keys[i], key))
			return true;
	return false;
}

/* A sample's labels as attributes, a key once. span_id and trace_id together are its link instead. */
static uint32_t put_labels(
	struct encoder *encoder, const struct dp_profile_sample *sample, int64_t *attributes, int64_t *link)
{
	const char *span = find_text(sample, "span_id"), *trace = find_text(sample, "trace_id");
	const char *keys[ATTRIBUTES_MOST];
	uint8_t ids[TRACE_BYTES + SPAN_BYTES];
	uint32_t count = 0;
	const bool has_link = span && trace && read_hex(trace, ids, TRACE_BYTES) &&
			      read_hex(span, ids + TRACE_BYTES, SPAN_BYTES);
	*link = has_link ? index_of(encoder, &encoder->links, ids, sizeof ids) : 0;
	for (uint32_t i = 0; i < sample->label_count && count < ATTRIBUTES_MOST; i++) {
		const struct dp_label *label = &sample->labels[i];
		const char *key = attribute_name(label);
		if ((has_link && (label->text == span || label->text == trace)) || is_among(keys, count, key))
			continue;
		keys[count] = key;
		attributes[count++] = label->text
					      ? text_attribute(encoder, key, label->text)
					      : number_attribute(encoder, key, label->number, label->unit);
	}
	return count;
}

static int by_number(const void *one, const void *other)
{
	const int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
	return (a > b) - (a < b);
}

static void put_sample(struct encoder *encoder, const struct dp_profile_sample *sample)
{
	int64_t row[2 + ATTRIBUTES_MOST];
	struct sample_row head = {.stack = stack_of(encoder, sample)};
	const uint32_t count = put_labels(encoder, sample, row + 2, &head.link);
	qsort(row + 2, count, sizeof *row, by_number);
	memcpy(row, &head, sizeof head);
	const int32_t index = index_of(encoder, &encoder->samples, row, (2 + count) * sizeof *row);
	for (uint32_t i = 0; i < encoder->from->types.count && !encoder->error; i++)
		encoder->sums[index][i] += sample->values[i];
}

/* ---- the tables as messages ---- */

/* n structs behind n pointers. */
#define TABLE(encoder, type, init, n, structs, pointers)               \
	type *structs = take((encoder), (n), sizeof *structs);         \
	type **pointers = take((encoder), (n), sizeof *pointers);      \
	for (uint32_t i_ = 0; structs && pointers && i_ < (n); i_++) { \
		init(&structs[i_]);                                    \
		pointers[i_] = &structs[i_];                           \
	}                                                              \
	if (!structs || !pointers)                                     \
	return

/* An attribute's list of one. */
static int32_t *one_index(struct encoder *encoder, int64_t index, size_t *count)
{
	int32_t *list = index ? take(encoder, 1, sizeof *list) : NULL;
	*count = list != NULL;
	if (list)
		*list = (int32_t)index;
	return list;
}

static void put_strings(struct encoder *encoder)
{
	char **strings = take(encoder, encoder->strings.count, sizeof *strings);
	if (!strings)
		return;
	for (uint32_t i = 0; i < encoder->strings.count; i++)
		strings[i] = (char *)(uintptr_t)encoder->strings.at[i].bytes;
	encoder->dictionary.n_string_table = encoder->strings.count;
	encoder->dictionary.string_table = strings;
}

static char *value_text(const struct encoder *encoder, int64_t index)
{
	return (char *)(uintptr_t)encoder->values.at[index].bytes;
}

static void put_texts(struct encoder *encoder, const int64_t *indices, uint32_t count, Otlp__AnyValue *to)
{
	TABLE(encoder, Otlp__AnyValue, otlp__any_value__init, count, values, pointers);
	Otlp__ArrayValue *list = take(encoder, 1, sizeof *list);
	if (!list)
		return;
	for (uint32_t i = 0; i < count; i++) {
		values[i].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
		values[i].string_value = value_text(encoder, indices[i]);
	}
	otlp__array_value__init(list);
	list->n_values = count;
	list->values = pointers;
	to->value_case = OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
	to->array_value = list;
}

static void put_attributes(struct encoder *encoder)
{
	const uint32_t count = encoder->attributes.count;
	TABLE(encoder, Otlp__KeyValueAndUnit, otlp__key_value_and_unit__init, count, attributes, pointers);
	TABLE(encoder, Otlp__AnyValue, otlp__any_value__init, count, values, unused);
	for (uint32_t i = 1; i < count; i++) {
		const struct attribute_row *row = encoder->attributes.at[i].bytes;
		attributes[i].key_strindex = (int32_t)row->key;
		attributes[i].unit_strindex = (int32_t)row->unit;
		attributes[i].value = unused[i];
		if (row->kind == VALUE_TEXTS) {
			put_texts(encoder, (const int64_t *)(row + 1), (uint32_t)row->value, &values[i]);
		} else if (row->kind == VALUE_NUMBER) {
			values[i].value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
			values[i].int_value = row->value;
		} else {
			values[i].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
			values[i].string_value = value_text(encoder, row->value);
		}
	}
	encoder->dictionary.n_attribute_table = count;
	encoder->dictionary.attribute_table = pointers;
}

static void put_indices(struct encoder *encoder, const struct mapping_row *row, Otlp__Mapping *to)
{
	int32_t *list = take(encoder, 2, sizeof *list);
	if (!list)
		return;
	if (row->build_id)
		list[to->n_attribute_indices++] = (int32_t)row->build_id;
	if (row->hash)
		list[to->n_attribute_indices++] = (int32_t)row->hash;
	to->attribute_indices = list;
}

static void put_mappings(struct encoder *encoder)
{
	const uint32_t count = encoder->mappings.count;
	TABLE(encoder, Otlp__Mapping, otlp__mapping__init, count, mappings, pointers);
	for (uint32_t i = 1; i < count; i++) {
		const struct mapping_row *row = encoder->mappings.at[i].bytes;
		mappings[i].memory_limit = UINT64_MAX; /* addresses are those of the file */
		mappings[i].filename_strindex = (int32_t)row->file;
		put_indices(encoder, row, &mappings[i]);
	}
	encoder->dictionary.n_mapping_table = count;
	encoder->dictionary.mapping_table = pointers;
}

static void put_functions(struct encoder *encoder)
{
	const uint32_t count = encoder->functions.count;
	TABLE(encoder, Otlp__Function, otlp__function__init, count, functions, pointers);
	for (uint32_t i = 1; i < count; i++) {
		const struct function_row *row = encoder->functions.at[i].bytes;
		functions[i].name_strindex = (int32_t)row->name;
		functions[i].system_name_strindex = (int32_t)row->system_name;
		functions[i].filename_strindex = (int32_t)row->file;
		functions[i].start_line = row->start_line;
	}
	encoder->dictionary.n_function_table = count;
	encoder->dictionary.function_table = pointers;
}

static void put_lines(struct encoder *encoder, const int64_t *pairs, uint32_t count, Otlp__Location *to)
{
	TABLE(encoder, Otlp__Line, otlp__line__init, count, lines, pointers);
	for (uint32_t i = 0; i < count; i++) {
		lines[i].function_index = (int32_t)pairs[2 * i];
		lines[i].line = pairs[2 * i + 1];
	}
	to->n_lines = count;
	to->lines = pointers;
}

static void put_locations(struct encoder *encoder)
{
	const uint32_t count = encoder->locations.count;
	TABLE(encoder, Otlp__Location, otlp__location__init, count, locations, pointers);
	for (uint32_t i = 1; i < count; i++) {
		const struct dp_unique_entry *entry = &encoder->locations.at[i];
		const struct location_row *row = entry->bytes;
		locations[i].mapping_index = (int32_t)row->mapping;
		locations[i].address = (uint64_t)row->address;
		locations[i].attribute_indices =
			one_index(encoder, row->type, &locations[i].n_attribute_indices);
		put_lines(encoder, (const int64_t *)(row + 1),
			(uint32_t)((entry->size - sizeof *row) / (2 * sizeof(int64_t))), &locations[i]);
	}
	encoder->dictionary.n_location_table = count;
	encoder->dictionary.location_table = pointers;
}

/* The numbers of a row as a list of indices. */
static int32_t *indices_of(struct encoder *encoder, const int64_t *numbers, uint32_t count)
{
	int32_t *indices = take(encoder, count, sizeof *indices);
	for (uint32_t i = 0; indices && i < count; i++)
		indices[i] = (int32_t)numbers[i];
	return indices;
}

static void put_stacks(struct encoder *encoder)
{
	const uint32_t count = encoder->stacks.count;
	TABLE(encoder, Otlp__Stack, otlp__stack__init, count, stacks, pointers);
	for (uint32_t i = 1; i < count && !encoder->error; i++) {
		const struct dp_unique_entry *entry = &encoder->stacks.at[i];
		stacks[i].n_location_indices = entry->size / sizeof(int64_t);
		stacks[i].location_indices =
			indices_of(encoder, entry->bytes, (uint32_t)stacks[i].n_location_indices);
	}
	encoder->dictionary.n_stack_table = count;
	encoder->dictionary.stack_table = pointers;
}

/* Link 0 has no bytes: the proto would rather see zeros there, one widely used server refuses them, all take
 * none. */
static void put_links(struct encoder *encoder)
{
	const uint32_t count = encoder->links.count;
	TABLE(encoder, Otlp__Link, otlp__link__init, count, links, pointers);
	for (uint32_t i = 1; i < count; i++) {
		uint8_t *ids = (uint8_t *)(uintptr_t)encoder->links.at[i].bytes;
		links[i].trace_id = (ProtobufCBinaryData){TRACE_BYTES, ids};
		links[i].span_id = (ProtobufCBinaryData){SPAN_BYTES, ids + TRACE_BYTES};
	}
	encoder->dictionary.n_link_table = count;
	encoder->dictionary.link_table = pointers;
}

static void put_dictionary(struct encoder *encoder)
{
	otlp__profiles_dictionary__init(&encoder->dictionary);
	put_strings(encoder);
	put_attributes(encoder);
	put_mappings(encoder);
	put_functions(encoder);
	put_locations(encoder);
	put_stacks(encoder);
	put_links(encoder);
}

/* ---- profiles: one a type of value ---- */

static Otlp__ValueType *value_type(struct encoder *encoder, const char *type, const char *unit)
{
	Otlp__ValueType *to = take(encoder, 1, sizeof *to);
	if (!to)
		return NULL;
	otlp__value_type__init(to);
	to->type_strindex = string_of(encoder, type);
	to->unit_strindex = string_of(encoder, unit);
	return to;
}

/* What is known of all samples: what was lost, and what else is to be said. */
static int32_t *profile_attributes(struct encoder *encoder, size_t *count)
{
	const struct dp_profile *from = encoder->from;
	int32_t *list = take(encoder, DP_DROP_COUNT * 2 + 1, sizeof *list);
	char key[96];
	*count = 0;
	if (!list)
		return NULL;
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		snprintf(key, sizeof key, "deepprof.loss.%s", dp_drop_name(i));
		if (from->losses[i].count)
			list[(*count)++] = number_attribute(encoder, key, (int64_t)from->losses[i].count, "");
		snprintf(key, sizeof key, "deepprof.loss.%s.cpu", dp_drop_name(i));
		if (from->losses[i].weight_ns)
			list[(*count)++] =
				number_attribute(encoder, key, (int64_t)from->losses[i].weight_ns, "ns");
	}
	if (from->comments.count)
		list[(*count)++] = texts_attribute(
			encoder, "pprof.profile.comment", from->comments.at, from->comments.count);
	return list;
}

static void put_samples(struct encoder *encoder, uint32_t type, int64_t divisor, Otlp__Profile *to)
{
	const uint32_t count = encoder->samples.count;
	TABLE(encoder, Otlp__Sample, otlp__sample__init, count, samples, pointers);
	int64_t *values = take(encoder, count, sizeof *values);
	if (!values)
		return;
	for (uint32_t i = 0; i < count && !encoder->error; i++) {
		const struct dp_unique_entry *entry = &encoder->samples.at[i];
		const struct sample_row *row = entry->bytes;
		values[i] = encoder->sums[i][type] / divisor;
		samples[i].stack_index = (int32_t)row->stack;
		samples[i].link_index = (int32_t)row->link;
		samples[i].n_attribute_indices = (entry->size - sizeof *row) / sizeof(int64_t);
		samples[i].attribute_indices = indices_of(
			encoder, (const int64_t *)(row + 1), (uint32_t)samples[i].n_attribute_indices);
		samples[i].n_values = 1;
		samples[i].values = &values[i];
	}
	to->n_samples = count;
	to->samples = pointers;
}

static void put_profile(struct encoder *encoder, const char *type, const char *unit, uint32_t value,
	int64_t divisor, Otlp__Profile *to)
{
	const struct dp_profile *from = encoder->from;
	uint8_t *id = take(encoder, 1, ID_BYTES);
	if (!id)
		return;
	if (getrandom(id, ID_BYTES, GRND_NONBLOCK) == ID_BYTES) /* else it goes without */
		to->profile_id = (ProtobufCBinaryData){ID_BYTES, id};
	to->sample_type = value_type(encoder, type, unit);
	to->period_type = value_type(encoder, from->period_type.type ? from->period_type.type : "",
		from->period_type.unit ? from->period_type.unit : "");
	to->period = from->period;
	to->time_unix_nano = (uint64_t)from->time_ns;
	to->duration_nano = (uint64_t)from->duration_ns;
	to->attribute_indices = profile_attributes(encoder, &to->n_attribute_indices);
	put_samples(encoder, value, divisor, to);
}

/* Is each sample's time so many periods? */
static bool is_whole_periods(const struct encoder *encoder)
{
	const struct dp_profile *from = encoder->from;
	const uint32_t main_value = dp_main_value(from);
	if (from->kind != DP_PROFILE_CPU || !from->types.count || from->period <= 0 ||
		!from->period_type.type || strcmp(from->period_type.type, "cpu") != 0 ||
		strcmp(from->types.at[main_value].type, "cpu") != 0)
		return false;
	for (uint32_t i = 0; i < encoder->samples.count; i++)
		if (encoder->sums[i][main_value] % from->period)
			return false;
	return true;
}

/* The main value's profile first: viewers show that one. */
static void put_profiles(struct encoder *encoder, Otlp__ScopeProfiles *scope)
{
	const struct dp_profile *from = encoder->from;
	const uint32_t main_value = dp_main_value(from);
	const bool is_counted = is_whole_periods(encoder);
	const uint32_t count = is_counted ? 1 : from->types.count;
	TABLE(encoder, Otlp__Profile, otlp__profile__init, count, profiles, pointers);
	if (is_counted)
		put_profile(encoder, "samples", "count", main_value, from->period, &profiles[0]);
	for (uint32_t i = 0; i < count && !is_counted; i++) {
		const struct dp_value_type *type = &from->types.at[main_value - i];
		put_profile(encoder, type->type, type->unit, main_value - i, 1, &profiles[i]);
	}
	scope->n_profiles = count;
	scope->profiles = pointers;
}

/* ---- the resource ---- */

struct resource {
	Otlp__Resource message;
	Otlp__KeyValue *attributes;
	Otlp__AnyValue *values;
};

static bool has_key(const struct resource *resource, const char *key)
{
	for (size_t i = 0; i < resource->message.n_attributes; i++)
		if (!strcmp(resource->attributes[i].key, key))
			return true;
	return false;
}

static void put_fact(struct resource *resource, const char *key, const char *value)
{
	const size_t at = resource->message.n_attributes;
	char *end;
	if (!*key || has_key(resource, key))
		return;
	resource->attributes[at].key = (char *)(uintptr_t)key;
	resource->attributes[at].value = &resource->values[at];
	if (!strcmp(key, "process.pid") && *value) { /* the one that is a number by convention */
		resource->values[at].value_case = OTLP__ANY_VALUE__VALUE_INT_VALUE;
		resource->values[at].int_value = strtoll(value, &end, 10);
	} else {
		resource->values[at].value_case = OTLP__ANY_VALUE__VALUE_STRING_VALUE;
		resource->values[at].string_value = (char *)(uintptr_t)value;
	}
	resource->message.n_attributes++;
}

/* What the user said counts before what was found out. */
static void put_resource(struct encoder *encoder, struct resource *resource)
{
	const struct dp_profile *from = encoder->from;
	const uint32_t most = from->identity.count + from->resource.count + 1;
	TABLE(encoder, Otlp__KeyValue, otlp__key_value__init, most, attributes, pointers);
	TABLE(encoder, Otlp__AnyValue, otlp__any_value__init, most, values, unused);
	(void)unused;
	otlp__resource__init(&resource->message);
	resource->message.attributes = pointers;
	resource->attributes = attributes;
	resource->values = values;
	for (uint32_t i = 0; i < from->identity.count; i++)
		if (!strcmp(from->identity.at[i].key, "service_name"))
			put_fact(resource, "service.name", from->identity.at[i].value);
	put_fact(resource, "service.name", "unknown_service");
	for (uint32_t i = 0; i < from->identity.count; i++)
		if (strcmp(from->identity.at[i].key, "service_name") != 0)
			put_fact(resource, from->identity.at[i].key, from->identity.at[i].value);
	for (uint32_t i = 0; i < from->resource.count; i++)
		put_fact(resource, from->resource.at[i].key, from->resource.at[i].value);
}

/* ---- the whole ---- */

static void start_tables(struct encoder *encoder)
{
	static const int64_t zeros[8];
	const struct dp_profile *from = encoder->from;
	string_of(encoder, "");
	index_of(encoder, &encoder->attributes, zeros, sizeof(struct attribute_row));
	index_of(encoder, &encoder->mappings, zeros, sizeof(struct mapping_row));
	index_of(encoder, &encoder->functions, zeros, sizeof(struct function_row));
	index_of(encoder, &encoder->locations, zeros, sizeof(struct location_row));
	index_of(encoder, &encoder->stacks, zeros, 0);
	index_of(encoder, &encoder->links, zeros, TRACE_BYTES + SPAN_BYTES);
	encoder->location_of = take(encoder, from->locations.count, sizeof *encoder->location_of);
	encoder->sums = take(encoder, from->samples.count, sizeof *encoder->sums);
	for (uint32_t i = 0; encoder->location_of && i < from->locations.count; i++)
		encoder->location_of[i] = DP_NO_INDEX;
}

static int encode(struct encoder *encoder, struct dp_buffer *out)
{
	Otlp__ScopeProfiles scope = OTLP__SCOPE_PROFILES__INIT, *scopes = &scope;
	Otlp__InstrumentationScope name = OTLP__INSTRUMENTATION_SCOPE__INIT;
	Otlp__ResourceProfiles all = OTLP__RESOURCE_PROFILES__INIT, *alls = &all;
	Otlp__ExportProfilesServiceRequest request = OTLP__EXPORT_PROFILES_SERVICE_REQUEST__INIT;
	struct resource resource = {0};
	start_tables(encoder);
	for (uint32_t i = 0; i < encoder->from->samples.count && !encoder->error; i++)
		put_sample(encoder, &encoder->from->samples.at[i]);
	if (!encoder->error)
		put_profiles(encoder, &scope);
	if (!encoder->error)
		put_resource(encoder, &resource);
	if (!encoder->error)
		put_dictionary(encoder);
	if (encoder->error)
		return encoder->error;
	name.name = (char *)"deepprof";
	name.version = (char *)DEEPPROF_VERSION;
	scope.scope = &name;
	all.resource = &resource.message;
	all.n_scope_profiles = 1;
	all.scope_profiles = &scopes;
	request.n_resource_profiles = 1;
	request.resource_profiles = &alls;
	request.dictionary = &encoder->dictionary;
	return dp_buffer_pack(out, &request.base);
}

int dp_otlp_encode(const struct dp_profile *profile, struct dp_buffer *out)
{
	struct encoder encoder = {.from = profile};
	struct dp_unique *const tables[] = {&encoder.strings, &encoder.values, &encoder.attributes,
		&encoder.mappings, &encoder.functions, &encoder.locations, &encoder.stacks, &encoder.links,
		&encoder.samples};
	dp_arena_init(&encoder.arena, 0);
	const int error = encode(&encoder, out);
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		dp_unique_fini(tables[i]);
	dp_arena_fini(&encoder.arena);
	return error;
}
