/* SPDX-License-Identifier: Apache-2.0
 * Datadog's agent, or its intake: a form of two parts, an event that says whose profile it is, and the profile, whose
 * types and labels have Datadog's names there (libdatadog's libdd-profiling, api/sample_type.rs). */
#include "export/push_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* 160 bits that are in no profile. */
#define BOUNDARY "deepprof-b7e04c1d9a5f4e63a8c2d1f07e96b35c48ad20f1"

enum { LABELS_MOST = 64, TAG_BYTES = 200 };

/* ---- the profile ---- */

static struct dp_value_type type_of(const struct dp_value_type *ours)
{
	static const struct {
		const char *ours, *theirs;
	} names[] = {{"samples", "cpu-samples"}, {"cpu", "cpu-time"}};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(ours->type, names[i].ours))
			return (struct dp_value_type){names[i].theirs, ours->unit};
	return *ours;
}

/* A span's number: 16 hexadecimal digits, of which Datadog wants the number, in 64 bits. */
static bool read_span(const char *text, int64_t *number)
{
	if (strlen(text) != 16 || strspn(text, "0123456789abcdefABCDEF") != 16)
		return false;
	*number = (int64_t)strtoull(text, NULL, 16);
	return true;
}

/* One label as one or two of theirs. */
static uint32_t put_label(const struct dp_label *ours, struct dp_label *theirs)
{
	*theirs = *ours;
	if (ours->text && !strcmp(ours->key, "thread"))
		theirs->key = "thread name";
	if (ours->text && (!strcmp(ours->key, "span_id") || !strcmp(ours->key, "local_root_span_id")) &&
	        read_span(ours->text, &theirs->number))
		*theirs = (struct dp_label){.key = *ours->key == 's' ? "span id" : "local root span id",
		        .number = theirs->number,
		        .unit = ""};
	if (ours->text || strcmp(ours->key, "tid") != 0)
		return 1;
	theirs->key = "thread id";
	theirs[1] = *theirs;
	theirs[1].key = "thread native id";
	return 2;
}

static int rename_labels(struct dp_arena *arena, struct dp_profile *view)
{
	struct dp_profile_sample *samples = dp_arena_alloc(arena, (view->samples.count + 1) * sizeof *samples);
	for (uint32_t i = 0; samples && i < view->samples.count; i++) {
		const struct dp_profile_sample *from = &view->samples.at[i];
		struct dp_label *labels = dp_arena_alloc(arena, (2 * from->label_count + 1) * sizeof *labels);
		if (!labels)
			return -ENOMEM;
		samples[i] = *from;
		samples[i].labels = labels;
		samples[i].label_count = 0;
		for (uint32_t j = 0; j < from->label_count; j++)
			samples[i].label_count += put_label(&from->labels[j], labels + samples[i].label_count);
	}
	view->samples.at = samples;
	return samples ? 0 : -ENOMEM;
}

static int encode(const struct dp_profile *part, struct dp_buffer *out)
{
	struct dp_profile view = *part;
	struct dp_value_type types[DP_PROFILE_VALUES];
	struct dp_arena arena;
	dp_arena_init(&arena, 0);
	for (uint32_t i = 0; i < part->types.count; i++)
		types[i] = type_of(&part->types.at[i]);
	view.types.at = types;
	int error = rename_labels(&arena, &view);
	if (!error)
		error = dp_pprof_encode(&view, out);
	dp_arena_fini(&arena);
	return error;
}

/* ---- the event ---- */

static const char *value_of(const struct dp_pairs *pairs, const char *key)
{
	for (uint32_t i = 0; i < pairs->count; i++)
		if (!strcmp(pairs->at[i].key, key))
			return pairs->at[i].value;
	return NULL;
}

/* Tags stand between commas; 200 bytes of one are kept there, whole characters here. */
static int put_tag(struct dp_buffer *tags, const char *name, const char *value)
{
	char tag[TAG_BYTES + 1];
	if (!value || !*value)
		return 0;
	int size = snprintf(tag, sizeof tag, "%s:%s", name, value);
	if (size > TAG_BYTES) { /* without its last character, which may not be whole */
		for (size = TAG_BYTES - 1; size && ((unsigned char)tag[size] & 0xc0) == 0x80; size--)
			;
	}
	tag[size] = 0;
	const size_t name_size = strlen(name);
	for (char *at = tag; *at; at++)
		if (*at == ',' || (*at == ':' && at < tag + name_size))
			*at = '_';
	return dp_buffer_format(tags, "%s%s", tags->size ? "," : "", tag);
}

/* "cpython" is the runtime, "python" the language. */
static const char *language_of(const struct dp_profile *profile)
{
	const char *runtime = value_of(&profile->identity, "process.runtime.name");
	if (runtime && !strcmp(runtime, "cpython"))
		return "python";
	return runtime && strcmp(runtime, "native") != 0 ? "java" : "native";
}

