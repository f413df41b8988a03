/* SPDX-License-Identifier: Apache-2.0
 * The flame graph as one page: html/page.html with its style, its script and the profile as JSON put in. */
#include "export/export.h"
#include "export/frames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern const char dp_page_html[], dp_page_css[], dp_page_js[];

/* Frames of one or two profiles, numbered once each by name, object, file and line. */
struct frames {
	struct frame {
		const char *object, *file;
		char *name;
		uint32_t line;
	} *at;
	uint32_t count, capacity;
	uint32_t *slots, slot_count;
	const char **threads;
	uint32_t thread_count, thread_capacity;
};

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return hash * 31 + 7;
}

static uint64_t hash_frame(const struct frame *frame)
{
	uint64_t hash = hash_text(UINT64_C(0xcbf29ce484222325), frame->name);
	hash = hash_text(hash, frame->object);
	hash = hash_text(hash, frame->file) ^ frame->line;
	return hash ^ hash >> 32;
}

static int grow(struct frames *frames)
{
	const uint32_t size = frames->slot_count ? frames->slot_count * 2 : 1024;
	uint32_t *slots = calloc(size, sizeof *slots);
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < frames->count; i++) {
		uint32_t at = (uint32_t)hash_frame(&frames->at[i]) & (size - 1);
		while (slots[at])
			at = (at + 1) & (size - 1);
		slots[at] = i + 1;
	}
	free(frames->slots);
	frames->slots = slots;
	frames->slot_count = size;
	return 0;
}

static int frame_number(struct frames *frames, const struct frame *wanted)
{
	if (frames->count * 2 >= frames->slot_count && grow(frames) != 0)
		return -ENOMEM;
	uint32_t at = (uint32_t)hash_frame(wanted) & (frames->slot_count - 1);
	for (; frames->slots[at]; at = (at + 1) & (frames->slot_count - 1)) {
		const struct frame *known = &frames->at[frames->slots[at] - 1];
		if (known->line == wanted->line && !strcmp(known->name, wanted->name) &&
		        !strcmp(known->object, wanted->object) && !strcmp(known->file, wanted->file))
			return (int)frames->slots[at] - 1;
	}
	if (frames->count == frames->capacity) {
		const uint32_t capacity = frames->capacity ? frames->capacity * 2 : 512;
		struct frame *more = realloc(frames->at, capacity * sizeof *more);
		if (!more)
			return -ENOMEM;
		frames->at = more;
		frames->capacity = capacity;
	}
	struct frame *frame = &frames->at[frames->count];
	*frame = *wanted;
	frame->name = strdup(wanted->name);
	if (!frame->name)
		return -ENOMEM;
	frames->slots[at] = ++frames->count;
	return (int)frames->count - 1;
}

static int thread_number(struct frames *frames, const char *thread)
{
	for (uint32_t i = 0; i < frames->thread_count; i++)
		if (!strcmp(frames->threads[i], thread))
			return (int)i;
	if (frames->thread_count == frames->thread_capacity) {
		const uint32_t capacity = frames->thread_capacity ? frames->thread_capacity * 2 : 16;
		const char **more = realloc(frames->threads, capacity * sizeof *more);
		if (!more)
			return -ENOMEM;
		frames->threads = more;
		frames->thread_capacity = capacity;
	}
	frames->threads[frames->thread_count] = thread;
	return (int)frames->thread_count++;
}

/* Text inside a <script>: no quote, no tag and no line end of JavaScript's may come out of a name. */
static int put_text(struct dp_buffer *out, const char *text)
{
	int error = dp_buffer_append(out, "\"", 1);
	for (const unsigned char *at = (const unsigned char *)text; *at && !error; at++) {
		if (*at < 0x20 || *at == '"' || *at == '\\' || *at == '<' || *at == '>' || *at == '&')
			error = dp_buffer_format(out, "\\u%04x", *at);
		else if (at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9)) {
			error = dp_buffer_format(out, "\\u20%02x", at[2] - 0x80);
			at += 2;
		} else
			error = dp_buffer_append(out, at, 1);
	}
	return error ? error : dp_buffer_append(out, "\"", 1);
}

