/* SPDX-License-Identifier: Apache-2.0
 * Names and ends of stacks: where the agent would find the functions of a program, and what to bring where it
 * would not. */
#include "cli/doctor.h"

#include "symbols/debug_file.h"
#include "symbols/elf_inspect.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what to bring ---- */

/* Is the path one of the lines of a package's list? Of "/usr/bin/x" the list may know "/bin/x" only. */
static bool lists_path(const char *list, const char *path)
{
	const size_t size = strlen(path);
	for (const char *at = list; (at = strstr(at, path)); at++)
		if ((at == list || at[-1] == '\n') && (at[size] == '\n' || !at[size]))
			return true;
	return false;
}

/* The Debian package that brought the file; false: none did, or this is no Debian. */
static bool find_package(const char *path, char *package, size_t size)
{
	static const char folder[] = "/var/lib/dpkg/info";
	char *resolved = realpath(path, NULL);
	const char *whole = resolved ? resolved : path;
	const char *merged = !strncmp(whole, "/usr/", 5) ? whole + 4 : whole;
	DIR *lists = opendir(folder);
	bool is_found = false;
	for (struct dirent *entry; lists && !is_found && (entry = readdir(lists));) {
		char name[PATH_MAX];
		const char *ending = strrchr(entry->d_name, '.');
		if (!ending || strcmp(ending, ".list") != 0)
			continue;
		snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
		char *list = dp_proc_read(0, name, NULL);
		is_found = list && (lists_path(list, whole) || lists_path(list, merged));
		free(list);
		if (is_found) {
			snprintf(package, size, "%.*s", (int)(ending - entry->d_name), entry->d_name);
			package[strcspn(package, ":")] = 0;
		}
	}
	if (lists)
		closedir(lists);
	free(resolved);
	return is_found;
}

static void advise(const struct dp_subject *subject, const char *build_id, char *advice, size_t size)
{
	char package[128];
	if (!*build_id)
		snprintf(advice, size,
			"build it without -s or strip (strip -g keeps names), and with -Wl,--build-id, "
			"without which no debug file can be matched");
	else if (find_package(subject->shown, package, sizeof package))
		snprintf(advice, size,
			"install %s-dbgsym (Debian's debug archive), or put the answer of \"debuginfod-find "
			"debuginfo %.128s\" at /usr/lib/debug/.build-id/%.2s/%.126s.debug",
			package, build_id, build_id, build_id + 2);
	else
		snprintf(advice, size,
			"keep the symbol table (strip -g does), or put its debug file at "
			"/usr/lib/debug/.build-id/%.2s/%.126s.debug",
			build_id, build_id + 2);
}

/* ---- what is there ---- */

/* Functions that the dynamic symbol table defines. */
static unsigned count_exported(const struct dp_elf_file *file)
{
	Elf64_Shdr section;
	size_t size;
	unsigned count = 0;
	if (!dp_elf_find_type(file, SHT_DYNSYM, &section))
		return 0;
	const uint8_t *bytes = dp_elf_section_bytes(file, &section, &size);
	Elf64_Sym symbol;
	for (size_t at = 0; bytes && size - at >= sizeof symbol; at += sizeof symbol) {
		memcpy(&symbol, bytes + at, sizeof symbol);
		count += ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF;
	}
	return count;
}

static void examine_symbols(const struct dp_patient *patient, const struct dp_subject *subject,
	const struct dp_elf_file *file, const struct dp_program *program)
{
	struct dp_elf_file other;
	char advice[1200];
	if (program->has_symtab) {
		dp_finding(DP_FINE, "names", "a symbol table names its functions%s",
			program->has_debug_info ? ", DWARF its lines" : "");
	} else if (dp_debug_file_open(&other, file, subject->shown, *patient->root ? patient->root : NULL) ==
		   0) {
		dp_finding(DP_FINE, "names", "stripped, but its debug file is there: %s",
			other.path ? other.path : "");
		dp_elf_close(&other);
	} else if (dp_mini_debug_open(&other, file) == 0) {
		dp_finding(DP_FINE, "names", "stripped, but .gnu_debugdata names its functions");
		dp_elf_close(&other);
	} else {
		advise(subject, program->build_id, advice, sizeof advice);
		dp_finding(DP_LESS, "names",
			"stripped: %u exported functions have names, the others are shown as file+offset: %s",
			count_exported(file), advice);
	}
	if (*program->build_id)
		dp_finding(DP_FINE, "build-id", "%s", program->build_id);
	else
		dp_finding(DP_FINE, "build-id",
			"none: names are found here alone, no server can add them later (-Wl,--build-id)");
}

void dp_examine_names(const struct dp_patient *patient, const struct dp_subject *subject)
{
	struct dp_elf_file file;
	struct dp_program program;
	if (dp_program_inspect(&program, subject->opened) != 0 || dp_elf_open(&file, subject->opened) != 0)
		return;
	examine_symbols(patient, subject, &file, &program);
	if (program.has_eh_frame)
		dp_finding(DP_FINE, "unwinding",
			".eh_frame tells how to walk its stacks: frame pointers are not needed");
	else if (!program.is_go)
		dp_finding(DP_LESS, "unwinding",
			"no .eh_frame: stacks are walked by frame pointers, and end where code has none; "
			"build with -fasynchronous-unwind-tables or -fno-omit-frame-pointer");
	dp_elf_close(&file);
}
