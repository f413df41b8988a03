/* SPDX-License-Identifier: Apache-2.0
 * A marker at place p lies in the native frame whose CFA is the first above p. */
#include "agent/stitch.h"

#include <stddef.h>

static bool is_in(const struct dp_frame *native, uint64_t start, uint64_t size)
{
	const uint64_t pc = native->id - !(native->flags & DP_FRAME_EXACT);
	return pc >= start && pc - start < size;
}

static bool is_loop(const struct dp_frame *native, uint64_t loop, uint64_t loop_size)
{
	return is_in(native, loop, loop_size) && native->place != UINT32_MAX && native->place;
}

/* ---- where the stack ends ---- */

/* The first native frame behind those that hold the managed ones; loop: NULL, or of an interpreter without markers, which has as
 * many loops as frames, or one more. */
static unsigned behind_managed(const struct dp_frame *native, unsigned native_count, const struct dp_frame *managed,
        unsigned managed_count, const struct dp_frame *loop)
{
	uint32_t root = 0;
	unsigned known = 0, loops = 0, i = 0;
	for (unsigned m = 0; m < managed_count; m++)
		if (managed[m].place != UINT32_MAX) {
			root = managed[m].place > root ? managed[m].place : root;
			known++;
		}
	if (loop) {
		for (; i < native_count && loops < managed_count; i++)
			loops += is_loop(&native[i], loop->id, loop->place);
		return loops == managed_count ? i : native_count;
	}
	while (known && i < native_count && (native[i].place == UINT32_MAX || native[i].place <= root))
		i++;
	return known ? i : native_count;
}

/* So many native frames are this stack's. */
static unsigned own_frames(const struct dp_frame *native, unsigned native_count, const struct dp_frame *managed, unsigned managed_count)
{
	const struct dp_frame *last = managed_count ? &managed[managed_count - 1] : NULL;
	const struct dp_frame *loop = last && last->flags & DP_FRAME_LOOP ? last : NULL;
	unsigned i = behind_managed(native, native_count, managed, managed_count - (loop != NULL), loop);
	while (i < native_count && !(native[i].flags & DP_FRAME_SWITCHER))
		i++;
	while (i < native_count && native[i].flags & DP_FRAME_SWITCHER)
		i++;
	return i;
}

/* ---- interpreters without markers ---- */

/* Interpreters without markers keep one native frame of their loop for each managed frame, and at the leaf perhaps one more,
 * which comes or goes: paired from the root, or, where the numbers differ by more, not at all. The native frame's place becomes the
 * managed one's. */
static void pair_by_loop(const struct dp_frame *native, unsigned native_count, struct dp_frame *managed, unsigned managed_count,
        uint64_t loop, uint64_t loop_size)
{
	unsigned loops = 0, m = managed_count;
	for (unsigned i = 0; i < native_count; i++)
		loops += is_loop(&native[i], loop, loop_size);
	for (unsigned i = 0; i < managed_count; i++)
		if (managed[i].flags & DP_FRAME_MISSING)
			return;
	if (loops != managed_count && loops != managed_count + 1)
		return;
	for (unsigned n = native_count; n-- > 0 && m > 0;)
		if (is_loop(&native[n], loop, loop_size))
			managed[--m].place = native[n].place - 1;
}

static unsigned take_loops(
        const struct dp_frame *native, unsigned native_count, bool is_whole, struct dp_frame *managed, unsigned managed_count)
{
	unsigned count = 0, first = 0;
	for (unsigned i = 0; i < managed_count; i++) {
		if (managed[i].flags & DP_FRAME_LOOP) {
			if (is_whole)
				pair_by_loop(native, native_count, managed + first, count - first, managed[i].id, managed[i].place);
			first = count;
		} else {
			managed[count++] = managed[i];
		}
	}
	return count;
}

/* ---- the two together ---- */

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

unsigned dp_stitch(const struct dp_frame *native, unsigned native_count, bool *is_whole, struct dp_frame *managed,
        unsigned managed_count, bool keeps_loops, struct dp_frame *out, struct dp_stitch_counts *counts)
{
	unsigned count = 0, next = 0;
	const unsigned own = own_frames(native, native_count, managed, managed_count);
	if (own < native_count) {
		native_count = own;
		*is_whole = true;
	}
	managed_count = take_loops(native, native_count, *is_whole, managed, managed_count);
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
