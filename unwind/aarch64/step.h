/* SPDX-License-Identifier: Apache-2.0
 * One step by a rule on aarch64. Signal context. */
#ifndef DEEPPROF_UNWIND_AARCH64_STEP_H
#define DEEPPROF_UNWIND_AARCH64_STEP_H

#include "unwind/step.h"

/* A call leaves the return address in x30. */
enum { DP_CALL_PUSHES = 0, DP_ADDRESS_BITS = 48, DP_CODE_ALIGN = 4 };

/* uc_mcontext.regs of the kernel's ucontext: x0 ... x30, sp, pc. */
enum { DP_UCONTEXT_REGS = 184 };

/* Without its signature (PAC). A hint, so CPUs that sign nothing do nothing. */
static inline uintptr_t dp_return_address(uintptr_t word)
{
	register uintptr_t x30 __asm__("x30") = word;

	__asm__("hint #7" : "+r"(x30)); /* xpaclri */
	return x30;
}

/* Not inlined: rare, and its registers would be the walk's. */
static __attribute__((noinline)) int dp_step_signal(struct dp_walk *walk, struct dp_window *window,
	uint32_t rule, const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	const uintptr_t regs = position->sp + dp_rule_slot(rule) + DP_UCONTEXT_REGS;
	uintptr_t word;

	for (unsigned i = 0; i < DP_REG_USED; i++) {
		if (!dp_window_read(window, regs + i * 8, &word))
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
	if (next->sp - window->low < window->room && next->sp <= position->sp)
		return DP_STOP_NO_PROGRESS;
	dp_window_turn(window, next->sp);
	return DP_STEP_OK;
}

static inline int dp_step(struct dp_walk *walk, struct dp_window *window, uint32_t rule,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	const uintptr_t window_low = window->low;
	const enum dp_rule_saved saved = dp_rule_saved(rule);
	uintptr_t base, slot, lr = 0;

	switch (dp_rule_kind(rule)) {
	case DP_RULE_SP:
		base = position->sp + dp_rule_cfa(rule);
		break;
	case DP_RULE_FP:
		base = position->fp + dp_rule_cfa(rule);
		break;
	case DP_RULE_SIGNAL:
		return dp_step_signal(walk, window, rule, position, next, cfa);
	case DP_RULE_END:
		return DP_STOP_END;
	default:
		return DP_STOP_COMPLEX;
	}
	slot = base - dp_rule_slot(rule);
	*cfa = base;
	next->sp = base;
	next->fp = position->fp;
	next->is_exact = false;
	next->is_guessed = false;
	if ((saved == DP_RULE_SAVED_BOTH || saved == DP_RULE_SAVED_FP) &&
		!dp_window_read(window, slot, &next->fp))
		return DP_STOP_BAD_MEMORY;
	if (saved == DP_RULE_SAVED_BOTH)
		slot += 8;
	if (saved == DP_RULE_SAVED_BOTH || saved == DP_RULE_SAVED_LR) {
		if (!dp_window_read(window, slot, &lr))
			return DP_STOP_BAD_MEMORY;
		/* A frame that saved its return address has used some stack. */
		if (!dp_step_progresses(window, window_low, position->sp, base))
			return DP_STOP_NO_PROGRESS;
	} else {
		/* Only an interrupted function can still have it in x30: a call would have replaced it. */
		if (!position->is_exact)
			return DP_STOP_NO_PROGRESS;
		lr = walk->registers.value[DP_REG_LR];
		if (base < position->sp)
			return DP_STOP_NO_PROGRESS;
	}
	next->pc = dp_return_address(lr);
	return next->pc ? DP_STEP_OK : DP_STOP_END;
}

static inline bool dp_step_plainly(const struct dp_window *window, uint32_t rule,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	const unsigned kind = dp_rule_kind(rule);
	const uintptr_t base = (kind == DP_RULE_SP ? position->sp : position->fp) + dp_rule_cfa(rule);
	const uintptr_t slot = base - dp_rule_slot(rule);

	if ((kind != DP_RULE_SP && kind != DP_RULE_FP) || dp_rule_saved(rule) != DP_RULE_SAVED_BOTH ||
		base <= position->sp || !dp_window_has(window, slot) || !dp_window_has(window, slot + 8))
		return false;
	next->fp = dp_window_word(window, slot);
	next->pc = dp_return_address(dp_window_word(window, slot + 8));
	next->sp = *cfa = base;
	next->is_exact = false;
	next->is_guessed = false;
	return next->pc != 0;
}

#endif
