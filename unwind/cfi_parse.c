/* SPDX-License-Identifier: Apache-2.0
 * The entries of an .eh_frame or .debug_frame: where they are, what they point at, in which order.
 *
 * The section is read from its first byte to its last and not by way of .eh_frame_hdr: a linear scan sees
 * what the header's table leaves out, costs no more, and one damaged table less can mislead us. */
#include "unwind/cfi.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

/* LSB core 5.0, 10.5.1: the low half is the format, then what the value counts from. */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB128 = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB128 = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORMAT = 0x0f,
	PE_PCREL = 0x10,
	PE_DATAREL = 0x30,
	PE_ALIGNED = 0x50,
	PE_BASE = 0x70,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff,
};

enum { COMPRESSED_LIMIT = 1 << 28 }; /* bytes of .debug_frame that we are willing to inflate */

static uint64_t read_value(struct dp_cursor *cursor, uint8_t format)
{
	switch (format) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return dp_cursor_fixed(cursor, 8);
	case PE_ULEB128:
		return dp_cursor_uleb(cursor);
	case PE_SLEB128:
		return (uint64_t)dp_cursor_sleb(cursor);
	case PE_UDATA2:
		return dp_cursor_fixed(cursor, 2);
	case PE_SDATA2:
		return (uint64_t)(int16_t)dp_cursor_fixed(cursor, 2);
	case PE_UDATA4:
		return dp_cursor_fixed(cursor, 4);
	case PE_SDATA4:
		return (uint64_t)(int32_t)dp_cursor_fixed(cursor, 4);
	default:
		cursor->bad = true;
		return 0;
	}
}

/* A code address. What only a running process knows (indirect, text- or function-relative) is bad here: no
 * linker writes it for a function's start. */
static uint64_t read_pointer(const struct dp_cfi_section *section, struct dp_cursor *cursor, uint8_t encoding)
{
	uint64_t here = section->address + (cursor->at - section->bytes.start), value;

	if (encoding == PE_ALIGNED) {
		dp_cursor_skip(cursor, -here & 7);
		return dp_cursor_fixed(cursor, 8);
	}
	value = read_value(cursor, encoding & PE_FORMAT);
	switch (encoding & ~PE_FORMAT) {
	case PE_ABSPTR:
		return value;
	case PE_PCREL:
		return value + here;
	case PE_DATAREL:
		return value + section->data_base;
	default:
		cursor->bad = true;
		return 0;
	}
}

/* A pointer of which only the length matters: personality, LSDA. */
static void skip_pointer(const struct dp_cfi_section *section, struct dp_cursor *cursor, uint8_t encoding)
{
	if (encoding == PE_OMIT)
		return;
	if (encoding == PE_ALIGNED)
		dp_cursor_skip(cursor, -(section->address + (cursor->at - section->bytes.start)) & 7);
	read_value(cursor, encoding & PE_FORMAT);
}

struct initial_rows {
	struct dp_cfi_state last;
};

static void keep_last(void *context, uint64_t from, const struct dp_cfi_state *state)
{
	(void)from;
	((struct initial_rows *)context)->last = *state;
}

/* Runs the CIE's own program once, so that no FDE needs to. */
static void run_initial(const struct dp_cfi *cfi, struct dp_cie *cie, struct dp_cfi_piece program)
{
	const struct dp_cfi one = {.section = cfi->section, .cies = cie, .cie_count = 1};
	const struct dp_fde fde = {.start = 0, .length = 1, .program = program};
	struct initial_rows rows = {0};
	uint64_t bad_from;

	if (!dp_cfi_run(&one, &fde, keep_last, &rows, &bad_from))
		cie->is_bad = true;
	cie->initial = rows.last;
}

static void read_augmentation(const struct dp_cfi_section *section, struct dp_cie *cie, const char *letters,
	struct dp_cursor *cursor)
{
	uint8_t encoding;

