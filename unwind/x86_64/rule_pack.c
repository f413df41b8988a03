/* SPDX-License-Identifier: Apache-2.0
 * From a CFI state to a rule on x86-64.
 *
 * Expressions are recognised by shape, not evaluated: linkers write one for the PLT, gcc one for functions
 * that realign their stack, assembly a similar one with the stack pointer, the C library one for signal
 * frames. */
#include "unwind/cfi.h"

#include "base/frame.h"
#include "unwind/rule.h"

enum {
	OP_DEREF = 0x06,
	OP_AND = 0x1a,
	OP_PLUS = 0x22,
	OP_PLUS_UCONST = 0x23,
	OP_SHL = 0x24,
	OP_GE = 0x2a,
	OP_LIT0 = 0x30,
	OP_BREG_FP = 0x70 + DP_REG_FP,
	OP_BREG_SP = 0x70 + DP_REG_SP,
	OP_BREG_PC = 0x70 + DP_REG_PC,
};

/* Of the ucontext at a signal frame's stack pointer: uc_mcontext.gregs[REG_RSP]. */
enum { UCONTEXT_RSP = 160 };

static bool words_fit(int64_t bytes, int64_t bits)
{
	const int64_t words = bytes / 8, limit = (int64_t)1 << (bits - 1);

	return !(bytes & 7) && words >= -limit && words < limit;
}

static uint32_t long_rule(enum dp_rule_kind kind, unsigned fp, int64_t offset)
{
	if (!words_fit(offset, 20))
		return DP_RULE_COMPLEX;
	return kind | fp << 4 | (uint32_t)(offset / 8) << 12;
}

static uint32_t short_rule(enum dp_rule_kind kind, unsigned fp, uint64_t small, int64_t offset)
{
	if (small > 15 || !words_fit(offset, 16))
		return DP_RULE_COMPLEX;
	return kind | fp << 4 | (uint32_t)small << 12 | (uint32_t)(offset / 8) << 16;
}

static struct dp_cursor open_piece(const struct dp_cfi *cfi, struct dp_cfi_piece piece)
{
	return dp_cursor_of(cfi->section.bytes, piece.offset, (size_t)piece.offset + piece.size);
}

/* breg SP offset; breg PC 0; lit15; and; litN; ge; lit3; shl; plus */
static uint32_t pack_plt(struct dp_cursor rest, unsigned fp, int64_t offset)
{
	uint8_t limit;

	if (dp_cursor_u8(&rest) != OP_BREG_PC || dp_cursor_sleb(&rest) != 0 ||
		dp_cursor_u8(&rest) != OP_LIT0 + 15 || dp_cursor_u8(&rest) != OP_AND)
		return DP_RULE_COMPLEX;
	limit = dp_cursor_u8(&rest) - OP_LIT0;
	if (limit > 15 || dp_cursor_u8(&rest) != OP_GE || dp_cursor_u8(&rest) != OP_LIT0 + 3 ||
		dp_cursor_u8(&rest) != OP_SHL || dp_cursor_u8(&rest) != OP_PLUS || dp_cursor_left(&rest) ||
		rest.bad)
		return DP_RULE_COMPLEX;
	return short_rule(DP_RULE_PLT, fp, limit, offset);
}

static uint32_t pack_cfa_expression(
	const struct dp_cfi *cfi, const struct dp_cie *cie, const struct dp_cfi_state *state, unsigned fp)
{
	struct dp_cursor cursor = open_piece(cfi, state->cfa_expression);
	const uint8_t base = dp_cursor_u8(&cursor);
	const int64_t offset = dp_cursor_sleb(&cursor);
	uint64_t addend = 0;

	if (cursor.bad || (base != OP_BREG_SP && base != OP_BREG_FP))
		return DP_RULE_COMPLEX;
	if (!dp_cursor_left(&cursor) && !cie->is_signal_frame)
		return long_rule(base == OP_BREG_SP ? DP_RULE_SP : DP_RULE_FP, fp, offset);
	if (base == OP_BREG_SP && *cursor.at == OP_BREG_PC)
		return pack_plt(cursor, fp, offset);
	if (dp_cursor_u8(&cursor) != OP_DEREF)
		return DP_RULE_COMPLEX;
	if (cie->is_signal_frame) {
		if (base != OP_BREG_SP || dp_cursor_left(&cursor))
			return DP_RULE_COMPLEX;
		return long_rule(DP_RULE_SIGNAL, 0, offset - UCONTEXT_RSP);
	}
	if (dp_cursor_left(&cursor)) {
		if (dp_cursor_u8(&cursor) != OP_PLUS_UCONST)
			return DP_RULE_COMPLEX;
		addend = dp_cursor_uleb(&cursor);
		if (cursor.bad || dp_cursor_left(&cursor) || addend & 7)
			return DP_RULE_COMPLEX;
	}
	return short_rule(base == OP_BREG_SP ? DP_RULE_AT_SP : DP_RULE_AT_FP, fp, addend / 8, offset);
}

/* Where rbp was saved; -1: a rule cannot say. */
static int pack_fp(const struct dp_cfi *cfi, const struct dp_cfi_slot *slot)
{
	struct dp_cursor cursor;

	switch (slot->where) {
	case DP_CFI_SAME:
		return DP_RULE_FP_SAME;
	case DP_CFI_UNDEFINED:
		return DP_RULE_FP_UNDEFINED;
	case DP_CFI_OFFSET:
		if (slot->offset & 7 || slot->offset > -16 || slot->offset < -8 * DP_RULE_FP_MAX)
			return -1;
		return -slot->offset / 8;
	case DP_CFI_EXPRESSION:
		cursor = open_piece(cfi, slot->expression);
		if (dp_cursor_u8(&cursor) != OP_BREG_FP || dp_cursor_sleb(&cursor) != 0 || cursor.bad ||
			dp_cursor_left(&cursor))
			return -1;
		return DP_RULE_FP_AT_FP;
	default:
		return -1;
	}
}

uint32_t dp_rule_pack(const struct dp_cfi *cfi, const struct dp_cie *cie, const struct dp_cfi_state *state)
{
	int fp;

	if (cie->return_register != DP_REG_PC)
		return DP_RULE_COMPLEX;
	if (state->ra.where == DP_CFI_UNDEFINED)
		return DP_RULE_END;
	if (cie->is_signal_frame) /* saves everything where the ucontext is; only that place is of interest */
		return state->cfa_is_expression ? pack_cfa_expression(cfi, cie, state, 0) : DP_RULE_COMPLEX;
	fp = pack_fp(cfi, &state->fp);
	if (fp < 0 || state->sp_is_special || state->ra.where != DP_CFI_OFFSET || state->ra.offset != -8)
		return DP_RULE_COMPLEX;
	if (state->cfa_is_expression)
		return pack_cfa_expression(cfi, cie, state, fp);
	switch (state->cfa_register) {
	case DP_REG_SP:
		if (fp == DP_RULE_FP_AT_FP) /* gcc's last instruction of such code: popped, see step.h */
			fp = DP_RULE_FP_SAME;
		return long_rule(DP_RULE_SP, fp, state->cfa_offset);
	case DP_REG_FP:
		return long_rule(DP_RULE_FP, fp, state->cfa_offset);
	default:
		return short_rule(DP_RULE_OTHER, fp, state->cfa_register, state->cfa_offset);
	}
}
