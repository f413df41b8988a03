/* SPDX-License-Identifier: Apache-2.0
 * One step by a rule on x86-64. Signal context. */
#ifndef DEEPPROF_UNWIND_X86_64_STEP_H
#define DEEPPROF_UNWIND_X86_64_STEP_H

#include "unwind/step.h"

/* A call pushes its return address; code that is entered otherwise than by a call has no frame of its own
 * yet. */
enum { DP_CALL_PUSHES = 1, DP_ADDRESS_BITS = 47, DP_CODE_ALIGN = 1 };

/* uc_mcontext.gregs of the kernel's ucontext, in DWARF order of the registers. */
enum { DP_UCONTEXT_GREGS = 40 };

static inline uintptr_t dp_return_address(uintptr_t word)
{
	return word;
}

/* gcc's code that realigns its stack copies the return address behind the saved rbp, and says until its last
 * instruction that rbp is saved at *(rbp), although it has popped it two instructions before. Only where the
 * copy is what it should be is rbp still the frame's own. */
static inline bool dp_fp_is_popped(
	struct dp_window *window, const struct dp_position *position, uintptr_t cfa)
{
	uintptr_t copy, address;

	return position->fp >= cfa || !dp_window_read(window, position->fp + 8, &copy) ||
	       !dp_window_read(window, cfa - 8, &address) || copy != address;
}

/* Not inlined: rare, and its registers would be the walk's. */
static __attribute__((noinline)) int dp_step_signal(struct dp_walk *walk, struct dp_window *window,
	uint32_t rule, const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	static const uint8_t greg_of[DP_REG_USED] = {
		13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7, 16}; /* REG_RAX, REG_RDX ... REG_RIP */
	const uintptr_t gregs = position->sp + (uintptr_t)dp_rule_long_offset(rule) + DP_UCONTEXT_GREGS;
	uintptr_t word;

	for (unsigned i = 0; i < DP_REG_USED; i++) {
		if (!dp_window_read(window, gregs + greg_of[i] * 8u, &word))
			return DP_STOP_BAD_MEMORY;
		walk->registers.value[i] = word;
	}
	*next = (struct dp_position){
		.pc = walk->registers.value[DP_REG_PC],
		.sp = walk->registers.value[DP_REG_SP],
		.fp = walk->registers.value[DP_REG_FP],
		.is_exact = true,
	};
	*cfa = next->sp;
	if (!next->pc && !next->sp)
		return DP_STOP_END;
	/* The interrupted code stood above on the same stack, or anywhere on another one; whether its stack
	 * pointer lies in the view matters only when it is read. */
	if (next->sp - window->low < window->room && next->sp <= position->sp)
		return DP_STOP_NO_PROGRESS;
	dp_window_turn(window, next->sp);
	return DP_STEP_OK;
}

static inline int dp_step(struct dp_walk *walk, struct dp_window *window, uint32_t rule,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	const uintptr_t window_low = window->low;
	const unsigned fp = dp_rule_fp(rule);
	uintptr_t base;

	switch (dp_rule_kind(rule)) {
	case DP_RULE_SP:
		base = position->sp + (uintptr_t)dp_rule_long_offset(rule);
		break;
	case DP_RULE_FP:
		base = position->fp + (uintptr_t)dp_rule_long_offset(rule);
		break;
	case DP_RULE_AT_SP:
	case DP_RULE_AT_FP:
		base = dp_rule_kind(rule) == DP_RULE_AT_SP ? position->sp : position->fp;
		if (!dp_window_read(window, base + (uintptr_t)dp_rule_short_offset(rule), &base))
			return DP_STOP_BAD_MEMORY;
		base += dp_rule_small(rule) * 8u;
		break;
	case DP_RULE_PLT:
		base = position->sp + (uintptr_t)dp_rule_short_offset(rule) +
		       ((position->pc & 15) >= dp_rule_small(rule)) * 8u;
		break;
	case DP_RULE_OTHER:
		if (!position->is_exact)
			return DP_STOP_COMPLEX;
		base = walk->registers.value[dp_rule_small(rule)] + (uintptr_t)dp_rule_short_offset(rule);
		break;
	case DP_RULE_SIGNAL:
		return dp_step_signal(walk, window, rule, position, next, cfa);
	case DP_RULE_END:
		return DP_STOP_END;
	default:
		return DP_STOP_COMPLEX;
	}
	*cfa = base;
	next->sp = base;
	next->is_exact = false;
	next->is_guessed = false;
	if (fp == DP_RULE_FP_SAME || (fp == DP_RULE_FP_AT_FP && dp_rule_kind(rule) == DP_RULE_OTHER &&
					     dp_fp_is_popped(window, position, base)))
		next->fp = position->fp;
	else if (fp == DP_RULE_FP_UNDEFINED)
		next->fp = 0;
	else if (!dp_window_read(window, fp == DP_RULE_FP_AT_FP ? position->fp : base - fp * 8u, &next->fp))
		return DP_STOP_BAD_MEMORY;
	if (!dp_window_read(window, base - 8, &next->pc))
		return DP_STOP_BAD_MEMORY;
	if (!dp_step_progresses(window, window_low, position->sp, base))
		return DP_STOP_NO_PROGRESS;
	return next->pc ? DP_STEP_OK : DP_STOP_END;
}

static inline bool dp_step_plainly(const struct dp_window *window, uint32_t rule,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	const unsigned kind = dp_rule_kind(rule), fp = dp_rule_fp(rule);
	const uintptr_t base =
		(kind == DP_RULE_SP ? position->sp : position->fp) + (uintptr_t)dp_rule_long_offset(rule);

	if ((kind != DP_RULE_SP && kind != DP_RULE_FP) || base <= position->sp ||
		!dp_window_has(window, base - 8))
		return false;
	if (fp == DP_RULE_FP_SAME) {
		next->fp = position->fp;
	} else {
		if (fp == DP_RULE_FP_AT_FP || fp > DP_RULE_FP_MAX || !dp_window_has(window, base - fp * 8u))
			return false;
		next->fp = dp_window_word(window, base - fp * 8u);
	}
	next->pc = dp_window_word(window, base - 8);
	next->sp = *cfa = base;
	next->is_exact = false;
	next->is_guessed = false;
	return next->pc != 0;
}

#endif
