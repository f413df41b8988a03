/* SPDX-License-Identifier: Apache-2.0
 * A rule: how to leave one frame, in 32 bits. Any context.
 *
 * The low four bits are the kind; the rest is the CPU's own (x86_64/rule.h, aarch64/rule.h, same names in
 * each): where the CFA is, where the caller's frame pointer was saved and where the return address is. */
#ifndef DEEPPROF_UNWIND_RULE_H
#define DEEPPROF_UNWIND_RULE_H

#include <stdint.h>

enum dp_rule_kind {
	DP_RULE_GAP,     /* code without CFI: its frame pointer may help */
	DP_RULE_END,     /* the return address is undefined: the outermost frame */
	DP_RULE_COMPLEX, /* CFI says how, but 32 bits cannot */
	DP_RULE_PENDING, /* not in tables: the object's table has not come yet */
	DP_RULE_NO_MAP,  /* not in tables: no object is known here */
	DP_RULE_SIGNAL,  /* a signal frame: all registers are in the ucontext on the stack */
	DP_RULE_SP,      /* CFA = stack pointer + offset */
	DP_RULE_FP,      /* CFA = frame pointer + offset */
	DP_RULE_AT_SP,   /* x86-64: CFA = *(stack pointer + offset) + addend */
	DP_RULE_AT_FP,   /* x86-64: CFA = *(frame pointer + offset) + addend; gcc's realigned stacks */
	DP_RULE_PLT,   /* x86-64: CFA = stack pointer + offset, and one word more from pc & 15 >= limit on */
	DP_RULE_OTHER, /* x86-64: CFA = another register + offset; registers are known in exact frames alone
			*/
};

static inline enum dp_rule_kind dp_rule_kind(uint32_t rule)
{
	return rule & 15;
}

#if defined(__x86_64__)
#include "unwind/x86_64/rule.h"
#elif defined(__aarch64__)
#include "unwind/aarch64/rule.h"
#endif

#endif