static int put_stack(struct frames *frames, const struct dp_profile *profile, const struct dp_profile_sample *sample,
        bool is_base, bool is_first, struct dp_buffer *out)
{
	char made[4200];
	const long long value = sample->values[dp_main_value(profile)];
	const int thread = thread_number(frames, dp_sample_thread(sample));
	if (thread < 0)
		return thread;
	int error = dp_buffer_format(
	        out, "%s[%d,%lld,%lld,[", is_first ? "" : ",\n", thread, is_base ? 0 : value, is_base ? value : 0);
	bool is_root = true;
	for (uint32_t i = sample->location_count; i-- > 0 && !error;) {
		const struct dp_location *location = &profile->locations.at[sample->locations[i]];
		for (uint32_t j = dp_frame_count(location); j-- > 0 && !error; is_root = false) {
			struct frame frame = {
			        .object = location->mapping >= 0
			                          ? dp_base_name(profile->mappings.at[location->mapping].path)
			                          : "",
			        .file = "",
			        .name = (char *)(uintptr_t)dp_frame_name(profile, location, j, made, sizeof made),
			};
			if (j < location->line_count)
				frame.file = profile->functions.at[location->lines[j].function].file;
			if (*frame.file)
				frame.line = profile->functions.at[location->lines[j].function].start_line;
			const int number = frame_number(frames, &frame);
			error = number < 0 ? number : dp_buffer_format(out, "%s%d", is_root ? "" : ",", number);
		}
	}
	return error ? error : dp_buffer_format(out, "]]");
}

static int put_facts(const struct dp_profile *profile, struct dp_buffer *out)
{
	char cpu[64], duration[64], start[64] = "", facts[400];
	double sum = 0;
	long long samples = 0;
	const time_t seconds = (time_t)(profile->time_ns / 1000000000);
	struct tm utc;
	for (uint32_t i = 0; i < profile->samples.count; i++) {
		sum += (double)profile->samples.at[i].values[dp_main_value(profile)];
		samples += profile->samples.at[i].values[0];
	}
	if (profile->time_ns && gmtime_r(&seconds, &utc))
		strftime(start, sizeof start, "%Y-%m-%d %H:%M:%S UTC, ", &utc);
	dp_human_value(&profile->types.at[dp_main_value(profile)], sum, cpu, sizeof cpu);
	dp_human_value(&(struct dp_value_type){"", "nanoseconds"}, (double)profile->duration_ns, duration, sizeof duration);
	snprintf(facts, sizeof facts, "%s of %s in %s, %s%lld samples", cpu,
	        profile->types.at[dp_main_value(profile)].type, duration, start, samples);
	return put_text(out, facts);
}

static int put_losses(const struct dp_profile *profile, struct dp_buffer *out)
{
	char text[256], weight[64];
	bool is_first = true;
	int error = 0;
	for (int i = 0; i < DP_DROP_COUNT && !error; i++) {
		const struct dp_loss *loss = &profile->losses[i];
		if (!loss->count)
			continue;
		dp_human_value(&(struct dp_value_type){"", "nanoseconds"}, (double)loss->weight_ns, weight, sizeof weight);
		snprintf(text, sizeof text, "%s: %llu%s%s (%s)", dp_drop_name(i), (unsigned long long)loss->count,
		        loss->weight_ns ? ", " : "", loss->weight_ns ? weight : "", dp_drop_text(i));
		error = dp_buffer_append(out, ",", is_first ? 0 : 1);
		if (!error)
			error = put_text(out, text);
		is_first = false;
	}
	return error;
}

static const char *program_of(const struct dp_profile *profile)
{
	for (uint32_t i = 0; i < profile->comments.count; i++)
		if (!strncmp(profile->comments.at[i], "program=", 8))
			return profile->comments.at[i] + 8;
	for (uint32_t i = 0; i < profile->identity.count; i++)
		if (!strcmp(profile->identity.at[i].key, "service_name"))
			return profile->identity.at[i].value;
	return "profile";
}

