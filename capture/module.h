/* SPDX-License-Identifier: Apache-2.0
 * The host's own list of its modules: what the loader has mapped, in the order of its appearance.
 *
 * Written by hooks after the loader changed something, read by housekeeping ticks, which tell the agent. An entry is
 * reused only for the same object at the same place. */
#ifndef DEEPPROF_CAPTURE_MODULE_H
#define DEEPPROF_CAPTURE_MODULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dp_table; /* unwind/table.h */

enum { DP_MODULES_FIRST = 96, DP_MODULES_MORE = 512, DP_MODULE_CHUNKS = 8, DP_BUILD_ID_MAX = 32 };

struct dp_module {
	_Atomic uint32_t born, died; /* generations; died 0: alive */
	uint64_t bias;
	uintptr_t start, end; /* of its code */
	const char *path;     /* our own copy */
	uint16_t path_size;
	uint8_t build_id_size;
	uint8_t build_id[DP_BUILD_ID_MAX];
	bool is_looked_at; /* by the runtimes; under the lock */
	/* Housekeeper only. */
	uint8_t told;    /* what the agent knows: bit 0 its birth, bit 1 its death */
	const struct dp_table *table; /* NULL: not there (yet). Stays, whichever agent comes */
	bool has_no_table;            /* the agent says so */
	uint64_t origin; /* ELF virtual address of the table's offset 0 */
};

extern _Atomic uint32_t dp_module_generation; /* grows with each change */
extern _Atomic uint32_t dp_module_count;      /* entries in use, dead ones included */
struct dp_module *dp_module_at(uint32_t number); /* NULL beyond the end. Any context */

/* Whoever changes the list. False: another does; not worth waiting for. */
bool dp_modules_lock(void);
/* generation: that the changes began; 0: none. */
void dp_modules_unlock(uint32_t generation);
/* Under the lock. A copy of it and of its path, alive from that generation on; NULL, counted: no room. */
struct dp_module *dp_module_add(const struct dp_module *found, uint32_t generation);

/* Housekeeping tick. Adds what the loader has mapped and no hook has seen; true when there was something. */
bool dp_modules_discover(void);

/* Hook. Compares the list with the loader's; true when it changed. self_path: receives the path of the module that
 * holds this code, when given. */
int dp_modules_refresh(void);
/* Hook. May it have changed since? Without the loader's lock. */
bool dp_modules_are_stale(void);
const char *dp_modules_self_path(void);

#endif
