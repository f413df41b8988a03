/* SPDX-License-Identifier: Apache-2.0
 * The walk of one tick: native frames by tables, and code that a runtime owns by its reader. Signal. */
#ifndef DEEPPROF_CAPTURE_WALK_H
#define DEEPPROF_CAPTURE_WALK_H

#include "capture/host.h"

/* Epilogues keep unwind rules for slots that sp has just passed; the ABI's red zone keeps the slots. */
#if defined(__x86_64__)
enum { RED_ZONE = 128 };
#else
enum { RED_ZONE = 0 };
#endif

/* Where reading may begin: a red zone below sp, but not below low. */
static inline uintptr_t dp_lowest_read(uintptr_t sp, uintptr_t low)
{
	sp &= ~(uintptr_t)7;
	return sp - low > RED_ZONE ? sp - RED_ZONE : (low + 7) & ~(uintptr_t)7;
}

static inline bool dp_is_inside(uintptr_t address, uintptr_t low, uintptr_t high)
{
	return address >= low && address < high;
}

static inline void dp_view_add(struct dp_stack_view *view, uintptr_t low, uintptr_t high, ptrdiff_t shift)
{
	view->ranges[view->count++] = (struct dp_stack_range){low, high, shift};
}

/* From walk->registers outward into lane->frames; returns how many. lane->managed is ready where there are runtimes.
 * is_agents: the agent can go on where this stopped, with a copy of the stack: from the leaf, or, where frames have
 * DP_FRAME_GAP, from there. */
int dp_walk_stack(struct dp_thread *self, struct dp_lane *lane, struct dp_walk *walk, bool *is_agents);
enum dp_drop dp_loss_of_stop(enum dp_stop stop);

#endif