/* A user's own label of one of these names is in the user's place. */
static bool is_ours(const char *key)
{
	return !strcmp(key, "service_name") || !strncmp(key, "process.runtime.", 16);
}

static int put_tags(const struct dp_profile *profile, struct dp_buffer *tags)
{
	const char *runtime = value_of(&profile->identity, "process.runtime.name");
	char number[24];
	snprintf(number, sizeof number, "%u", profile->sequence);
	const struct dp_pair known[] = {
	        {"service", value_of(&profile->identity, "service_name")},
	        {"host", value_of(&profile->resource, "host.name")},
	        {"language", language_of(profile)},
	        {"runtime", runtime},
	        {"runtime_version", value_of(&profile->identity, "process.runtime.version")},
	        {"runtime-id", value_of(&profile->resource, "service.instance.id")},
	        {"process_id", value_of(&profile->resource, "process.pid")},
	        {"profiler_version", DEEPPROF_VERSION},
	        {"profile_seq", number},
	        {"container_id", value_of(&profile->resource, "container.id")},
	        {"pod_name", value_of(&profile->resource, "k8s.pod.name")},
	        {"kube_namespace", value_of(&profile->resource, "k8s.namespace.name")},
	};
	int error = 0;
	for (size_t i = 0; i < sizeof known / sizeof *known && !error; i++)
		if (!value_of(&profile->identity, known[i].key))
			error = put_tag(tags, known[i].key, known[i].value);
	for (uint32_t i = 0; i < profile->identity.count && !error; i++)
		if (!is_ours(profile->identity.at[i].key))
			error = put_tag(tags, profile->identity.at[i].key, profile->identity.at[i].value);
	return error ? error : dp_buffer_append(tags, "", 1);
}

static int put_time(struct dp_buffer *out, const char *name, int64_t ns)
{
	const time_t seconds = (time_t)(ns / 1000000000);
	struct tm parts;
	char text[32];
	gmtime_r(&seconds, &parts);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
	return dp_buffer_format(out, ",\"%s\":\"%s.%09lldZ\"", name, text, (long long)(ns % 1000000000));
}

static int put_event(const struct dp_profile *profile, struct dp_buffer *out)
{
	struct dp_buffer tags = {0};
	int error = put_tags(profile, &tags);
	if (!error)
		error = dp_buffer_format(out, "{\"attachments\":[\"profile.pprof\"],\"tags_profiler\":");
	if (!error)
		error = dp_json_append(out, (const char *)tags.bytes);
	dp_buffer_fini(&tags);
	if (!error)
		error = put_time(out, "start", profile->time_ns);
	if (!error)
		error = put_time(out, "end", profile->time_ns + profile->duration_ns);
	return error ? error
	             : dp_buffer_format(out, ",\"family\":\"%s\",\"version\":\"4\",\"endpoint_counts\":null,\"internal\":{},\"info\":{}}",
	                       language_of(profile));
}

static int body(const struct dp_part *part, struct dp_buffer *out)
{
	int error = dp_buffer_format(out,
	        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"event\"; filename=\"event.json\"\r\n"
	        "Content-Type: application/json\r\n\r\n");
	if (!error)
		error = put_event(part->profile, out);
	if (!error)
		error = dp_buffer_format(out,
		        "\r\n--" BOUNDARY
		        "\r\nContent-Disposition: form-data; name=\"profile.pprof\"; filename=\"profile.pprof\"\r\n"
		        "Content-Type: application/octet-stream\r\n\r\n");
	if (!error)
		error = dp_buffer_append(out, part->encoded.bytes, part->encoded.size);
	return error ? error : dp_buffer_format(out, "\r\n--" BOUNDARY "--\r\n");
}

static enum dp_verdict judge(const struct dp_http_answer *answer)
{
	switch (answer->status) {
	case 200:
		/* The intake answers nothing or JSON; a page is somebody else's. */
		return strncasecmp(answer->content_type, "text/html", 9) ? DP_DELIVERED : DP_FAULT;
	case 202:
		return DP_DELIVERED;
	case 429:
		return DP_LIMITED;
	case 408:
	case 502:
	case 503:
	case 504:
		return DP_BUSY;
	default:
		return answer->status >= 500 ? DP_FAULT : DP_REFUSED;
	}
}

static const char *const headers[] = {"DD-EVP-ORIGIN: deepprof", "DD-EVP-ORIGIN-VERSION: " DEEPPROF_VERSION, NULL};

const struct dp_server_kind dp_datadog = {
        .title = "Datadog agent",
        .prefix = "datadog+",
        .family = "datadog",
        .path = "/profiling/v1/input",
        .content_type = "multipart/form-data; boundary=" BOUNDARY,
        .headers = headers,
        .labels = DP_LABELS_ALL,
        .encode = encode,
        .body = body,
        .judge = judge,
};
