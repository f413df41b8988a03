/* SPDX-License-Identifier: Apache-2.0
 * A name record: what a managed frame's number means. Host to agent, in a lane's ring.
 *
 * Behind the record: the name, the file, the line table, as the runtime keeps them, padded to 8 bytes. */
#ifndef DEEPPROF_RUNTIMES_NAME_H
#define DEEPPROF_RUNTIMES_NAME_H

#include "base/region.h"

#include <stdint.h>

enum {
	DP_NAME_TEXT_MAX = 4096,          /* bytes of a name or a file */
	DP_NAME_LINES_MAX = 8 * 1024,     /* bytes of a line table */
	DP_NAME_IS_CUT = 1,               /* the line table is too large and left out */
};

/* Begins like struct dp_record: size and flags, with DP_RECORD_NAME. */
struct dp_name_record {
	uint32_t size_bytes; /* of all, a multiple of 8 */
	uint16_t flags;
	uint8_t runtime; /* enum dp_frame_runtime */
	uint8_t version; /* of the runtime, for the line table's format: CPython's minor */
	uint32_t number;
	uint32_t first_line;
	uint32_t name_size, file_size, lines_size; /* bytes */
	uint8_t name_width, file_width; /* bytes of one code point: 1 (Latin-1), 2, 4; 0: UTF-8 */
	uint8_t is_cut, reserved;
};
_Static_assert(sizeof(struct dp_name_record) % 8 == 0, "records are multiples of 8");

#endif
