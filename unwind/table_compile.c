/* SPDX-License-Identifier: Apache-2.0
 * Compiles an object's CFI into a table: runs every FDE's program once and keeps the rows that differ. */
#include "unwind/compile.h"

#include "unwind/cfi.h"
#include "unwind/table.h"

#include <errno.h>
#include <stdlib.h>

enum { PAGE_SIZE_BYTES = 1 << DP_TABLE_PAGE_BITS };

/* Rows in the making. Room is made once per FDE, for the most rows its program can give. */
struct rows {
	uint32_t *offsets, *rules;
	uint32_t count, room;
	uint64_t origin;
	uint64_t from,
		to;   /* only rows inside are wanted: an overlapping FDE begins late, one in front ends it */
	uint64_t end; /* where the code covered so far ends */
	const struct dp_cfi *cfi;
	const struct dp_cie *cie;
};

static bool rows_reserve(struct rows *rows, uint64_t more)
{
	const uint64_t needed = rows->count + more;
	uint64_t room = rows->room ? rows->room : 4096;
	uint32_t *grown;

	if (needed <= rows->room)
		return true;
	while (room < needed)
		room *= 2;
	if (room > UINT32_MAX / 2)
		return false;
	grown = realloc(rows->offsets, room * sizeof *grown);
	if (!grown)
		return false;
	rows->offsets = grown;
	grown = realloc(rows->rules, room * sizeof *grown);
	if (!grown)
		return false;
	rows->rules = grown;
	rows->room = room;
	return true;
}

/* From this address on this rule holds. Addresses never fall. */
static void push(struct rows *rows, uint64_t address, uint32_t rule)
{
	const uint32_t offset = address - rows->origin;

	if (rows->count && rows->offsets[rows->count - 1] == offset)
		rows->count--; /* nothing was between */
	if (rows->count && rows->rules[rows->count - 1] == rule)
		return;
	rows->offsets[rows->count] = offset;
	rows->rules[rows->count] = rule;
	rows->count++;
}

static void push_state(void *context, uint64_t from, const struct dp_cfi_state *state)
{
	struct rows *rows = context;

	if (from >= rows->to)
		return;
	if (from <
		rows->from) /* where the program stands when our part begins is what its last such row says */
		from = rows->from;
	push(rows, from, dp_rule_pack(rows->cfi, rows->cie, state));
}

/* One function. Where two FDEs claim the same code, the one that starts first keeps it. */
static bool add_fde(struct rows *rows, const struct dp_fde *fde, uint32_t *bad_fdes)
{
	const uint64_t end = fde->start + fde->length;
	uint64_t bad_from;

	if (end <= rows->end)
		return true;
	if (!rows_reserve(rows, (uint64_t)fde->program.size + 4))
		return false;
	/* Also where the hole is only padding: a return address just behind it was pushed, not called. */
	if (fde->start > rows->end)
		push(rows, rows->end, DP_RULE_GAP);
	rows->from = fde->start > rows->end ? fde->start : rows->end;
	rows->to = end;
	rows->cie = &rows->cfi->cies[fde->cie];
	if (!dp_cfi_run(rows->cfi, fde, push_state, rows, &bad_from)) {
		push(rows, bad_from > rows->from ? bad_from : rows->from, DP_RULE_COMPLEX);
		++*bad_fdes;
	}
	rows->end = end;
	return true;
}

static int build_image(const struct rows *rows, struct dp_table_image *image)
{
	const uint32_t pages = (rows->offsets[rows->count - 1] >> DP_TABLE_PAGE_BITS) + 1;
	struct dp_table *table;
	uint32_t row = 0;

	image->size = dp_table_size(rows->count, pages);
	image->bytes = table = malloc(image->size);
	if (!table)
		return -ENOMEM;
	*table = (struct dp_table){
		.magic = DP_TABLE_MAGIC,
		.version = DP_TABLE_VERSION,
		.machine = DP_ELF_MACHINE,
		.row_count = rows->count,
		.page_count = pages,
	};
	for (uint32_t page = 0; page <= pages; page++) {
		while (row + 1 < rows->count && rows->offsets[row + 1] <= (uint64_t)page
										  << DP_TABLE_PAGE_BITS)
			row++;
		table->words[page] = row;
	}
	memcpy(table->words + pages + 1, rows->rules, rows->count * sizeof(uint32_t));
	uint16_t *offsets = (uint16_t *)(table->words + pages + 1 + rows->count);
	image->rows = rows->count;
	for (uint32_t i = 0; i < rows->count; i++) {
		offsets[i] = (uint16_t)rows->offsets[i];
		image->complex_rows += rows->rules[i] == DP_RULE_COMPLEX;
	}
	return 0;
}

static int compile(const struct dp_cfi *cfi, struct dp_table_image *image)
{
	struct rows rows = {.cfi = cfi, .origin = image->origin, .end = image->origin};
	int ret = -ENOMEM;

	image->fdes = cfi->fde_count;
	image->bad_fdes = cfi->bad_fdes;
	if (!rows_reserve(&rows, 4))
		goto out;
	push(&rows, rows.origin, DP_RULE_GAP);
	for (uint32_t i = 0; i < cfi->fde_count; i++)
		if (!add_fde(&rows, &cfi->fdes[i], &image->bad_fdes))
			goto out;
	if (!rows_reserve(&rows, 1))
		goto out;
	if (rows.end - rows.origin <= UINT32_MAX)
		push(&rows, rows.end, DP_RULE_GAP);
	ret = build_image(&rows, image);
out:
	free(rows.offsets);
	free(rows.rules);
	return ret;
}

int dp_table_compile(const void *bytes, size_t size, struct dp_table_image *image)
{
	struct dp_elf elf;
	struct dp_cfi_section section;
	struct dp_cfi cfi = {0};
	void *inflated = NULL;
	int ret;

	*image = (struct dp_table_image){0};
	ret = dp_elf_read(&elf, bytes, size);
	if (ret)
		return ret;
	if (!elf.code_end)
		return -ENODATA;
	image->origin = elf.code_start & ~(uint64_t)(PAGE_SIZE_BYTES - 1);
	image->end = elf.code_end;
	if (image->end - image->origin > UINT32_MAX)
		image->end = image->origin + UINT32_MAX;

	ret = dp_cfi_find_eh_frame(&elf, &section);
	if (!ret)
		ret = dp_cfi_init(&cfi, &section, image->origin, image->end);
	if (ret == -ENODATA || (!ret && !cfi.fde_count)) {
		dp_cfi_fini(&cfi);
		ret = dp_cfi_find_debug_frame(&elf, &section, &inflated);
		if (!ret)
			ret = dp_cfi_init(&cfi, &section, image->origin, image->end);
	}
	if (!ret && !cfi.fde_count)
		ret = -ENODATA;
	if (!ret)
		ret = compile(&cfi, image);
	dp_cfi_fini(&cfi);
	free(inflated);
	return ret;
}
