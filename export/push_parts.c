/* SPDX-License-Identifier: Apache-2.0
 * A profile cut into what servers take. Pyroscope's rate limit admits no profile over 2 MB, ever, and at most
 * 16 000 samples; every distinct value of a string label becomes a series there, and Parca loses such labels.
 * So parts stay small, labels with many values stay at home, and where it has to be there is a part for each
 * set of labels. */
#include "export/frames.h"
#include "export/push_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SAMPLES_MOST = 8000,
	BYTES_MOST = 1500 * 1000, /* before compression */
	VALUES_MOST = 16,         /* of one string label */
	KEYS_MOST = 6,            /* string labels kept */
	GROUPS_MOST = 64,
};

/* One string label's key and the values seen so far. */
struct key {
	const char *text;
	const char *name; /* as servers take it */
	const char *values[VALUES_MOST];
	uint32_t value_count;
	bool is_kept, is_exempt;
};

struct cutter {
	const struct dp_profile *from;
	const struct dp_server_kind *kind;
	dp_part_time *part_time;
	dp_part_take *take;
	void *context;
	struct dp_arena arena;
	struct key keys[64];
	uint32_t key_count;
	struct dp_profile_sample *samples; /* with the labels that stay */
	uint32_t part_count;
};

/* ---- labels ---- */

static struct key *key_of(struct cutter *cutter, const char *text)
{
	for (uint32_t i = 0; i < cutter->key_count; i++)
		if (!strcmp(cutter->keys[i].text, text))
			return &cutter->keys[i];
	if (cutter->key_count == sizeof cutter->keys / sizeof *cutter->keys)
		return NULL;
	struct key *key = &cutter->keys[cutter->key_count++];
	*key = (struct key){.text = text, .is_kept = true};
	return key;
}

static void see(struct key *key, const char *value)
{
	for (uint32_t i = 0; i < key->value_count; i++)
		if (!strcmp(key->values[i], value))
			return;
	if (key->value_count == VALUES_MOST)
		key->is_kept = key->is_exempt;
	else
		key->values[key->value_count++] = value;
}

/* Pyroscope keeps these three with the sample and makes no series of them. */
static bool is_of_a_span(const char *key)
{
	return !strcmp(key, "span_id") || !strcmp(key, "trace_id") || !strcmp(key, "profile_id");
}

static int choose_labels(struct cutter *cutter)
{
	const bool is_series = cutter->kind->labels == DP_LABELS_AS_SERIES;
	char name[DP_LABEL_NAME_BYTES];
	uint32_t kept = 0;
	for (uint32_t i = 0; i < cutter->from->samples.count; i++) {
		const struct dp_profile_sample *sample = &cutter->from->samples.at[i];
		for (uint32_t j = 0; j < sample->label_count; j++) {
			struct key *key =
				sample->labels[j].text ? key_of(cutter, sample->labels[j].key) : NULL;
			if (!key)
				continue;
			key->is_exempt = is_of_a_span(key->text) && !is_series;
			if (key->is_kept)
				see(key, sample->labels[j].text);
		}
	}
	for (uint32_t i = 0; i < cutter->key_count; i++) {
		struct key *key = &cutter->keys[i];
		dp_label_name(key->text, name, sizeof name);
		key->name = dp_arena_copy(&cutter->arena, name, strlen(name));
		if (!key->name)
			return -ENOMEM;
		if (is_of_a_span(key->text) && is_series)
			key->is_kept = false;
		if (key->is_kept && (!*name || !strncmp(name, "__", 2) || kept == KEYS_MOST))
			key->is_kept = false;
		for (uint32_t j = 0; j < i && key->is_kept; j++)
			key->is_kept =
				!cutter->keys[j].is_kept || strcmp(cutter->keys[j].name, key->name) != 0;
		kept += key->is_kept;
	}
	return 0;
}

