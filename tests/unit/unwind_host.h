/* SPDX-License-Identifier: Apache-2.0
 * For tests and benches: the code map and the finisher's modules of a process, from /proc/PID/maps. */
#ifndef DEEPPROF_TESTS_UNWIND_HOST_H
#define DEEPPROF_TESTS_UNWIND_HOST_H

#include "unwind/compile.h"

#include <sys/types.h>

struct unwind_host {
	struct dp_code_map *map;
	struct dp_finish_module *modules; /* one for each range of map */
	unsigned count;
	uintptr_t stack_low, stack_high; /* of the main thread */
};

/* Reads the maps anew; tables once compiled are kept. 0 or -errno. */
int unwind_host_read(struct unwind_host *host, pid_t pid);
void unwind_host_fini(struct unwind_host *host);
const struct dp_finish_module *unwind_host_find(void *host, uint64_t pc);

#endif
