/* SPDX-License-Identifier: Apache-2.0
 * The native walk inside the handler.
 *
 * A table is what remains of one object's .eh_frame: sorted rows {offset, rule}, 6 bytes each,
 * compiled by the agent once per build-id, in a sealed memfd that every host maps read-only. A code map is
 * one host's sorted list of code ranges with their tables: immutable once published. A rule cache remembers
 * the rule of code addresses seen before. */
#ifndef DEEPPROF_UNWIND_UNWIND_H
#define DEEPPROF_UNWIND_UNWIND_H

#include "base/frame.h"

#include <stdbool.h>
#include <stddef.h>

struct dp_table; /* unwind/table.h */

struct dp_code_range {
	uintptr_t start, end;         /* addresses in this host */
	uintptr_t origin;             /* address in this host of the table's offset 0 */
	const struct dp_table *table; /* NULL: code without CFI (a JIT's, or an object without .eh_frame) */
	uint32_t flags;               /* enum dp_code_flag */
	uint32_t module;              /* the host's own number for it, for the caller's use */
};

enum dp_code_flag {
	DP_CODE_PENDING =
		1, /* an object whose table has not come yet: stop with DP_STOP_PENDING, never guess */
};

/* Ranges are sorted and do not overlap. generation is never 0 and differs between any two maps of a process.
 */
struct dp_code_map {
	uint32_t generation, count;
	struct dp_code_range ranges[];
};

/* One entry per code address, direct mapped. Zeroed memory is an empty cache. One user at a time. */
enum { DP_RULE_CACHE_SIZE = 1024 };
struct dp_rule_cache_entry {
	uint64_t key;  /* the code address looked up */
	uint64_t rule; /* the map's generation in the high half: a cache outlives its maps; the rule in the
			  low half */
};
struct dp_rule_cache {
	struct dp_rule_cache_entry entries[DP_RULE_CACHE_SIZE];
};

/* A piece of stack that may be read: host addresses [low, high), found at address + shift (0 for the stack
 * itself, else the distance to a copy of it). The range with the interrupted stack pointer must begin at
 * least 128 bytes below it: on x86-64 a function that has just popped its frame still has words in the red
 * zone. */
struct dp_stack_range {
	uintptr_t low, high;
	ptrdiff_t shift;
};
enum { DP_STACK_RANGES = 3 };
struct dp_stack_view {
	unsigned count;
	struct dp_stack_range ranges[DP_STACK_RANGES]; /* e.g. the thread's own stack and its sigaltstack */
};

enum dp_stop {
	DP_STOP_END,         /* the outermost frame: the stack is whole */
	DP_STOP_TRUNCATED,   /* max frames written, more above */
	DP_STOP_PENDING,     /* an object whose table is not here yet */
	DP_STOP_COMPLEX,     /* a rule the table cannot hold */
	DP_STOP_NO_MAP,      /* an address outside the code map, and its frame pointer led nowhere */
	DP_STOP_NO_CFI,      /* code without a row, and its frame pointer led nowhere */
	DP_STOP_BAD_MEMORY,  /* a needed word lies outside the view */
	DP_STOP_NO_PROGRESS, /* the CFA did not grow */
	DP_STOP_TORN,        /* the reader that owns the code could not step through it */
	DP_STOP_OWNED,       /* code between owned_low and owned_high: whoever owns it walks on. Never in a record */
};

struct dp_walk {
	/* in: at the tick, or where another reader handed the walk back. out: those of the last frame
	 * written, or of the unknown code that a guess led to (DP_STOP_NO_MAP) or of what is owned (DP_STOP_OWNED,
	 * not written), as far as a walk knows them (pc, sp and fp). */
	struct dp_registers registers;
	struct dp_stack_view stack;
	bool is_caller;         /* in, out: registers' pc is a return address; false at a tick */
	uintptr_t place_origin; /* in: what places count from; 0 means registers' stack pointer */
	uintptr_t owned_low, owned_high; /* in: code in no object that another reader steps through; 0, 0: none */
	enum dp_stop stop;      /* out */
	/* out: a frame pointer was followed in code of no known object. Right for a JIT; wrong for an object that
	 * nobody has told of yet. */
	bool met_unknown;
};

/* Walks from walk->registers outward; writes at most max frames, leaf first, and returns how many (at least 1
 * when max > 0: the leaf). Signal context: no call, no syscall, no TLS; reads the map, its tables and
 * walk->stack alone. map may be NULL (then only frame pointers and the leaf). cache may be NULL. */
int dp_unwind(const struct dp_code_map *map, struct dp_rule_cache *cache, struct dp_walk *walk,
	struct dp_frame *frames, int max);

/* Is this memory a table we may walk? Checks magic, version, architecture and that every index stays inside
 * size: a hostile table may give wrong frames, never a read outside. Any context. */
int dp_table_check(const void *memory, size_t size);

#endif