static int keep_labels(struct cutter *cutter)
{
	cutter->samples =
		dp_arena_alloc(&cutter->arena, (cutter->from->samples.count + 1) * sizeof *cutter->samples);
	if (!cutter->samples)
		return -ENOMEM;
	for (uint32_t i = 0; i < cutter->from->samples.count; i++) {
		const struct dp_profile_sample *from = &cutter->from->samples.at[i];
		struct dp_profile_sample *to = &cutter->samples[i];
		struct dp_label *labels =
			dp_arena_alloc(&cutter->arena, (from->label_count + 1) * sizeof *labels);
		if (!labels)
			return -ENOMEM;
		*to = *from;
		to->labels = labels;
		to->label_count = 0;
		for (uint32_t j = 0; j < from->label_count; j++) {
			const struct key *key =
				from->labels[j].text ? key_of(cutter, from->labels[j].key) : NULL;
			if (from->labels[j].text && (!key || !key->is_kept || !*from->labels[j].text))
				continue;
			labels[to->label_count] = from->labels[j];
			if (key)
				labels[to->label_count].key = key->name;
			to->label_count++;
		}
	}
	return 0;
}

/* ---- a part ---- */

/* New numbers of the entries that a part uses; in the old order, so ids stay sequential. */
struct numbers {
	int32_t *at; /* DP_NO_INDEX: not used */
	uint32_t count;
};

static bool numbers_init(struct dp_arena *arena, struct numbers *numbers, uint32_t size)
{
	numbers->count = 0;
	numbers->at = dp_arena_alloc(arena, (size + 1) * sizeof *numbers->at);
	for (uint32_t i = 0; numbers->at && i < size; i++)
		numbers->at[i] = DP_NO_INDEX;
	return numbers->at != NULL;
}

static void number(struct numbers *numbers, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		if (numbers->at[i] != DP_NO_INDEX)
			numbers->at[i] = (int32_t)numbers->count++;
}

/* A server that can get the debug file by build-id names what has no name here, and only that. */
static uint32_t line_count(
	const struct cutter *cutter, const struct dp_profile *profile, const struct dp_location *location)
{
	return cutter->kind->has_symboliser && dp_frame_is_place(profile, location) ? 0
										    : location->line_count;
}

/* Elsewhere each frame has a name: Pyroscope forgets the address of one that has none, and what has neither
 * name nor address, 1.x leaves out with all samples that hold it. */
static int name_the_nameless(struct dp_arena *arena, struct dp_profile *view)
{
	char text[300];
	for (uint32_t i = 0; i < view->locations.count; i++) {
		struct dp_location *location = &view->locations.at[i];
		if (location->line_count)
			continue;
		const char *name = dp_frame_name(view, location, 0, text, sizeof text);
		struct dp_line *line = dp_arena_alloc(arena, sizeof *line);
		name = dp_arena_copy(arena, name, strlen(name));
		if (!line || !name)
			return -ENOMEM;
		line->function = (int32_t)view->functions.count;
		view->functions.at[view->functions.count++] =
			(struct dp_function){.name = name, .system_name = "", .file = ""};
		location->lines = line;
		location->line_count = 1;
	}
	return 0;
}

static int copy_tables(const struct cutter *cutter, struct dp_arena *arena, const struct dp_profile *from,
	struct dp_profile *view)
{
	struct numbers locations, functions, mappings;
	if (!numbers_init(arena, &locations, from->locations.count) ||
		!numbers_init(arena, &functions, from->functions.count) ||
		!numbers_init(arena, &mappings, from->mappings.count))
		return -ENOMEM;
	for (uint32_t i = 0; i < view->samples.count; i++)
		for (uint32_t j = 0; j < view->samples.at[i].location_count; j++)
			locations.at[view->samples.at[i].locations[j]] = 0;
	for (uint32_t i = 0; i < from->locations.count; i++) {
		const struct dp_location *location = &from->locations.at[i];
		if (locations.at[i] == DP_NO_INDEX)
			continue;
		if (location->mapping >= 0)
			mappings.at[location->mapping] = 0;
		for (uint32_t j = 0; j < line_count(cutter, from, location); j++)
			functions.at[location->lines[j].function] = 0;
	}
	number(&locations, from->locations.count);
	number(&functions, from->functions.count);
	number(&mappings, from->mappings.count);

