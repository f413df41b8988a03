/* SPDX-License-Identifier: Apache-2.0
 * pprof files, ours and others', back to a profile. The bytes are foreign: every index is checked. */
#include "export/export.h"
#include "export/pprof.h"

#include "base/frame.h"
#include "profile.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef Perftools__Profiles__Profile Profile;

enum { MOST_BYTES = 512 * 1024 * 1024, MOST_LINES = 256, MOST_LABELS = 16, MOST_FRAMES = 64 * 1024 };

/* Unpacking an honest file takes at most about 12 times its bytes; one that was made to hurt, 50 times. */
enum { MEMORY_FACTOR = 24, MEMORY_BASE = 1024 * 1024, BLOCK_HEAD = 16 };

struct budget {
	ProtobufCAllocator allocator;
	size_t left;
};

static void *budget_alloc(void *context, size_t size)
{
	struct budget *budget = context;
	if (budget->left < BLOCK_HEAD || size > budget->left - BLOCK_HEAD)
		return NULL;
	size_t *block = malloc(size + BLOCK_HEAD);
	if (!block)
		return NULL;
	block[0] = size + BLOCK_HEAD;
	budget->left -= block[0];
	return (char *)block + BLOCK_HEAD;
}

static void budget_free(void *context, void *memory)
{
	struct budget *budget = context;
	if (!memory)
		return;
	size_t *block = (size_t *)(void *)((char *)memory - BLOCK_HEAD);
	budget->left += block[0];
	free(block);
}

/* ids are arbitrary in foreign files: sorted pairs give each its place. */
struct id_pair {
	uint64_t id;
	int32_t index;
};

struct decoder {
	const Profile *in;
	struct dp_profile *out;
	struct id_pair *mappings, *functions, *locations; /* a mapping's place is the one in the file */
	size_t mapping_count, function_count, location_count;
	size_t value_order[DP_PROFILE_VALUES]; /* which of the file's values each of ours is */
};

static const char *text(const struct decoder *decoder, int64_t number)
{
	const Profile *in = decoder->in;
	return number >= 0 && (uint64_t)number < in->n_string_table && in->string_table[number] ? in->string_table[number]
	                                                                                        : "";
}

static int compare_ids(const void *one, const void *other)
{
	const uint64_t a = ((const struct id_pair *)one)->id, b = ((const struct id_pair *)other)->id;
	return a < b ? -1 : a > b;
}

static int32_t find_id(const struct id_pair *pairs, size_t count, uint64_t id)
{
	const struct id_pair key = {id, 0};
	const struct id_pair *found = count ? bsearch(&key, pairs, count, sizeof key, compare_ids) : NULL;
	return found ? found->index : DP_NO_INDEX;
}

static int take_mappings(struct decoder *decoder)
{
	for (size_t i = 0; i < decoder->in->n_mapping; i++) {
		const Perftools__Profiles__Mapping *from = decoder->in->mapping[i];
		const struct dp_mapping mapping = {
		        .path = text(decoder, from->filename),
		        .build_id = text(decoder, from->build_id),
		        .has_functions = from->has_functions,
		        .has_files = from->has_filenames,
		        .has_lines = from->has_line_numbers,
		        .has_inlines = from->has_inline_frames,
		};
		const int index = dp_profile_mapping(decoder->out, &mapping);
		if (index < 0)
			return index;
		decoder->mappings[decoder->mapping_count++] = (struct id_pair){from->id, (int32_t)i};
	}
	qsort(decoder->mappings, decoder->mapping_count, sizeof(struct id_pair), compare_ids);
	return 0;
}

static int take_functions(struct decoder *decoder)
{
	for (size_t i = 0; i < decoder->in->n_function; i++) {
		const Perftools__Profiles__Function *from = decoder->in->function[i];
		const struct dp_function function = {
		        .name = text(decoder, from->name),
		        .system_name = text(decoder, from->system_name),
		        .file = text(decoder, from->filename),
		        .start_line = from->start_line > 0 && from->start_line <= UINT32_MAX ? (uint32_t)from->start_line : 0,
		};
		const int index = dp_profile_function(decoder->out, &function);
		if (index < 0)
			return index;
		decoder->functions[decoder->function_count++] = (struct id_pair){from->id, index};
	}
	qsort(decoder->functions, decoder->function_count, sizeof(struct id_pair), compare_ids);
	return 0;
}

