/* SPDX-License-Identifier: Apache-2.0
 * What a module exports. Hook or housekeeping tick. */
#ifndef DEEPPROF_RUNTIMES_DYNAMIC_H
#define DEEPPROF_RUNTIMES_DYNAMIC_H

#include "runtimes/runtime.h"

struct dp_dynamic {
	const struct dp_runtime_module *module;
	uintptr_t hash, table, texts;
	uint32_t bucket_count, first, bloom_count, bloom_shift;
};

/* False: it exports nothing. */
bool dp_dynamic_init(struct dp_dynamic *symbols, const struct dp_runtime_module *module);
/* 0: it has none of that name. size: NULL, or receives the symbol's. */
uintptr_t dp_dynamic_find(const struct dp_dynamic *symbols, const char *name, uintptr_t *size);

#endif
