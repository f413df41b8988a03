/* SPDX-License-Identifier: Apache-2.0
 * A marker at place p lies in the native frame whose CFA is the first above p. */
#include "agent/stitch.h"

/* Interpreters without markers keep one native frame of their loop for each managed frame: paired from the root, since at the
 * leaf one of the two may be on its way. The native frame's place becomes the managed one's. */
static void pair_by_loop(const struct dp_frame *native, unsigned native_count, struct dp_frame *managed, unsigned managed_count,
        uint64_t loop, uint64_t loop_size)
{
	unsigned n = native_count, m = managed_count;
	while (m > 0 && n > 0) {
		n--;
		const uint64_t pc = native[n].id - !(native[n].flags & DP_FRAME_EXACT);
		if (pc < loop || pc >= loop + loop_size || native[n].place == UINT32_MAX || !native[n].place)
			continue;
		if (managed[--m].flags & DP_FRAME_MISSING)
			break; /* how many loops are missing is not known */
		managed[m].place = native[n].place - 1;
	}
}

static unsigned take_loops(const struct dp_frame *native, unsigned native_count, struct dp_frame *managed, unsigned managed_count)
{
	unsigned count = 0, first = 0;
	for (unsigned i = 0; i < managed_count; i++) {
		if (managed[i].flags & DP_FRAME_LOOP) {
			pair_by_loop(native, native_count, managed + first, count - first, managed[i].id, managed[i].place);
			first = count;
		} else {
			managed[count++] = managed[i];
		}
	}
	return count;
}

/* A frame without a place goes where the next one with a place goes. */
static void spread_places(struct dp_frame *managed, unsigned count)
{
	uint32_t place = UINT32_MAX;
	for (unsigned i = count; i-- > 0;) {
		if (managed[i].place == UINT32_MAX)
			managed[i].place = place;
		else
			place = managed[i].place;
	}
}

/* Two interpreters in one thread each tell their own chain: by place, each in its order. */
static void sort_by_place(struct dp_frame *managed, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		const struct dp_frame frame = managed[i];
		unsigned at = i;
		for (; at > 0 && managed[at - 1].place > frame.place; at--)
			managed[at] = managed[at - 1];
		managed[at] = frame;
	}
}

unsigned dp_stitch(const struct dp_frame *native, unsigned native_count, struct dp_frame *managed, unsigned managed_count,
        bool keeps_loops, struct dp_frame *out, struct dp_stitch_counts *counts)
{
	unsigned count = 0, next = 0;
	managed_count = take_loops(native, native_count, managed, managed_count);
	spread_places(managed, managed_count);
	sort_by_place(managed, managed_count);
	for (unsigned i = 0; i < native_count; i++) {
		unsigned markers = 0;
		uint32_t last = UINT32_MAX;
		while (next < managed_count && native[i].place != UINT32_MAX && managed[next].place < native[i].place) {
			markers += managed[next].place != last;
			last = managed[next].place;
			out[count++] = managed[next++];
		}
		counts->aligned += markers == 1;
		counts->misaligned += markers > 1 ? markers : 0;
		if (!markers || keeps_loops)
			out[count++] = native[i];
	}
	for (uint32_t last = 0; next < managed_count; last = managed[next++].place) {
		counts->unknown += managed[next].place != last;
		out[count++] = managed[next];
	}
	return count;
}
