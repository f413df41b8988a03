/* SPDX-License-Identifier: Apache-2.0
 * Runs the program of an FDE (DWARF 5, 6.4.2): from opcodes to states. */
#include "unwind/cfi.h"

#include "base/frame.h"

enum { REMEMBERED_STATES = 32 }; /* compilers nest one deep */

enum {
	CFA_ADVANCE_LOC = 0x40, /* in the high two bits, with an operand below */
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE_LOC1 = 0x02,
	CFA_ADVANCE_LOC2 = 0x03,
	CFA_ADVANCE_LOC4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER_STATE = 0x0a,
	CFA_RESTORE_STATE = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_NEGATE_RA_STATE = 0x2d, /* aarch64; elsewhere the SPARC's window save */
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_GNU_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

struct run {
	const struct dp_cfi_section *section;
	const struct dp_cie *cie;
	struct dp_cfi_state state;
	uint64_t location, end;
	unsigned remembered;
	struct dp_cfi_state stack[REMEMBERED_STATES];
};

/* The slot of a register whose fate matters; NULL for all others. */
static struct dp_cfi_slot *slot_of(struct run *run, struct dp_cfi_state *state, uint64_t number)
{
	if (number == DP_REG_FP)
		return &state->fp;
	if (number == run->cie->return_register)
		return &state->ra;
	return NULL;
}

static void set_slot(struct run *run, uint64_t number, enum dp_cfi_where where, int64_t offset)
{
	struct dp_cfi_slot *slot = slot_of(run, &run->state, number);

	if (slot)
		*slot = (struct dp_cfi_slot){.where = where, .offset = offset};
	else if (number == DP_REG_SP) /* normally the CFA itself */
		run->state.sp_is_special = true;
}

static int64_t scaled(const struct run *run, uint64_t factored)
{
	return (int64_t)(factored * (uint64_t)run->cie->data_align);
}

static void restore_slot(struct run *run, uint64_t number)
{
	struct dp_cfi_slot *slot = slot_of(run, &run->state, number);

	if (slot) /* the same member of the initial state */
		*slot = slot == &run->state.fp ? run->cie->initial.fp : run->cie->initial.ra;
	else if (number == DP_REG_SP)
		run->state.sp_is_special = run->cie->initial.sp_is_special;
}

static struct dp_cfi_piece read_expression(struct run *run, struct dp_cursor *cursor)
{
	const uint64_t size = dp_cursor_uleb(cursor);
	const uint32_t offset = cursor->at - run->section->bytes.start;

