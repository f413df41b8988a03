/* SPDX-License-Identifier: Apache-2.0
 * What files are, told beside what readelf and stat tell, and of programs built here to be just that. */
#include "symbols/elf_inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/deepprof-inspect-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[4][512];
	static int turn;
	char *chosen = path[turn++ & 3];
	snprintf(chosen, sizeof path[0], "%s/%s", folder, name);
	return chosen;
}

static int shell(const char *format, ...)
{
	char command[2048];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	return system(command);
}

static struct dp_program inspected(const char *path)
{
	struct dp_program program;
	assert_int_equal(dp_program_inspect(&program, path), 0);
	return program;
}

static void write_text(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	write_text(in_folder("a.c"), "int main(void) { return 0; }\n");
	return shell("cd %s && gcc -g -o dynamic a.c && gcc -g -no-pie -o fixed a.c && gcc -static -o static "
		     "a.c && "
		     "gcc -static-pie -o static_pie a.c && gcc -shared -fPIC -o lib.so a.c && "
		     "strip -o stripped dynamic && gcc -Wl,--build-id=0xabcdef0123 -o chosen_id a.c",
		folder);
}

static int tear_down(void **state)
{
	(void)state;
	return shell("rm -rf %s", folder);
}

static void linkage_is_told_apart(void **state)
{
	(void)state;
	assert_int_equal(inspected(in_folder("dynamic")).link, DP_LINK_DYNAMIC);
	assert_int_equal(inspected(in_folder("fixed")).link, DP_LINK_DYNAMIC);
	assert_int_equal(inspected(in_folder("static")).link, DP_LINK_STATIC);
	assert_int_equal(inspected(in_folder("static_pie")).link, DP_LINK_STATIC);
	assert_int_equal(inspected(in_folder("lib.so")).link, DP_LINK_LIBRARY);
	assert_int_equal(inspected(in_folder("dynamic")).libc, DP_LIBC_GLIBC);
	assert_int_equal(inspected(in_folder("static")).libc, DP_LIBC_NONE);
	assert_string_equal(inspected(in_folder("static")).loader, "");
	assert_int_equal(inspected(in_folder("dynamic")).kind, DP_PROGRAM_ELF);
}

static void a_musl_loader_is_known_by_its_name(void **state)
{
	(void)state;
	assert_int_equal(
		shell("cd %s && gcc -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1 -o musl a.c", folder), 0);
	const struct dp_program program = inspected(in_folder("musl"));
	assert_int_equal(program.libc, DP_LIBC_MUSL);
	assert_string_equal(program.loader, "/lib/ld-musl-x86_64.so.1");
}

static void symbols_and_debug_information_are_seen(void **state)
{
	(void)state;
	const struct dp_program full = inspected(in_folder("dynamic")),
				bare = inspected(in_folder("stripped"));
	assert_true(full.has_symtab && full.has_dynsym && full.has_debug_info && full.has_eh_frame);
	assert_false(bare.has_symtab || bare.has_debug_info);
	assert_true(bare.has_dynsym && bare.has_eh_frame);
	assert_string_equal(full.build_id, bare.build_id);
	assert_string_equal(inspected(in_folder("chosen_id")).build_id, "abcdef0123");
	assert_int_equal(shell("cd %s && objcopy --remove-section=.eh_frame --remove-section=.eh_frame_hdr "
			       "--add-gnu-debuglink=dynamic stripped linked",
				 folder),
		0);
	assert_true(inspected(in_folder("linked")).has_debuglink);
	assert_false(bare.has_debuglink);
}

/* Of a debug file alone, contents of .eh_frame and .dynsym are gone though their headers stay. */
static void sections_without_contents_do_not_count(void **state)
{
	(void)state;
	assert_int_equal(shell("cd %s && objcopy --only-keep-debug dynamic only_debug", folder), 0);
	const struct dp_program program = inspected(in_folder("only_debug"));
	assert_true(program.has_debug_info && program.has_symtab);
	assert_false(program.has_dynsym);
}

static void programs_that_ignore_preloading_are_seen(void **state)
{
	(void)state;
	const char *path = in_folder("setuid");
	assert_int_equal(shell("cp %s/dynamic %s", folder, path), 0);
	assert_false(inspected(path).is_setuid);
	assert_int_equal(chmod(path, 04755), 0);
	assert_true(inspected(path).is_setuid);
	assert_false(inspected(path).is_setgid);
	assert_int_equal(chmod(path, 02755), 0);
	assert_true(inspected(path).is_setgid);
	assert_false(inspected(path).has_capabilities);
	if (!access("/usr/bin/su", F_OK))
		assert_true(inspected("/usr/bin/su").is_setuid);
	if (!shell("setcap cap_net_raw+ep %s 2>/dev/null", path))
		assert_true(inspected(path).has_capabilities);
	else
		print_message("no setcap here: file capabilities not tried\n");
}

