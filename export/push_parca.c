/* SPDX-License-Identifier: Apache-2.0
 * Parca's WriteRaw by its JSON gateway: errors come as HTTP statuses with a message. */
#include "export/push_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int put_base64(struct dp_buffer *out, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < size; i += 3) {
		const uint32_t word = (uint32_t)bytes[i] << 16 | (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) |
		                      (i + 2 < size ? bytes[i + 2] : 0);
		const char text[4] = {digits[word >> 18 & 63], digits[word >> 12 & 63],
		        i + 1 < size ? digits[word >> 6 & 63] : '=', i + 2 < size ? digits[word & 63] : '='};
		const int error = dp_buffer_append(out, text, 4);
		if (error)
			return error;
	}
	return 0;
}

static int put_json(struct dp_buffer *out, const char *text)
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

static bool is_repeated(const struct dp_profile *profile, uint32_t number, const char *name)
{
	char other[256];
	if (!*name || !strcmp(name, "__name__"))
		return true;
	for (uint32_t i = 0; i < number; i++) {
		dp_label_name(profile->identity.at[i].key, other, sizeof other);
		if (!strcmp(other, name))
			return true;
	}
	return false;
}

static int body(const struct dp_profile *profile, const struct dp_buffer *pprof, struct dp_buffer *out)
{
	int error = dp_buffer_format(out, "{\"series\":[{\"labels\":{\"labels\":[{\"name\":\"__name__\",\"value\":\"%s\"}",
	        dp_series_name(profile));
	for (uint32_t i = 0; i < profile->identity.count && !error; i++) {
		char name[256];
		dp_label_name(profile->identity.at[i].key, name, sizeof name);
		if (is_repeated(profile, i, name))
			continue;
		error = dp_buffer_format(out, ",{\"name\":\"%s\",\"value\":", name);
		if (!error)
			error = put_json(out, profile->identity.at[i].value);
		if (!error)
			error = dp_buffer_append(out, "}", 1);
	}
	if (!error)
		error = dp_buffer_format(out, "]},\"samples\":[{\"rawProfile\":\"");
	if (!error)
		error = put_base64(out, pprof->bytes, pprof->size);
	return error ? error : dp_buffer_format(out, "\"}]}]}");
}

/* Parca 0.28: a request that took longer than its five seconds is a 400, a label it cannot parse a 500. */
static enum dp_verdict judge(long status, const char *text)
{
	if (status == 200)
		return DP_DELIVERED;
	if (status == 400)
		return strstr(text, "i/o timeout") ? DP_TRY_AGAIN : DP_REFUSED;
	if (status == 429)
		return strstr(text, "larger than max") ? DP_REFUSED : DP_TRY_AGAIN;
	if (status == 500 && (strstr(text, "parse error") || strstr(text, "gzip")))
		return DP_REFUSED;
	return status == 408 || status >= 500 ? DP_TRY_AGAIN : DP_REFUSED;
}

const struct dp_server_kind dp_parca = {
        .prefix = "parca+",
        .family = "parca",
        .path = "/api/profiles/writeraw",
        .content_type = "Content-Type: application/json",
        .body = body,
        .judge = judge,
};
