/* SPDX-License-Identifier: Apache-2.0
 * Starts of functions, beside readelf's list of them. */
#include "unwind/function_start.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
	const void *bytes;
	size_t size;
};

static struct file map_file(const char *path)
{
	struct stat status;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &status) == 0);
	void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(bytes, MAP_FAILED);
	close(fd);
	return (struct file){bytes, (size_t)status.st_size};
}

/* Asks for the first, a middle and the last address of every FDE. */
static unsigned compare(const char *path)
{
	char command[300], line[512];
	unsigned count = 0;
	const struct file file = map_file(path);
	snprintf(command, sizeof command, "readelf --wide --debug-dump=frames '%s' 2>/dev/null", path);
	FILE *list = popen(command, "r");
	assert_non_null(list);
	while (fgets(line, sizeof line, list)) {
		uint64_t from, to, start;
		const char *range = strstr(line, " pc=");
		if (!strstr(line, " FDE ") || !range ||
			sscanf(range, " pc=%" SCNx64 "..%" SCNx64, &from, &to) != 2 || from >= to)
			continue;
		const uint64_t addresses[] = {from, from + (to - from) / 2, to - 1};
		for (unsigned i = 0; i < 3; i++) {
			assert_true(dp_function_start(file.bytes, file.size, addresses[i], &start));
			assert_int_equal(start, from);
		}
		count++;
	}
	pclose(list); /* not 0 where a link to a debug file leads nowhere */
	munmap((void *)(uintptr_t)file.bytes, file.size);
	return count;
}

static void every_function_that_readelf_lists_is_found(void **state)
{
	(void)state;
	char self[200] = "";
	assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
	assert_true(compare(self) > 10);
	assert_true(compare("/lib/x86_64-linux-gnu/libc.so.6") > 2000);
}

static void what_no_function_holds_has_no_start(void **state)
{
	uint64_t start;
	const struct file file = map_file("/proc/self/exe");
	(void)state;
	assert_false(dp_function_start(file.bytes, file.size, 0, &start));
	assert_false(dp_function_start(file.bytes, file.size, 64, &start));
	assert_false(dp_function_start(file.bytes, file.size, UINT64_MAX, &start));
	assert_false(dp_function_start(file.bytes, file.size, UINT64_C(0x7fffffffffff), &start));
	assert_false(dp_function_start("", 0, 64, &start));
}

/* Cut anywhere, a file gives an answer or none; valgrind and the sanitizers watch the rest. */
static void a_file_cut_short_does_no_harm(void **state)
{
	uint64_t start;
	const struct file file = map_file("/proc/self/exe");
	(void)state;
	for (size_t size = 1; size < file.size; size += 1 + size / 16) {
		void *cut = malloc(size);
		assert_non_null(cut);
		memcpy(cut, file.bytes, size);
		for (uint64_t address = 0x1000; address < 0x20000; address += 0x333)
			dp_function_start(cut, size, address, &start);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_function_that_readelf_lists_is_found),
		cmocka_unit_test(what_no_function_holds_has_no_start),
		cmocka_unit_test(a_file_cut_short_does_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