	view->locations.at = dp_arena_alloc(arena, (locations.count + 1) * sizeof *view->locations.at);
	/* Room for a name of each location too. */
	view->functions.at =
		dp_arena_alloc(arena, (functions.count + locations.count + 1) * sizeof *view->functions.at);
	view->mappings.at = dp_arena_alloc(arena, (mappings.count + 1) * sizeof *view->mappings.at);
	if (!view->locations.at || !view->functions.at || !view->mappings.at)
		return -ENOMEM;
	view->locations.count = locations.count;
	view->functions.count = functions.count;
	view->mappings.count = mappings.count;
	for (uint32_t i = 0; i < from->functions.count; i++)
		if (functions.at[i] != DP_NO_INDEX)
			view->functions.at[functions.at[i]] = from->functions.at[i];
	for (uint32_t i = 0; i < from->mappings.count; i++)
		if (mappings.at[i] != DP_NO_INDEX)
			view->mappings.at[mappings.at[i]] = from->mappings.at[i];
	for (uint32_t i = 0; i < from->locations.count; i++) {
		if (locations.at[i] == DP_NO_INDEX)
			continue;
		struct dp_location *location = &view->locations.at[locations.at[i]];
		*location = from->locations.at[i];
		location->line_count = line_count(cutter, from, location);
		struct dp_line *lines = dp_arena_alloc(arena, (location->line_count + 1) * sizeof *lines);
		if (!lines)
			return -ENOMEM;
		for (uint32_t j = 0; j < location->line_count; j++)
			lines[j] = (struct dp_line){
				functions.at[location->lines[j].function], location->lines[j].line};
		location->lines = lines;
		if (location->mapping >= 0)
			location->mapping = mappings.at[location->mapping];
	}
	for (uint32_t i = 0; i < view->samples.count; i++) {
		struct dp_profile_sample *sample = &view->samples.at[i];
		int32_t *stack = dp_arena_alloc(arena, (sample->location_count + 1) * sizeof *stack);
		if (!stack)
			return -ENOMEM;
		for (uint32_t j = 0; j < sample->location_count; j++)
			stack[j] = locations.at[sample->locations[j]];
		sample->locations = stack;
	}
	return 0;
}

/* The samples as a profile of their own, encoded. */
static int encode(struct cutter *cutter, const uint32_t *chosen, uint32_t count, struct dp_buffer *encoded)
{
	struct dp_profile view = *cutter->from;
	struct dp_arena arena;
	dp_arena_init(&arena, 0);
	view.index = NULL;
	if (cutter->part_count) /* the window's losses are told once */
		memset(view.losses, 0, sizeof view.losses);
	view.time_ns = cutter->part_time(cutter->context, view.time_ns);
	if (view.duration_ns <= 0)
		view.duration_ns = 1; /* 0 would make it no delta to Parca */
	view.samples.count = count;
	view.samples.at = dp_arena_alloc(&arena, (count + 1) * sizeof *view.samples.at);
	int error = view.samples.at ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < count && !error; i++)
		view.samples.at[i] = cutter->samples[chosen[i]];
	if (!error)
		error = copy_tables(cutter, &arena, cutter->from, &view);
	if (!error && !cutter->kind->has_symboliser)
		error = name_the_nameless(&arena, &view);
	if (!error)
		error = cutter->kind->encode(&view, encoded);
	dp_arena_fini(&arena);
	return error;
}

static uint64_t weight_of(const struct cutter *cutter, const uint32_t *chosen, uint32_t count)
{
	const uint32_t types = cutter->from->types.count;
	uint64_t weight_ns = 0;
	for (uint32_t i = 0; i < count && types; i++)
		weight_ns += (uint64_t)cutter->samples[chosen[i]].values[types - 1];
	return weight_ns;
}

