/* SPDX-License-Identifier: Apache-2.0
 * What a server answers, as each kind judges it: first line the status, second the content type, the rest the
 * body. Only a 200 (and Datadog's 202)
 * delivers, and never one that objects. */
#include "export/push_request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The next line of the text as text of its own. */
static char *next_line(char **at)
{
	char *line = *at, *end = strchr(line, '\n');
	*at = end ? end + 1 : line + strlen(line);
	if (end)
		*end = 0;
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *text = malloc(size + 1), *at = text, words[64];
	check(text != NULL);
	memcpy(text, bytes, size);
	text[size] = 0;
	const char *status = next_line(&at), *type = next_line(&at);
	const struct dp_http_answer answer = {.outcome = DP_HTTP_ANSWERED,
		.status = strtol(status, NULL, 10),
		.content_type = type,
		.location = "",
		.body = at,
		.body_size = (size_t)(text + size - at)};
	for (size_t i = 0; dp_server_kinds[i]; i++) {
		const struct dp_server_kind *kind = dp_server_kinds[i];
		const enum dp_verdict verdict = kind->judge(&answer);
		const bool objects = answer.status == 200 && kind->objection &&
				     kind->objection(&answer, words, sizeof words);
		const bool is_good = answer.status == 200 || (kind == &dp_datadog && answer.status == 202);
		check(verdict != DP_DELIVERED || (is_good && !objects));
		check(!objects || (verdict == DP_REFUSED && memchr(words, 0, sizeof words)));
	}
	free(text);
	return 0;
}
