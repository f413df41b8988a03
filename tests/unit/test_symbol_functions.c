/* SPDX-License-Identifier: Apache-2.0
 * Every function that nm sees in the libraries of this machine, and in programs built here, is found by its
 * address, under one of the names nm has for that address. */
#include "symbols/symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/deepprof-functions-XXXXXX";

static int shell(const char *format, ...)
{
	char command[4096];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	return system(command);
}

struct truth {
	uint64_t address, size;
	char type, *name;
};

static int by_address(const void *a, const void *b)
{
	const struct truth *left = a, *right = b;
	return left->address < right->address ? -1 : left->address > right->address;
}

/* nm's functions of a file, sorted by address. */
static size_t ask_nm(const char *options, const char *path, struct truth **truths)
{
	char command[PATH_MAX + 64];
	char *line = NULL;
	size_t room = 0, count = 0, capacity = 0;
	*truths = NULL;
	snprintf(command, sizeof command, "nm --defined-only -f sysv %s '%s' 2>/dev/null", options, path);
	FILE *answer = popen(command, "r");
	assert_non_null(answer);
	while (getline(&line, &capacity, answer) > 0) {
		char *fields[7] = {0}, *rest = line;
		for (int i = 0; i < 7; i++)
			fields[i] = strsep(&rest, "|");
		if (!fields[6] || (!strstr(fields[3], "FUNC") && !strstr(fields[3], "IFUNC")))
			continue;
		fields[0][strcspn(fields[0], "@ ")] = '\0';
		if (count == room)
			assert_non_null(*truths =
						realloc(*truths, (room = 2 * room + 1024) * sizeof **truths));
		(*truths)[count++] = (struct truth){.address = strtoull(fields[1], NULL, 16),
			.size = strtoull(fields[4], NULL, 16),
			.name = strdup(fields[0])};
	}
	free(line);
	assert_int_equal(pclose(answer), 0);
	if (count)
		qsort(*truths, count, sizeof **truths, by_address);
	return count;
}

static bool is_one_of(const struct truth *truths, size_t count, uint64_t address, const char *name)
{
	size_t low = 0, high = count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (truths[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && truths[low].address == address; low++)
		if (!strcmp(truths[low].name, name))
			return true;
	return false;
}

/* The outermost function at an address as the symbol table has it. */
static const char *name_at(struct dp_object *object, uint64_t address)
{
	struct dp_symbol symbols[64];
	const int count = dp_object_symbolise(object, address, symbols, 64);
	return count ? symbols[count - 1].system_name : "(none)";
}

static size_t misses_of(const char *options, const char *path)
{
	struct truth *truths;
	int error;
	size_t misses = 0;
	struct dp_object *object = dp_object_open(path, NULL, &error);
	assert_non_null(object);
	const size_t count = ask_nm(options, path, &truths);
	for (size_t i = 0; i < count; i++) {
		const char *found = name_at(object, truths[i].address);
		if (is_one_of(truths, count, truths[i].address, found))
			continue;
		/* More than nm -D sees may be known from a debug file or .symtab: then nm says of what. */
		if (misses++ < 10)
			print_error("%s %lx: %s, nm: %s\n", path, truths[i].address, found, truths[i].name);
	}
	print_message("%s: %zu functions, %zu misses\n", path, count, misses);
	assert_true(count > 0);
	for (size_t i = 0; i < count; i++)
		free(truths[i].name);
	free(truths);
	dp_object_free(object);
	return misses;
}

/* A file without its debug file: what stripped libraries give from .dynsym alone. */
static const char *alone(const char *path)
{
	static char copy[PATH_MAX];
	snprintf(copy, sizeof copy, "%s/alone.so", folder);
	assert_int_equal(
		shell("objcopy --remove-section=.gnu_debuglink --remove-section=.note.gnu.build-id '%s' '%s'",
			path, copy),
		0);
	return copy;
}

static void every_exported_function_is_found(void **state)
{
	(void)state;
	static const char *const names[] = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libcrypto.so.3",
		"libssl.so.3", "libcurl.so.4", "libgcc_s.so.1", "libdw.so.1"};
	size_t tried = 0;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		void *library = dlopen(names[i], RTLD_LAZY);
		char path[PATH_MAX];
		if (!library) {
			print_message("no %s here\n", names[i]);
			continue;
		}
		if (dlinfo(library, RTLD_DI_ORIGIN, path) == 0) {
			strcat(path, "/");
			strcat(path, names[i]);
			assert_int_equal(misses_of("-D", alone(path)), 0);
			tried++;
		}
		dlclose(library);
	}
	assert_true(tried >= 4);
}

static void every_function_of_our_own_is_found(void **state)
{
	(void)state;
	char path[PATH_MAX] = {0};
	assert_true(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
	assert_int_equal(misses_of("", path), 0);
}

static void known_names_win_over_internal_aliases(void **state)
{
	(void)state;
	static const char *const names[] = {"malloc", "free", "calloc", "puts", "write", "read", "fopen",
		"pthread_create", "pthread_mutex_lock", "nanosleep", "_exit", "qsort", "memcpy", "send",
		"epoll_wait"};
	char path[PATH_MAX];
	void *libc = dlopen("libc.so.6", RTLD_LAZY);
	int error;
	assert_non_null(libc);
	assert_int_equal(dlinfo(libc, RTLD_DI_ORIGIN, path), 0);
	strcat(path, "/libc.so.6");
	/* With its debug file, where there is one, and by .dynsym alone. */
	struct dp_object *const objects[] = {
		dp_object_open(path, NULL, &error), dp_object_open(alone(path), NULL, &error)};
	assert_non_null(objects[0]);
	assert_non_null(objects[1]);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char command[PATH_MAX + 64];
		unsigned long address = 0;
		snprintf(command, sizeof command, "nm -D '%s' | grep ' %s@@'", path, names[i]);
		FILE *answer = popen(command, "r");
		assert_non_null(answer);
		assert_int_equal(fscanf(answer, "%lx", &address), 1);
		pclose(answer);
		assert_string_equal(name_at(objects[0], address), names[i]);
		assert_string_equal(name_at(objects[1], address), names[i]);
	}
	dp_object_free(objects[0]);
	dp_object_free(objects[1]);
	dlclose(libc);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_exported_function_is_found),
		cmocka_unit_test(every_function_of_our_own_is_found),
		cmocka_unit_test(known_names_win_over_internal_aliases),
	};
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	shell("rm -rf %s", folder);
	return failed;
}
