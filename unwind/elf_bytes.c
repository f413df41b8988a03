/* SPDX-License-Identifier: Apache-2.0
 * ELF headers, as far as unwinding needs them: segments, two sections, and where .eh_frame_hdr is. */
#include "unwind/elf_bytes.h"

#include "unwind/rule.h"

#include <errno.h>

static bool copy_from(struct dp_bytes bytes, uint64_t offset, void *to, size_t size)
{
	if (offset > bytes.size || size > bytes.size - offset)
		return false;
	memcpy(to, bytes.start + offset, size);
	return true;
}

static void read_segment(struct dp_elf *elf, const Elf64_Phdr *segment)
{
	struct dp_elf_load *load = &elf->loads[elf->load_count];

	if (segment->p_type == PT_GNU_EH_FRAME) {
		elf->eh_frame_hdr = segment->p_vaddr;
		elf->eh_frame_hdr_size = segment->p_memsz;
	}
	if (segment->p_type != PT_LOAD || elf->load_count == DP_ELF_LOADS ||
		segment->p_vaddr + segment->p_memsz < segment->p_vaddr)
		return;
	*load = (struct dp_elf_load){
		.address = segment->p_vaddr,
		.memory_size = segment->p_memsz,
		.offset = segment->p_offset,
		.file_size = segment->p_filesz < segment->p_memsz ? segment->p_filesz : segment->p_memsz,
		.flags = segment->p_flags,
	};
	if (load->offset > elf->bytes.size)
		load->file_size = 0;
	else if (load->file_size > elf->bytes.size - load->offset)
		load->file_size = elf->bytes.size - load->offset;
	elf->load_count++;
	if (!(load->flags & PF_X) || !load->memory_size)
		return;
	if (!elf->code_end || load->address < elf->code_start)
		elf->code_start = load->address;
	if (load->address + load->memory_size > elf->code_end)
		elf->code_end = load->address + load->memory_size;
}

int dp_elf_read(struct dp_elf *elf, const void *bytes, size_t size)
{
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Shdr names;
	uint64_t at;

	*elf = (struct dp_elf){.bytes = {bytes, size}};
	if (!copy_from(elf->bytes, 0, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) ||
		header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
		header.e_machine != DP_ELF_MACHINE)
		return -EBADMSG;
	if (header.e_phentsize == sizeof segment) {
		for (unsigned i = 0; i < header.e_phnum; i++) {
			at = header.e_phoff + (uint64_t)i * sizeof segment;
			if (at < header.e_phoff || !copy_from(elf->bytes, at, &segment, sizeof segment))
				break;
			read_segment(elf, &segment);
		}
	}
	at = header.e_shoff + (uint64_t)header.e_shstrndx * sizeof names;
	if (header.e_shoff && header.e_shentsize == sizeof names && at > header.e_shoff &&
		copy_from(elf->bytes, at, &names, sizeof names)) {
		elf->sections = header.e_shoff;
		elf->section_count = header.e_shnum;
		elf->names = names.sh_offset;
	}
	return 0;
}

bool dp_elf_section(const struct dp_elf *elf, const char *name, struct dp_elf_section *section)
{
	const size_t length = strlen(name) + 1;
	Elf64_Shdr header;

	for (uint32_t i = 0; i < elf->section_count; i++) {
		const uint64_t at = elf->sections + (uint64_t)i * sizeof header;
		uint64_t name_at;

		if (at < elf->sections || !copy_from(elf->bytes, at, &header, sizeof header))
			return false;
		name_at = elf->names + header.sh_name;
		if (name_at > elf->bytes.size || length > elf->bytes.size - name_at ||
			memcmp(elf->bytes.start + name_at, name, length))
			continue;
		if (header.sh_type == SHT_NOBITS || header.sh_offset > elf->bytes.size ||
			header.sh_size > elf->bytes.size - header.sh_offset)
			return false;
		*section = (struct dp_elf_section){
			.address = header.sh_addr,
			.offset = header.sh_offset,
			.size = header.sh_size,
			.flags = header.sh_flags,
		};
		return true;
	}
	return false;
}

struct dp_bytes dp_elf_at(const struct dp_elf *elf, uint64_t address, uint64_t limit)
{
	for (unsigned i = 0; i < elf->load_count; i++) {
		const struct dp_elf_load *load = &elf->loads[i];
		const uint64_t into = address - load->address;

		if (address < load->address || into >= load->file_size)
			continue;
		if (limit > load->file_size - into)
			limit = load->file_size - into;
		return (struct dp_bytes){elf->bytes.start + load->offset + into, limit};
	}
	return (struct dp_bytes){NULL, 0};
}

struct dp_bytes dp_elf_frame_table(const struct dp_elf *elf)
{
	enum { TABLE = 12, ENTRY_SIZE = 8 };
	static const uint8_t usual[] = {
		1, 0x1b, 0x03, 0x3b}; /* version; pcrel sdata4, udata4, datarel sdata4 */
	const struct dp_bytes header = dp_elf_at(elf, elf->eh_frame_hdr, elf->eh_frame_hdr_size), none = {NULL, 0};
	uint32_t count;

	if (header.size < TABLE || memcmp(header.start, usual, sizeof usual))
		return none;
	memcpy(&count, header.start + 8, sizeof count);
	if ((header.size - TABLE) / ENTRY_SIZE < count)
		return none;
	return (struct dp_bytes){header.start + TABLE, (size_t)count * ENTRY_SIZE};
}
