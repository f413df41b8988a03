/* SPDX-License-Identifier: Apache-2.0
 * Foreign bytes as settings by every way in: nothing is read past the end, texts end, messages are one line,
 * and what was understood survives the flat form. */
#include "base/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hear(void *context, const char *line)
{
	const size_t size = strlen(line);
	(void)context;
	if (!size || size >= 512 || memchr(line, '\n', size))
		abort();
}

static void check_texts(const struct dp_settings *settings)
{
	const struct dp_settings_key *keys = dp_settings_key_table();
	for (int i = 0; i < DP_SETTINGS_KEYS; i++)
		if (keys[i].size >= 100 && !memchr((const char *)settings + keys[i].offset, 0, keys[i].size))
			abort();
}

static void check_flat(const struct dp_settings *settings)
{
	static struct dp_settings back;
	static char flat[DP_SETTINGS_FLAT_BYTES], again[DP_SETTINGS_FLAT_BYTES];
	const int size = dp_settings_write(settings, flat, sizeof flat, true);
	if (size < 0)
		abort();
	memset(&back, 0, sizeof back);
	dp_settings_init(&back);
	dp_settings_read_back(&back, flat, (size_t)size);
	if (back.refused || dp_settings_write(&back, again, sizeof again, true) != size ||
		memcmp(flat, again, (size_t)size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct dp_settings settings;
	const struct dp_settings_listener listener = {hear, NULL};
	char *variables[65] = {0};
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	memset(&settings, 0, sizeof settings);
	dp_settings_init(&settings);
	dp_settings_read_file(&settings, (const char *)data, size, &listener);
	check_texts(&settings);
	check_flat(&settings);
	dp_settings_read_options(&settings, text, &listener);
	check_texts(&settings);
	check_flat(&settings);

	memset(&settings, 0, sizeof settings);
	dp_settings_init(&settings);
	for (size_t i = 0, n = 0; i < size && n < 64; i++)
		if (!i || !text[i - 1] || text[i - 1] == '\n') {
			variables[n++] = text + i;
			if (i)
				text[i - 1] = 0;
		}
	dp_settings_read_environment(&settings, variables, &listener);
	check_texts(&settings);
	check_flat(&settings);
	dp_settings_read_back(&settings, (const char *)data, size);
	check_texts(&settings);
	free(text);
	return 0;
}
