/* SPDX-License-Identifier: Apache-2.0
 * A host's threads, as /proc lists them. Agent only. */
#ifndef DEEPPROF_AGENT_TASKS_H
#define DEEPPROF_AGENT_TASKS_H

#include "base/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Threads that are in no entry of the region's list; at most max. 0 also where /proc may not be read. */
unsigned dp_tasks_without_timer(int32_t pid, const struct dp_region *region, uint32_t *tids, unsigned max);
/* A thread's name, "" when it is gone or hidden. */
void dp_task_name(int32_t pid, uint32_t tid, char *name, size_t size);

#endif