	dp_cursor_skip(cursor, size);
	return (struct dp_cfi_piece){offset, size};
}

static void define_cfa(struct run *run, uint64_t number, int64_t offset)
{
	run->state.cfa_is_expression = false;
	run->state.cfa_register = number < UINT32_MAX ? number : UINT32_MAX;
	run->state.cfa_offset = offset;
}

static bool one_opcode(struct run *run, struct dp_cursor *cursor, uint8_t opcode)
{
	uint64_t number;
	struct dp_cfi_slot *slot;
	struct dp_cfi_piece expression;

	switch (opcode) {
	case CFA_NOP:
		return true;
	case CFA_OFFSET_EXTENDED:
		number = dp_cursor_uleb(cursor);
		set_slot(run, number, DP_CFI_OFFSET, scaled(run, dp_cursor_uleb(cursor)));
		return true;
	case CFA_OFFSET_EXTENDED_SF:
		number = dp_cursor_uleb(cursor);
		set_slot(run, number, DP_CFI_OFFSET, scaled(run, dp_cursor_sleb(cursor)));
		return true;
	case CFA_GNU_NEGATIVE_OFFSET_EXTENDED:
		number = dp_cursor_uleb(cursor);
		set_slot(run, number, DP_CFI_OFFSET, scaled(run, -dp_cursor_uleb(cursor)));
		return true;
	case CFA_RESTORE_EXTENDED:
		restore_slot(run, dp_cursor_uleb(cursor));
		return true;
	case CFA_UNDEFINED:
		set_slot(run, dp_cursor_uleb(cursor), DP_CFI_UNDEFINED, 0);
		return true;
	case CFA_SAME_VALUE:
		set_slot(run, dp_cursor_uleb(cursor), DP_CFI_SAME, 0);
		return true;
	case CFA_REGISTER:
	case CFA_VAL_OFFSET:
		number = dp_cursor_uleb(cursor);
		dp_cursor_uleb(cursor);
		set_slot(run, number, DP_CFI_ELSEWHERE, 0);
		return true;
	case CFA_VAL_OFFSET_SF:
		number = dp_cursor_uleb(cursor);
		dp_cursor_sleb(cursor);
		set_slot(run, number, DP_CFI_ELSEWHERE, 0);
		return true;
	case CFA_VAL_EXPRESSION:
		number = dp_cursor_uleb(cursor);
		read_expression(run, cursor);
		set_slot(run, number, DP_CFI_ELSEWHERE, 0);
		return true;
	case CFA_EXPRESSION:
		number = dp_cursor_uleb(cursor);
		expression = read_expression(run, cursor);
		set_slot(run, number, DP_CFI_EXPRESSION, 0);
		slot = slot_of(run, &run->state, number);
		if (slot)
			slot->expression = expression;
		return true;
	case CFA_REMEMBER_STATE:
		if (run->remembered == REMEMBERED_STATES)
			return false;
		run->stack[run->remembered++] = run->state;
		return true;
	case CFA_RESTORE_STATE:
		if (!run->remembered)
			return false;
		run->state = run->stack[--run->remembered];
		return true;
	case CFA_DEF_CFA:
		number = dp_cursor_uleb(cursor);
		define_cfa(run, number, dp_cursor_uleb(cursor));
		return true;
	case CFA_DEF_CFA_SF:
		number = dp_cursor_uleb(cursor);
		define_cfa(run, number, scaled(run, dp_cursor_sleb(cursor)));
		return true;
	case CFA_DEF_CFA_REGISTER:
		/* After an expression DWARF forbids it, assembly does it, and all readers keep the last
		 * offset. */
		number = dp_cursor_uleb(cursor);
		define_cfa(run, number, run->state.cfa_offset);
		return true;
	case CFA_DEF_CFA_OFFSET:
		run->state.cfa_offset = dp_cursor_uleb(cursor);
		return true;
	case CFA_DEF_CFA_OFFSET_SF:
		run->state.cfa_offset = scaled(run, dp_cursor_sleb(cursor));
		return true;
	case CFA_DEF_CFA_EXPRESSION:
		run->state.cfa_expression = read_expression(run, cursor);
		run->state.cfa_is_expression = true;
		return true;
	case CFA_GNU_ARGS_SIZE:
		dp_cursor_uleb(cursor);
		return true;
	case CFA_NEGATE_RA_STATE:
		run->state.is_signed = !run->state.is_signed;
		return true;
	default:
		return false;
	}
}

/* The step to the next row, or 0 with *is_advance false for all other opcodes. */
static uint64_t advance_of(struct run *run, struct dp_cursor *cursor, uint8_t opcode, bool *is_advance)
{
	*is_advance = true;
	if ((opcode & 0xc0) == CFA_ADVANCE_LOC)
		return (opcode & 0x3f) * run->cie->code_align;
	switch (opcode) {
	case CFA_ADVANCE_LOC1:
		return dp_cursor_u8(cursor) * run->cie->code_align;
	case CFA_ADVANCE_LOC2:
		return dp_cursor_fixed(cursor, 2) * run->cie->code_align;
	case CFA_ADVANCE_LOC4:
		return dp_cursor_fixed(cursor, 4) * run->cie->code_align;
	default:
		*is_advance = false;
		return 0;
	}
}

bool dp_cfi_run(const struct dp_cfi *cfi, const struct dp_fde *fde, dp_cfi_row *row, void *context,
	uint64_t *bad_from)
{
	struct dp_cursor cursor = dp_cursor_of(
		cfi->section.bytes, fde->program.offset, fde->program.offset + fde->program.size);
	struct run run; /* not initialised as a whole: the remembered states are big */

	run.section = &cfi->section;
	run.cie = &cfi->cies[fde->cie];
	run.state = run.cie->initial;
	run.location = fde->start;
	run.end = fde->start + fde->length;
	run.remembered = 0;
	*bad_from = fde->start;
	if (run.cie->is_bad)
		return false;
	while (cursor.at < cursor.end) {
		const uint8_t opcode = *cursor.at++;
		bool is_advance, ok = true;
		const uint64_t step = advance_of(&run, &cursor, opcode, &is_advance);

		if (is_advance) {
			if (step && !cursor.bad)
				row(context, run.location, &run.state);
			if (step >= run.end - run.location)
				return !cursor.bad;
			run.location += step;
		} else if ((opcode & 0xc0) == CFA_OFFSET) {
			set_slot(&run, opcode & 0x3f, DP_CFI_OFFSET, scaled(&run, dp_cursor_uleb(&cursor)));
		} else if ((opcode & 0xc0) == CFA_RESTORE) {
			restore_slot(&run, opcode & 0x3f);
		} else {
			ok = one_opcode(&run, &cursor, opcode);
		}
		*bad_from = run.location;
		if (cursor.bad || !ok)
			return false;
	}
	row(context, run.location, &run.state);
	return true;
}
