/* SPDX-License-Identifier: Apache-2.0
 * Checked reading of foreign bytes, and the little of ELF that unwinding needs. Agent only. */
#ifndef DEEPPROF_UNWIND_ELF_BYTES_H
#define DEEPPROF_UNWIND_ELF_BYTES_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dp_bytes {
	const uint8_t *start;
	size_t size;
};

/* A position in bytes. A read past the end gives 0 and sets bad, so that a parser may check once, later. */
struct dp_cursor {
	const uint8_t *at, *end;
	bool bad;
};

static inline struct dp_cursor dp_cursor_of(struct dp_bytes bytes, size_t from, size_t to)
{
	if (to > bytes.size || from > to)
		return (struct dp_cursor){.bad = true};
	return (struct dp_cursor){.at = bytes.start + from, .end = bytes.start + to};
}

static inline size_t dp_cursor_left(const struct dp_cursor *cursor)
{
	return cursor->end - cursor->at;
}

static inline void dp_cursor_skip(struct dp_cursor *cursor, uint64_t size)
{
	if (size > dp_cursor_left(cursor)) {
		cursor->bad = true;
		size = dp_cursor_left(cursor);
	}
	cursor->at += size;
}

static inline uint64_t dp_cursor_fixed(struct dp_cursor *cursor, unsigned width)
{
	uint64_t value = 0; /* little-endian machines alone: base/frame.h */

	if (width > dp_cursor_left(cursor)) {
		cursor->bad = true;
		cursor->at = cursor->end;
		return 0;
	}
	memcpy(&value, cursor->at, width);
	cursor->at += width;
	return value;
}

static inline uint8_t dp_cursor_u8(struct dp_cursor *cursor)
{
	if (cursor->at == cursor->end) {
		cursor->bad = true;
		return 0;
	}
	return *cursor->at++;
}

static inline uint64_t dp_cursor_uleb(struct dp_cursor *cursor)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = dp_cursor_u8(cursor);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

static inline int64_t dp_cursor_sleb(struct dp_cursor *cursor)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = dp_cursor_u8(cursor);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (shift < 64 && byte & 0x40)
		value |= ~(uint64_t)0 << shift;
	return (int64_t)value;
}

enum { DP_ELF_LOADS = 16 };

struct dp_elf_load {
	uint64_t address, memory_size, offset, file_size;
	uint32_t flags;
};

struct dp_elf {
	struct dp_bytes bytes;
	struct dp_elf_load loads[DP_ELF_LOADS];
	unsigned load_count;
	uint64_t code_start, code_end;            /* over all executable segments */
	uint64_t eh_frame_hdr, eh_frame_hdr_size; /* virtual address; size 0: none */
	uint64_t sections, names;                 /* file offsets of the headers and their names; 0: none */
	uint32_t section_count;
};

struct dp_elf_section {
	uint64_t address, offset, size, flags;
};

/* 0, or -EBADMSG: not a 64-bit ELF file of this machine. */
int dp_elf_read(struct dp_elf *elf, const void *bytes, size_t size);
/* Finds a section that has bytes in the file. */
bool dp_elf_section(const struct dp_elf *elf, const char *name, struct dp_elf_section *section);
/* The bytes that the file gives to [address, address + at most limit); size 0: none. */
struct dp_bytes dp_elf_at(const struct dp_elf *elf, uint64_t address, uint64_t limit);
/* The search table of .eh_frame_hdr: pairs of int32_t, start of a function and its FDE, relative to the
 * header and in order of starts. Size 0: there is none of the usual encodings. */
struct dp_bytes dp_elf_frame_table(const struct dp_elf *elf);

#endif
