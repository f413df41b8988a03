/* SPDX-License-Identifier: Apache-2.0
 * Foreign bytes as an ELF file: the compiler and the finisher must survive them, and whatever table comes out
 * must be one that dp_table_check() takes, with rows in rising order. */
#include "unwind/compile.h"

#include "unwind/table.h"

#include <stdlib.h>

static const struct dp_finish_module *only_module(void *context, uint64_t pc)
{
	const struct dp_finish_module *module = context;

	return pc >= module->start && pc < module->end ? module : NULL;
}

/* The page index says in which page each row begins: behind its first byte, at the next one's at most. */
static void check_image(const struct dp_table_image *image)
{
	const struct dp_table *table = image->bytes;
	const uint32_t *rules = dp_table_rules(table);
	const uint16_t *offsets = dp_table_offsets(table);
	uint32_t row = 0, before = 0;

	if (dp_table_check(image->bytes, image->size) || offsets[0] || table->words[0])
		abort();
	for (uint32_t page = 0; page < table->page_count; page++) {
		const uint32_t start = page << DP_TABLE_PAGE_BITS;
		if (table->words[page + 1] < row || table->words[page + 1] >= table->row_count)
			abort();
		for (; row < table->words[page + 1]; row++) {
			const uint32_t offset = start + (uint16_t)(offsets[row + 1] - (uint16_t)start);
			if (offset <= before || offset - start > 1u << DP_TABLE_PAGE_BITS)
				abort();
			if (offset >> DP_TABLE_PAGE_BITS < table->page_count &&
				dp_table_find(table, offset) != rules[row + 1])
				abort();
			if (dp_table_find(table, offset - 1) != rules[row])
				abort();
			before = offset;
		}
	}
	if (row + 1 != table->row_count)
		abort();
}

/* A stack of return addresses into the module, walked by the table and by libunwind. */
static void walk(const uint8_t *data, size_t size, const struct dp_table_image *image)
{
	enum { FRAMES = 32, WORDS = 64 };
	static struct dp_rule_cache cache;
	static uint32_t generation;
	static struct dp_code_map *map;
	uint64_t stack[WORDS];
	struct dp_frame frames[FRAMES];
	struct dp_finish_module module = {
		.start = image->origin, .end = image->end, .elf = data, .elf_size = size};
	struct dp_finisher *finisher;
	struct dp_finish_input input = {
		.stack_address = 0x7ffff0000000,
		.stack = (const uint8_t *)stack,
		.stack_size = sizeof stack,
		.find = only_module,
		.context = &module,
	};
	struct dp_walk native = {0};
	enum dp_stop stop;

	if (!map)
		map = calloc(1, sizeof *map + sizeof map->ranges[0]);
	if (!map)
		return;
	*map = (struct dp_code_map){.generation = ++generation, .count = 1};
	map->ranges[0] = (struct dp_code_range){
		.start = image->origin, .end = image->end, .origin = image->origin, .table = image->bytes};
	for (int i = 0; i < WORDS; i++)
		stack[i] = i % 3 ? image->origin + (size * 31 + i * 977) % (image->end - image->origin + 1)
				 : input.stack_address + (i + 5) * 8;
	for (int i = 0; i < DP_REG_USED; i++)
		native.registers.value[i] = input.stack_address + i * 8;
	native.registers.value[DP_REG_PC] = image->origin + size % (image->end - image->origin + 1);
	native.registers.value[DP_REG_SP] = input.stack_address + 64;
	native.stack.count = 1;
	native.stack.ranges[0] = (struct dp_stack_range){
		.low = input.stack_address,
		.high = input.stack_address + sizeof stack,
		.shift = (ptrdiff_t)stack - (ptrdiff_t)input.stack_address,
	};
	input.registers = native.registers;
	if (dp_unwind(map, &cache, &native, frames, FRAMES) < 1)
		abort();
	finisher = dp_finisher_new();
	if (!finisher)
		return;
	if (dp_finish(finisher, &input, frames, FRAMES, &stop) < 1)
		abort();
	dp_finisher_free(finisher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dp_table_image image;

	if (dp_table_compile(data, size, &image))
		return 0;
	check_image(&image);
	if (image.end > image.origin)
		walk(data, size, &image);
	free(image.bytes);
	return 0;
}
