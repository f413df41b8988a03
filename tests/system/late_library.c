/* SPDX-License-Identifier: Apache-2.0
 * Opens a library as its last word to the loader and spends all its time in it. late_library LIBRARY SECONDS */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
	struct timespec used;
	unsigned long (*sum)(unsigned long, const unsigned char *, unsigned) = NULL;
	static unsigned char bytes[1 << 20];
	unsigned long value = 0;
	void *library = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	if (library)
		*(void **)&sum = dlsym(library, "crc32");
	if (!sum)
		return 2;
	do {
		value = sum(value, bytes, sizeof bytes);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	} while ((double)used.tv_sec + (double)used.tv_nsec / 1e9 < atof(argv[2]));
	printf("%lu\n", value);
	return 0;
}
