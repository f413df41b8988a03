/* SPDX-License-Identifier: Apache-2.0
 * The table format: what remains of one object's unwind information. Any context.
 *
 * A row says: from this offset up to the next row's, this rule holds. Offsets and rules stand in arrays of
 * their own, because a search touches offsets alone. The page index makes a cold lookup a few steps: it names
 * the row that holds at the first byte of each 4 KiB of code, so the search runs within one page's rows, and
 * 16 bits of an offset are enough.
 *
 *	struct dp_table | uint32_t first_row[page_count + 1] | uint32_t rule[row_count] | uint16_t offset[row_count]
 */
#ifndef DEEPPROF_UNWIND_TABLE_H
#define DEEPPROF_UNWIND_TABLE_H

#include "unwind/rule.h"

#include <stddef.h>
#include <stdint.h>

enum {
	DP_TABLE_MAGIC = 0x74557044, /* "DpUt" */
	DP_TABLE_VERSION = 2,
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

static inline const uint32_t *dp_table_rules(const struct dp_table *table)
{
	return table->words + table->page_count + 1;
}

/* The low 16 bits of each row's offset. */
static inline const uint16_t *dp_table_offsets(const struct dp_table *table)
{
	return (const uint16_t *)(dp_table_rules(table) + table->row_count);
}

static inline size_t dp_table_size(uint32_t row_count, uint32_t page_count)
{
	return sizeof(struct dp_table) + ((size_t)page_count + 1 + row_count) * sizeof(uint32_t) +
	       row_count * sizeof(uint16_t);
}

/* The rule of a code offset. Reads stay inside the arrays whatever the index says, so that dp_table_check()
 * need not visit every page of a big table. */
static inline uint32_t dp_table_find(const struct dp_table *table, uint32_t offset)
{
	const uint32_t *first_row = table->words, *rules = dp_table_rules(table);
	const uint16_t *offsets = dp_table_offsets(table);
	const uint32_t page = offset >> DP_TABLE_PAGE_BITS;
	const uint16_t page_start = (uint16_t)(page << DP_TABLE_PAGE_BITS);
	const uint16_t within = offset & ((1 << DP_TABLE_PAGE_BITS) - 1);
	uint32_t low, count;

	if (page >= table->page_count)
		return DP_RULE_GAP;
	low = first_row[page];
	count = first_row[page + 1]; /* also a candidate: it may begin in this page's last bytes */
	if (count >= table->row_count || low > count)
		return DP_RULE_GAP;
	count = count - low + 1;
	/* A cold search would wait for one line of the cache after another: all that it may touch are asked for now. */
	for (uint32_t i = 0; i < count && i < DP_TABLE_AHEAD; i += 64 / sizeof *rules) {
		__builtin_prefetch(&offsets[low + i]);
		__builtin_prefetch(&rules[low + i]);
	}
	/* The first candidate may begin in an earlier page and is not compared; the others begin behind the page's
	 * first byte, the last at the next page's first byte at most. */
	while (count > 1) {
		const uint32_t half = count / 2;

		if ((uint16_t)(offsets[low + half] - page_start) <= within)
			low += half;
		count -= half;
	}
	return rules[low];
}

#endif
