/* SPDX-License-Identifier: Apache-2.0
 * The table format: what remains of one object's unwind information. Any context.
 *
 * A row says: from this offset up to the next row's, this rule holds. Offsets and rules stand in arrays of
 *their own, because a search touches offsets alone. The page index makes a cold lookup a few steps: it names
 *the row that holds at the first byte of each 4 KiB of code, so the search runs within one page's rows.
 *
 *	struct dp_table | first_row[page_count + 1] | offset[row_count] | rule[row_count]      (all uint32_t)
 */
#ifndef DEEPPROF_UNWIND_TABLE_H
#define DEEPPROF_UNWIND_TABLE_H

#include "unwind/rule.h"

#include <stddef.h>
#include <stdint.h>

enum {
	DP_TABLE_MAGIC = 0x74557044, /* "DpUt" */
	DP_TABLE_VERSION = 1,
	DP_TABLE_PAGE_BITS = 12,
	DP_TABLE_AHEAD = 96, /* rows; most pages have fewer */
};

struct dp_table {
	uint32_t magic;
	uint16_t version, machine; /* machine: ELF's e_machine */
	uint32_t row_count;        /* at least 1; row 0 holds from offset 0 */
	uint32_t page_count;
	uint32_t words[]; /* the three arrays */
};

static inline size_t dp_table_size(uint32_t row_count, uint32_t page_count)
{
	return sizeof(struct dp_table) + ((size_t)page_count + 1 + (size_t)row_count * 2) * sizeof(uint32_t);
}

/* The rule of a code offset. Reads stay inside the arrays whatever the index says, so that dp_table_check()
 * need not visit every page of a big table. */
static inline uint32_t dp_table_find(const struct dp_table *table, uint32_t offset)
{
	const uint32_t *first_row = table->words;
	const uint32_t *offsets = first_row + table->page_count + 1;
	const uint32_t page = offset >> DP_TABLE_PAGE_BITS;
	uint32_t low, count;

	if (page >= table->page_count)
		return DP_RULE_GAP;
	low = first_row[page];
	count = first_row[page + 1]; /* also a candidate: it may begin in this page's last bytes */
	if (count >= table->row_count || low > count)
		return DP_RULE_GAP;
	count = count - low + 1;
	/* A cold search would wait for one line of the cache after another: all that it may touch are asked for now. */
	for (uint32_t i = 0; i < count && i < DP_TABLE_AHEAD; i += 64 / sizeof *offsets) {
		__builtin_prefetch(&offsets[low + i]);
		__builtin_prefetch(&offsets[table->row_count + low + i]);
	}
	while (count > 1) {
		const uint32_t half = count / 2;

		if (offsets[low + half] <= offset)
			low += half;
		count -= half;
	}
	return offsets[table->row_count + low];
}

#endif
