/* SPDX-License-Identifier: Apache-2.0
 * Names a JIT writes into /tmp/perf-PID.map, a line each: START SIZE name, both in hex.
 *
 * The file only grows while its writer lives, and a later line is the truth where lines overlap: JITs use
 * memory again. Entries read are kept in two levels: a sorted one without overlaps, and the newest, which are
 * few and looked through one by one; so a file that grows between two questions does not mean sorting
 * everything again. */
#include "symbols/perf_map.h"
#include "base/arena.h"
#include "symbols/elf_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAMES_BYTES_MOST = 64 << 20,
	ENTRIES_MOST = 1 << 21,
	NAME_BYTES_MOST = 1024,
	RECENT_MOST = 512,
	READ_BYTES = 2 * DP_PERF_MAP_LINE_MOST,
};
/* In one go; a file that grows faster is read on at the next question. */
static const size_t read_most_bytes = 256ull << 20;

struct entry {
	uint64_t start, end;
	const char *name;
};

struct dp_perf_map {
	char path[64];
	char *root;
	dev_t device;
	ino_t inode;
	struct timespec changed;
	char tail[64]; /* the last bytes before read_to */
	size_t tail_size;
	uint64_t read_to;      /* the file up to here is read: whole lines */
	struct dp_arena names; /* live as long as the map: given out */
	struct entry *sorted;  /* by address, without overlaps */
	size_t sorted_count;
	struct entry *recent; /* in the file's order */
	size_t recent_count, recent_room;
	bool is_full;
	bool is_in_long_line; /* whose start was taken, whose end is not here yet */
};

struct dp_perf_map *dp_perf_map_new(int pid, const char *root)
{
	struct dp_perf_map *map = calloc(1, sizeof *map);
	if (!map)
		return NULL;
	snprintf(map->path, sizeof map->path, "/tmp/perf-%d.map", pid);
	map->root = root ? strdup(root) : NULL;
	dp_arena_init(&map->names, NAMES_BYTES_MOST);
	if (root && !map->root) {
		dp_perf_map_free(map);
		return NULL;
	}
	return map;
}

void dp_perf_map_free(struct dp_perf_map *map)
{
	if (!map)
		return;
	dp_arena_fini(&map->names);
	free(map->sorted);
	free(map->recent);
	free(map->root);
	free(map);
}

/* Hexadecimal digits at *text, before end; false: none, or more than 64 bits. */
static bool read_hex(const char **text, const char *end, uint64_t *value)
{
	const char *at = *text;
	*value = 0;
	if (end - at > 2 && at[0] == '0' && (at[1] | 32) == 'x')
		at += 2;
	const char *const first = at;
	for (; at < end && isxdigit((unsigned char)*at); at++) {
		if (*value >> 60)
			return false;
		*value = *value << 4 |
			 (uint64_t)(isdigit((unsigned char)*at) ? *at - '0' : (*at | 32) - 'a' + 10);
	}
	*text = at;
	return at > first;
}

static bool skip_spaces(const char **text, const char *end)
{
	const char *at = *text;
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	const bool is_some = at > *text;
	*text = at;
	return is_some;
}

static void add_entry(
	struct dp_perf_map *map, uint64_t start, uint64_t size, const char *name, size_t name_size)
{
	if (map->is_full)
		return;
	if (map->recent_count == map->recent_room) {
		const size_t room = map->recent_room ? 2 * map->recent_room : RECENT_MOST;
		struct entry *recent = realloc(map->recent, room * sizeof *recent);
		if (!recent)
			return;
		map->recent = recent;
		map->recent_room = room;
	}
	char *copy = dp_arena_copy(&map->names, name, name_size);
	if (!copy || map->sorted_count + map->recent_count >= ENTRIES_MOST) {
		map->is_full = true;
		return;
	}
	for (size_t i = 0; i < name_size; i++)
		if ((unsigned char)copy[i] < ' ')
			copy[i] = '?';
	map->recent[map->recent_count++] = (struct entry){start, start + size, copy};
}