static int put_data(const struct dp_profile *profile, const struct dp_profile *base, const char *title,
        struct frames *frames, struct dp_buffer *out)
{
	bool is_first = true;
	int error = dp_buffer_format(out, "{\"title\":");
	if (!error)
		error = put_text(out, title);
	if (!error)
		error = dp_buffer_format(out, ",\"program\":");
	if (!error)
		error = put_text(out, program_of(profile));
	if (!error)
		error = dp_buffer_format(out, ",\"facts\":");
	if (!error)
		error = put_facts(profile, out);
	if (!error)
		error = dp_buffer_format(out, ",\"compares\":%s,\"unit\":", base ? "true" : "false");
	if (!error)
		error = put_text(out, profile->types.at[dp_main_value(profile)].unit);
	if (!error)
		error = dp_buffer_format(out, ",\"losses\":[");
	if (!error)
		error = put_losses(profile, out);
	if (!error)
		error = dp_buffer_format(out, "],\n\"stacks\":[");
	for (uint32_t i = 0; i < profile->samples.count && !error; i++, is_first = false)
		error = put_stack(frames, profile, &profile->samples.at[i], false, is_first, out);
	for (uint32_t i = 0; base && i < base->samples.count && !error; i++, is_first = false)
		error = put_stack(frames, base, &base->samples.at[i], true, is_first, out);
	if (!error)
		error = dp_buffer_format(out, "],\n\"frames\":[");
	for (uint32_t i = 0; i < frames->count && !error; i++) {
		error = dp_buffer_format(out, "%s[", i ? ",\n" : "");
		if (!error)
			error = put_text(out, frames->at[i].name);
		if (!error)
			error = dp_buffer_append(out, ",", 1);
		if (!error)
			error = put_text(out, frames->at[i].object);
		if (!error)
			error = dp_buffer_append(out, ",", 1);
		if (!error)
			error = put_text(out, frames->at[i].file);
		if (!error)
			error = dp_buffer_format(out, ",%u]", frames->at[i].line);
	}
	if (!error)
		error = dp_buffer_format(out, "],\n\"threads\":[");
	for (uint32_t i = 0; i < frames->thread_count && !error; i++) {
		error = dp_buffer_append(out, ",", i ? 1 : 0);
		if (!error)
			error = put_text(out, frames->threads[i]);
	}
	return error ? error : dp_buffer_format(out, "]}");
}

/* Copies the page up to a mark; *page then stands behind it. */
static int put_until(const char **page, const char *mark, struct dp_buffer *out)
{
	const char *at = strstr(*page, mark);
	const size_t size = at ? (size_t)(at - *page) : strlen(*page);
	const int error = dp_buffer_append(out, *page, size);
	*page += size + (at ? strlen(mark) : 0);
	return error;
}

int dp_html_encode(const struct dp_profile *profile, const struct dp_profile *base, const char *title, struct dp_buffer *out)
{
	struct frames frames = {0};
	const char *page = dp_page_html;
	if (!profile->types.count)
		return -EINVAL;
	int error = put_until(&page, "/*PAGE_CSS*/", out);
	if (!error)
		error = dp_buffer_append(out, dp_page_css, strlen(dp_page_css));
	if (!error)
		error = put_until(&page, "/*PAGE_DATA*/", out);
	if (!error)
		error = put_data(profile, base, title, &frames, out);
	if (!error)
		error = put_until(&page, "/*PAGE_JS*/", out);
	if (!error)
		error = dp_buffer_append(out, dp_page_js, strlen(dp_page_js));
	if (!error)
		error = dp_buffer_append(out, page, strlen(page));
	for (uint32_t i = 0; i < frames.count; i++)
		free(frames.at[i].name);
	free(frames.at);
	free(frames.slots);
	free(frames.threads);
	return error;
}
