/* SPDX-License-Identifier: Apache-2.0
 * Pyroscope's push.v1 by Connect: one series a request, so that a retry never doubles another's. The older
 * /ingest cannot tell a passing fault from a lasting one (422 for both). */
#include "export/push_request.h"

#include "push.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

/* RFC 9562, 5.4. A retry carries the same one. */
static void make_id(char id[37])
{
	uint8_t b[16] = {0};
	if (getrandom(b, sizeof b, GRND_NONBLOCK) != (ssize_t)sizeof b)
		memcpy(b, &(uint64_t){dp_http_now_ms()}, 8);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(id, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int body(const struct dp_part *part, struct dp_buffer *out)
{
	Push__V1__LabelPair pairs[DP_SERIES_LABELS_MOST + 1], *labels[DP_SERIES_LABELS_MOST + 1];
	Push__V1__RawSample sample = PUSH__V1__RAW_SAMPLE__INIT, *samples = &sample;
	Push__V1__RawProfileSeries series = PUSH__V1__RAW_PROFILE_SERIES__INIT, *all = &series;
	Push__V1__PushRequest request = PUSH__V1__PUSH_REQUEST__INIT;
	char id[37];
	uint32_t count;
	struct dp_series_label *texts = dp_series_labels(part, true, &count);
	if (!texts)
		return -ENOMEM;
	/* Values are of this window alone; else the older storage takes differences of them. */
	texts[count++] = (struct dp_series_label){"__delta__", "false"};
	for (uint32_t i = 0; i < count; i++) {
		push__v1__label_pair__init(&pairs[i]);
		pairs[i].name = texts[i].name;
		pairs[i].value = texts[i].value;
		labels[i] = &pairs[i];
	}
	make_id(id);
	sample.raw_profile.data = part->encoded.bytes;
	sample.raw_profile.len = part->encoded.size;
	sample.id = id;
	series.n_labels = count;
	series.labels = labels;
	series.n_samples = 1;
	series.samples = &samples;
	request.n_series = 1;
	request.series = &all;
	const int error = dp_buffer_pack(out, &request.base);
	free(texts);
	return error;
}

/* A server that comes up says 500 "rpc error: code = Unavailable" for seconds before its parts know each
 * other. */
static bool is_coming_up(const struct dp_http_answer *answer)
{
	return answer->status == 500 && strcasestr(answer->body, "unavailable");
}

/* Statuses as the server was seen to give them. A 429 that says "larger than" is about this body, for ever; a
 * 500 may be a lasting refusal behind a relay that tells nothing more. */
static enum dp_verdict judge(const struct dp_http_answer *answer)
{
	switch (answer->status) {
	case 200:
		return strncasecmp(answer->content_type, "application/proto", 17) ? DP_FAULT : DP_DELIVERED;
	case 429:
		return strstr(answer->body, "larger than") ? DP_REFUSED : DP_LIMITED;
	case 408:
	case 499:
	case 502:
	case 503:
	case 504:
		return DP_BUSY;
	default:
		if (is_coming_up(answer))
			return DP_BUSY;
		return answer->status >= 500 ? DP_FAULT : DP_REFUSED;
	}
}

const struct dp_server_kind dp_pyroscope = {
	.title = "Pyroscope",
	.prefix = "",
	.family = "pyroscope",
	.path = "/push.v1.PusherService/Push",
	.content_type = "application/proto",
	.labels = DP_LABELS_FEW,
	.encode = dp_pprof_encode,
	.body = body,
	.judge = judge,
};
