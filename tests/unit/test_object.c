/* SPDX-License-Identifier: Apache-2.0
 * Objects: addresses of offsets, the vDSO, files that are cut or are none, roots that are not ours. */
#include "symbols/symbols.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <link.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/deepprof-object-XXXXXX";

static int shell(const char *format, ...)
{
	char command[2048];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	return system(command);
}

static const char *in_folder(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

/* The loader says how far each file is from its own addresses, /proc/self/maps which offset lies where. */
static void offsets_become_the_addresses_the_loader_used(void **state)
{
	(void)state;
	void *const functions[] = {(void *)&offsets_become_the_addresses_the_loader_used, (void *)&malloc,
		(void *)&cmocka_set_message_output, (void *)&elf_version, dlsym(RTLD_DEFAULT, "dlopen")};
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
		char line[1024], path[512], mode[8];
		unsigned long start = 0, end = 0, offset = 0;
		const uintptr_t wanted = (uintptr_t)functions[i];
		FILE *maps = fopen("/proc/self/maps", "r");
		assert_non_null(maps);
		while (fgets(line, sizeof line, maps))
			if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %511s", &start, &end, mode, &offset,
				    path) == 5 &&
				wanted >= start && wanted < end)
				break;
		fclose(maps);
		int error;
		uint64_t address;
		Dl_info info;
		struct link_map *map = NULL;
		struct dp_object *object = dp_object_open(path, NULL, &error);
		assert_non_null(object);
		assert_int_not_equal(dladdr1(functions[i], &info, (void **)&map, RTLD_DL_LINKMAP), 0);
		assert_true(dp_object_address_of_offset(object, offset + (wanted - start), &address));
		assert_int_equal(address, wanted - map->l_addr);
		assert_true(dp_object_address_of_offset(object, offset, &address)); /* the mapping's start */
		assert_int_equal(address, start - map->l_addr);
		assert_false(dp_object_address_of_offset(object, 1ull << 40, &address));
		dp_object_free(object);
	}
}

static void the_vdso_has_names_of_its_own(void **state)
{
	(void)state;
	struct dp_symbol symbol;
	int error;
	if (!getauxval(AT_SYSINFO_EHDR)) {
		print_message("no vDSO here\n");
		skip();
	}
	struct dp_object *object = dp_object_vdso(&error);
	assert_non_null(object);
	size_t size, named = 0;
	assert_memory_equal(dp_object_bytes(object, &size), (const void *)getauxval(AT_SYSINFO_EHDR), 64);
	bool has_clock = false;
	for (uint64_t address = 0; address < size; address += 4)
		if (dp_object_symbolise(object, address, &symbol, 1) == 1) {
			named++;
			has_clock |= strstr(symbol.name, "clock_gettime") != NULL &&
				     !strncmp(symbol.name, "__", 2);
		}
	assert_true(has_clock);
	assert_true(named > 50);
	dp_object_free(object);
}

static void what_is_no_file_of_ours_is_refused(void **state)
{
	(void)state;
	int error = 0;
	assert_null(dp_object_open(in_folder("absent"), NULL, &error));
	assert_int_equal(error, -ENOENT);
	assert_int_equal(
		shell("echo text, and no more than that, but longer than any header of an ELF file is >%s",
			in_folder("text")),
		0);
	assert_null(dp_object_open(in_folder("text"), NULL, &error));
	assert_int_equal(error, -EBADMSG);
	assert_null(dp_object_open(folder, NULL, &error));
	assert_int_equal(error, -EBADMSG);
	assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
	assert_null(dp_object_open(in_folder("pipe"), NULL, &error)); /* and does not wait for a writer */
	assert_int_equal(error, -EBADMSG);
	assert_null(dp_object_from_memory("\177ELF", 4, "x", &error));
	assert_int_equal(error, -EBADMSG);
}

static void links_lead_nowhere_out_of_their_root(void **state)
{
	(void)state;
	int error;
	assert_int_equal(shell("cd %s && mkdir -p root/lib && cp /proc/self/exe root/lib/inside && "
			       "ln -s /lib/inside root/absolute && ln -s ../../../../../../lib/inside "
			       "root/relative && "
			       "ln -s %s/only_outside root/outside && cp /proc/self/exe only_outside",
				 folder, folder),
		0);
	const char *const names[] = {"/lib/inside", "/absolute", "/relative"};
	char root[128];
	snprintf(root, sizeof root, "%s/root", folder);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct dp_object *object = dp_object_open(names[i], root, &error);
		assert_non_null(object);
		dp_object_free(object);
	}
	assert_null(dp_object_open("/outside", root, &error));
	assert_int_equal(error, -ENOENT);
}

/* Reads all an object has, cut in the middle; a SIGBUS would end the child. */
static int read_while_cut(const char *path, bool is_guarded)
{
	const pid_t pid = fork();
	if (pid == 0) {
		int error;
		size_t size;
		struct dp_symbol symbols[32];
		if (is_guarded)
			dp_object_guard_bus();
		struct dp_object *object = dp_object_open(path, NULL, &error);
		if (!object || truncate(path, 4096))
			_exit(2);
		const volatile uint8_t *bytes = dp_object_bytes(object, &size);
		uint8_t sum = 0;
		for (size_t i = 0; is_guarded && i < size; i += 512)
			sum |= bytes[i];
		dp_object_abilities(object);
		for (uint64_t address = 0; address < 1 << 20; address += 4096)
			dp_object_symbolise(object, address, symbols, 32);
		dp_object_free(object);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	return status;
}

static void a_file_that_is_cut_does_not_end_us(void **state)
{
	(void)state;
	/* Large enough to be mapped: our own program with some MiB behind it. */
	for (int is_guarded = 0; is_guarded < 2; is_guarded++) {
		assert_int_equal(shell("cp /proc/%d/exe %s && head -c 6000000 /dev/zero >>%s", getpid(),
					 in_folder("cut"), in_folder("cut")),
			0);
		assert_int_equal(read_while_cut(in_folder("cut"), is_guarded), 0);
	}
}

/* Cut between two questions, when tables into the mapping already stand. */
static void a_file_cut_between_questions_does_not_end_us(void **state)
{
	(void)state;
	assert_int_equal(shell("cp /proc/%d/exe %s && head -c 6000000 /dev/zero >>%s", getpid(),
				 in_folder("later"), in_folder("later")),
		0);
	const pid_t pid = fork();
	if (pid == 0) {
		int error;
		struct dp_symbol symbols[32];
		dp_object_guard_bus();
		struct dp_object *object = dp_object_open(in_folder("later"), NULL, &error);
		size_t named = 0;
		for (uint64_t address = 0; object && address < 1 << 20; address += 64) {
			named += dp_object_symbolise(object, address, symbols, 32) > 0;
			if (named == 20 && truncate(in_folder("later"), 4096))
				_exit(2);
		}
		_exit(named < 20);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	if (!mkdtemp(folder))
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offsets_become_the_addresses_the_loader_used),
		cmocka_unit_test(the_vdso_has_names_of_its_own),
		cmocka_unit_test(what_is_no_file_of_ours_is_refused),
		cmocka_unit_test(links_lead_nowhere_out_of_their_root),
		cmocka_unit_test(a_file_that_is_cut_does_not_end_us),
		cmocka_unit_test(a_file_cut_between_questions_does_not_end_us),
	};
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	shell("rm -rf %s", folder);
	return failed;
}