/* Others' files hold run-time addresses: the offset in the object is the nearest thing to an ELF address. */
static int place_location(struct decoder *decoder, uint64_t mapping_id, struct dp_location *location)
{
	const int32_t place = find_id(decoder->mappings, decoder->mapping_count, mapping_id);
	if (place < 0)
		return mapping_id ? -EBADMSG : 0;
	const Perftools__Profiles__Mapping *from = decoder->in->mapping[place];
	if (from->memory_start && location->address >= from->memory_start &&
		location->address < from->memory_limit)
		location->address += from->file_offset - from->memory_start;
	location->mapping =
		dp_profile_mapping(decoder->out, &(struct dp_mapping){.path = text(decoder, from->filename),
							 .build_id = text(decoder, from->build_id)});
	return location->mapping < 0 ? location->mapping : 0;
}

/* pprof does not say which runtime a frame belongs to; its source file does. */
static uint8_t runtime_of_file(const char *file)
{
	static const struct {
		const char *ending;
		uint8_t runtime;
	} endings[] = {
		{".py", DP_FRAME_PYTHON},
		{".java", DP_FRAME_JVM},
		{".kt", DP_FRAME_JVM},
		{".scala", DP_FRAME_JVM},
	};
	const size_t size = strlen(file);
	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
		const size_t end = strlen(endings[i].ending);
		if (size > end && !strcmp(file + size - end, endings[i].ending))
			return endings[i].runtime;
	}
	return DP_FRAME_NATIVE;
}

static int take_locations(struct decoder *decoder)
{
	struct dp_line lines[MOST_LINES];
	for (size_t i = 0; i < decoder->in->n_location; i++) {
		const Perftools__Profiles__Location *from = decoder->in->location[i];
		struct dp_location location = {
			.mapping = DP_NO_INDEX,
			.address = from->address,
			.lines = lines,
		};
		for (size_t j = 0; j < from->n_line && location.line_count < MOST_LINES; j++) {
			const int32_t function =
			        find_id(decoder->functions, decoder->function_count, from->line[j]->function_id);
			if (function < 0)
				return -EBADMSG;
			location.runtime = runtime_of_file(decoder->out->functions.at[function].file);
			lines[location.line_count].function = function;
			lines[location.line_count++].line = from->line[j]->line > 0 ? (uint32_t)from->line[j]->line : 0;
		}
		const int error = place_location(decoder, from->mapping_id, &location);
		const int index = error ? error : dp_profile_location(decoder->out, &location);
		if (index < 0)
			return index;
		decoder->locations[decoder->location_count++] = (struct id_pair){from->id, index};
	}
	qsort(decoder->locations, decoder->location_count, sizeof(struct id_pair), compare_ids);
	return 0;
}

static int take_sample(struct decoder *decoder, const Perftools__Profiles__Sample *from)
{
	struct dp_label labels[MOST_LABELS];
	struct dp_profile_sample sample = {.labels = labels};
	if (from->n_value != decoder->in->n_sample_type || from->n_location_id > MOST_FRAMES)
		return -EBADMSG;
	int32_t *locations = malloc((from->n_location_id + 1) * sizeof *locations);
	if (!locations)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_location_id; i++) {
		locations[i] = find_id(decoder->locations, decoder->location_count, from->location_id[i]);
		if (locations[i] < 0) {
			free(locations);
			return -EBADMSG;
		}
	}
	sample.locations = locations;
	sample.location_count = (uint32_t)from->n_location_id;
	for (uint32_t i = 0; i < decoder->out->types.count; i++)
		sample.values[i] = from->value[decoder->value_order[i]];
	for (size_t i = 0; i < from->n_label && sample.label_count < MOST_LABELS; i++) {
		const Perftools__Profiles__Label *label = from->label[i];
		labels[sample.label_count++] = (struct dp_label){
		        .key = text(decoder, label->key),
		        .text = label->str ? text(decoder, label->str) : NULL,
		        .number = label->num,
		        .unit = text(decoder, label->num_unit),
		};
	}
	const int error = dp_profile_sample(decoder->out, &sample);
	free(locations);
	return error;
}

static bool take_loss(struct dp_profile *out, const char *comment)
{
	char name[32];
	uint64_t count, weight_ns;
	if (sscanf(comment, DP_PPROF_LOSS "%31[a-z_]=%" SCNu64 " weight_ns=%" SCNu64, name, &count, &weight_ns) != 3)
		return false;
	for (int i = 0; i < DP_DROP_COUNT; i++)
		if (!strcmp(name, dp_drop_name(i))) {
			out->losses[i].count += count;
			out->losses[i].weight_ns += weight_ns;
			return true;
		}
	return false;
}

static int take_comment(struct dp_profile *out, const char *comment)
{
	const size_t prefix = strlen(DP_PPROF_LABEL);
	const char *equals = strncmp(comment, DP_PPROF_LABEL, prefix) ? NULL : strchr(comment, '=');
	char key[1100];
	if (take_loss(out, comment))
		return 0;
	if (!equals || (size_t)(equals - comment) - prefix >= sizeof key)
		return dp_profile_add_comment(out, comment);
	snprintf(key, sizeof key, "%.*s", (int)(equals - comment - (ptrdiff_t)prefix), comment + prefix);
	return dp_profile_add_identity(out, key, equals + 1);
}

