/* SPDX-License-Identifier: Apache-2.0
 * Collapsed stacks: root first, ";" between frames, a space, the count in sampling periods. */
#include "export/export.h"
#include "export/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct line {
	char *text;
	int64_t count;
};

/* A frame's name must not look like two frames, nor like two lines. */
static int put_name(struct dp_buffer *out, const char *name)
{
	int error = 0;
	for (; *name && !error; name++) {
		const char c = *name == ';' ? ':' : *name == '\n' || *name == '\r' ? ' ' : *name;
		error = dp_buffer_append(out, &c, 1);
	}
	return error;
}

static int put_stack(const struct dp_profile *profile, const struct dp_profile_sample *sample, struct dp_buffer *out)
{
	char made[4200];
	int error = 0;
	bool is_first = true;
	for (uint32_t i = sample->location_count; i-- > 0 && !error;) {
		const struct dp_location *location = &profile->locations.at[sample->locations[i]];
		for (uint32_t j = dp_frame_count(location); j-- > 0 && !error; is_first = false) {
			if (!is_first)
				error = dp_buffer_append(out, ";", 1);
			if (!error)
				error = put_name(out, dp_frame_name(profile, location, j, made, sizeof made));
		}
	}
	return error ? error : dp_buffer_append(out, "", 1);
}

static int compare_lines(const void *one, const void *other)
{
	return strcmp(((const struct line *)one)->text, ((const struct line *)other)->text);
}

/* A CPU profile's count is its time in periods; another's is its first value. */
static int64_t count_of(const struct dp_profile *profile, const struct dp_profile_sample *sample)
{
	const int64_t value = sample->values[dp_main_value(profile)];
	if (profile->period > 0 && !strcmp(profile->types.at[dp_main_value(profile)].unit, "nanoseconds"))
		return (value + profile->period / 2) / profile->period;
	return value;
}

int dp_collapsed_encode(const struct dp_profile *profile, struct dp_buffer *out)
{
	const uint32_t count = profile->samples.count;
	struct line *lines = calloc(count + 1, sizeof *lines);
	size_t *offsets = calloc(count + 1, sizeof *offsets);
	struct dp_buffer text = {0};
	int error = lines && offsets ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < count && !error; i++) {
		offsets[i] = text.size;
		error = put_stack(profile, &profile->samples.at[i], &text);
		lines[i].count = count_of(profile, &profile->samples.at[i]);
	}
	for (uint32_t i = 0; i < count && !error; i++)
		lines[i].text = (char *)text.bytes + offsets[i];
	/* Stacks that differ in thread or address alone are one line. */
	if (!error)
		qsort(lines, count, sizeof *lines, compare_lines);
	for (uint32_t i = 0; i < count && !error; i++) {
		if (i + 1 < count && !strcmp(lines[i].text, lines[i + 1].text))
			lines[i + 1].count += lines[i].count;
		else if (lines[i].count)
			error = dp_buffer_format(out, "%s %lld\n", lines[i].text, (long long)lines[i].count);
	}
	free(lines);
	free(offsets);
	dp_buffer_fini(&text);
	return error;
}
