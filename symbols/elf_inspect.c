/* SPDX-License-Identifier: Apache-2.0
 * What a program is, told from its file alone: nothing is run, no loader asked. */
#include "symbols/elf_inspect.h"
#include "symbols/elf_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* python, python3, python3.11, pypy3 ... but not pythonize. */
static bool is_python_name(const char *name)
{
	const char *rest = !strncmp(name, "python", 6) ? name + 6
			   : !strncmp(name, "pypy", 4) ? name + 4
						       : NULL;
	return rest && rest[strspn(rest, "0123456789.")] == '\0';
}

static void tell_by_name(struct dp_program *program, const char *path)
{
	const char *name = base_name(path);
	program->is_python |= is_python_name(name);
	program->is_jvm |= !strcmp(name, "java") || !strcmp(name, "jshell") || !strcmp(name, "javac");
}

/* A needed library tells what a renamed or linked launcher does not. */
static void tell_by_needed(struct dp_program *program, const char *name)
{
	program->is_python |= !strncmp(name, "libpython", 9);
	program->is_jvm |= !strncmp(name, "libjvm.so", 9) || !strncmp(name, "libjli.so", 9);
	const size_t used = strlen(program->needed), size = strlen(name);
	if (used + size + 2 <= sizeof program->needed) {
		memcpy(program->needed + used, name, size);
		memcpy(program->needed + used + size, "\n", 2);
	}
}

/* One word of a #! line; NULL at its end. */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " \t");
	const size_t length = strcspn(word, " \t");
	if (!length)
		return NULL;
	*line = word + length + (word[length] ? 1 : 0);
	word[length] = '\0';
	return word;
}

static void read_script(struct dp_program *program, char *line)
{
	program->kind = DP_PROGRAM_SCRIPT;
	line[strcspn(line, "\r\n")] = '\0';
	char *word = next_word(&line);
	if (word && !strcmp(base_name(word), "env")) {
		do
			word = next_word(&line);
		while (word && (*word == '-' || strchr(word, '='))); /* env's options and variables */
	}
	if (!word || strlen(word) >= sizeof program->interpreter)
		return;
	strcpy(program->interpreter, word);
	tell_by_name(program, word);
}

static void read_loader(struct dp_program *program, const struct dp_elf_file *file, const Elf64_Phdr *segment)
{
	if (segment->p_offset > file->size || segment->p_filesz > file->size - segment->p_offset)
		return;
	const char *loader = dp_elf_text(file->bytes + segment->p_offset, segment->p_filesz, 0);
	if (!loader || strlen(loader) >= sizeof program->loader)
		return;
	strcpy(program->loader, loader);
	const char *name = base_name(loader);
	program->libc = !strncmp(name, "ld-linux", 8)  ? DP_LIBC_GLIBC
			: !strncmp(name, "ld-musl", 7) ? DP_LIBC_MUSL
						       : DP_LIBC_UNKNOWN;
}

/* Needed libraries, and whether a file without a loader says that it is a program (static-pie). */
static bool read_dynamic(struct dp_program *program, const struct dp_elf_file *file)
{
	Elf64_Shdr section, strings;
	size_t size, text_size;
	bool is_pie = false;
	if (!dp_elf_find_type(file, SHT_DYNAMIC, &section) ||
		!dp_elf_section_at(file, section.sh_link, &strings))
		return false;
	const uint8_t *entries = dp_elf_section_bytes(file, &section, &size);
	const uint8_t *texts = dp_elf_section_bytes(file, &strings, &text_size);
	Elf64_Dyn entry;
	for (size_t at = 0; size - at >= sizeof entry; at += sizeof entry) {
		memcpy(&entry, entries + at, sizeof entry);
		if (entry.d_tag == DT_NULL)
			break;
		const char *name =
			entry.d_tag == DT_NEEDED ? dp_elf_text(texts, text_size, entry.d_un.d_val) : NULL;
		if (name)
			tell_by_needed(program, name);
		is_pie |= entry.d_tag == DT_FLAGS_1 && entry.d_un.d_val & DF_1_PIE;
	}
	return is_pie;
}

static void read_sections(struct dp_program *program, const struct dp_elf_file *file)
{
	static const struct {
		const char *name;
		size_t claim;
	} claims[] = {
		{".symtab", offsetof(struct dp_program, has_symtab)},
		{".dynsym", offsetof(struct dp_program, has_dynsym)},
		{".debug_info", offsetof(struct dp_program, has_debug_info)},
		{".zdebug_info", offsetof(struct dp_program, has_debug_info)},
		{".gnu_debuglink", offsetof(struct dp_program, has_debuglink)},
		{".eh_frame", offsetof(struct dp_program, has_eh_frame)},
		{".go.buildinfo", offsetof(struct dp_program, is_go)},
		{".note.go.buildid", offsetof(struct dp_program, is_go)},
	};
	for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
		Elf64_Shdr section;
		if (dp_elf_find(file, claims[i].name, &section, NULL) && section.sh_type != SHT_NOBITS &&
			section.sh_size)
			*((bool *)program + claims[i].claim) = true;
	}
}

static void read_elf(struct dp_program *program, const struct dp_elf_file *file)
{
	Elf64_Phdr segment;
	program->kind = DP_PROGRAM_ELF;
	for (size_t i = 0; dp_elf_segment(file, i, &segment); i++) {
		if (segment.p_type == PT_INTERP)
			read_loader(program, file, &segment);
		program->has_eh_frame |= segment.p_type == PT_GNU_EH_FRAME && segment.p_filesz;
	}
	const bool is_pie = read_dynamic(program, file);
	const bool is_program = file->header.e_type == ET_EXEC || is_pie;
	if (*program->loader)
		program->link = DP_LINK_DYNAMIC;
	else if (is_program)
		program->link = DP_LINK_STATIC;
	else if (file->header.e_type == ET_DYN)
		program->link = DP_LINK_LIBRARY;
	read_sections(program, file);
	dp_elf_build_id(file, program->build_id, sizeof program->build_id);
}

static void read_file(struct dp_program *program, const char *path)
{
	char start[512];
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return;
	program->is_readable = true;
	const ssize_t size = pread(fd, start, sizeof start - 1, 0);
	close(fd);
	if (size < 2)
		return;
	start[size] = '\0';
	if (start[0] == '#' && start[1] == '!') {
		read_script(program, start + 2);
		return;
	}
	if (size < SELFMAG || memcmp(start, ELFMAG, SELFMAG))
		return;
	struct dp_elf_file file;
	if (dp_elf_open(&file, path)) {
		program->kind = DP_PROGRAM_FOREIGN;
		return;
	}
	read_elf(program, &file);
	dp_elf_close(&file);
}

int dp_program_inspect(struct dp_program *program, const char *path)
{
	struct stat status;
	*program = (struct dp_program){0};
	if (stat(path, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	program->is_setuid = status.st_mode & S_ISUID;
	program->is_setgid = (status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
	program->has_capabilities = getxattr(path, "security.capability", NULL, 0) > 0;
	tell_by_name(program, path);
	read_file(program, path);
	return 0;
}
