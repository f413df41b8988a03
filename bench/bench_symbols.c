/* SPDX-License-Identifier: Apache-2.0
 * Names per second and memory of a file: cold (opened, tables and DWARF read on the way), new addresses, and
 * addresses seen before; beside addr2line of binutils over the same addresses.
 *
 * Usage: bench_symbols FILE [ADDRESSES]; prints one line of a table. */
#include "symbols/symbols.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double resident_mib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (!file || fscanf(file, "%*s %ld", &pages) != 1)
		return 0;
	fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static size_t ask(struct dp_object *object, const uint64_t *addresses, size_t count)
{
	struct dp_symbol symbols[32];
	size_t named = 0;
	for (size_t i = 0; i < count; i++)
		named += dp_object_symbolise(object, addresses[i], symbols, 32) > 0;
	return named;
}

/* Seconds addr2line takes for as many of the addresses as it is given. */
static double addr2line(const char *path, const uint64_t *addresses, size_t count)
{
	char name[] = "/tmp/deepprof-bench-XXXXXX", command[4096];
	const int fd = mkstemp(name);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file)
		return 0;
	for (size_t i = 0; i < count; i++)
		fprintf(file, "%" PRIx64 "\n", addresses[i]);
	fclose(file);
	snprintf(command, sizeof command, "addr2line -f -i -C -e '%s' <%s >/dev/null", path, name);
	const double start = now();
	const int status = system(command);
	const double took = now() - start;
	unlink(name);
	return status ? 0 : took;
}

int main(int argc, char **argv)
{
	const size_t count = argc > 2 ? strtoul(argv[2], NULL, 0) : 20000;
	uint64_t *addresses = malloc((count + 1) * sizeof *addresses);
	int error;
	size_t size;
	if (argc < 2 || !addresses)
		return 2;
	dp_object_guard_bus();
	const double before = resident_mib();
	double start = now();
	struct dp_object *object = dp_object_open(argv[1], NULL, &error);
	if (!object) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-error));
		return 1;
	}
	/* Spread over all code, never two alike, in no order. */
	dp_object_bytes(object, &size);
	size_t found = 0;
	uint64_t at = 0;
	for (size_t tries = 0; found < count && tries < 100 * count; tries++) {
		at = (at + 0x9e3779b97f4a7c15u) % size;
		struct dp_symbol symbol;
		uint64_t address;
		if (tries < 1) /* opening and the first answer */
			dp_object_symbolise(object, 0, &symbol, 1);
		if (dp_object_address_of_offset(object, at, &address))
			addresses[found++] = address;
	}
	const double cold = now() - start;
	start = now();
	const size_t named = ask(object, addresses, found);
	const double fresh = now() - start;
	start = now();
	for (int turn = 0; turn < 10; turn++)
		ask(object, addresses, found);
	const double seen = (now() - start) / 10;
	const double grown = resident_mib() - before;
	const double told = (double)dp_object_memory(object) / 1048576;
	dp_object_trim(object);
	malloc_trim(0);
	const double left = resident_mib() - before;
	const size_t few = found < 2000 ? found : 2000;
	const double theirs = addr2line(argv[1], addresses, few);
	printf("%s: %zu of %zu addresses named; open and tables %.1f ms; new %.0f ns, seen %.0f ns each; "
	       "RSS +%.1f MiB (tells %.1f), +%.1f after trim; addr2line %.0f ns each\n",
		argv[1], named, found, cold * 1e3, fresh / (double)found * 1e9, seen / (double)found * 1e9,
		grown, told, left, theirs / (double)few * 1e9);
	dp_object_free(object);
	free(addresses);
	return 0;
}
