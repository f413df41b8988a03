/* SPDX-License-Identifier: Apache-2.0
 * A host that writes anything into what it shares with the agent, while it is profiled. hostile_host SECONDS SEED */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile unsigned long burnt;

static uint64_t random_of(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned find_pieces(uint8_t **pieces, size_t *sizes, unsigned most)
{
	char line[512];
	unsigned count = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && count < most && fgets(line, sizeof line, maps)) {
		unsigned long start, end;
		if (strstr(line, "rw-s") && strstr(line, "memfd:deepprof") && sscanf(line, "%lx-%lx", &start, &end) == 2) {
			pieces[count] = (uint8_t *)start;
			sizes[count++] = end - start;
		}
	}
	if (maps)
		fclose(maps);
	return count;
}

int main(int argc, char **argv)
{
	const time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 5);
	uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	uint8_t *pieces[8];
	size_t sizes[8];
	unsigned long scribbles = 0;
	while (time(NULL) < end) {
		for (int i = 0; i < 2000000; i++)
			burnt = burnt * 6364136223846793005ul + 1442695040888963407ul;
		const unsigned count = find_pieces(pieces, sizes, 8);
		for (unsigned i = 0; i < count; i++)
			for (int j = 0; j < 40; j++) {
				const uint64_t where = random_of(&state), what = random_of(&state);
				/* Mostly the header and the rings' heads, where a word decides much. */
				const size_t room = what & 3 ? 16384 : sizes[i] - 8;
				uint64_t word = what >> 8;
				if (what & 4)
					word &= 0xffff;
				memcpy(pieces[i] + where % room, &word, sizeof word);
				scribbles++;
			}
	}
	printf("%lu words\n", scribbles);
	return 0;
}
