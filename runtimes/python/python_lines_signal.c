/* SPDX-License-Identifier: Apache-2.0
 * CPython's line tables.
 *
 * Up to 3.9: co_lnotab, pairs of (bytes of code, lines as a signed byte). 3.10: co_linetable, the same pairs, but a pair's
 * line holds from its beginning on, and -128 means no line. From 3.11 on: entries of a head byte 1cccc nnn, c the kind, n the
 * code units less one, and what the kind says (Objects/locations.md of 3.11, Objects/lnotab_notes.txt of 3.10). */
#include "runtimes/python/python.h"

static uint32_t line_of_lnotab(const uint8_t *lines, uint32_t size, uint32_t line, int64_t unit)
{
	int64_t address = 0;
	for (uint32_t i = 0; i + 1 < size; i += 2) {
		address += lines[i];
		if (address > unit * 2)
			break;
		line += (uint32_t)(int32_t)(int8_t)lines[i + 1];
	}
	return line;
}

static uint32_t line_of_linetable(const uint8_t *lines, uint32_t size, uint32_t line, int64_t unit)
{
	int64_t end = 0;
	uint32_t last = line;
	for (uint32_t i = 0; i + 1 < size; i += 2) {
		const int8_t delta = (int8_t)lines[i + 1];
		const bool has_line = delta != -128;
		if (has_line)
			line += (uint32_t)(int32_t)delta;
		end += lines[i];
		if (end > unit * 2)
			return has_line ? line : last;
		if (has_line)
			last = line;
	}
	return last;
}

/* Six bits a byte, least first, 0x40: more follow. */
static uint32_t read_varint(const uint8_t *lines, uint32_t size, uint32_t *at)
{
	uint32_t value = 0;
	for (unsigned shift = 0; *at < size; shift += 6) {
		const uint8_t byte = lines[(*at)++];
		if (shift < 32)
			value |= (uint32_t)(byte & 0x3f) << shift;
		if (!(byte & 0x40))
			break;
	}
	return value;
}

static uint32_t line_of_locations(const uint8_t *lines, uint32_t size, uint32_t line, int64_t unit)
{
	enum { ONE_LINE = 10, NO_COLUMNS = 13, LONG = 14, NONE = 15 };
	int64_t end = 0;
	uint32_t last = line;
	for (uint32_t at = 0; at < size;) {
		const uint8_t head = lines[at++];
		const unsigned kind = head >> 3 & 15;
		if (!(head & 0x80))
			return last; /* not the beginning of an entry: corrupt */
		if (kind >= ONE_LINE && kind < NO_COLUMNS) {
			line += kind - ONE_LINE;
		} else if (kind == NO_COLUMNS || kind == LONG) {
			const uint32_t value = read_varint(lines, size, &at);
			line += value & 1 ? 0u - (value >> 1) : value >> 1;
		}
		end += (head & 7) + 1;
		if (end > unit)
			return kind == NONE ? last : line;
		if (kind != NONE)
			last = line;
		while (at < size && !(lines[at] & 0x80))
			at++;
	}
	return last;
}

uint32_t dp_python_line(unsigned minor, const uint8_t *lines, uint32_t size, uint32_t first_line, int64_t unit)
{
	if (unit < 0)
		return first_line;
	if (minor <= 9)
		return line_of_lnotab(lines, size, first_line, unit);
	if (minor == 10)
		return line_of_linetable(lines, size, first_line, unit);
	return line_of_locations(lines, size, first_line, unit);
}
