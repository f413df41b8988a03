/* SPDX-License-Identifier: Apache-2.0
 * What one step of the walk is made of; the CPU's own half is x86_64/step.h and aarch64/step.h. Signal
 * context. */
#ifndef DEEPPROF_UNWIND_STEP_H
#define DEEPPROF_UNWIND_STEP_H

#include "unwind/rule.h"
#include "unwind/unwind.h"

#include <stdbool.h>

enum { DP_STEP_OK = -1 }; /* beside enum dp_stop */

/* Where the walk stands: in a frame, before it is left. */
struct dp_position {
	uintptr_t pc, sp, fp;
	bool is_exact; /* pc is an interrupted instruction, and all registers of the walk are this frame's */
	bool is_guessed; /* reached by a frame pointer */
};

/* The range of the view that the last read came from: nearly always the next one's too. */
struct dp_window {
	const struct dp_stack_view *view;
	uintptr_t low, room; /* a word may be read at address when address - low < room */
	ptrdiff_t shift;
};

static inline bool dp_window_turn(struct dp_window *window, uintptr_t address)
{
	const unsigned count =
		window->view->count < DP_STACK_RANGES ? window->view->count : (unsigned)DP_STACK_RANGES;

	for (unsigned i = 0; i < count; i++) {
		const struct dp_stack_range *range = &window->view->ranges[i];

		if (address >= range->low && address < range->high &&
			range->high - address >= sizeof(uintptr_t)) {
			window->low = range->low;
			window->room = range->high - range->low - (sizeof(uintptr_t) - 1);
			window->shift = range->shift;
			return true;
		}
	}
	return false;
}

/* Application stacks have red zones of address sanitizer between their variables. */
static inline __attribute__((no_sanitize_address)) bool dp_window_read(
	struct dp_window *window, uintptr_t address, uintptr_t *value)
{
	if (address & (sizeof(uintptr_t) - 1))
		return false;
	if (address - window->low >= window->room && !dp_window_turn(window, address))
		return false;
	*value = *(const volatile uintptr_t *)(address + (uintptr_t)window->shift);
	return true;
}

/* Did the stack grow towards its end? A step into another range of the view is allowed in either direction:
 * programs run functions on stacks of their own. window_low: the window's low before the reads of this step.
 */
static inline bool dp_step_progresses(
	const struct dp_window *window, uintptr_t window_low, uintptr_t sp, uintptr_t new_sp)
{
	return new_sp > sp || window->low != window_low;
}

/* A word that lies in the window; false also where another range would have it. */
static inline __attribute__((no_sanitize_address)) bool dp_window_has(
	const struct dp_window *window, uintptr_t address)
{
	return address - window->low < window->room && !(address & (sizeof(uintptr_t) - 1));
}

static inline __attribute__((no_sanitize_address)) uintptr_t dp_window_word(
	const struct dp_window *window, uintptr_t address)
{
	return *(const volatile uintptr_t *)(address + (uintptr_t)window->shift);
}

/* The step of nearly every frame, in few instructions: a plain rule, on the same stack, nothing odd. False,
 * and nothing is done: dp_step() must judge. */
static inline bool dp_step_plainly(const struct dp_window *window, uint32_t rule,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa);

/* Leaves the frame at *position by a rule of CFI: *next is the caller's position, *cfa this frame's CFA.
 * DP_STEP_OK, or why not. Reloads walk->registers when the caller was interrupted by a signal. */
static inline int dp_step(struct dp_walk *walk, struct dp_window *window, uint32_t rule,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa);

#if defined(__x86_64__)
#include "unwind/x86_64/step.h"
#elif defined(__aarch64__)
#include "unwind/aarch64/step.h"
#endif

#endif
