/* SPDX-License-Identifier: Apache-2.0
 * Foreign bytes become label sets. */
#include "agent/labels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The names under which we tell of every sample ourselves. */
static int is_ours(const char *key)
{
	return !strcmp(key, "thread") || !strcmp(key, "tid") || !strcmp(key, "process") ||
	       !strcmp(key, "pid");
}

/* Whole pairs, none without a key, no more than a set holds. */
static int is_set(const uint8_t *text, uint32_t size)
{
	uint32_t strings = 0, at = 0;
	while (at < size) {
		const uint8_t *end = memchr(text + at, 0, size - at);
		if (!end || (strings % 2 == 0 && (end == text + at || is_ours((const char *)text + at))))
			return 0;
		at = (uint32_t)(end - text) + 1;
		strings++;
	}
	return strings && strings % 2 == 0 && strings / 2 <= DP_LABEL_PAIRS_MAX;
}

static void keep(struct dp_labels *labels, uint32_t number, const uint8_t *text, uint32_t size)
{
	if (!labels->texts)
		labels->texts = calloc(DP_LABEL_SET_MAX, sizeof *labels->texts);
	if (!labels->texts || labels->texts[number])
		return;
	char *copy = malloc(size + 1);
	if (!copy)
		return;
	memcpy(copy, text, size);
	copy[size] = 0;
	labels->texts[number] = copy;
}

uint32_t dp_labels_take_log(struct dp_labels *labels, const uint8_t *bytes, size_t size)
{
	uint32_t bad = 0;
	for (size_t at = 0; at < size;) {
		struct dp_label_record record;
		if (size - at < sizeof record)
			return bad + 1;
		memcpy(&record, bytes + at, sizeof record);
		if (record.size_bytes > size - at || record.size_bytes % 8 ||
			record.size_bytes < sizeof record)
			return bad + 1; /* where the next one begins is not known */
		if (record.number == 0 || record.number >= DP_LABEL_SET_MAX ||
			record.text_size > DP_LABEL_TEXT_MAX ||
			record.text_size > record.size_bytes - sizeof record ||
			!is_set(bytes + at + sizeof record, record.text_size))
			bad++;
		else
			keep(labels, record.number, bytes + at + sizeof record, record.text_size);
		at += record.size_bytes;
	}
	return bad;
}

int dp_labels_of(const struct dp_labels *labels, uint32_t number, struct dp_label *pairs)
{
	int count = 0;
	if (!number)
		return 0;
	if (number >= DP_LABEL_SET_MAX || !labels->texts || !labels->texts[number])
		return -ENOENT;
	for (const char *at = labels->texts[number]; *at && count < DP_LABEL_PAIRS_MAX; count++) {
		const char *value = at + strlen(at) + 1;
		pairs[count] = (struct dp_label){.key = at, .text = value, .unit = ""};
		at = value + strlen(value) + 1;
	}
	return count;
}

void dp_labels_fini(struct dp_labels *labels)
{
	for (uint32_t i = 0; labels->texts && i < DP_LABEL_SET_MAX; i++)
		free(labels->texts[i]);
	free(labels->texts);
	labels->texts = NULL;
}
