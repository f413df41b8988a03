/* SPDX-License-Identifier: Apache-2.0
 * Files that somebody left in the spool: what is no entry, byte for byte, is none. Once as it is, and once with the
 * checksum that it should have. */
#include "export/spool.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct dp_spool_entry head = {0};
	uint8_t *copy = malloc(size + 1);
	if (!copy)
		abort();
	memcpy(copy, bytes, size);
	for (int i = 0; i < 2; i++) {
		if (dp_spool_parse(copy, size, &head) && head.size >= size)
			abort();
		if (size < 12)
			break;
		const uint32_t sum = (uint32_t)crc32(0, copy + 12, (uInt)(size - 12));
		memcpy(copy + 8, &sum, sizeof sum);
	}
	free(copy);
	return 0;
}
