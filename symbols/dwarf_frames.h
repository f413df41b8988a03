/* SPDX-License-Identifier: Apache-2.0
 * Lines and inlined functions of addresses, from DWARF by libdw. Agent and command only.
 *
 * A unit is what one compilation left; a frame is a function, or one inlined into it, at an address. */
#ifndef DEEPPROF_SYMBOLS_DWARF_FRAMES_H
#define DEEPPROF_SYMBOLS_DWARF_FRAMES_H

#include "symbols/elf_file.h"

struct dp_dwarf;

/* Texts belong to the DWARF data and live until the next look-up. */
struct dp_dwarf_frame {
	const char *linkage_name; /* NULL when the function has none (C) or the compiler left it out */
	const char *name;         /* with its name spaces; NULL when not known */
	const char *file;         /* NULL when not known */
	uint32_t line, start_line;
};

/* file must outlive it. NULL: no DWARF in it, or no memory. */
struct dp_dwarf *dp_dwarf_new(const struct dp_elf_file *file);
/* The file that shares debug information with this one (dwz): its name and build-id as lower-case hex; false
 * when there is none. */
bool dp_dwarf_alt_link(const struct dp_dwarf *dwarf, const char **name, char *build_id, size_t size);
/* alt must outlive dwarf. */
void dp_dwarf_set_alt(struct dp_dwarf *dwarf, const struct dp_elf_file *alt);
void dp_dwarf_free(struct dp_dwarf *dwarf);

/* The frames at an ELF virtual address, innermost first; if they are more than max, the innermost and the
 * outermost. Returns how many; one without names where only the line is known; 0: nothing known. */
int dp_dwarf_find(struct dp_dwarf *dwarf, uint64_t address, struct dp_dwarf_frame *frames, int max);
/* An estimate, bytes: libdw does not tell. */
size_t dp_dwarf_memory(const struct dp_dwarf *dwarf);

#endif
