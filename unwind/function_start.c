/* SPDX-License-Identifier: Apache-2.0
 * Where functions begin, by the table that the loader searches: a stripped file has no other list of them. */
#include "unwind/function_start.h"

#include "unwind/elf_bytes.h"

struct entry { /* both relative to the table's header */
	int32_t start, fde;
};

static struct entry entry_at(struct dp_bytes table, size_t index)
{
	struct entry entry;

	memcpy(&entry, table.start + index * sizeof entry, sizeof entry);
	return entry;
}

/* The last function that starts at the offset or before it; SIZE_MAX: none. */
static size_t last_before(struct dp_bytes table, int64_t offset)
{
	size_t low = 0, high = table.size / sizeof(struct entry);

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (entry_at(table, middle).start <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

/* The size an FDE gives, if it is of the usual form (pcrel sdata4) and speaks of that start; 0: it does not.
 */
static uint32_t size_of(const struct dp_elf *elf, uint64_t fde, uint64_t start)
{
	enum { BEGIN = 8, PREFIX = 16 }; /* length, CIE; start, size */
	const struct dp_bytes bytes = dp_elf_at(elf, fde, PREFIX);
	struct dp_cursor cursor = dp_cursor_of(bytes, 0, bytes.size);

	dp_cursor_skip(&cursor, BEGIN);
	const uint64_t begin = fde + BEGIN + (uint64_t)(int64_t)(int32_t)dp_cursor_fixed(&cursor, 4);
	const uint32_t size = (uint32_t)dp_cursor_fixed(&cursor, 4);
	return cursor.bad || begin != start ? 0 : size;
}

bool dp_function_start(const void *bytes, size_t size, uint64_t address, uint64_t *start)
{
	struct dp_elf elf;

	if (dp_elf_read(&elf, bytes, size))
		return false;
	const struct dp_bytes table = dp_elf_frame_table(&elf);
	const size_t index = last_before(table, (int64_t)(address - elf.eh_frame_hdr));
	if (index == SIZE_MAX)
		return false;
	const struct entry entry = entry_at(table, index);
	*start = elf.eh_frame_hdr + (uint64_t)(int64_t)entry.start;
	return address - *start < size_of(&elf, elf.eh_frame_hdr + (uint64_t)(int64_t)entry.fde, *start);
}
