/* SPDX-License-Identifier: Apache-2.0
 * Equal samples counted together: one window's stacks. Hands only. */
#ifndef DEEPPROF_AGENT_STACKS_H
#define DEEPPROF_AGENT_STACKS_H

#include "base/arena.h"
#include "base/frame.h"
#include "base/region.h"

#include <stdint.h>

/* A frame here is one word: its id, whose runtime it is of, and two flags on top: user addresses have at most 57 bits, managed
 * ids 60. */
#define DP_STACK_EXACT   (UINT64_C(1) << 63)
#define DP_STACK_MISSING DP_STACK_EXACT /* managed: not a frame, so many are missing */
#define DP_STACK_GUESSED (UINT64_C(1) << 62)
#define DP_STACK_AWAITS  DP_STACK_GUESSED /* managed: not a frame, as DP_FRAME_AWAITS */
#define DP_STACK_RUNTIME_SHIFT 60
#define DP_STACK_RUNTIME_MASK  3
#define DP_STACK_ADDRESS ((UINT64_C(1) << DP_STACK_RUNTIME_SHIFT) - 1)

struct dp_stack {
	struct dp_stack *next; /* in its bucket */
	uint64_t hash, count, weight_ns;
	uint32_t tid, generation;
	uint16_t stop; /* enum dp_stop */
	uint16_t frame_count;
	uint16_t labels; /* number of its label set */
	uint16_t flags;  /* of enum dp_record_flag, those that tell stacks apart */
	uint32_t texts[DP_TEXTS]; /* numbers of its names (agent/texts.h) */
	uint64_t frames[]; /* leaf first */
};

struct dp_stacks {
	struct dp_arena arena;
	struct dp_stack **buckets;
	uint32_t bucket_count, count;
	uint64_t overflow_count, overflow_weight_ns; /* stacks that found no room: their weight */
};

int dp_stacks_init(struct dp_stacks *stacks, size_t cap_bytes); /* 0 or -ENOMEM */
/* What else tells two stacks apart. */
struct dp_stack_key {
	uint32_t tid, generation;
	uint16_t stop, labels, flags;
	uint32_t texts[DP_TEXTS];
};
void dp_stacks_add(struct dp_stacks *stacks, const struct dp_stack_key *key, const struct dp_frame *frames,
        unsigned count, uint64_t weight_ns, uint64_t samples);
void dp_stacks_fini(struct dp_stacks *stacks);

#endif
