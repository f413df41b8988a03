/* SPDX-License-Identifier: Apache-2.0
 * Perf maps as JITs write them, and a real one of Node. */
#include "symbols/perf_map.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PID = 4711 };

static char root[] = "/tmp/deepprof-perfmap-XXXXXX";
static char map_path[128];

static void append(const char *text, size_t size)
{
	const int fd = open(map_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
	close(fd);
}

static void append_text(const char *text)
{
	append(text, strlen(text));
}

static const char *name_at(struct dp_perf_map *map, uint64_t address)
{
	struct dp_symbol symbol;
	return dp_perf_map_symbolise(map, address, &symbol) ? symbol.name : NULL;
}

static int set_up(void **state)
{
	unlink(map_path);
	*state = dp_perf_map_new(PID, root);
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	dp_perf_map_free(*state);
	return 0;
}

static void no_file_gives_no_names(void **state)
{
	assert_null(name_at(*state, 0x1000));
}

static void names_hold_from_start_to_end(void **state)
{
	append_text("1000 20 LazyCompile:*fib /app/fib.js:3\n2000 10 second\n");
	assert_null(name_at(*state, 0xfff));
	assert_string_equal(name_at(*state, 0x1000), "LazyCompile:*fib /app/fib.js:3");
	assert_string_equal(name_at(*state, 0x101f), "LazyCompile:*fib /app/fib.js:3");
	assert_null(name_at(*state, 0x1020));
	assert_string_equal(name_at(*state, 0x200f), "second");
}

static void a_file_that_grew_is_read_on(void **state)
{
	append_text("1000 20 one\n3000 1");
	assert_string_equal(name_at(*state, 0x1000), "one");
	assert_null(name_at(*state, 0x3000)); /* the line has no end yet */
	append_text("0 three\n");
	assert_string_equal(name_at(*state, 0x300f), "three");
	assert_string_equal(name_at(*state, 0x1000), "one");
}

static void the_newest_name_wins_where_code_overlaps(void **state)
{
	append_text("1000 100 old\n");
	const char *old = name_at(*state, 0x1080);
	assert_string_equal(old, "old");
	append_text("1040 40 new\n");
	assert_string_equal(name_at(*state, 0x103f), "old");
	assert_string_equal(name_at(*state, 0x1040), "new");
	assert_string_equal(name_at(*state, 0x107f), "new");
	assert_string_equal(name_at(*state, 0x1080), "old");
	assert_string_equal(old, "old"); /* texts stay where they are */
}

/* Each address beside a plain search through all lines from the end. */
static void many_overlapping_names_are_as_a_plain_search_finds_them(void **state)
{
	enum { LINES = 20000 };
	static struct {
		uint32_t start, size;
	} lines[LINES];
	char text[64];
	uint32_t seed = 1;
	FILE *file = fopen(map_path, "w");
	assert_non_null(file);
	for (int i = 0; i < LINES; i++) {
		seed = seed * 1664525u + 1013904223u;
		lines[i].start = seed >> 12;
		seed = seed * 1664525u + 1013904223u;
		lines[i].size = 1 + (seed >> 20) % (i % 100 ? 200 : 20000);
		fprintf(file, "%x %x f%d\n", lines[i].start, lines[i].size, i);
		if (i % 997 == 0) { /* grows between questions */
			fflush(file);
			name_at(*state, lines[i].start);
		}
	}
	fclose(file);
	size_t named = 0;
	for (int turn = 0; turn < 20000; turn++) {
		seed = seed * 1664525u + 1013904223u;
		const uint32_t address = seed >> 12;
		int i = LINES - 1;
		while (i >= 0 && (address < lines[i].start || address >= lines[i].start + lines[i].size))
			i--;
		const char *found = name_at(*state, address);
		if (i < 0) {
			assert_null(found);
			continue;
		}
		snprintf(text, sizeof text, "f%d", i);
		assert_non_null(found);
		assert_string_equal(found, text);
		named++;
	}
	assert_true(named > 5000);
}

static void bad_lines_are_passed_over(void **state)
{
	static const char lines[] = "\n"
				    "zzz\n"
				    "1000\n"
				    "1000 20\n"
				    "1000 20 \n"
				    "1000 0 empty\n"
				    "fffffffffffffff0 20 wraps\n"
				    "11112222333344445 20 toolong\n"
				    "-1000 20 negative\n"
				    "5000 10 con\x01trol\n"
				    "0x6000 0x10 prefixed\r\n"
				    "7000 10 na\0me\n";
	append(lines, sizeof lines - 1);
	assert_null(name_at(*state, 0x1000));
	assert_null(name_at(*state, 0xfffffffffffffff0));
	assert_string_equal(name_at(*state, 0x5000), "con?trol");
	assert_string_equal(name_at(*state, 0x6000), "prefixed");
	assert_string_equal(name_at(*state, 0x7000), "na?me");
}

static void an_endless_line_does_not_hide_the_next(void **state)
{
	char *text = malloc(300000);
	assert_non_null(text);
	memset(text, 'x', 300000);
	memcpy(text, "1000 10 ", 8);
	append(text, 300000);
	free(text);
	append_text("\n2000 10 next\n");
	assert_string_equal(name_at(*state, 0x2000), "next");
	assert_int_equal(strlen(name_at(*state, 0x1000)), 1024);
}

static void a_file_begun_anew_forgets_the_old_names(void **state)
{
	append_text("1000 20 old\n2000 20 old\n");
	const char *old = name_at(*state, 0x1000);
	assert_int_equal(truncate(map_path, 0), 0);
	append_text("1000 20 new\n");
	assert_string_equal(name_at(*state, 0x1000), "new");
	assert_null(name_at(*state, 0x2000));
	assert_string_equal(old, "old");
	assert_int_equal(unlink(map_path), 0);
	append_text("1000 20 another\n");
	assert_string_equal(name_at(*state, 0x1000), "another");
}

static void what_is_no_file_is_not_waited_for(void **state)
{
	assert_int_equal(mkfifo(map_path, 0644), 0);
	assert_null(name_at(*state, 0x1000));
	assert_int_equal(unlink(map_path), 0);
	if (geteuid() == 0) { /* another user's file is not believed */
		append_text("1000 20 planted\n");
		assert_int_equal(chown(map_path, 12345, 12345), 0);
		assert_null(name_at(*state, 0x1000));
	}
}

static void memory_has_an_end(void **state)
{
	FILE *file = fopen(map_path, "w");
	assert_non_null(file);
	char name[1000];
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (int i = 0; i < 100000; i++) /* 100 MB of names */
		fprintf(file, "%x 10 %s%d\n", 0x100000 + i * 16, name, i);
	fclose(file);
	assert_non_null(name_at(*state, 0x100000));
	assert_null(name_at(*state, 0x100000 + 99999 * 16));
}

static void a_real_map_of_node_is_read(void **state)
{
	(void)state;
	if (system("command -v node >/dev/null 2>&1")) {
		print_message("no node here\n");
		skip();
	}
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	const pid_t pid = fork();
	if (pid == 0) {
		dup2(pipes[1], 1);
		close(pipes[0]);
		close(pipes[1]);
		execlp("node", "node", "--perf-basic-prof", "-e",
			"function deepprofFib(n) { return n < 2 ? n : deepprofFib(n - 1) + deepprofFib(n - "
			"2); }"
			"console.log(deepprofFib(27)); setTimeout(() => {}, 20000)",
			NULL);
		_exit(127);
	}
	close(pipes[1]);
	char answer[16] = {0};
	assert_true(read(pipes[0], answer, sizeof answer - 1) > 0);
	assert_int_equal(atoi(answer), 196418);
	close(pipes[0]);

	char path[64], line[4096];
	snprintf(path, sizeof path, "/tmp/perf-%d.map", pid);
	struct dp_perf_map *map = dp_perf_map_new(pid, NULL);
	assert_non_null(map);
	/* The last line about an address is what it is now. */
	unsigned long start = 0, size = 0;
	size_t lines = 0;
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		unsigned long one, other;
		if (sscanf(line, "%lx %lx", &one, &other) != 2)
			continue;
		lines++;
		if (strstr(line, "deepprofFib")) {
			start = one;
			size = other;
		}
	}
	fclose(file);
	assert_true(start && size);
	const char *name = name_at(map, start + size / 2);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
	assert_non_null(name);
	assert_non_null(strstr(name, "deepprofFib"));
	print_message("node: %zu lines, \"%s\"\n", lines, name);
	dp_perf_map_free(map);
}

int main(void)
{
	char folder[64];
	if (!mkdtemp(root))
		return 1;
	snprintf(folder, sizeof folder, "%s/tmp", root);
	if (mkdir(folder, 0755))
		return 1;
	snprintf(map_path, sizeof map_path, "%s/perf-%d.map", folder, PID);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_file_gives_no_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_hold_from_start_to_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_that_grew_is_read_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_newest_name_wins_where_code_overlaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			many_overlapping_names_are_as_a_plain_search_finds_them, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bad_lines_are_passed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_endless_line_does_not_hide_the_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_file_begun_anew_forgets_the_old_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_file_is_not_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(memory_has_an_end, set_up, tear_down),
		cmocka_unit_test(a_real_map_of_node_is_read),
	};
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(map_path);
	rmdir(folder);
	rmdir(root);
	return failed;
}
