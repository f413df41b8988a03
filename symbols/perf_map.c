/* SPDX-License-Identifier: Apache-2.0
 * /tmp/perf-PID.map: "START SIZE name" a line, both hexadecimal. A JIT appends and reuses addresses: of entries that
 * overlap the newest is true. */
#include "symbols/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES_MOST = 64 * 1024 * 1024, NAME_MOST = 1024, CHUNK = 64 * 1024 };

struct entry {
	uint64_t start, end;
	uint32_t order;
	char *name;
};

struct dp_perf_map {
	char path[4200];
	struct entry *entries;
	size_t count, capacity, bytes;
	bool is_sorted;
	off_t read_to;
	char rest[NAME_MOST + 64]; /* a line that was not whole yet */
	size_t rest_size;
	bool skips_line;
};

struct dp_perf_map *dp_perf_map_new(int pid, const char *root)
{
	struct dp_perf_map *map = calloc(1, sizeof *map);
	if (map)
		snprintf(map->path, sizeof map->path, "%s/tmp/perf-%d.map", root ? root : "", pid);
	return map;
}

static void forget(struct dp_perf_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		free(map->entries[i].name);
	map->count = map->bytes = map->rest_size = 0;
	map->read_to = 0;
	map->skips_line = false;
}

static void take_line(struct dp_perf_map *map, char *line)
{
	char *at = line, *end;
	errno = 0;
	const uint64_t start = strtoull(at, &end, 16);
	if (end == at || *end != ' ')
		return;
	at = end + 1;
	const uint64_t size = strtoull(at, &end, 16);
	if (end == at || *end != ' ' || !end[1] || errno || !size || start + size < start)
		return;
	if (map->count == map->capacity) {
		const size_t capacity = map->capacity ? map->capacity * 2 : 1024;
		struct entry *entries = realloc(map->entries, capacity * sizeof *entries);
		if (!entries)
			return;
		map->entries = entries;
		map->capacity = capacity;
	}
	const size_t length = strlen(end + 1);
	if (map->bytes + length + sizeof(struct entry) > BYTES_MOST)
		return;
	char *name = strdup(end + 1);
	if (!name)
		return;
	map->bytes += length + sizeof(struct entry);
	map->entries[map->count] = (struct entry){start, start + size, (uint32_t)map->count, name};
	map->count++;
	map->is_sorted = false;
}

static void take_bytes(struct dp_perf_map *map, const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (bytes[i] == '\n') {
			map->rest[map->rest_size] = 0;
			if (!map->skips_line)
				take_line(map, map->rest);
			map->rest_size = 0;
			map->skips_line = false;
		} else if (map->rest_size == sizeof map->rest - 1) {
			map->skips_line = true; /* nobody's name is that long */
		} else {
			map->rest[map->rest_size++] = bytes[i] ? bytes[i] : '?';
		}
	}
}

static void read_more(struct dp_perf_map *map)
{
	char bytes[CHUNK];
	struct stat status;
	const int fd = open(map->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		if (status.st_size < map->read_to)
			forget(map); /* begun anew */
		ssize_t got;
		while (map->bytes < BYTES_MOST && (got = pread(fd, bytes, sizeof bytes, map->read_to)) > 0) {
			take_bytes(map, bytes, (size_t)got);
			map->read_to += got;
		}
	}
	close(fd);
}

static int compare(const void *one, const void *other)
{
	const struct entry *a = one, *b = other;
	return a->start != b->start ? (a->start < b->start ? -1 : 1) : a->order < b->order ? -1 : a->order > b->order;
}

/* The newest of the entries that hold the address; they begin at or before it. */
static const struct entry *find(struct dp_perf_map *map, uint64_t address)
{
	enum { BACK_MOST = 4096 };
	if (!map->is_sorted && map->count)
		qsort(map->entries, map->count, sizeof *map->entries, compare);
	map->is_sorted = true;
	size_t low = 0, high = map->count;
	while (low < high) {
		const size_t middle = (low + high) / 2;
		if (map->entries[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	const struct entry *found = NULL;
	for (size_t back = 0; low-- > 0 && back < BACK_MOST; back++) {
		const struct entry *entry = &map->entries[low];
		if (address < entry->end && (!found || entry->order > found->order))
			found = entry;
	}
	return found;
}

int dp_perf_map_symbolise(struct dp_perf_map *map, uint64_t address, struct dp_symbol *symbol)
{
	const struct entry *entry = find(map, address);
	if (!entry) {
		read_more(map);
		entry = find(map, address);
	}
	if (!entry)
		return 0;
	*symbol = (struct dp_symbol){.name = entry->name, .system_name = entry->name};
	return 1;
}

void dp_perf_map_free(struct dp_perf_map *map)
{
	if (!map)
		return;
	forget(map);
	free(map->entries);
	free(map);
}
