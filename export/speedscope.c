/* SPDX-License-Identifier: Apache-2.0
 * speedscope's "sampled" profiles: one per thread, with weights. Format: speedscope.app/file-format-schema.json. */
#include "export/export.h"
#include "export/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int put_text(struct dp_buffer *out, const char *text)
{
	int error = dp_buffer_append(out, "\"", 1);
	for (; *text && !error; text++) {
		const unsigned char c = (unsigned char)*text;
		if (c == '"' || c == '\\')
			error = dp_buffer_format(out, "\\%c", c);
		else if (c < 0x20)
			error = dp_buffer_format(out, "\\u%04x", c);
		else
			error = dp_buffer_append(out, text, 1);
	}
	return error ? error : dp_buffer_append(out, "\"", 1);
}

/* Frames are numbered location by location, innermost first. */
static int put_frames(const struct dp_profile *profile, uint32_t *first, struct dp_buffer *out)
{
	char made[4200];
	uint32_t number = 0;
	int error = 0;
	for (uint32_t i = 0; i < profile->locations.count && !error; i++) {
		const struct dp_location *location = &profile->locations.at[i];
		first[i] = number;
		for (uint32_t j = 0; j < dp_frame_count(location) && !error; j++, number++) {
			error = dp_buffer_format(out, "%s{\"name\":", number ? "," : "");
			if (!error)
				error = put_text(out, dp_frame_name(profile, location, j, made, sizeof made));
			if (!error && j < location->line_count) {
				const struct dp_function *function =
				        &profile->functions.at[location->lines[j].function];
				if (*function->file) {
					error = dp_buffer_format(out, ",\"file\":");
					if (!error)
						error = put_text(out, function->file);
					if (!error && location->lines[j].line)
						error = dp_buffer_format(out, ",\"line\":%u", location->lines[j].line);
				}
			}
			if (!error)
				error = dp_buffer_append(out, "}", 1);
		}
	}
	return error;
}

static int put_samples(const struct dp_profile *profile, const char *thread, const uint32_t *first, struct dp_buffer *out)
{
	struct dp_buffer weights = {0};
	int64_t total = 0;
	int error = dp_buffer_format(out, "{\"type\":\"sampled\",\"name\":");
	if (!error)
		error = put_text(out, *thread ? thread : "all");
	if (!error)
		error = dp_buffer_format(out, ",\"unit\":\"%s\",\"startValue\":0,\"samples\":[",
		        profile->types.count && !strcmp(profile->types.at[dp_main_value(profile)].unit, "nanoseconds")
		                ? "nanoseconds"
		                : "none");
	bool is_first = true;
	for (uint32_t i = 0; i < profile->samples.count && !error; i++) {
		const struct dp_profile_sample *sample = &profile->samples.at[i];
		if (dp_sample_thread(sample) != thread)
			continue;
		error = dp_buffer_format(out, "%s[", is_first ? "" : ",");
		bool is_root = true;
		for (uint32_t j = sample->location_count; j-- > 0 && !error;) {
			const int32_t location = sample->locations[j];
			for (uint32_t k = dp_frame_count(&profile->locations.at[location]); k-- > 0 && !error; is_root = false)
				error = dp_buffer_format(out, "%s%u", is_root ? "" : ",", first[location] + k);
		}
		if (!error)
			error = dp_buffer_append(out, "]", 1);
		const int64_t value = sample->values[dp_main_value(profile)];
		if (!error)
			error = dp_buffer_format(&weights, "%s%lld", is_first ? "" : ",", (long long)value);
		total += value;
		is_first = false;
	}
	if (!error)
		error = dp_buffer_format(out, "],\"weights\":[%.*s],\"endValue\":%lld}", (int)weights.size,
		        weights.bytes ? (const char *)weights.bytes : "", (long long)total);
	dp_buffer_fini(&weights);
	return error;
}

int dp_speedscope_encode(const struct dp_profile *profile, const char *name, struct dp_buffer *out)
{
	uint32_t *first = calloc(profile->locations.count + 1, sizeof *first);
	const char **threads = calloc(profile->samples.count + 1, sizeof *threads);
	uint32_t thread_count = 0;
	int error = first && threads ? 0 : -ENOMEM;
	if (!error)
		error = dp_buffer_format(
		        out, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"name\":");
	if (!error)
		error = put_text(out, name);
	if (!error)
		error = dp_buffer_format(
		        out, ",\"exporter\":\"deepprof " DEEPPROF_VERSION "\",\"shared\":{\"frames\":[");
	if (!error)
		error = put_frames(profile, first, out);
	if (!error)
		error = dp_buffer_format(out, "]},\"profiles\":[");
	for (uint32_t i = 0; i < profile->samples.count && !error; i++) {
		const char *thread = dp_sample_thread(&profile->samples.at[i]);
		uint32_t known = 0;
		while (known < thread_count && threads[known] != thread)
			known++;
		if (known < thread_count)
			continue;
		if (thread_count)
			error = dp_buffer_append(out, ",", 1);
		threads[thread_count++] = thread;
		if (!error)
			error = put_samples(profile, thread, first, out);
	}
	if (!error)
		error = dp_buffer_format(out, "]}\n");
	free(first);
	free(threads);
	return error;
}