static int cut(struct cutter *cutter, const uint32_t *chosen, uint32_t count)
{
	struct dp_buffer plain = {0};
	int error = count > SAMPLES_MOST ? -EFBIG : encode(cutter, chosen, count, &plain);
	if (!error && plain.size > BYTES_MOST && count > 1)
		error = -EFBIG;
	if (error == -EFBIG) {
		dp_buffer_fini(&plain);
		error = cut(cutter, chosen, count / 2);
		return error ? error : cut(cutter, chosen + count / 2, count - count / 2);
	}
	struct dp_part part = {.profile = cutter->from, .weight_ns = weight_of(cutter, chosen, count)};
	if (cutter->kind->labels == DP_LABELS_AS_SERIES && count) {
		part.labels = cutter->samples[chosen[0]].labels;
		part.label_count = cutter->samples[chosen[0]].label_count;
	}
	if (!error)
		error = dp_gzip(plain.bytes, plain.size, &part.encoded);
	cutter->part_count++;
	if (!error)
		error = cutter->take(cutter->context, &part);
	dp_buffer_fini(&part.encoded);
	dp_buffer_fini(&plain);
	return error;
}

/* ---- groups of equal labels ---- */

static bool has_same_texts(const struct dp_profile_sample *one, const struct dp_profile_sample *other)
{
	uint32_t i = 0, j = 0;
	for (;;) {
		while (i < one->label_count && !one->labels[i].text)
			i++;
		while (j < other->label_count && !other->labels[j].text)
			j++;
		if (i == one->label_count || j == other->label_count)
			return i == one->label_count && j == other->label_count;
		if (strcmp(one->labels[i].key, other->labels[j].key) != 0 ||
			strcmp(one->labels[i].text, other->labels[j].text) != 0)
			return false;
		i++, j++;
	}
}

/* first[g] is a sample of group g; group[i] says which one sample i is in. */
static uint32_t find_groups(struct cutter *cutter, uint32_t *group, uint32_t first[GROUPS_MOST])
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < cutter->from->samples.count; i++) {
		struct dp_profile_sample *sample = &cutter->samples[i];
		uint32_t at = 0;
		while (at < count && at < GROUPS_MOST - 1 &&
			!has_same_texts(sample, &cutter->samples[first[at]]))
			at++;
		if (at == GROUPS_MOST - 1)
			sample->label_count = 0; /* the last group is for those that found no other */
		if (at == count) {
			first[at] = i;
			count++;
		}
		group[i] = at;
	}
	return count;
}

static int cut_groups(struct cutter *cutter, uint32_t *group, uint32_t *chosen)
{
	uint32_t first[GROUPS_MOST];
	const uint32_t groups = find_groups(cutter, group, first);
	int error = 0;
	for (uint32_t g = 0; g < groups && !error; g++) {
		uint32_t count = 0;
		for (uint32_t i = 0; i < cutter->from->samples.count; i++)
			if (group[i] == g)
				chosen[count++] = i;
		error = cut(cutter, chosen, count);
	}
	return error;
}

int dp_parts_make(const struct dp_profile *profile, const struct dp_server_kind *kind,
	dp_part_time *part_time, dp_part_take *take, void *context)
{
	struct cutter *cutter = calloc(1, sizeof *cutter);
	if (!cutter)
		return -ENOMEM;
	*cutter = (struct cutter){
		.from = profile, .kind = kind, .part_time = part_time, .take = take, .context = context};
	dp_arena_init(&cutter->arena, 0);
	const uint32_t count = profile->samples.count;
	uint32_t *chosen = dp_arena_alloc(&cutter->arena, (count + 1) * sizeof *chosen);
	uint32_t *group = dp_arena_alloc(&cutter->arena, (count + 1) * sizeof *group);
	int error = chosen && group ? 0 : -ENOMEM;
	cutter->samples = profile->samples.at;
	if (!error && kind->labels != DP_LABELS_ALL)
		error = choose_labels(cutter);
	if (!error && kind->labels != DP_LABELS_ALL)
		error = keep_labels(cutter);
	for (uint32_t i = 0; i < count && !error; i++)
		chosen[i] = i;
	if (!error)
		error = kind->labels == DP_LABELS_AS_SERIES && count ? cut_groups(cutter, group, chosen)
								     : cut(cutter, chosen, count);
	dp_arena_fini(&cutter->arena);
	free(cutter);
	return error;
}

