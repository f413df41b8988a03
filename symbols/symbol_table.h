/* SPDX-License-Identifier: Apache-2.0
 * The functions of an ELF file by address. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_SYMBOL_TABLE_H
#define DEEPPROF_SYMBOLS_SYMBOL_TABLE_H

#include "symbols/elf_file.h"

/* One function, or the piece of it that no function inside it covers. Pieces are sorted and do not overlap.
 */
struct dp_code_piece {
	uint64_t address;
	uint32_t size;
	uint32_t name; /* into the table's texts, as if they stood one after the other */
};

enum { DP_TABLE_TEXTS = 4 };

/* Texts point into the files that were added, which must outlive the table, or are the table's own (owned).
 */
struct dp_symbol_table {
	struct dp_code_piece *functions;
	size_t count;
	struct dp_table_text {
		const uint8_t *bytes;
		size_t size;
	} texts[DP_TABLE_TEXTS];
	size_t text_count;
	char *owned;
	size_t owned_size;
};

/* Reads the functions of up to count files that describe the same code (the file itself, its debug file, its
 * .gnu_debugdata), each section of symbols once; lazy-binding stubs are named from the first file as
 * name@plt. 0, or -ENOMEM. No symbols: 0 and an empty table. */
int dp_symbol_table_init(struct dp_symbol_table *table, const struct dp_elf_file *const *files, size_t count);
void dp_symbol_table_fini(struct dp_symbol_table *table);
/* NULL: no function there. */
const char *dp_symbol_table_find(const struct dp_symbol_table *table, uint64_t address);

#endif
