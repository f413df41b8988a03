/* SPDX-License-Identifier: Apache-2.0
 * Parca's WriteRaw by its JSON gateway: a third more bytes than gRPC-Web, but errors come as HTTP statuses
 * with a message, also from the proxies in between; gRPC-Web's come as 200. */
#include "export/push_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int put_base64(struct dp_buffer *out, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < size; i += 3) {
		const uint32_t word = (uint32_t)bytes[i] << 16 |
				      (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) |
				      (i + 2 < size ? bytes[i + 2] : 0);
		const char text[4] = {digits[word >> 18 & 63], digits[word >> 12 & 63],
			i + 1 < size ? digits[word >> 6 & 63] : '=', i + 2 < size ? digits[word & 63] : '='};
		const int error = dp_buffer_append(out, text, 4);
		if (error)
			return error;
	}
	return 0;
}

static int body(const struct dp_part *part, struct dp_buffer *out)
{
	uint32_t count;
	struct dp_series_label *labels = dp_series_labels(part, false, &count);
	if (!labels)
		return -ENOMEM;
	int error = dp_buffer_format(out, "{\"series\":[{\"labels\":{\"labels\":[");
	for (uint32_t i = 0; i < count && !error; i++) {
		error = dp_buffer_format(out, "%s{\"name\":\"%s\",\"value\":", i ? "," : "", labels[i].name);
		if (!error)
			error = dp_json_append(out, labels[i].value);
		if (!error)
			error = dp_buffer_append(out, "}", 1);
	}
	free(labels);
	if (!error)
		error = dp_buffer_format(out, "]},\"samples\":[{\"rawProfile\":\"");
	if (!error)
		error = put_base64(out, part->encoded.bytes, part->encoded.size);
	return error ? error : dp_buffer_format(out, "\"}]}]}");
}

/* As Parca 0.28 was seen to answer: a request that took longer than its five seconds is a 400, what it cannot
 * parse a 500, one that is too large a 429. */
static enum dp_verdict judge(const struct dp_http_answer *answer)
{
	switch (answer->status) {
	case 200:
		return strncasecmp(answer->content_type, "application/json", 16) || *answer->body != '{'
			       ? DP_FAULT
			       : DP_DELIVERED;
	case 400:
		return strstr(answer->body, "i/o timeout") ? DP_FAULT : DP_REFUSED;
	case 429:
		return strstr(answer->body, "larger than max") ? DP_REFUSED : DP_LIMITED;
	case 500:
		return strstr(answer->body, "parse error") || strstr(answer->body, "gzip") ? DP_REFUSED
											   : DP_FAULT;
	case 408:
	case 502:
	case 503:
	case 504:
		return DP_BUSY;
	default:
		return answer->status >= 500 ? DP_FAULT : DP_REFUSED;
	}
}

const struct dp_server_kind dp_parca = {
	.title = "Parca",
	.prefix = "parca+",
	.family = "parca",
	.path = "/api/profiles/writeraw",
	.content_type = "application/json",
	.labels = DP_LABELS_AS_SERIES,
	.has_symboliser = true,
	.encode = dp_pprof_encode,
	.body = body,
	.judge = judge,
};
