/* SPDX-License-Identifier: Apache-2.0
 * Call frame information: the entries of an .eh_frame or .debug_frame, and what their programs say. Agent
 * only.
 *
 * A CIE holds what many FDEs share; an FDE describes one function; its program, run from the CIE's initial
 * state, gives for each code address a state: the rules of the CFA, the frame pointer and the return address.
 * Everything here is foreign bytes (DWARF 5, 6.4; LSB core 5.0, 10.6). */
#ifndef DEEPPROF_UNWIND_CFI_H
#define DEEPPROF_UNWIND_CFI_H

#include "unwind/elf_bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_cfi_section {
	struct dp_bytes bytes; /* less than 4 GiB */
	uint64_t address;      /* ELF virtual address of bytes; 0 for .debug_frame */
	uint64_t data_base;    /* what DW_EH_PE_datarel counts from */
	bool is_debug_frame;
	bool ends_at_zero; /* the section's true end is not known: a terminator ends it */
};

/* A piece of a section; expressions and programs are kept as such. */
struct dp_cfi_piece {
	uint32_t offset, size;
};

enum dp_cfi_where {
	DP_CFI_SAME, /* also: nothing was said */
	DP_CFI_UNDEFINED,
	DP_CFI_OFFSET,     /* saved at CFA + offset */
	DP_CFI_EXPRESSION, /* saved at the address that the expression gives */
	DP_CFI_ELSEWHERE,  /* in a register, or a computed value */
};

struct dp_cfi_slot {
	enum dp_cfi_where where;
	struct dp_cfi_piece expression;
	int64_t offset;
};

struct dp_cfi_state {
	bool cfa_is_expression, is_signed, sp_is_special;
	uint32_t cfa_register;
	int64_t cfa_offset;
	struct dp_cfi_piece cfa_expression;
	struct dp_cfi_slot fp, ra;
};

struct dp_cie {
	uint32_t offset; /* in the section */
	bool is_bad, is_signal_frame, has_augmentation;
	uint8_t pointer_encoding;
	uint64_t code_align;
	int64_t data_align;
	uint32_t return_register;
	struct dp_cfi_state initial;
};

struct dp_fde {
	uint64_t start, length; /* code, ELF virtual addresses */
	uint32_t offset, cie;   /* in the section; index */
	struct dp_cfi_piece program;
};

/* All entries of a section. FDEs are sorted by start; of equal ones the section's first stands first. */
struct dp_cfi {
	struct dp_cfi_section section;
	struct dp_cie *cies;
	struct dp_fde *fdes;
	uint32_t cie_count, cie_room, fde_count, fde_room;
	uint32_t bad_fdes; /* that could not be read, or speak of no code */
};

/* Reads every entry whose code lies inside [low, high), high - low at most 4 GiB. 0 or -ENOMEM; what cannot
 * be read is counted and left out. cfi is the caller's to give to dp_cfi_fini() in either case. */
int dp_cfi_init(struct dp_cfi *cfi, const struct dp_cfi_section *section, uint64_t low, uint64_t high);
void dp_cfi_fini(struct dp_cfi *cfi);

/* Where an ELF file keeps its CFI. With .debug_frame compressed, *owned is what the caller must free. 0 or
 * -ENODATA, -ENOMEM. */
int dp_cfi_find_eh_frame(const struct dp_elf *elf, struct dp_cfi_section *section);
int dp_cfi_find_debug_frame(const struct dp_elf *elf, struct dp_cfi_section *section, void **owned);

/* Runs an FDE's program: row() is called with each state and the address from which it holds, in rising
 * order. False: the program could not be understood from *bad_from on. */
typedef void dp_cfi_row(void *context, uint64_t from, const struct dp_cfi_state *state);
bool dp_cfi_run(const struct dp_cfi *cfi, const struct dp_fde *fde, dp_cfi_row *row, void *context,
	uint64_t *bad_from);

/* The CPU's own: packs a state. */
uint32_t dp_rule_pack(const struct dp_cfi *cfi, const struct dp_cie *cie, const struct dp_cfi_state *state);

#endif
