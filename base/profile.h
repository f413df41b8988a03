/* SPDX-License-Identifier: Apache-2.0
 * A profile: all stacks of one window, symbolised, with typed values and labels. Agent and command only.
 *
 * The agent builds one per host and window; exporters read it and own type names, splitting, id order and label
 * policy; the report command reads one back from a pprof file. Everything lives in one arena and dies with it.
 * Indices count from 0 in table order; strings are interned (equal text, equal pointer), valid UTF-8, never NULL
 * where the comment does not say so. */
#ifndef DEEPPROF_BASE_PROFILE_H
#define DEEPPROF_BASE_PROFILE_H

#include "base/arena.h"
#include "base/drop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DP_NO_INDEX = -1, DP_PROFILE_VALUES = 4 };

/* What a profile counts. The agent sets one kind; exporters know the names each server wants for it. */
enum dp_profile_kind {
	DP_PROFILE_CPU, /* values: samples (count), cpu (nanoseconds) */
	DP_PROFILE_OTHER, /* as read from a file */
};

struct dp_value_type {
	const char *type, *unit; /* "cpu", "nanoseconds" */
};

struct dp_mapping { /* one object: an ELF file, the vDSO, a perf map, "[unknown]" */
	const char *path;
	const char *build_id; /* lower-case hex, "" when there is none */
	bool has_functions, has_files, has_lines, has_inlines;
	const char *hash; /* OpenTelemetry's htlhash of the file, "" when it is not known */
};

struct dp_function {
	const char *name;        /* as people name it: demangled, without clutter */
	const char *system_name; /* as the linker names it */
	const char *file;        /* "" when not known */
	uint32_t start_line;     /* 0 when not known */
};

struct dp_line {
	int32_t function;
	uint32_t line; /* 0 when not known */
};

struct dp_location { /* one frame: a code address and the functions that were inlined there */
	int32_t mapping;  /* DP_NO_INDEX when not known */
	uint8_t runtime;  /* enum dp_frame_runtime */
	uint64_t address; /* ELF virtual address in the mapping's file */
	const struct dp_line *lines; /* innermost first; none when the address has no name */
	uint32_t line_count;
};

struct dp_label {
	const char *key;
	const char *text;  /* NULL: a number */
	int64_t number;
	const char *unit;  /* of a number; "" when it has none */
};

struct dp_profile_sample {
	const int32_t *locations; /* leaf first */
	uint32_t location_count, label_count;
	const struct dp_label *labels; /* thread name and id, user labels; sorted by key */
	int64_t values[DP_PROFILE_VALUES];
};


struct dp_pair {
	const char *key, *value;
};

/* A growing table in the arena. */
#define DP_TABLE(type) struct { type *at; uint32_t count, capacity; }

struct dp_pairs { /* each key once */
	struct dp_pair *at;
	uint32_t count, capacity;
};

struct dp_profile {
	struct dp_arena arena;
	enum dp_profile_kind kind;
	DP_TABLE(struct dp_value_type) types; /* at most DP_PROFILE_VALUES; the main one last */
	struct dp_value_type period_type;
	int64_t period;      /* ns between ticks */
	int64_t time_ns;     /* start of the window, CLOCK_REALTIME */
	int64_t duration_ns;
	uint32_t sequence;   /* of this process's profiles, from 0 */
	DP_TABLE(struct dp_mapping) mappings;
	DP_TABLE(struct dp_function) functions;
	DP_TABLE(struct dp_location) locations;
	DP_TABLE(struct dp_profile_sample) samples;
	DP_TABLE(const char *) comments;
	struct dp_pairs identity; /* series labels: service_name, process.runtime.name, the user's own ... */
	struct dp_pairs resource; /* what else the process is, by OpenTelemetry's names: process.pid, host.name ... */
	struct dp_loss losses[DP_DROP_COUNT];
	struct dp_profile_index *index; /* hash tables, private to profile.c */
};

/* An empty profile on the heap; cap_bytes bounds its arena, 0 for none. NULL: out of memory. */
struct dp_profile *dp_profile_new(enum dp_profile_kind kind, size_t cap_bytes);

/* Each of these finds an equal entry or adds one. Pointers returned live as long as the profile. On a full arena
 * the pointer is NULL or the index -ENOMEM. text need not be UTF-8: bad bytes become U+FFFD. */
const char *dp_profile_string(struct dp_profile *profile, const char *text, size_t size);
const char *dp_profile_text(struct dp_profile *profile, const char *text); /* NUL-terminated; NULL counts as "" */
int dp_profile_mapping(struct dp_profile *profile, const struct dp_mapping *mapping);
int dp_profile_function(struct dp_profile *profile, const struct dp_function *function);
int dp_profile_location(struct dp_profile *profile, const struct dp_location *location);
/* Adds values to the sample with these locations and labels. values has one entry per type; labels come in
 * any order. Where the arena is full, the weight goes to one overflow sample, "[overflow]", reserved in
 * advance, and TABLE_FULL is counted, without weight: nothing is missing from the sum. */
int dp_profile_sample(struct dp_profile *profile, const struct dp_profile_sample *sample);

/* These are few and small and are kept beyond the cap. */
int dp_profile_add_type(struct dp_profile *profile, const char *type, const char *unit);
int dp_profile_add_comment(struct dp_profile *profile, const char *text);
int dp_profile_add_identity(struct dp_profile *profile, const char *key, const char *value);
int dp_profile_add_resource(struct dp_profile *profile, const char *key, const char *value); /* "": not added */

/* Adds all of from to into (same types in the same order, else -EINVAL); time and duration become their
 * union, the period the longest that divides both. */
int dp_profile_merge(struct dp_profile *into, const struct dp_profile *from);

void dp_profile_free(struct dp_profile *profile); /* NULL is fine */

#endif
