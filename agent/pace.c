/* SPDX-License-Identifier: Apache-2.0
 * The pause is such that the rings would be a quarter full at the pace of the last one: room for a burst four times
 * as dense. It may at most double, so that one quiet moment is not taken for peace. */
#include "agent/pace.h"

void dp_pace_init(struct dp_pace *pace, uint64_t now_ms)
{
	pace->looked_ms = now_ms;
	pace->pause_ms = DP_PACE_FIRST_MS;
	dp_pace_hurry(pace, now_ms);
}

void dp_pace_hurry(struct dp_pace *pace, uint64_t now_ms)
{
	pace->restless_until_ms = now_ms + DP_PACE_RESTLESS_MS;
}

void dp_pace_found(struct dp_pace *pace, uint64_t now_ms, uint64_t bytes, uint64_t capacity)
{
	const uint64_t passed_ms = now_ms > pace->looked_ms ? now_ms - pace->looked_ms : 1;
	uint64_t next_ms = bytes ? passed_ms * (capacity / 4) / bytes : DP_PACE_MOST_MS;
	if (next_ms > 2 * (uint64_t)pace->pause_ms)
		next_ms = 2 * (uint64_t)pace->pause_ms;
	if (next_ms > DP_PACE_MOST_MS)
		next_ms = DP_PACE_MOST_MS;
	if (next_ms < DP_PACE_LEAST_MS)
		next_ms = DP_PACE_LEAST_MS;
	pace->pause_ms = (uint32_t)next_ms;
	pace->looked_ms = now_ms;
}

uint32_t dp_pace_pause(const struct dp_pace *pace, uint64_t now_ms)
{
	return now_ms < pace->restless_until_ms ? DP_PACE_LEAST_MS : pace->pause_ms;
}