static void read_line(struct dp_perf_map *map, const char *line, const char *end)
{
	uint64_t start, size;
	if (end > line && end[-1] == '\r')
		end--;
	if (!read_hex(&line, end, &start) || !skip_spaces(&line, end) || !read_hex(&line, end, &size) ||
		!skip_spaces(&line, end) || line == end || !size || size > UINT64_MAX - start)
		return;
	const size_t name_size = (size_t)(end - line);
	add_entry(map, start, size, line, name_size < NAME_BYTES_MOST ? name_size : NAME_BYTES_MOST);
}

/* Heap of the entries that cover the sweep's place, newest on top. */
struct cover {
	uint32_t *heap;
	size_t count;
};

static void push(struct cover *cover, uint32_t index)
{
	size_t at = cover->count++;
	for (; at && cover->heap[(at - 1) / 2] < index; at = (at - 1) / 2)
		cover->heap[at] = cover->heap[(at - 1) / 2];
	cover->heap[at] = index;
}

static void pop(struct cover *cover)
{
	const uint32_t last = cover->heap[--cover->count];
	size_t at = 0;
	for (size_t child; (child = 2 * at + 1) < cover->count; at = child) {
		if (child + 1 < cover->count && cover->heap[child + 1] > cover->heap[child])
			child++;
		if (cover->heap[child] <= last)
			break;
		cover->heap[at] = cover->heap[child];
	}
	if (cover->count)
		cover->heap[at] = last;
}

static int compare_starts(const void *a, const void *b, void *context)
{
	const struct entry *entries = context;
	const uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	if (entries[left].start != entries[right].start)
		return entries[left].start < entries[right].start ? -1 : 1;
	return left < right ? -1 : left > right;
}

static void emit(struct entry *sorted, size_t *count, uint64_t from, uint64_t to, const char *name)
{
	if (from >= to)
		return;
	if (*count && sorted[*count - 1].name == name && sorted[*count - 1].end == from)
		sorted[*count - 1].end = to;
	else
		sorted[(*count)++] = (struct entry){from, to, name};
}

/* Sweeps over all entries (oldest first) by address; each place gets the newest that covers it. A piece ends
 * where an entry starts or the piece's own ends: at most 2 * count of them. */
static size_t sweep(const struct entry *entries, const uint32_t *order, size_t count, uint32_t *heap,
	struct entry *sorted)
{
	struct cover cover = {.heap = heap};
	size_t next = 0, kept = 0;
	uint64_t at = 0;

	while (next < count || cover.count) {
		while (cover.count && entries[heap[0]].end <= at)
			pop(&cover);
		if (!cover.count) {
			if (next == count)
				break;
			at = entries[order[next]].start;
		}
		while (next < count && entries[order[next]].start <= at)
			push(&cover, order[next++]);
		while (cover.count && entries[heap[0]].end <= at)
			pop(&cover);
		if (!cover.count)
			continue;
		const struct entry *top = &entries[heap[0]];
		uint64_t to = top->end;
		if (next < count && entries[order[next]].start < to)
			to = entries[order[next]].start;
		emit(sorted, &kept, at, to, top->name);
		at = to;
	}
	return kept;
}

static void merge_recent(struct dp_perf_map *map)
{
	const size_t count = map->sorted_count + map->recent_count;
	struct entry *all = malloc(count * sizeof *all), *sorted = malloc(2 * count * sizeof *sorted);
	uint32_t *order = malloc(count * sizeof *order), *heap = malloc(count * sizeof *heap);

	if (all && sorted && order && heap) {
		if (map->sorted_count)
			memcpy(all, map->sorted, map->sorted_count * sizeof *all);
		memcpy(all + map->sorted_count, map->recent, map->recent_count * sizeof *all);
		for (size_t i = 0; i < count; i++)
			order[i] = (uint32_t)i;
		qsort_r(order, count, sizeof *order, compare_starts, all);
		map->sorted_count = sweep(all, order, count, heap, sorted);
		free(map->sorted);
		map->sorted = sorted;
		struct entry *fitting = realloc(map->sorted, (map->sorted_count + 1) * sizeof *sorted);
		if (fitting)
			map->sorted = fitting;
		sorted = NULL;
		map->recent_count = 0;
	}
	free(all);
	free(sorted);
	free(order);
	free(heap);
}

