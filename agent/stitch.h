/* SPDX-License-Identifier: Apache-2.0
 * Native and managed frames in one stack, by where they stood on the native stack: never by name. Hands only. */
#ifndef DEEPPROF_AGENT_STITCH_H
#define DEEPPROF_AGENT_STITCH_H

#include "base/frame.h"

#include <stdbool.h>
#include <stdint.h>

/* How well it went, in groups: managed frames with the same marker. */
struct dp_stitch_counts {
	uint64_t aligned;    /* exactly one native frame holds the marker, and no other marker */
	uint64_t misaligned; /* two markers in one native frame */
	uint64_t unknown;    /* the native stack ended before the marker */
};

enum { DP_STITCHED_MAX = 2 * 512 };

/* native, managed: leaf first. is_whole: in: the native stack goes to its root; out: it does now, since it ends where it
 * began in a switcher's code. out: room for DP_STITCHED_MAX. A native frame that holds a marker is the interpreter's loop, which its managed
 * frames stand for: it is left out unless keeps_loops. Returns how many. */
unsigned dp_stitch(const struct dp_frame *native, unsigned native_count, bool *is_whole, struct dp_frame *managed,
        unsigned managed_count, bool keeps_loops, struct dp_frame *out, struct dp_stitch_counts *counts);

#endif