	for (; *letters && !cursor->bad; letters++) {
		switch (*letters) {
		case 'R':
			cie->pointer_encoding = dp_cursor_u8(cursor);
			break;
		case 'P':
			encoding = dp_cursor_u8(cursor);
			skip_pointer(section, cursor, encoding);
			break;
		case 'L':
			dp_cursor_u8(cursor);
			break;
		case 'S':
			cie->is_signal_frame = true;
			break;
		case 'B': /* aarch64: return addresses are signed with the B key; stripping needs no key */
		case 'G': /* aarch64: memory tagging of the stack */
			break;
		default: /* unknown data follows; its length is known, its pointers are not */
			cie->is_bad = true;
			return;
		}
	}
}

/* cursor stands behind the CIE's id. */
static void read_cie(struct dp_cfi *cfi, struct dp_cie *cie, struct dp_cursor cursor)
{
	const struct dp_cfi_section *section = &cfi->section;
	const uint8_t version = dp_cursor_u8(&cursor);
	const char *letters = (const char *)cursor.at;
	struct dp_cfi_piece program;

	cie->pointer_encoding = PE_ABSPTR;
	while (dp_cursor_u8(&cursor)) /* ends at the cursor's end: zero and bad */
		;
	if (cursor.bad || (version != 1 && version != 3 && version != 4)) {
		cie->is_bad = true;
		return;
	}
	if (version == 4 &&
		(dp_cursor_u8(&cursor) != 8 || dp_cursor_u8(&cursor) != 0)) /* sizes of address, segment */
		cie->is_bad = true;
	if (!strcmp(letters, "eh")) { /* gcc 2 */
		dp_cursor_skip(&cursor, 8);
		letters += 2;
	}
	cie->code_align = dp_cursor_uleb(&cursor);
	cie->data_align = dp_cursor_sleb(&cursor);
	cie->return_register = version == 1 ? dp_cursor_u8(&cursor) : dp_cursor_uleb(&cursor);
	if (*letters == 'z') {
		const uint64_t length = dp_cursor_uleb(&cursor);
		struct dp_cursor data = cursor;

		cie->has_augmentation = true;
		dp_cursor_skip(&cursor, length);
		data.end = cursor.at;
		read_augmentation(section, cie, letters + 1, &data);
		cursor.bad |= data.bad;
	} else if (*letters) {
		cie->is_bad = true;
	}
	if (cursor.bad)
		cie->is_bad = true;
	program = (struct dp_cfi_piece){cursor.at - section->bytes.start, dp_cursor_left(&cursor)};
	if (!cie->is_bad)
		run_initial(cfi, cie, program);
}

static bool make_room(void **array, uint32_t count, uint32_t *room, size_t size)
{
	const uint32_t more = *room ? *room * 2 : 64;
	void *grown;

	if (count < *room)
		return true;
	grown = realloc(*array, more * size);
	if (!grown)
		return false;
	*array = grown;
	*room = more;
	return true;
}

static int add_cie(struct dp_cfi *cfi, uint32_t offset, struct dp_cursor cursor)
{
	struct dp_cie *cie;

	if (!make_room((void **)&cfi->cies, cfi->cie_count, &cfi->cie_room, sizeof *cie))
		return -ENOMEM;
	cie = &cfi->cies[cfi->cie_count++];
	*cie = (struct dp_cie){.offset = offset};
	read_cie(cfi, cie, cursor);
	return 0;
}

