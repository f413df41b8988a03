/* SPDX-License-Identifier: Apache-2.0
 * Hostile perf maps, in pieces as they grow: what is found is what a plain search through the lines finds. */
#include "symbols/perf_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(struct dp_perf_map *map, const char *text, size_t size, size_t piece)
{
	size_t at = 0;
	while (at < size) {
		const size_t there = size - at < piece ? size - at : piece;
		const size_t used = dp_perf_map_take(map, text + at, there);
		if (used > there)
			abort();
		at += used;
		if (used)
			continue;
		if (there == size - at || piece > size)
			break; /* the last line has no end */
		piece *= 2;    /* a line longer than the piece: as a reader with a larger buffer */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dp_perf_map *whole = dp_perf_map_new(1, "/nowhere"), *pieces = dp_perf_map_new(1, "/nowhere");
	if (!whole || !pieces || !size)
		goto out;
	feed(whole, (const char *)data, size, size < 65536 ? size : 65536);
	feed(pieces, (const char *)data, size, 1 + data[0]);
	/* Starts and ends of the first lines are the addresses that matter. */
	const char *text = (const char *)data;
	for (size_t at = 0, lines = 0; at < size && lines < 64; lines++) {
		char line[48] = {0};
		memcpy(line, text + at, size - at < sizeof line - 1 ? size - at : sizeof line - 1);
		unsigned long long start = 0, length = 0;
		sscanf(line, "%llx %llx", &start, &length);
		const uint64_t addresses[] = {
			start - 1, start, start + length / 2, start + length - 1, start + length};
		for (int i = 0; i < 5; i++) {
			const char *one = dp_perf_map_name(whole, addresses[i]);
			const char *other = dp_perf_map_name(pieces, addresses[i]);
			/* Long lines are cut where a piece ends; others must agree. */
			if (!one != !other ||
				(one && strlen(one) < 100 && strlen(other) < 100 && strcmp(one, other)))
				abort();
		}
		const char *newline = memchr(text + at, '\n', size - at);
		at = newline ? (size_t)(newline - text) + 1 : size;
	}
out:
	dp_perf_map_free(whole);
	dp_perf_map_free(pieces);
	return 0;
}
