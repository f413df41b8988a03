/* SPDX-License-Identifier: Apache-2.0
 * Who walks where.
 *
 * The table walks native code and hands code of no object to the runtime that owns it, which hands back its native caller.
 * Where the table stops (it has not come yet, a rule that it cannot hold, code without unwind information) a runtime may know
 * where its own frames go on further up: the walk resumes there. What lies between, the agent finds in the copy of the
 * stack: a gap says where it begins and ends. */
#include "capture/walk.h"

/* The map stays as it is while a lane names it; see is_in_use() in map_signal.c. */
static const struct dp_code_map *hold_map(struct dp_lane *lane)
{
	const struct dp_code_map *map = dp_load_acquire(&dp_host.map);
	for (;;) {
		atomic_store(&lane->map, map);
		const struct dp_code_map *again = atomic_load(&dp_host.map);
		if (again == map)
			return map;
		map = again;
	}
}

/* A runtime's frames that are the stack itself: from where the walk stands to their native caller. */
static int step_owned(struct dp_lane *lane, struct dp_walk *walk, struct dp_frame *frames, int max)
{
	static const enum dp_stop stops[] = {
	        [DP_OWNED_END] = DP_STOP_END, [DP_OWNED_TORN] = DP_STOP_TORN, [DP_OWNED_FULL] = DP_STOP_TRUNCATED};
	const uintptr_t sp = walk->registers.value[DP_REG_SP];
	const struct dp_stack_range *range = NULL;
	for (unsigned i = 0; i < walk->stack.count && !range; i++)
		if (dp_is_inside(sp, walk->stack.ranges[i].low, walk->stack.ranges[i].high))
			range = &walk->stack.ranges[i];
	if (!range) {
		walk->stop = DP_STOP_BAD_MEMORY;
		return 0;
	}
	struct dp_owned_walk owned = {
	        .registers = &walk->registers,
	        .is_exact = !walk->is_caller,
	        .stack_low = range->low,
	        .stack_high = range->high,
	        .shift = range->shift,
	        .origin = walk->place_origin,
	        .frames = frames,
	        .max = max,
	};
	lane->managed.has_stepped = true;
	const int count = dp_runtimes_step(&lane->managed, &owned);
	walk->is_caller = !owned.is_exact;
	if (owned.end != DP_OWNED_CALLER)
		walk->stop = stops[owned.end];
	return count;
}

/* From walk->registers on; lane->frames has count already. Returns how many there are then. */
static int walk_on(struct dp_lane *lane, const struct dp_code_map *map, struct dp_walk *walk, int count)
{
	count += dp_unwind(map, &lane->cache, walk, lane->frames + count, DP_FRAME_MAX - count);
	while (walk->stop == DP_STOP_OWNED) {
		if (count == DP_FRAME_MAX) {
			walk->stop = DP_STOP_TRUNCATED;
			break;
		}
		count += step_owned(lane, walk, lane->frames + count, DP_FRAME_MAX - count);
		if (walk->stop == DP_STOP_OWNED)
			count += dp_unwind(map, &lane->cache, walk, lane->frames + count, DP_FRAME_MAX - count);
	}
	return count;
}

/* Code in no map: a JIT's, or of a library that was opened a moment ago. There a frame pointer may be any value, and
 * lead somewhere. */
static bool is_unknown(const struct dp_walk *walk)
{
	return walk->stop == DP_STOP_NO_MAP || walk->met_unknown;
}

static bool is_loader_ahead(void)
{
	return dp_load_relaxed(&dp_host.loader_calls) != dp_load_relaxed(&dp_host.loader_calls_seen);
}

/* ---- gaps ---- */

/* Can the agent fill it? */
static bool is_gap(const struct dp_walk *walk)
{
	return walk->stop == DP_STOP_PENDING || walk->stop == DP_STOP_COMPLEX || (walk->stop == DP_STOP_NO_MAP && is_loader_ahead());
}

static uint32_t place_of(const struct dp_walk *walk, uintptr_t address)
{
	const uintptr_t words = (address - walk->place_origin) / 8;
	return address >= walk->place_origin && words < UINT32_MAX ? (uint32_t)words : UINT32_MAX;
}

/* Where the runtime's next frames begin above the walk's stack pointer. */
static bool resume(struct dp_lane *lane, struct dp_walk *walk)
{
	const uintptr_t sp = walk->registers.value[DP_REG_SP];
	for (unsigned i = 0; i < walk->stack.count; i++) {
		const struct dp_stack_range *range = &walk->stack.ranges[i];
		struct dp_owned_walk owned = {
		        .registers = &walk->registers,
		        .stack_low = range->low,
		        .stack_high = range->high,
		        .shift = range->shift,
		};
		if (!dp_is_inside(sp, range->low, range->high))
			continue;
		if (!dp_runtimes_resume(&lane->managed, &owned))
			return false;
		walk->is_caller = true;
		return true;
	}
	return false;
}

