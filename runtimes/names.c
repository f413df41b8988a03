/* SPDX-License-Identifier: Apache-2.0
 * Name records, kept by number. Hostile bytes are expected. */
#include "runtimes/names.h"

#include "runtimes/name.h"
#include "runtimes/runtime.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_BYTES = 64 * 1024 * 1024 }; /* of one host */

static char *put_utf8(char *to, uint32_t point)
{
	if (point < 0x80) {
		*to++ = (char)point;
	} else if (point < 0x800) {
		*to++ = (char)(0xc0 | point >> 6);
		*to++ = (char)(0x80 | (point & 0x3f));
	} else if (point < 0x10000) {
		if (point >= 0xd800 && point < 0xe000)
			point = 0xfffd; /* half of a pair: an undecodable byte of a file name */
		*to++ = (char)(0xe0 | point >> 12);
		*to++ = (char)(0x80 | (point >> 6 & 0x3f));
		*to++ = (char)(0x80 | (point & 0x3f));
	} else {
		*to++ = (char)(0xf0 | (point >> 18 & 7));
		*to++ = (char)(0x80 | (point >> 12 & 0x3f));
		*to++ = (char)(0x80 | (point >> 6 & 0x3f));
		*to++ = (char)(0x80 | (point & 0x3f));
	}
	return to;
}

char *dp_utf8_of(const uint8_t *bytes, uint32_t size, unsigned width)
{
	char *text = malloc((size_t)size * 4 + 1), *at = text;
	if (!text)
		return NULL;
	if (!width) {
		memcpy(text, bytes, size);
		at += size;
	}
	for (uint32_t i = 0; width && i + width <= size; i += width) {
		uint32_t point = bytes[i];
		if (width > 1)
			point |= (uint32_t)bytes[i + 1] << 8;
		if (width > 2)
			point |= (uint32_t)bytes[i + 2] << 16 | (uint32_t)bytes[i + 3] << 24;
		at = put_utf8(at, point);
	}
	*at = 0;
	char *fitting = realloc(text, (size_t)(at - text) + 1);
	return fitting ? fitting : text;
}

static void name_free(struct dp_name *name)
{
	if (!name)
		return;
	free(name->name);
	free(name->file);
	free(name->lines);
	free(name->shown);
	free(name);
}

static bool is_width(unsigned width)
{
	return width == 0 || width == 1 || width == 2 || width == 4;
}

bool dp_names_take(struct dp_names *names, const uint8_t *bytes, size_t size)
{
	struct dp_name_record record;
	if (size < sizeof record)
		return false;
	memcpy(&record, bytes, sizeof record);
	if (record.size_bytes != size || record.name_size > DP_NAME_TEXT_MAX || record.file_size > DP_NAME_TEXT_MAX ||
	        record.lines_size > DP_NAME_LINES_MAX || !is_width(record.name_width) || !is_width(record.file_width) ||
	        record.runtime == DP_FRAME_NATIVE || record.runtime >= DP_NAME_RUNTIMES || !record.number ||
	        record.number > DP_RUNTIME_NUMBERS ||
	        sizeof record + record.name_size + record.file_size + record.lines_size > size)
		return false;
	const unsigned runtime = record.runtime;
	if (record.number >= names->size[runtime]) {
		const uint32_t more = record.number < 1024 ? 1024 : DP_RUNTIME_NUMBERS + 1;
		struct dp_name **at = realloc(names->at[runtime], more * sizeof *at);
		if (!at)
			return true; /* without a name */
		memset(at + names->size[runtime], 0, (more - names->size[runtime]) * sizeof *at);
		names->at[runtime] = at;
		names->size[runtime] = more;
	}
	struct dp_name *name = names->at[runtime][record.number];
	if (name || names->bytes > NAMES_BYTES)
		return true; /* told by two rings; or of a host that has too many */
	name = calloc(1, sizeof *name);
	if (!name)
		return true;
	bytes += sizeof record;
	name->name = dp_utf8_of(bytes, record.name_size, record.name_width);
	name->file = dp_utf8_of(bytes + record.name_size, record.file_size, record.file_width);
	name->lines = malloc(record.lines_size + 1);
	if (!name->name || !name->file || !name->lines) {
		name_free(name);
		return true;
	}
	memcpy(name->lines, bytes + record.name_size + record.file_size, record.lines_size);
	name->lines_size = record.lines_size;
	name->first_line = record.first_line;
	name->version = record.version;
	name->is_cut = record.is_cut;
	names->version[runtime] = record.version;
	names->bytes += sizeof *name + strlen(name->name) + strlen(name->file) + record.lines_size;
	names->at[runtime][record.number] = name;
	return true;
}

void dp_names_free(struct dp_names *names)
{
	for (unsigned runtime = 0; runtime < DP_NAME_RUNTIMES; runtime++) {
		for (uint32_t i = 0; i < names->size[runtime]; i++)
			name_free(names->at[runtime][i]);
		free(names->at[runtime]);
	}
	memset(names, 0, sizeof *names);
}
