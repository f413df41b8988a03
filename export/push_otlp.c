/* SPDX-License-Identifier: Apache-2.0
 * OTLP/HTTP. What may be tried again is the protocol's to say: 429, 502, 503 and 504, nothing else, and a
 * partial success never. */
#include "export/push_request.h"

#include "otlp.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int body(const struct dp_part *part, struct dp_buffer *out)
{
	return dp_buffer_append(out, part->encoded.bytes, part->encoded.size);
}

static bool is_protobuf(const struct dp_http_answer *answer)
{
	return !strncasecmp(answer->content_type, "application/x-protobuf", 22) ||
	       !strncasecmp(answer->content_type, "application/protobuf", 20);
}

/* A server that answers in JSON to protobuf breaks the rule, and is understood all the same. */
static bool is_json(const struct dp_http_answer *answer)
{
	return !strncasecmp(answer->content_type, "application/json", 16) && *answer->body == '{';
}

/* {"partialSuccess":{"rejectedProfiles":"1","errorMessage":"…"}}: the number as a text or not, both names
 * either way. */
static bool json_objection(const char *json, char *words, size_t size)
{
	const char *number = strstr(json, "\"rejectedProfiles\"");
	if (!number)
		number = strstr(json, "\"rejected_profiles\"");
	if (!number)
		return false;
	number = strchr(number, ':');
	if (!number || strtoll(number + 1 + strspn(number + 1, " \""), NULL, 10) == 0)
		return false;
	snprintf(words, size, "%s", json);
	return true;
}

static bool objection(const struct dp_http_answer *answer, char *words, size_t size)
{
	if (is_json(answer))
		return json_objection(answer->body, words, size);
	if (!is_protobuf(answer))
		return false;
	Otlp__ExportProfilesServiceResponse *response = otlp__export_profiles_service_response__unpack(
		NULL, answer->body_size, (const uint8_t *)answer->body);
	const Otlp__ExportProfilesPartialSuccess *partial = response ? response->partial_success : NULL;
	const bool is_rejected = partial && partial->rejected_profiles;
	if (is_rejected)
		snprintf(words, size, "%s",
			*partial->error_message ? partial->error_message : "no reason given");
	if (response)
		otlp__export_profiles_service_response__free_unpacked(response, NULL);
	return is_rejected;
}

static enum dp_verdict judge(const struct dp_http_answer *answer)
{
	char words[8];
	switch (answer->status) {
	case 200:
		if (!is_protobuf(answer) && !is_json(answer) && answer->body_size)
			return DP_FAULT; /* whatever it is, it has read nothing */
		return objection(answer, words, sizeof words) ? DP_REFUSED : DP_DELIVERED;
	case 429:
		return DP_LIMITED;
	case 502:
	case 503:
	case 504:
		return DP_BUSY;
	default:
		return DP_REFUSED;
	}
}

const struct dp_server_kind dp_otlp = {
	.title = "OpenTelemetry receiver of profiles",
	.prefix = "otlp+",
	.family = "otlp",
	.path = "/v1development/profiles",
	.content_type = "application/x-protobuf",
	.content_encoding = "gzip",
	.labels = DP_LABELS_ALL,
	.encode = dp_otlp_encode,
	.body = body,
	.judge = judge,
	.objection = objection,
};
