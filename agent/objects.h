/* SPDX-License-Identifier: Apache-2.0
 * Objects and their unwind tables, each once for all hosts. Hands; dp_tables_get() also ears. */
#ifndef DEEPPROF_AGENT_OBJECTS_H
#define DEEPPROF_AGENT_OBJECTS_H

#include "agent/agent.h"
#include "symbols/symbols.h"

struct dp_shared_object {
	struct dp_shared_object *next;
	struct dp_object *object; /* NULL: cannot be read; then error says why */
	int error;
	char *path;
	uint64_t device, inode, size, mtime_ns;
	bool has_table; /* the question was asked */
	uint32_t table; /* number or DP_TABLE_NONE */
	uint64_t origin;
	char hash[33]; /* dp_objects_hash() */
};

/* The object behind a path as the host sees it; never NULL but for lack of memory. build_id: what the host's memory
 * says ("" not known): where the file says otherwise it has been replaced, and -ESTALE is its error. */
struct dp_shared_object *dp_objects_get(int32_t pid, const char *path, const char *build_id);

/* OpenTelemetry's htlhash, read on the first question; "" without the file. */
const char *dp_objects_hash(struct dp_shared_object *shared);

/* The number of its table, compiled on the first question, or DP_TABLE_NONE; *origin as in the table. */
uint32_t dp_tables_of(struct dp_shared_object *shared, uint64_t *origin);

/* After a window: debug information that has not been needed for long is dropped. true: memory was given back. */
bool dp_objects_rest(uint64_t now_ms);

#endif
