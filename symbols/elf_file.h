/* SPDX-License-Identifier: Apache-2.0
 * The bytes of one ELF file, checked: whatever is handed out lies within them. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_ELF_FILE_H
#define DEEPPROF_SYMBOLS_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct dp_elf_file {
	const uint8_t *bytes;
	size_t size;
	enum dp_elf_held { DP_ELF_BORROWED, DP_ELF_COPIED, DP_ELF_MAPPED } held;
	char *path; /* as opened; NULL for memory */
	dev_t device;
	ino_t inode;
	Elf64_Ehdr header;
	size_t segment_count, section_count; /* 0 when their table is not within the file */
	size_t section_names;                /* index of the section that names sections; 0: none */
};

/* 0, or -errno; -EBADMSG: not a 64-bit ELF file of this machine, or a damaged one. */
int dp_elf_open(struct dp_elf_file *file, const char *path);
/* path within root (NULL: /); links cannot lead out of it. */
int dp_elf_open_under(struct dp_elf_file *file, const char *path, const char *root);
/* A descriptor of a regular file, or -errno (-EBADMSG: not a regular one). Never waits on a pipe or device.
 */
int dp_open_under(const char *path, const char *root);
/* The bytes must outlive the file. */
int dp_elf_from_memory(struct dp_elf_file *file, const void *bytes, size_t size);
/* Takes the bytes over: they are freed at the end, and here on an error. */
int dp_elf_take(struct dp_elf_file *file, void *bytes, size_t size);
void dp_elf_close(struct dp_elf_file *file);
/* Gives back the memory of a mapped file's pages; they are read again when somebody looks. */
void dp_elf_let_go(const struct dp_elf_file *file);
/* Is a mapped file still as long as its mapping? To be asked before each look into it. */
bool dp_elf_is_whole(const struct dp_elf_file *file);

/* false: index out of range. */
bool dp_elf_segment(const struct dp_elf_file *file, size_t index, Elf64_Phdr *segment);
bool dp_elf_section_at(const struct dp_elf_file *file, size_t index, Elf64_Shdr *section);
/* By name; *index may be NULL. */
bool dp_elf_find(const struct dp_elf_file *file, const char *name, Elf64_Shdr *section, size_t *index);
bool dp_elf_find_type(const struct dp_elf_file *file, uint32_t type, Elf64_Shdr *section);
/* The section's bytes, possibly unaligned; NULL: none in the file (NOBITS), compressed, or out of its bounds.
 */
const uint8_t *dp_elf_section_bytes(const struct dp_elf_file *file, const Elf64_Shdr *section, size_t *size);
/* The text at an offset of a string table; NULL when it does not end within the table. */
const char *dp_elf_text(const uint8_t *table, size_t size, uint64_t offset);

/* Build-id as lower-case hex into hex[size]; "" when there is none or it does not fit. */
void dp_elf_build_id(const struct dp_elf_file *file, char *hex, size_t size);
bool dp_elf_address_of_offset(const struct dp_elf_file *file, uint64_t file_offset, uint64_t *address);

#endif