/* The walk has stopped in native code. As far as a runtime knows how to go on, it does. */
static int bridge(struct dp_lane *lane, const struct dp_code_map *map, struct dp_walk *walk, int count, bool *has_gap)
{
	enum { GAPS_MOST = 64, FRAMES = 2, BELOW = 128, ABOVE = 256 };
	for (int i = 0; i < GAPS_MOST && walk->stop != DP_STOP_END && walk->stop != DP_STOP_TRUNCATED; i++) {
		const enum dp_stop stop = walk->stop;
		const bool is_fillable = is_gap(walk);
		const uintptr_t sp = walk->registers.value[DP_REG_SP];
		const struct dp_frame begin = {.id = walk->registers.value[DP_REG_FP],
		        .place = place_of(walk, sp),
		        .flags = DP_FRAME_GAP};
		if (count + FRAMES > DP_FRAME_MAX || !resume(lane, walk)) {
			if (is_fillable && (*has_gap || lane->managed.has_stepped) && count < DP_FRAME_MAX) {
				lane->frames[count++] = begin;
				if (!*has_gap)
					lane->slice_low = sp - BELOW;
				lane->slice_high = UINTPTR_MAX;
				*has_gap = true;
			}
			return count;
		}
		if (is_fillable) {
			lane->frames[count++] = begin;
			lane->frames[count++] = (struct dp_frame){
			        .id = walk->registers.value[DP_REG_SP], .place = UINT32_MAX, .flags = DP_FRAME_GAP | DP_FRAME_EXACT};
			if (!*has_gap)
				lane->slice_low = sp - BELOW;
			lane->slice_high = walk->registers.value[DP_REG_SP] + ABOVE;
			*has_gap = true;
		} else {
			lane->frames[count++] = (struct dp_frame){.runtime = DP_FRAME_JVM, .place = UINT32_MAX, .flags = DP_FRAME_MISSING};
			dp_count_loss(dp_loss_of_stop(stop), 0);
		}
		count = walk_on(lane, map, walk, count);
	}
	return count;
}

/* ---- the whole ---- */

/* After an interrupted handler on another stack the walk comes back to the thread's own one, where it may go on
 * reading only from the stack pointer of that moment. */
static int walk_own_stack(struct dp_thread *self, struct dp_lane *lane, const struct dp_code_map *map, struct dp_walk *walk, int count)
{
	const uintptr_t sp = walk->registers.value[DP_REG_SP];
	if (walk->stop != DP_STOP_BAD_MEMORY || count >= DP_FRAME_MAX || count < 1 || !self->stack_high ||
	        walk->stack.ranges[0].high == self->stack_high || !dp_is_inside(sp, self->stack_low, self->stack_high))
		return count;
	walk->stack.count = 0;
	dp_view_add(&walk->stack, dp_lowest_read(sp, self->stack_low), self->stack_high, 0);
	/* The frame where it stopped is already written: it is the first of the second walk. */
	const int first = count - 1;
	count = walk_on(lane, map, walk, first);
	for (int i = first; i < count; i++)
		lane->frames[i].place = UINT32_MAX; /* a distance between two stacks means nothing */
	return count;
}

int dp_walk_stack(struct dp_thread *self, struct dp_lane *lane, struct dp_walk *walk, bool *is_agents)
{
	const struct dp_code_map *map = hold_map(lane);
	bool has_gap = false;
	lane->slice_low = lane->slice_high = 0;
	walk->place_origin = walk->registers.value[DP_REG_SP];
	int count = walk_own_stack(self, lane, map, walk, walk_on(lane, map, walk, 0));
	if (is_unknown(walk))
		dp_add_relaxed(&dp_host.unknown_code, 1);
	*is_agents = is_gap(walk) || (walk->met_unknown && is_loader_ahead());
	if (walk->owned_high && walk->stack.count) {
		count = bridge(lane, map, walk, count, &has_gap);
		/* What a runtime has stepped through, the agent could not. */
		if (has_gap || lane->managed.has_stepped)
			*is_agents = has_gap;
	}
	return count;
}

enum dp_drop dp_loss_of_stop(enum dp_stop stop)
{
	switch (stop) {
	case DP_STOP_TRUNCATED:
		return DP_DROP_TRUNCATED;
	case DP_STOP_NO_MAP:
		return DP_DROP_NO_MAP;
	case DP_STOP_NO_CFI:
		return DP_DROP_NO_CFI;
	case DP_STOP_BAD_MEMORY:
		return DP_DROP_BAD_MEMORY;
	case DP_STOP_NO_PROGRESS:
		return DP_DROP_NO_PROGRESS;
	case DP_STOP_COMPLEX:
	case DP_STOP_PENDING:
		return DP_DROP_SLICE_FULL;
	case DP_STOP_TORN:
		return DP_DROP_MANAGED_TORN;
	case DP_STOP_OWNED:
	case DP_STOP_END:
		break;
	}
	return DP_DROP_COUNT;
}
