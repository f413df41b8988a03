/* SPDX-License-Identifier: Apache-2.0
 * Names of native code addresses. Agent and command only; one thread at a time.
 *
 * An object is one ELF file (or the vDSO) as all hosts share it, known by build-id where it has one. A perf
 * map is the text file /tmp/perf-PID.map in which a JIT names its code. */
#ifndef DEEPPROF_SYMBOLS_SYMBOLS_H
#define DEEPPROF_SYMBOLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_object;

/* One function at an address; inlined functions come as several, innermost first. Strings belong to the
 * object and live as long as it does. */
struct dp_symbol {
	const char *name; /* demangled (C++, Rust), without parameters and clones' suffixes where safe */
	const char *system_name;   /* as in the symbol table */
	const char *file;          /* NULL when not known */
	uint32_t line, start_line; /* 0 when not known */
};

/* For a process of our own, once, before the first object: takes SIGBUS, so that files which are cut while
 * they are mapped read as zeros. Not inside a host. 0 or -errno. */
int dp_object_guard_bus(void);
/* Opens path for reading (root: prefix such as /proc/PID/root, or NULL), or takes bytes that are already in
 * memory (the vDSO). Debug information is looked for on the first question, not here. NULL sets *error to
 * -errno; -EBADMSG: not an ELF file of this machine. */
struct dp_object *dp_object_open(const char *path, const char *root, int *error);
struct dp_object *dp_object_from_memory(const void *bytes, size_t size, const char *name, int *error);
/* The kernel's own code page of this process, the same for all hosts. */
struct dp_object *dp_object_vdso(int *error);
void dp_object_free(struct dp_object *object);

/* Lower-case hex, "" when it has none. */
const char *dp_object_build_id(const struct dp_object *object);
/* The file's bytes, mapped read-only as long as the object lives; a later truncation of the file must not
 * kill us: see elf_file.c for how. */
const void *dp_object_bytes(const struct dp_object *object, size_t *size);
/* File offset to ELF virtual address by the PT_LOAD segments. false: in no segment. */
bool dp_object_address_of_offset(const struct dp_object *object, uint64_t file_offset, uint64_t *address);

/* The functions at an ELF virtual address, innermost inlined first. Returns how many (0: no name known). */
int dp_object_symbolise(struct dp_object *object, uint64_t address, struct dp_symbol *symbols, int max);
struct dp_object_abilities {
	bool has_functions, has_files, has_lines, has_inlines;
};
struct dp_object_abilities dp_object_abilities(struct dp_object *object);
/* Memory the object's symbols and debug information hold, bytes, for the agent's budget; drop what can be
 * read again. */
size_t dp_object_memory(const struct dp_object *object);
void dp_object_trim(struct dp_object *object);
/* From time to time, after questions: debug information that nobody has needed for half a minute is dropped, until
 * somebody does. true: memory was given back. */
bool dp_object_rest(struct dp_object *object, uint64_t now_ms);
/* After a look at all of the file's bytes: its pages need not stay in memory. */
void dp_object_let_go(const struct dp_object *object);

/* JIT names. pid: the host's pid as its own name space sees it; root as above. Reads the file again when it
 * has grown. 1 and *symbol filled, or 0. */
struct dp_perf_map;
struct dp_perf_map *dp_perf_map_new(int pid, const char *root);
int dp_perf_map_symbolise(struct dp_perf_map *map, uint64_t address, struct dp_symbol *symbol);
void dp_perf_map_free(struct dp_perf_map *map);

#endif
