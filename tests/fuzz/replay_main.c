/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target over a folder of inputs and then over seeded mutations of them, without a fuzzer.
 *
 * Usage: fuzz_NAME FOLDER [MUTATIONS [SEED]]. Every input ends at, or within 15 bytes of, an unreadable page,
 * so a read past the end is seen without a sanitizer; an input that takes more than 10 s of CPU time is a
 * failure. The input that failed is left as ./crash-NAME. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_LIMIT = 1 << 20, FILE_LIMIT = 1024, SECONDS_EACH = 10 };

struct input {
	uint8_t *bytes;
	size_t size;
};

static struct input corpus[FILE_LIMIT];
static unsigned corpus_count;
static uint8_t *arena, *arena_end; /* arena_end is the first byte of the unreadable page */
static const uint8_t *volatile current;
static volatile size_t current_size;
static uint8_t scratch[INPUT_LIMIT + 64];
static char crash_name[256];

static uint64_t random_state;
static uint64_t next_random(void)
{
	/* splitmix64 */
	uint64_t z = (random_state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(size_t bound)
{
	return bound ? next_random() % bound : 0;
}

static void keep_the_input(int signo)
{
	const int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd >= 0) {
		if (write(fd, (const void *)current, current_size) < 0)
			_exit(3);
		close(fd);
	}
	signal(signo, SIG_DFL);
	raise(signo);
}

static void run(const uint8_t *bytes, size_t size, bool at_the_end)
{
	uint8_t *place = arena_end - size;

	if (!at_the_end) /* as aligned as a mapped file is */
		place = (uint8_t *)((uintptr_t)place & ~(uintptr_t)15);
	memmove(place, bytes, size);
	current = place;
	current_size = size;
	/* CPU time: how busy the machine is does not matter. The clock on the wall is for what waits for ever. */
	const struct itimerval limit = {.it_value = {.tv_sec = SECONDS_EACH}}, none = {0};
	setitimer(ITIMER_PROF, &limit, NULL);
	alarm(SECONDS_EACH * 30);
	LLVMFuzzerTestOneInput(place, size);
	alarm(0);
	setitimer(ITIMER_PROF, &none, NULL);
}

static size_t mutate(uint8_t *bytes, size_t size)
{
	static const uint64_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0xfffffffffffffff0, 0x7fffffffffffffff, 0xffffffffffffffff};
	unsigned steps = 1 + below(8);

	while (steps--) {
		const size_t at = below(size);
		const size_t room = size - at;

		if (!size)
			return 0;
		switch (below(7)) {
		case 0:
			bytes[at] ^= 1u << below(8);
			break;
		case 1:
			bytes[at] = next_random();
			break;
		case 2: { /* a word at the edge of its range */
			const uint64_t value = edges[below(sizeof edges / sizeof *edges)];
			const size_t width = (size_t)1 << below(4);

			memcpy(bytes + at, &value, width < room ? width : room);
			break;
		}
		case 3: /* cut */
			if (!below(4))
				size = at;
			break;
		case 4: { /* copy a piece to another place */
			const size_t length = below(room < 64 ? room : 64);

			memmove(bytes + below(size - length + 1), bytes + at, length);
			break;
		}
		case 5: { /* a piece of another input */
			const struct input *other = &corpus[below(corpus_count)];
			size_t length = below(other->size < 256 ? other->size : 256);

			if (length > room)
				length = room;
			memcpy(bytes + at, other->bytes + below(other->size - length + 1), length);
			break;
		}
		case 6: { /* grow */
			const size_t length = below(32);

			if (size + length > INPUT_LIMIT)
				break;
			memmove(bytes + at + length, bytes + at, room);
			size += length;
			break;
		}
		}
	}
	return size;
}

static bool read_corpus(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[4096];
	FILE *file;

	if (!dir)
		return false;
	while ((entry = readdir(dir)) && corpus_count < FILE_LIMIT) {
		struct input *input = &corpus[corpus_count];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		file = fopen(path, "rb");
		if (!file)
			continue;
		input->bytes = malloc(INPUT_LIMIT);
		if (!input->bytes)
			exit(2);
		input->size = fread(input->bytes, 1, INPUT_LIMIT, file);
		fclose(file);
		corpus_count++;
	}
	closedir(dir);
	return corpus_count > 0;
}

int main(int argc, char **argv)
{
	const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGPROF};
	const char *name = strrchr(argv[0], '/');
	const unsigned long mutations = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	const size_t page = 65536;

	random_state = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	snprintf(crash_name, sizeof crash_name, "crash-%s", name ? name + 1 : argv[0]);
	if (argc < 2 || !read_corpus(argv[1])) {
		fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS [SEED]] (the folder must hold inputs)\n",
			argv[0]);
		return 2;
	}
	arena = mmap(
		NULL, INPUT_LIMIT + page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arena == MAP_FAILED)
		return 2;
	arena_end = arena + INPUT_LIMIT + page;
	if (mprotect(arena_end, page, PROT_NONE))
		return 2;
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], keep_the_input);

	for (unsigned i = 0; i < corpus_count; i++) {
		run(corpus[i].bytes, corpus[i].size, true);
		run(corpus[i].bytes, corpus[i].size, false);
	}
	for (unsigned long i = 0; i < mutations; i++) {
		const struct input *input = &corpus[below(corpus_count)];
		size_t size = input->size;

		memcpy(scratch, input->bytes, size);
		size = mutate(scratch, size);
		run(scratch, size, i & 1);
	}
	printf("%u inputs, %lu mutations\n", corpus_count, mutations);
	return 0;
}
