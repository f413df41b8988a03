/* SPDX-License-Identifier: Apache-2.0
 * From a CFI state to a rule on aarch64. */
#include "unwind/cfi.h"

#include "base/frame.h"
#include "unwind/rule.h"

/* The kernel's struct rt_sigframe: the ucontext follows a siginfo of 128 bytes. */
enum { SIGNAL_FRAME_UCONTEXT = 128 };

/* The distance of a saved register below the CFA in words; -1: a rule cannot say. */
static int slot_words(const struct dp_cfi_slot *slot)
{
	if (slot->where != DP_CFI_OFFSET || slot->offset & 7 || slot->offset >= 0 ||
		slot->offset < -8 * DP_RULE_SLOT_MAX)
		return -1;
	return -slot->offset / 8;
}

uint32_t dp_rule_pack(const struct dp_cfi *cfi, const struct dp_cie *cie, const struct dp_cfi_state *state)
{
	const int fp = slot_words(&state->fp), ra = slot_words(&state->ra);
	enum dp_rule_kind kind;
	enum dp_rule_saved saved;
	int slot;

	(void)cfi;
	if (cie->return_register != DP_REG_LR)
		return DP_RULE_COMPLEX;
	if (state->ra.where == DP_CFI_UNDEFINED)
		return DP_RULE_END;
	if (cie->is_signal_frame)
		return DP_RULE_SIGNAL | SIGNAL_FRAME_UCONTEXT / 8 << 7;
	if (state->cfa_is_expression || state->sp_is_special || state->cfa_offset & 15 ||
		state->cfa_offset < 0 || state->cfa_offset > 16 * DP_RULE_CFA_MAX)
		return DP_RULE_COMPLEX;
	if (state->cfa_register == DP_REG_SP)
		kind = DP_RULE_SP;
	else if (state->cfa_register == DP_REG_FP)
		kind = DP_RULE_FP;
	else
		return DP_RULE_COMPLEX;
	if ((fp < 0 && state->fp.where != DP_CFI_SAME) || (ra < 0 && state->ra.where != DP_CFI_SAME))
		return DP_RULE_COMPLEX;
	if (fp > 0 && ra > 0 && fp != ra + 1)
		return DP_RULE_COMPLEX;
	if (ra > 0)
		saved = fp > 0 ? DP_RULE_SAVED_BOTH : DP_RULE_SAVED_LR;
	else
		saved = fp > 0 ? DP_RULE_SAVED_FP : DP_RULE_SAVED_NONE;
	slot = fp > 0 ? fp : ra > 0 ? ra : 0;
	return kind | (uint32_t)state->is_signed << 4 | (uint32_t)saved << 5 | (uint32_t)slot << 7 |
	       (uint32_t)(state->cfa_offset / 16) << 20;
}
