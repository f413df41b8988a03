/* SPDX-License-Identifier: Apache-2.0
 * Names and texts that live as long as their object, each once. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_NAME_POOL_H
#define DEEPPROF_SYMBOLS_NAME_POOL_H

#include "base/arena.h"

#include <stdint.h>

/* One text and what people read for it; for plain texts (paths) both are the same. */
struct dp_pooled_name {
	uint32_t hash;
	const char *system_name, *name;
};

struct dp_name_pool {
	struct dp_arena arena;
	struct dp_pooled_name *slots; /* open addressing */
	size_t count, room;           /* room: a power of two */
};

void dp_name_pool_init(struct dp_name_pool *pool);
/* The pooled copy with its demangled name, made on first sight; NULL: no memory. Very long texts are cut. */
const struct dp_pooled_name *dp_name_pool_symbol(struct dp_name_pool *pool, const char *system_name);
/* The pooled copy; NULL: no memory. */
const char *dp_name_pool_text(struct dp_name_pool *pool, const char *text);
size_t dp_name_pool_memory(const struct dp_name_pool *pool);
void dp_name_pool_fini(struct dp_name_pool *pool);

#endif