size_t dp_perf_map_take(struct dp_perf_map *map, const char *bytes, size_t size)
{
	const char *line = bytes, *const end = bytes + size, *newline;
	while (line < end && (newline = memchr(line, '\n', (size_t)(end - line)))) {
		if (!map->is_in_long_line)
			read_line(map, line, newline);
		map->is_in_long_line = false;
		line = newline + 1;
	}
	if (line == bytes && size >= DP_PERF_MAP_LINE_MOST) {
		if (!map->is_in_long_line)
			read_line(map, bytes, end);
		map->is_in_long_line = true;
		line = end;
	}
	return (size_t)(line - bytes);
}

/* The rest of the last line is read again when it has its end. */
static void read_on(struct dp_perf_map *map, int fd, uint64_t size)
{
	char *bytes = malloc(READ_BYTES);
	size_t total = 0;

	while (bytes && map->read_to < size && total < read_most_bytes) {
		const ssize_t got = pread(fd, bytes, READ_BYTES, (off_t)map->read_to);
		if (got < 0 && errno == EINTR)
			continue;
		const size_t used = got > 0 ? dp_perf_map_take(map, bytes, (size_t)got) : 0;
		if (!used)
			break;
		map->read_to += used;
		map->tail_size = used < sizeof map->tail ? used : sizeof map->tail;
		memcpy(map->tail, bytes + used - map->tail_size, map->tail_size);
		total += used;
	}
	free(bytes);
}

/* A new file may get the old one's inode and be longer, so what was read must still stand there. */
static bool is_continued(const struct dp_perf_map *map, int fd, const struct stat *status)
{
	char tail[sizeof map->tail];
	return status->st_dev == map->device && status->st_ino == map->inode &&
	       (uint64_t)status->st_size >= map->read_to &&
	       pread(fd, tail, map->tail_size, (off_t)(map->read_to - map->tail_size)) ==
		       (ssize_t)map->tail_size &&
	       !memcmp(tail, map->tail, map->tail_size);
}

static void begin_anew(struct dp_perf_map *map, const struct stat *status)
{
	map->device = status->st_dev;
	map->inode = status->st_ino;
	map->read_to = map->tail_size = 0;
	map->sorted_count = map->recent_count = 0; /* their texts were given out and stay */
	map->is_in_long_line = false;
}

static void refresh(struct dp_perf_map *map)
{
	struct stat status;
	const int fd = dp_open_under(map->path, map->root);
	if (fd < 0)
		return;
	/* /tmp is everybody's: names are believed only to our own user and to root. */
	const bool is_believed =
		fstat(fd, &status) == 0 && (status.st_uid == geteuid() || status.st_uid == 0);
	if (is_believed && (status.st_mtim.tv_sec != map->changed.tv_sec ||
				   status.st_mtim.tv_nsec != map->changed.tv_nsec ||
				   (uint64_t)status.st_size != map->read_to || status.st_ino != map->inode)) {
		if (!is_continued(map, fd, &status))
			begin_anew(map, &status);
		read_on(map, fd, (uint64_t)status.st_size);
		map->changed = status.st_mtim;
	}
	close(fd);
}

const char *dp_perf_map_name(struct dp_perf_map *map, uint64_t address)
{
	if (map->recent_count > RECENT_MOST)
		merge_recent(map);
	for (size_t i = map->recent_count; i-- > 0;)
		if (address >= map->recent[i].start && address < map->recent[i].end)
			return map->recent[i].name;
	size_t low = 0, high = map->sorted_count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (address < map->sorted[middle].start)
			high = middle;
		else if (address >= map->sorted[middle].end)
			low = middle + 1;
		else
			return map->sorted[middle].name;
	}
	return NULL;
}

int dp_perf_map_symbolise(struct dp_perf_map *map, uint64_t address, struct dp_symbol *symbol)
{
	refresh(map);
	const char *name = dp_perf_map_name(map, address);
	if (!name)
		return 0;
	*symbol = (struct dp_symbol){.name = name, .system_name = name};
	return 1;
}