static void go_is_known(void **state)
{
	(void)state;
	assert_false(inspected(in_folder("static")).is_go);
	if (shell("command -v go >/dev/null")) {
		print_message("no go here: Go programs not tried\n");
		return;
	}
	/* The go command itself is one. */
	char path[512] = "";
	FILE *answer = popen("readlink -f $(command -v go)", "r");
	assert_non_null(answer);
	assert_non_null(fgets(path, sizeof path, answer));
	pclose(answer);
	path[strcspn(path, "\n")] = '\0';
	assert_true(inspected(path).is_go);
}

static void scripts_name_their_interpreter(void **state)
{
	(void)state;
	static const struct {
		const char *text, *interpreter;
		bool is_python;
	} cases[] = {
		{"#!/bin/sh\necho\n", "/bin/sh", false},
		{"#! /usr/bin/python3 -u\n", "/usr/bin/python3", true},
		{"#!/usr/bin/env python3.11\n", "python3.11", true},
		{"#!/usr/bin/env -S A=1 python -u\r\n", "python", true},
		{"#!/usr/bin/pythonize\n", "/usr/bin/pythonize", false},
		{"#!", "", false},
		{"#!/usr/bin/env", "", false},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *path = in_folder("script");
		write_text(path, cases[i].text);
		const struct dp_program program = inspected(path);
		assert_int_equal(program.kind, DP_PROGRAM_SCRIPT);
		assert_string_equal(program.interpreter, cases[i].interpreter);
		assert_int_equal(program.is_python, cases[i].is_python);
	}
}

static void runtimes_are_known_by_name_and_by_library(void **state)
{
	(void)state;
	assert_int_equal(shell("cd %s && cp dynamic java && cp dynamic python3 && "
			       "gcc -shared -fPIC -Wl,-soname,libjli.so -o libjli.so a.c && "
			       "gcc -shared -fPIC -Wl,-soname,libpython3.99.so.1.0 -o libpython.so a.c && "
			       "gcc -Wl,--no-as-needed -o launcher a.c libjli.so && "
			       "gcc -Wl,--no-as-needed -o embedder a.c libpython.so",
				 folder),
		0);
	assert_true(inspected(in_folder("java")).is_jvm);
	assert_true(inspected(in_folder("launcher")).is_jvm);
	assert_true(inspected(in_folder("python3")).is_python);
	assert_true(inspected(in_folder("embedder")).is_python);
	const struct dp_program plain = inspected(in_folder("dynamic"));
	assert_false(plain.is_jvm || plain.is_python);
}

static void needed_libraries_are_listed_as_readelf_lists_them(void **state)
{
	(void)state;
	char line[256], expected[1024] = "";
	assert_int_equal(shell("cd %s && gcc -shared -fPIC -Wl,-soname,libone.so.1 -o libone.so a.c && "
			       "gcc -Wl,--no-as-needed -o needy a.c libone.so -lm",
				 folder),
		0);
	snprintf(line, sizeof line, "readelf -d %s | sed -n 's/.*NEEDED.*\\[\\(.*\\)\\]/\\1/p'", in_folder("needy"));
	FILE *answer = popen(line, "r");
	assert_non_null(answer);
	while (fgets(line, sizeof line, answer))
		strcat(expected, line);
	pclose(answer);
	assert_string_equal(inspected(in_folder("needy")).needed, expected);
	assert_non_null(strstr(expected, "libone.so.1\n"));
	assert_string_equal(inspected(in_folder("static")).needed, "");
}

static void what_is_no_program_is_said_so(void **state)
{
	struct dp_program program;
	(void)state;
	assert_int_equal(dp_program_inspect(&program, in_folder("absent")), -ENOENT);
	assert_int_equal(dp_program_inspect(&program, folder), -EINVAL);
	write_text(in_folder("text"), "hello\n");
	assert_int_equal(inspected(in_folder("text")).kind, DP_PROGRAM_OTHER);
	write_text(in_folder("empty"), "");
	assert_int_equal(inspected(in_folder("empty")).kind, DP_PROGRAM_OTHER);
	/* A real file's header with the machine changed: 32-bit and big-endian ones are as foreign. */
	assert_int_equal(shell("cd %s && cp dynamic foreign && printf '\\363' | dd of=foreign bs=1 seek=18 "
			       "conv=notrunc status=none",
				 folder),
		0);
	assert_int_equal(inspected(in_folder("foreign")).kind, DP_PROGRAM_FOREIGN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linkage_is_told_apart),
		cmocka_unit_test(a_musl_loader_is_known_by_its_name),
		cmocka_unit_test(symbols_and_debug_information_are_seen),
		cmocka_unit_test(sections_without_contents_do_not_count),
		cmocka_unit_test(programs_that_ignore_preloading_are_seen),
		cmocka_unit_test(go_is_known),
		cmocka_unit_test(scripts_name_their_interpreter),
		cmocka_unit_test(runtimes_are_known_by_name_and_by_library),
		cmocka_unit_test(needed_libraries_are_listed_as_readelf_lists_them),
		cmocka_unit_test(what_is_no_program_is_said_so),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