/* The main type goes last, as default_sample_type says or as it stands; of more types than fit, the first
 * stay. */
static int take_types(struct decoder *decoder)
{
	const Profile *in = decoder->in;
	const char *wanted = text(decoder, in->default_sample_type);
	size_t main_type = in->n_sample_type - 1, count = 0;
	int error = 0;
	for (size_t i = 0; i < in->n_sample_type && *wanted; i++)
		if (!strcmp(text(decoder, in->sample_type[i]->type), wanted))
			main_type = i;
	for (size_t i = 0; i < in->n_sample_type && count < DP_PROFILE_VALUES - 1; i++)
		if (i != main_type)
			decoder->value_order[count++] = i;
	decoder->value_order[count++] = main_type;
	for (size_t i = 0; i < count && !error; i++) {
		const Perftools__Profiles__ValueType *type = in->sample_type[decoder->value_order[i]];
		error = dp_profile_add_type(
			decoder->out, text(decoder, type->type), text(decoder, type->unit));
	}
	if (!error && count < in->n_sample_type)
		error = dp_profile_add_comment(
			decoder->out, "the file has more value types than are kept here");
	return error;
}

static int take_head(struct decoder *decoder)
{
	const Profile *in = decoder->in;
	struct dp_profile *out = decoder->out;
	if (!in->n_sample_type || !in->n_string_table || *in->string_table[0])
		return -EBADMSG;
	int error = take_types(decoder);
	out->period = in->period;
	if (in->period_type) {
		out->period_type.type = dp_profile_text(out, text(decoder, in->period_type->type));
		out->period_type.unit = dp_profile_text(out, text(decoder, in->period_type->unit));
	}
	out->time_ns = in->time_nanos;
	out->duration_ns = in->duration_nanos;
	for (size_t i = 0; i < in->n_comment && !error; i++)
		error = take_comment(out, text(decoder, in->comment[i]));
	return error;
}

static int take_all(struct decoder *decoder)
{
	int error = take_head(decoder);
	if (!error)
		error = take_mappings(decoder);
	if (!error)
		error = take_functions(decoder);
	if (!error)
		error = take_locations(decoder);
	for (size_t i = 0; i < decoder->in->n_sample && !error; i++)
		error = take_sample(decoder, decoder->in->sample[i]);
	return error;
}

static int decode_plain(const void *bytes, size_t size, struct dp_profile **profile)
{
	struct decoder decoder = {0};
	struct budget budget = {{budget_alloc, budget_free, &budget}, MEMORY_BASE + MEMORY_FACTOR * size};
	if (size > MOST_BYTES)
		return -EFBIG;
	Profile *in = perftools__profiles__profile__unpack(&budget.allocator, size, bytes);
	if (!in)
		return -EBADMSG;
	decoder.in = in;
	decoder.out = dp_profile_new(DP_PROFILE_OTHER, 0);
	decoder.mappings = calloc(in->n_mapping + 1, sizeof(struct id_pair));
	decoder.functions = calloc(in->n_function + 1, sizeof(struct id_pair));
	decoder.locations = calloc(in->n_location + 1, sizeof(struct id_pair));
	int error = -ENOMEM;
	if (decoder.out && decoder.mappings && decoder.functions && decoder.locations)
		error = take_all(&decoder);
	free(decoder.mappings);
	free(decoder.functions);
	free(decoder.locations);
	perftools__profiles__profile__free_unpacked(in, &budget.allocator);
	if (error) {
		dp_profile_free(decoder.out);
		return error;
	}
	const struct dp_value_type *types = decoder.out->types.at;
	if (decoder.out->types.count == 2 && !strcmp(types[0].type, "samples") &&
		!strcmp(types[1].type, "cpu") && !strcmp(types[1].unit, "nanoseconds"))
		decoder.out->kind = DP_PROFILE_CPU;
	*profile = decoder.out;
	return 0;
}

int dp_pprof_decode(const void *bytes, size_t size, struct dp_profile **profile)
{
	const uint8_t *b = bytes;
	if (size < 2 || b[0] != 0x1f || b[1] != 0x8b)
		return decode_plain(bytes, size, profile);
	struct dp_buffer plain = {0};
	int error = dp_gunzip(bytes, size, MOST_BYTES, &plain);
	if (!error)
		error = decode_plain(plain.bytes, plain.size, profile);
	dp_buffer_fini(&plain);
	return error;
}
