/* SPDX-License-Identifier: Apache-2.0
 * Pyroscope's push.v1 by Connect: one series a request, so that a retry never doubles another's. */
#include "export/push_request.h"

#include "push.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LABELS_MOST = 30 };

void dp_label_name(const char *from, char *to, size_t size)
{
	size_t at = 0;
	for (; *from && at < size - 1; from++) {
		const char c = *from;
		const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
		const bool is_digit = c >= '0' && c <= '9';
		to[at] = is_letter || (is_digit && at) ? c : '_';
		at++;
	}
	to[at] = 0;
}

const char *dp_series_name(const struct dp_profile *profile)
{
	return profile->kind == DP_PROFILE_CPU ? "process_cpu" : "deepprof";
}

static int body(const struct dp_profile *profile, const struct dp_buffer *pprof, struct dp_buffer *out)
{
	Push__V1__LabelPair pairs[LABELS_MOST], *labels[LABELS_MOST];
	char names[LABELS_MOST][256];
	const char *const fixed[][2] = {
	        {"__name__", dp_series_name(profile)},
	        {"__delta__", "false"},
	        {"otel.scope.name", "deepprof"},
	        {"otel.scope.version", DEEPPROF_VERSION},
	        {"process.runtime.name", "native"},
	};
	unsigned count = 0;
	for (; count < sizeof fixed / sizeof fixed[0]; count++) {
		push__v1__label_pair__init(&pairs[count]);
		pairs[count].name = (char *)(uintptr_t)fixed[count][0];
		pairs[count].value = (char *)(uintptr_t)fixed[count][1];
	}
	for (uint32_t i = 0; i < profile->identity.count && count < LABELS_MOST; i++) {
		dp_label_name(profile->identity.at[i].key, names[count], sizeof names[count]);
		bool is_known = !*names[count];
		for (unsigned j = 0; j < count; j++)
			is_known |= !strcmp(pairs[j].name, names[count]);
		if (is_known)
			continue; /* a second label of one name would have the whole series refused */
		push__v1__label_pair__init(&pairs[count]);
		pairs[count].name = names[count];
		pairs[count].value = (char *)(uintptr_t)profile->identity.at[i].value;
		count++;
	}
	for (unsigned i = 0; i < count; i++)
		labels[i] = &pairs[i];
	Push__V1__RawSample sample = PUSH__V1__RAW_SAMPLE__INIT, *samples = &sample;
	Push__V1__RawProfileSeries series = PUSH__V1__RAW_PROFILE_SERIES__INIT, *all = &series;
	Push__V1__PushRequest request = PUSH__V1__PUSH_REQUEST__INIT;
	sample.raw_profile.data = pprof->bytes;
	sample.raw_profile.len = pprof->size;
	series.n_labels = count;
	series.labels = labels;
	series.n_samples = 1;
	series.samples = &samples;
	request.n_series = 1;
	request.series = &all;
	const size_t size = push__v1__push_request__get_packed_size(&request);
	uint8_t *bytes = malloc(size);
	if (!bytes)
		return -ENOMEM;
	push__v1__push_request__pack(&request, bytes);
	const int error = dp_buffer_append(out, bytes, size);
	free(bytes);
	return error;
}

/* Statuses as the server was seen to give them. A 429 that names a size is about this profile, for ever. */
static enum dp_verdict judge(long status, const char *text)
{
	if (status == 200)
		return DP_DELIVERED;
	if (status == 429)
		return strstr(text, "while adding") || strstr(text, "message size") ? DP_REFUSED : DP_TRY_AGAIN;
	if (status == 408 || status >= 500)
		return DP_TRY_AGAIN;
	return DP_REFUSED;
}

const struct dp_server_kind dp_pyroscope = {
        .prefix = "",
        .family = "pyroscope",
        .path = "/push.v1.PusherService/Push",
        .content_type = "Content-Type: application/proto",
        .gzips_body = false, /* the profile inside is */
        .body = body,
        .judge = judge,
};
