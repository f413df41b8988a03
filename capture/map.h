/* SPDX-License-Identifier: Apache-2.0
 * From the module list and the tables that have come to the code map that ticks walk by. */
#ifndef DEEPPROF_CAPTURE_MAP_H
#define DEEPPROF_CAPTURE_MAP_H

#include "base/region.h"

#include <stdint.h>

/* Housekeeper (dp_host.is_keeping held), signal or hook. Builds a new map and publishes it; the old one is reused
 * when no tick walks by it any more. */
void dp_map_rebuild(void);
/* The generation of the module list that the published map speaks of. */
uint32_t dp_map_generation(void);

/* Housekeeper. Writes what changed in the module list to the region's log, as far as there is room. */
void dp_tell_modules(struct dp_region *region);
/* To an agent that knows none of them. */
void dp_tell_modules_anew(struct dp_region *region);

#endif
