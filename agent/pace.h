/* SPDX-License-Identifier: Apache-2.0
 * How long the ears may sleep between two looks at a host's rings.
 *
 * Waking costs a processor some 20 to 70 microseconds, more than all samples of 50 ms: an idle host, or one of a few
 * samples, is looked at four times a second, one whose rings fill, or whose samples carry whole stacks, soon. */
#ifndef DEEPPROF_AGENT_PACE_H
#define DEEPPROF_AGENT_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	DP_PACE_LEAST_MS = 5,
	DP_PACE_FIRST_MS = 50,
	DP_PACE_MOST_MS = 250,
	DP_PACE_RESTLESS_MS = 300, /* how long a host is looked at often after something new */
};

struct dp_pace {
	uint64_t looked_ms, restless_until_ms;
	uint32_t pause_ms;
};

/* A new host: its first samples carry whole stacks. */
void dp_pace_init(struct dp_pace *pace, uint64_t now_ms);
/* Objects without tables, or samples for comparison: whole stacks again. */
void dp_pace_hurry(struct dp_pace *pace, uint64_t now_ms);
/* So many bytes were found in rings that hold so many. */
void dp_pace_found(struct dp_pace *pace, uint64_t now_ms, uint64_t bytes, uint64_t capacity);
/* Until the next look. */
uint32_t dp_pace_pause(const struct dp_pace *pace, uint64_t now_ms);

#endif
