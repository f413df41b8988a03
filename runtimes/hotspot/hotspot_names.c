/* SPDX-License-Identifier: Apache-2.0
 * A Java method as people name it: package.Class.method, file and line. */
#include "runtimes/hotspot/hotspot.h"
#include "runtimes/names.h"

#include <stdio.h>
#include <string.h>

/* zigzag, compressedStream.cpp */
static int32_t signed5(const uint8_t *bytes, uint32_t size, uint32_t *at, bool has_excess)
{
	const uint32_t value = dp_jvm_unsigned5(bytes, size, at, has_excess);
	return (int32_t)(value >> 1) ^ -(int32_t)(value & 1);
}

/* CompressedLineNumberReadStream (method.cpp): a byte of five bits of bytecodes and three of lines, or 0xff and two numbers; 0
 * ends it. bci < 0: the first line. 0: not known. */
static uint32_t line_of(const struct dp_name *name, int32_t wanted)
{
	const bool has_excess = name->version >= DP_JVM_EXCESS_FROM;
	int32_t bci = 0, line = 0;
	uint32_t at = 0, found = 0;
	while (at < name->lines_size) {
		const uint8_t next = name->lines[at++];
		if (!next)
			break;
		if (next == 0xff) {
			bci += signed5(name->lines, name->lines_size, &at, has_excess);
			line += signed5(name->lines, name->lines_size, &at, has_excess);
		} else {
			bci += next >> 3;
			line += next & 7;
		}
		if (wanted < 0)
			return (uint32_t)line;
		if (bci > wanted)
			break;
		found = (uint32_t)line;
	}
	return found;
}

static uint32_t number_of(uint64_t id)
{
	return (uint32_t)(id >> DP_JVM_NUMBER_SHIFT);
}

static void describe(struct dp_name *name, uint64_t id, const struct dp_name_place *place, struct dp_managed_symbol *symbol)
{
	(void)place;
	*symbol = (struct dp_managed_symbol){
	        .name = name->name,
	        .system_name = name->name,
	        .file = name->file,
	        .start_line = line_of(name, -1),
	        .line = id & DP_JVM_HAS_BCI ? line_of(name, (int32_t)(id & 0xffff)) : 0,
	};
}

static void write_version(uint8_t major, char *text, size_t size)
{
	snprintf(text, size, "%u", major);
}

const struct dp_runtime_names dp_hotspot_names = {
        .name = "java",
        .describe = describe,
        .number = number_of,
        .version = write_version,
};