/* ---- series labels ---- */

void dp_label_name(const char *from, char *to, size_t size)
{
	size_t at = 0;
	for (; *from && at < size - 1; from++) {
		const char c = *from;
		const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		const bool is_digit = c >= '0' && c <= '9';
		if (is_digit && !at)
			to[at++] = '_';
		if (at < size - 1)
			to[at++] = is_letter || is_digit ? c : '_';
	}
	to[at] = 0;
}

const char *dp_series_name(const struct dp_profile *profile)
{
	return profile->kind == DP_PROFILE_CPU ? "process_cpu" : "deepprof";
}

static bool is_opentelemetry(const char *name)
{
	return !strncmp(name, "process.runtime.", 16) || !strncmp(name, "otel.scope.", 11);
}

/* As much of the text as fits, whole UTF-8 characters. */
static void copy_value(char *to, const char *from, size_t size)
{
	size_t length = strlen(from);
	if (length >= size)
		for (length = size - 1; length && ((unsigned char)from[length] & 0xc0) == 0x80;)
			length--;
	memcpy(to, from, length);
	to[length] = 0;
}

static void add(struct dp_series_label *labels, uint32_t *count, const char *name, const char *value,
	bool is_as_it_is)
{
	struct dp_series_label *label = &labels[*count];
	if (*count == DP_SERIES_LABELS_MOST || !value || !*value)
		return;
	if (is_as_it_is)
		copy_value(label->name, name, sizeof label->name);
	else
		dp_label_name(name, label->name, sizeof label->name);
	if (!*label->name || (!is_as_it_is && !strncmp(label->name, "__", 2)))
		return; /* those names are the server's own */
	for (uint32_t i = 0; i < *count; i++)
		if (!strcmp(labels[i].name, label->name))
			return; /* a second label of one name would have the whole series refused */
	copy_value(label->value, value, sizeof label->value);
	++*count;
}

static const char *value_of(const struct dp_pairs *pairs, const char *key)
{
	for (uint32_t i = 0; i < pairs->count; i++)
		if (!strcmp(pairs->at[i].key, key))
			return pairs->at[i].value;
	return NULL;
}

struct dp_series_label *dp_series_labels(const struct dp_part *part, bool keeps_dots, uint32_t *count)
{
	const struct dp_profile *profile = part->profile;
	struct dp_series_label *labels = calloc(DP_SERIES_LABELS_MOST + 1, sizeof *labels);
	*count = 0;
	if (!labels)
		return NULL;
	add(labels, count, "__name__", dp_series_name(profile), true);
	/* The service first: were there too many labels, it would be the one to keep. */
	for (uint32_t i = 0; i < profile->identity.count; i++)
		if (!strcmp(profile->identity.at[i].key, "service_name"))
			add(labels, count, "service_name", profile->identity.at[i].value, true);
	if (keeps_dots) {
		add(labels, count, "otel.scope.name", "deepprof", true);
		add(labels, count, "otel.scope.version", DEEPPROF_VERSION, true);
	}
	/* Equal workers of two machines are two series: one would swallow the other's profiles. */
	const char *host = value_of(&profile->resource, "host.name");
	if (host && !value_of(&profile->identity, "host"))
		add(labels, count, "host", host, true);
	for (uint32_t i = 0; i < part->label_count; i++)
		if (part->labels[i].text)
			add(labels, count, part->labels[i].key, part->labels[i].text, false);
	for (uint32_t i = 0; i < profile->identity.count; i++) {
		const struct dp_pair *pair = &profile->identity.at[i];
		add(labels, count, pair->key, pair->value, keeps_dots && is_opentelemetry(pair->key));
	}
	return labels;
}
