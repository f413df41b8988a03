/* SPDX-License-Identifier: Apache-2.0
 * The bits of a rule on aarch64. Any context.
 *
 * 0-3 kind. 4 the return address is signed (PAC). 5-6 what was saved. 7-19 slot: distance of what was saved
 * from the CFA downwards, in words. 20-31 CFA offset in units of 16 bytes, unsigned (the stack pointer is
 * always a multiple of 16). SIGNAL: 7-19 distance of the ucontext from the stack pointer in words. */
#ifndef DEEPPROF_UNWIND_AARCH64_RULE_H
#define DEEPPROF_UNWIND_AARCH64_RULE_H

#include <stdint.h>

enum { DP_ELF_MACHINE = 183 /* EM_AARCH64 */ };

enum dp_rule_saved {
	DP_RULE_SAVED_NONE, /* x29 same, return address in x30 */
	DP_RULE_SAVED_BOTH, /* x29 at CFA - slot, return address in the word after it */
	DP_RULE_SAVED_LR,   /* x29 same, return address at CFA - slot */
	DP_RULE_SAVED_FP,   /* x29 at CFA - slot, return address in x30 */
};

enum { DP_RULE_SLOT_MAX = 8191, DP_RULE_CFA_MAX = 4095 };

static inline unsigned dp_rule_signed(uint32_t rule)
{
	return rule >> 4 & 1;
}

static inline enum dp_rule_saved dp_rule_saved(uint32_t rule)
{
	return rule >> 5 & 3;
}

static inline uintptr_t dp_rule_slot(uint32_t rule)
{
	return (uintptr_t)(rule >> 7 & DP_RULE_SLOT_MAX) * 8;
}

static inline uintptr_t dp_rule_cfa(uint32_t rule)
{
	return (uintptr_t)(rule >> 20) * 16;
}

#endif
