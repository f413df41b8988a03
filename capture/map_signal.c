/* SPDX-License-Identifier: Apache-2.0
 * Code maps: a few buffers, one published, the others free as soon as no lane names them. */
#include "capture/map.h"
#include "capture/host.h"
#include "capture/module.h"

#include "base/syscall.h"

#include <sys/mman.h>

enum { BUFFERS = 8 };

static struct buffer {
	struct dp_code_map *map;
	uint32_t capacity; /* ranges */
} buffers[BUFFERS];
static _Atomic uint32_t published_generation;

uint32_t dp_map_generation(void)
{
	return dp_load_relaxed(&published_generation);
}

static bool is_in_use(const struct dp_code_map *map)
{
	if (atomic_load(&dp_host.map) == map)
		return true;
	/* Lanes exist from the first to the last number even when lane_count says fewer. */
	for (uint32_t i = 0; i < DP_LANE_MAX; i++)
		if (dp_host.lanes[i] && atomic_load(&dp_host.lanes[i]->map) == map)
			return true;
	return false;
}

static struct dp_code_map *free_map(uint32_t ranges)
{
	struct buffer *best = NULL;
	for (unsigned i = 0; i < BUFFERS; i++) {
		struct buffer *buffer = &buffers[i];
		if (buffer->map && is_in_use(buffer->map))
			continue;
		if (buffer->map && buffer->capacity >= ranges)
			return buffer->map;
		if (!best || !buffer->map)
			best = buffer;
	}
	if (!best)
		return NULL;
	const uint32_t capacity = (ranges + 63) / 64 * 64;
	const size_t size = sizeof(struct dp_code_map) + capacity * sizeof(struct dp_code_range);
	const long memory = DP_SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory < 0 && memory > -4096)
		return NULL;
	if (best->map)
		DP_SYS2(SYS_munmap, best->map,
		        sizeof(struct dp_code_map) + best->capacity * sizeof(struct dp_code_range));
	best->map = (struct dp_code_map *)memory;
	best->capacity = capacity;
	return best->map;
}

/* Shell's sort: no recursion, no memory, good for the few hundred ranges there are. */
static void sort_ranges(struct dp_code_range *ranges, uint32_t count)
{
	for (uint32_t gap = count / 2; gap; gap /= 2)
		for (uint32_t i = gap; i < count; i++) {
			struct dp_code_range range;
			dp_copy(&range, &ranges[i], sizeof range);
			uint32_t at = i;
			for (; at >= gap && ranges[at - gap].start > range.start; at -= gap)
				dp_copy(&ranges[at], &ranges[at - gap], sizeof range);
			dp_copy(&ranges[at], &range, sizeof range);
		}
}

void dp_map_rebuild(void)
{
	const uint32_t generation = dp_load_acquire(&dp_module_generation);
	const uint32_t modules = dp_load_acquire(&dp_module_count);
	struct dp_code_map *map = free_map(modules ? modules : 1);
	if (!map)
		return; /* the old one serves on; the next housekeeping tick tries again */
	uint32_t count = 0;
	for (uint32_t i = 0; i < modules; i++) {
		const struct dp_module *module = dp_module_at(i);
		if (dp_load_relaxed(&module->died))
			continue;
		struct dp_code_range *range = &map->ranges[count++];
		range->start = module->start;
		range->end = module->end;
		range->module = i;
		range->flags = 0;
		range->table = module->table;
		range->origin = module->bias + module->origin;
		if (!module->table && !module->has_no_table)
			range->flags = DP_CODE_PENDING;
	}
	sort_ranges(map->ranges, count);
	/* Ranges of a broken list that overlap: the later one gives way. */
	uint32_t kept = 0;
	for (uint32_t i = 0; i < count; i++)
		if (!kept || map->ranges[i].start >= map->ranges[kept - 1].end)
			dp_copy(&map->ranges[kept++], &map->ranges[i], sizeof map->ranges[i]);
	map->count = kept;
	if (++dp_host.map_generation == 0)
		dp_host.map_generation = 1;
	map->generation = dp_host.map_generation;
	atomic_store(&dp_host.map, map);
	dp_store_relaxed(&published_generation, generation);
}
