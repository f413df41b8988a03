/* SPDX-License-Identifier: Apache-2.0
 * The stubs through which a file calls functions of others. Linkers order them as they like, so each is read:
 * it jumps to what a slot holds, and the slot's relocation names the function. */
#include "symbols/plt.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	uint64_t address;
	const char *name;
};

struct slots {
	struct slot *slots;
	size_t count, room;
};

static bool add_slot(struct slots *slots, uint64_t address, const char *name)
{
	if (slots->count == slots->room) {
		const size_t room = slots->room ? 2 * slots->room : 256;
		struct slot *grown = realloc(slots->slots, room * sizeof *grown);
		if (!grown)
			return false;
		slots->slots = grown;
		slots->room = room;
	}
	slots->slots[slots->count++] = (struct slot){address, name};
	return true;
}

static bool is_slot(uint16_t machine, uint64_t type)
{
	return machine == EM_X86_64 ? type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT
				    : type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT;
}

static void read_slots(const struct dp_elf_file *file, const Elf64_Shdr *section, struct slots *slots)
{
	Elf64_Shdr symbol_section, text_section;
	Elf64_Rela relocation;
	Elf64_Sym symbol;
	size_t size, symbols_size, texts_size;

	const uint8_t *relocations = dp_elf_section_bytes(file, section, &size);
	if (!relocations || !dp_elf_section_at(file, section->sh_link, &symbol_section) ||
		symbol_section.sh_type != SHT_DYNSYM ||
		!dp_elf_section_at(file, symbol_section.sh_link, &text_section))
		return;
	const uint8_t *symbols = dp_elf_section_bytes(file, &symbol_section, &symbols_size);
	const uint8_t *texts = dp_elf_section_bytes(file, &text_section, &texts_size);
	for (size_t at = 0; size - at >= sizeof relocation; at += sizeof relocation) {
		memcpy(&relocation, relocations + at, sizeof relocation);
		const uint64_t index = ELF64_R_SYM(relocation.r_info);
		if (!is_slot(file->header.e_machine, ELF64_R_TYPE(relocation.r_info)) || !index ||
			index >= symbols_size / sizeof symbol)
			continue;
		memcpy(&symbol, symbols + index * sizeof symbol, sizeof symbol);
		const char *name = dp_elf_text(texts, texts_size, symbol.st_name);
		if (name && *name && !add_slot(slots, relocation.r_offset, name))
			return;
	}
}

static int compare(const void *a, const void *b)
{
	const struct slot *left = a, *right = b;
	return left->address < right->address ? -1 : left->address > right->address;
}

/* jmp *slot(%rip), behind endbr64 and a bnd prefix or not. */
static bool read_x86_64(const uint8_t *code, size_t size, uint64_t address, uint64_t *slot)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	size_t at = 0;
	int32_t distance;
	if (size >= sizeof endbr64 && !memcmp(code, endbr64, sizeof endbr64))
		at = sizeof endbr64;
	if (at < size && code[at] == 0xf2)
		at++;
	if (at + 6 > size || code[at] != 0xff || code[at + 1] != 0x25)
		return false;
	memcpy(&distance, code + at + 2, sizeof distance);
	*slot = address + at + 6 + (uint64_t)(int64_t)distance;
	return true;
}

/* adrp x16, page; ldr x17, [x16, #offset], behind bti c or not. */
static bool read_aarch64(const uint8_t *code, size_t size, uint64_t address, uint64_t *slot)
{
	uint32_t words[3];
	size_t at = 0;
	if (size < sizeof words)
		return false;
	memcpy(words, code, sizeof words);
	if (words[0] == 0xd503245f)
		at = 1;
	if ((words[at] & 0x9f00001f) != 0x90000010 || (words[at + 1] & 0xffc003ff) != 0xf9400211)
		return false;
	const uint64_t pages = (((words[at] >> 5) & 0x7ffff) << 2) | ((words[at] >> 29) & 3);
	const uint64_t signed_pages = (pages ^ 0x100000) - 0x100000; /* 21 bits */
	*slot = ((address + 4 * at) & ~(uint64_t)4095) + (signed_pages << 12) +
		(uint64_t)((words[at + 1] >> 10) & 0xfff) * 8;
	return true;
}

static bool read_stubs(const struct dp_elf_file *file, const Elf64_Shdr *section, const struct slots *slots,
	dp_plt_adder *add, void *context)
{
	const bool is_x86 = file->header.e_machine == EM_X86_64;
	const size_t stub = !is_x86 ? 4 : section->sh_entsize == 8 ? 8 : 16;
	size_t size;
	const uint8_t *code = dp_elf_section_bytes(file, section, &size);
	for (size_t at = 0; code && at + stub <= size; at += stub) {
		struct slot wanted = {0};
		const uint64_t address = section->sh_addr + at;
		if (!(is_x86 ? read_x86_64 : read_aarch64)(code + at, size - at, address, &wanted.address))
			continue;
		const struct slot *slot =
			bsearch(&wanted, slots->slots, slots->count, sizeof *slots->slots, compare);
		if (slot && !add(context, address, is_x86 ? (uint32_t)stub : 16, slot->name))
			return false;
	}
	return true;
}

void dp_plt_read(const struct dp_elf_file *file, dp_plt_adder *add, void *context)
{
	static const char *const names[] = {".plt", ".plt.sec", ".plt.got"};
	struct slots slots = {0};
	Elf64_Shdr section;

	for (size_t i = 1; dp_elf_section_at(file, i, &section); i++)
		if (section.sh_type == SHT_RELA && section.sh_flags & SHF_ALLOC)
			read_slots(file, &section, &slots);
	if (slots.count) {
		qsort(slots.slots, slots.count, sizeof *slots.slots, compare);
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			if (dp_elf_find(file, names[i], &section, NULL) &&
				!read_stubs(file, &section, &slots, add, context))
				break;
	}
	free(slots.slots);
}