/* CIEs stand in the section's order, and an FDE comes after its CIE (its pointer counts backwards). */
static const struct dp_cie *find_cie(const struct dp_cfi *cfi, uint64_t offset)
{
	uint32_t low = 0, high = cfi->cie_count;

	if (high && cfi->cies[high - 1].offset == offset)
		return &cfi->cies[high - 1];
	while (low < high) {
		const uint32_t middle = low + (high - low) / 2;

		if (cfi->cies[middle].offset == offset)
			return &cfi->cies[middle];
		if (cfi->cies[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static int add_fde(struct dp_cfi *cfi, uint32_t offset, const struct dp_cie *cie, struct dp_cursor cursor,
	uint64_t low, uint64_t high)
{
	struct dp_fde fde = {.offset = offset};

	if (!cie) {
		cfi->bad_fdes++;
		return 0;
	}
	fde.cie = cie - cfi->cies;
	fde.start = read_pointer(&cfi->section, &cursor, cie->pointer_encoding);
	fde.length = read_value(&cursor, cie->pointer_encoding & PE_FORMAT);
	if (cie->has_augmentation)
		dp_cursor_skip(&cursor, dp_cursor_uleb(&cursor));
	/* Functions that the linker threw away are left with start 0. */
	if (cursor.bad || !fde.start || fde.start < low || fde.start >= high) {
		cfi->bad_fdes++;
		return 0;
	}
	if (!fde.length)
		return 0;
	if (fde.length > high - fde.start)
		fde.length = high - fde.start;
	fde.program = (struct dp_cfi_piece){cursor.at - cfi->section.bytes.start, dp_cursor_left(&cursor)};
	if (!make_room((void **)&cfi->fdes, cfi->fde_count, &cfi->fde_room, sizeof fde))
		return -ENOMEM;
	cfi->fdes[cfi->fde_count++] = fde;
	return 0;
}

/* Reads the entry at *offset and moves behind it. 1: more; 0: the section's end; or -ENOMEM. */
static int read_entry(struct dp_cfi *cfi, size_t *offset, uint64_t low, uint64_t high)
{
	const struct dp_cfi_section *section = &cfi->section;
	const uint32_t start = *offset;
	struct dp_cursor cursor = dp_cursor_of(section->bytes, *offset, section->bytes.size);
	uint64_t length = dp_cursor_fixed(&cursor, 4), id, id_at;
	const bool is_wide = length == 0xffffffff;
	bool is_cie;
	int ret;

	if (is_wide)
		length = dp_cursor_fixed(&cursor, 8);
	if (cursor.bad || (!length && section->ends_at_zero))
		return 0;
	if (length > dp_cursor_left(&cursor)) {
		cfi->bad_fdes++;
		return 0;
	}
	cursor.end = cursor.at + length;
	*offset = cursor.end - section->bytes.start;
	if (!length) /* a terminator amid the section: objects linked behind crtend.o */
		return 1;
	id_at = cursor.at - section->bytes.start;
	id = dp_cursor_fixed(&cursor, is_wide ? 8 : 4);
	if (section->is_debug_frame)
		is_cie = id == (is_wide ? UINT64_MAX : 0xffffffff);
	else
		is_cie = !id;
	if (cursor.bad) {
		cfi->bad_fdes++;
		return 1;
	}
	if (is_cie)
		ret = add_cie(cfi, start, cursor);
	else
		ret = add_fde(cfi, start, find_cie(cfi, section->is_debug_frame ? id : id_at - id), cursor,
			low, high);
	return ret ? ret : 1;
}

/* Sorts by start, keeping the order of equals: least significant digit first, 11 bits at a time. */
static int sort_fdes(struct dp_cfi *cfi, uint64_t low)
{
	enum { BITS = 11, DIGITS = 1 << BITS };
	struct dp_fde *from = cfi->fdes, *to;
	uint32_t counts[DIGITS], sorted = 1;

	while (sorted < cfi->fde_count && from[sorted - 1].start <= from[sorted].start)
		sorted++;
	if (sorted >= cfi->fde_count)
		return 0;
	to = malloc(cfi->fde_count * sizeof *to);
	if (!to)
		return -ENOMEM;
	cfi->fde_room = cfi->fde_count;
	for (unsigned shift = 0; shift < 32; shift += BITS) {
		uint32_t sum = 0;
		struct dp_fde *swap = from;

		memset(counts, 0, sizeof counts);
		for (uint32_t i = 0; i < cfi->fde_count; i++)
			counts[(from[i].start - low) >> shift & (DIGITS - 1)]++;
		for (unsigned digit = 0; digit < DIGITS; digit++) {
			const uint32_t count = counts[digit];

			counts[digit] = sum;
			sum += count;
		}
		for (uint32_t i = 0; i < cfi->fde_count; i++)
			to[counts[(from[i].start - low) >> shift & (DIGITS - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	free(to);
	cfi->fdes = from;
	return 0;
}

int dp_cfi_init(struct dp_cfi *cfi, const struct dp_cfi_section *section, uint64_t low, uint64_t high)
{
	size_t offset = 0;
	int ret;

	*cfi = (struct dp_cfi){.section = *section};
	if (section->bytes.size >= UINT32_MAX)
		return 0;
	do
		ret = read_entry(cfi, &offset, low, high);
	while (ret > 0);
	return ret ? ret : sort_fdes(cfi, low);
}

void dp_cfi_fini(struct dp_cfi *cfi)
{
	free(cfi->cies);
	free(cfi->fdes);
	*cfi = (struct dp_cfi){0};
}

/* Where .eh_frame_hdr says that .eh_frame is; 0: nowhere. */
static uint64_t eh_frame_by_header(const struct dp_elf *elf)
{
	const struct dp_bytes bytes = dp_elf_at(elf, elf->eh_frame_hdr, elf->eh_frame_hdr_size);
	const struct dp_cfi_section header = {
		.bytes = bytes, .address = elf->eh_frame_hdr, .data_base = elf->eh_frame_hdr};
	struct dp_cursor cursor = dp_cursor_of(bytes, 0, bytes.size);
	uint8_t encoding;
	uint64_t address;

	if (dp_cursor_u8(&cursor) != 1)
		return 0;
	encoding = dp_cursor_u8(&cursor);
	dp_cursor_skip(&cursor, 2);
	address = read_pointer(&header, &cursor, encoding);
	return cursor.bad ? 0 : address;
}

int dp_cfi_find_eh_frame(const struct dp_elf *elf, struct dp_cfi_section *section)
{
	struct dp_elf_section found;
	uint64_t address;

	*section = (struct dp_cfi_section){.data_base = elf->eh_frame_hdr};
	if (dp_elf_section(elf, ".eh_frame", &found)) {
		section->bytes = (struct dp_bytes){elf->bytes.start + found.offset, found.size};
		section->address = found.address;
		return 0;
	}
	address = eh_frame_by_header(elf);
	section->bytes = dp_elf_at(elf, address, UINT64_MAX);
	section->address = address;
	section->ends_at_zero = true;
	return address && section->bytes.size ? 0 : -ENODATA;
}

int dp_cfi_find_debug_frame(const struct dp_elf *elf, struct dp_cfi_section *section, void **owned)
{
	struct dp_elf_section found;
	Elf64_Chdr header;
	uLongf size;

	*owned = NULL;
	if (!dp_elf_section(elf, ".debug_frame", &found))
		return -ENODATA;
	*section = (struct dp_cfi_section){.is_debug_frame = true};
	section->bytes = (struct dp_bytes){elf->bytes.start + found.offset, found.size};
	if (!(found.flags & SHF_COMPRESSED))
		return 0;
	if (found.size < sizeof header)
		return -ENODATA;
	memcpy(&header, section->bytes.start, sizeof header);
	/* Deflate shrinks by a factor of 1032 at most, so a bigger claim is a lie. */
	if (header.ch_type != ELFCOMPRESS_ZLIB || header.ch_size > COMPRESSED_LIMIT ||
		header.ch_size / 1032 > found.size)
		return -ENODATA;
	*owned = malloc(header.ch_size + 1);
	if (!*owned)
		return -ENOMEM;
	size = header.ch_size;
	if (uncompress(*owned, &size, section->bytes.start + sizeof header, found.size - sizeof header) !=
		Z_OK) {
		free(*owned);
		*owned = NULL;
		return -ENODATA;
	}
	section->bytes = (struct dp_bytes){*owned, size};
	return 0;
}
