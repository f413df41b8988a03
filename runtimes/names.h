/* SPDX-License-Identifier: Apache-2.0
 * What the managed frames of one host are called. Agent. */
#ifndef DEEPPROF_RUNTIMES_NAMES_H
#define DEEPPROF_RUNTIMES_NAMES_H

#include "base/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One function as its name record told it; texts are UTF-8. */
struct dp_name {
	char *name, *file;
	uint32_t first_line, lines_size;
	uint8_t *lines; /* the runtime's own line table */
	uint8_t version;
	bool is_cut;    /* the line table was too large to be told */
	char *shown;    /* by the runtime's namer, made when first asked for; NULL: not yet */
};

enum { DP_NAME_RUNTIMES = 3 }; /* enum dp_frame_runtime */
struct dp_names {
	struct dp_name **at[DP_NAME_RUNTIMES]; /* by number */
	uint32_t size[DP_NAME_RUNTIMES];
	uint8_t version[DP_NAME_RUNTIMES]; /* as the last record told it; 0: none yet */
	size_t bytes; /* of all texts and tables: capped, what comes after has no name */
};

/* A frame as people name it; texts live as long as the names. */
struct dp_managed_symbol {
	const char *name, *system_name, *file;
	uint32_t start_line, line;
	bool is_machinery; /* no function that anybody wrote */
};

/* Where the host's files are seen from here. */
struct dp_name_place {
	const char *root, *cwd; /* "" or "/proc/PID/root"; the host's folder at its start */
};

/* NUL-terminated UTF-8 of a text whose code points have width bytes each, 0: UTF-8. To be freed; NULL: no memory. */
char *dp_utf8_of(const uint8_t *bytes, uint32_t size, unsigned width);

/* One name record. False: it makes no sense. */
bool dp_names_take(struct dp_names *names, const uint8_t *bytes, size_t size);
void dp_names_free(struct dp_names *names);
/* False: nothing is known of that number. */
bool dp_names_describe(struct dp_names *names, enum dp_frame_runtime runtime, uint64_t id, const struct dp_name_place *place,
        struct dp_managed_symbol *symbol);
/* Is this native function machinery of an interpreter, which its frames stand for? */
bool dp_names_are_machinery(const char *function);
/* Does this module begin stacks of its own, which lie where another's went on? */
bool dp_names_are_of_switcher(const char *path);
/* As users see it: "python". */
const char *dp_runtime_name(enum dp_frame_runtime runtime);
/* As OpenTelemetry calls the runtime, "cpython", and its version, "" when it is not known. */
const char *dp_names_runtime(
        const struct dp_names *names, enum dp_frame_runtime runtime, char *version, size_t size);

/* ---- one for each runtime; runtimes.c has the table ---- */

struct dp_runtime_names {
	const char *name;
	const char *convention; /* OpenTelemetry's process.runtime.name; NULL: the same */
	void (*describe)(struct dp_name *name, uint64_t id, const struct dp_name_place *place, struct dp_managed_symbol *symbol);
	uint32_t (*number)(uint64_t id);
	bool (*is_machinery)(const char *function);
	bool (*is_switcher)(const char *path); /* NULL: none is */
	void (*version)(uint8_t version, char *text, size_t size); /* NULL: not told */
};
extern const struct dp_runtime_names dp_python_names, dp_hotspot_names;

#endif
