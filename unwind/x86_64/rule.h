/* SPDX-License-Identifier: Apache-2.0
 * The bits of a rule on x86-64. Any context.
 *
 * 0-3 kind. 4-11 where rbp was saved. SP, FP, SIGNAL: 12-31 offset in words, signed. AT_SP, AT_FP: 12-15
 * addend in words, 16-31 offset in words, signed. PLT: 12-15 limit, 16-31 offset in words, signed. OTHER:
 * 12-15 register, 16-31 offset in words, signed. The return address is always at CFA - 8. */
#ifndef DEEPPROF_UNWIND_X86_64_RULE_H
#define DEEPPROF_UNWIND_X86_64_RULE_H

#include <stdint.h>

enum { DP_ELF_MACHINE = 62 /* EM_X86_64 */ };

enum dp_rule_fp {
	DP_RULE_FP_SAME = 0,
	DP_RULE_FP_AT_FP = 1, /* at *(rbp), where the CFA does not say; gcc's realigned stacks */
	DP_RULE_FP_MAX = 253, /* 2 ... 253: at CFA - 8 * n */
	DP_RULE_FP_UNDEFINED = 255,
};

static inline unsigned dp_rule_fp(uint32_t rule)
{
	return rule >> 4 & 255;
}

static inline intptr_t dp_rule_long_offset(uint32_t rule)
{
	return (intptr_t)((int32_t)rule >> 12) * 8;
}

static inline intptr_t dp_rule_short_offset(uint32_t rule)
{
	return (intptr_t)((int32_t)rule >> 16) * 8;
}

static inline unsigned dp_rule_small(uint32_t rule)
{
	return rule >> 12 & 15;
}

#endif
