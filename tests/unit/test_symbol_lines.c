/* SPDX-License-Identifier: Apache-2.0
 * Functions, inlined functions, files and lines of every code address of programs built here, in all the ways
 * in which debug information is stored, beside what addr2line of binutils and llvm-symbolizer say. Neither
 * uses libdw. addr2line of binutils 2.40 takes an inlined C++ function without linkage name for its caller,
 * so its names count for C alone; it does not follow clang's DWARF 5 nor .dwo files. */
#include "symbols/symbols.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FRAMES_MOST = 32 };

static char folder[] = "/tmp/deepprof-lines-XXXXXX";

static const char c_source[] = "#include <stdio.h>\n"
			       "static inline int low(int x)\n"
			       "{\n"
			       "	return x * 3 + (x >> 2);\n"
			       "}\n"
			       "static inline int middle(int x)\n"
			       "{\n"
			       "	int sum = 0;\n"
			       "	for (int i = 0; i < x; i++)\n"
			       "		sum += low(i ^ sum);\n"
			       "	return sum;\n"
			       "}\n"
			       "__attribute__((noinline)) int top(int x)\n"
			       "{\n"
			       "	int a = middle(x);\n"
			       "	if (a > 5) {\n"
			       "		int b = low(a);\n"
			       "		printf(\"%d\\n\", b);\n"
			       "		return b + middle(a & 15);\n"
			       "	}\n"
			       "	return a;\n"
			       "}\n"
			       "int main(int count, char **words)\n"
			       "{\n"
			       "	(void)words;\n"
			       "	return top(count * 10) & 1;\n"
			       "}\n";

static const char cpp_source[] =
	"#include <algorithm>\n"
	"#include <cstdio>\n"
	"#include <map>\n"
	"#include <string>\n"
	"#include <vector>\n"
	"namespace app {\n"
	"template <class T> struct Box {\n"
	"	T v;\n"
	"	Box(T x) : v(x) {}\n"
	"	inline T twice() const { return v * 2 + v / 3; }\n"
	"};\n"
	"static inline int mix(int a, int b)\n"
	"{\n"
	"	for (int i = 0; i < b; i++)\n"
	"		a = a * 31 + (a >> 3);\n"
	"	return a;\n"
	"}\n"
	"namespace {\n"
	"struct Hidden {\n"
	"	int run(int n)\n"
	"	{\n"
	"		Box<long> box(n);\n"
	"		return (int)box.twice() + mix(n, 7);\n"
	"	}\n"
	"};\n"
	"}\n"
	"__attribute__((noinline)) int work(std::vector<int> &v)\n"
	"{\n"
	"	std::sort(v.begin(), v.end());\n"
	"	Hidden hidden;\n"
	"	int sum = 0;\n"
	"	for (int x : v)\n"
	"		sum += hidden.run(x);\n"
	"	return sum;\n"
	"}\n"
	"}\n"
	"int main(int count, char **)\n"
	"{\n"
	"	std::vector<int> a;\n"
	"	for (int i = 0; i < count * 100; i++)\n"
	"		a.push_back(i * 7919 % 1000);\n"
	"	std::map<std::string, int> m;\n"
	"	m[\"x\"] = app::work(a);\n"
	"	auto lambda = [&](int k) { volatile int z = k; return z + m[\"x\"]; };\n"
	"	std::printf(\"%d\\n\", lambda(3));\n"
	"}\n";

static const char rust_source[] =
	"use std::collections::HashMap;\n"
	"#[inline(always)]\n"
	"fn mix(a: u64, b: u64) -> u64 { a.rotate_left(5) ^ b.wrapping_mul(31) }\n"
	"struct S<T> { v: Vec<T> }\n"
	"impl<T: Copy + Into<u64>> S<T> {\n"
	"    #[inline(never)]\n"
	"    fn fold(&self) -> u64 { self.v.iter().map(|x| (*x).into()).fold(7, |a, x| mix(a, x)) }\n"
	"}\n"
	"fn main() {\n"
	"    let s = S { v: (0..1000u32).collect::<Vec<_>>() };\n"
	"    let mut m = HashMap::new();\n"
	"    m.insert(\"a\".to_string(), s.fold());\n"
	"    println!(\"{:?}\", m.get(\"a\"));\n"
	"}\n";

static int shell(const char *format, ...)
{
	char command[4096], whole[4400];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(command, sizeof command, format, arguments);
	va_end(arguments);
	snprintf(whole, sizeof whole, "cd %s && (%s) >>log 2>&1", folder, command);
	return system(whole);
}

static void write_text(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static bool have(const char *program)
{
	return shell("command -v %s", program) == 0;
}

static const char *llvm_symbolizer(void)
{
	return have("llvm-symbolizer")      ? "llvm-symbolizer"
	       : have("llvm-symbolizer-14") ? "llvm-symbolizer-14"
					    : NULL;
}

/* Where .text lies, by readelf. */
static void ask_text(const char *program, uint64_t *address, uint64_t *size)
{
	char command[512];
	unsigned long start = 0, length = 0;
	snprintf(command, sizeof command,
		"readelf -SW %s/%s | sed -n 's/.*\\] \\.text *PROGBITS *\\([0-9a-f]*\\) [0-9a-f]* "
		"\\([0-9a-f]*\\).*/\\1 \\2/p'",
		folder, program);
	FILE *answer = popen(command, "r");
	assert_non_null(answer);
	assert_int_equal(fscanf(answer, "%lx %lx", &start, &length), 2);
	pclose(answer);
	*address = start;
	*size = length;
}

struct frame {
	char name[4096], file[1024];
	unsigned line;
};

/* A clone's suffix is in the symbol table, not in DWARF. */
static void drop_suffix(char *name)
{
	static const char *const suffixes[] = {".cold", ".part.", ".isra.", ".constprop.", ".lto_priv."};
	for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
		char *found = strstr(name, suffixes[i]);
		if (found)
			*found = '\0';
	}
}

static bool ends_in(const char *name, const char *end)
{
	const size_t size = strlen(name), end_size = strlen(end);
	return size > end_size + 2 && !strcmp(name + size - end_size, end) &&
	       !strncmp(name + size - end_size - 2, "::", 2);
}

/* Both tools print a line with the address, then two lines a frame, innermost first. */
struct witness {
	FILE *answer;
	char *line;
	size_t capacity;
};

static bool next_line(struct witness *witness)
{
	do
		if (getline(&witness->line, &witness->capacity, witness->answer) <= 0)
			return false;
	while (*witness->line == '\n');
	witness->line[strcspn(witness->line, "\n")] = '\0';
	return true;
}

/* witness->line is the address; leaves it at the next address. */
static int next_frames(struct witness *witness, uint64_t address, struct frame *frames)
{
	int count = 0;
	assert_int_equal(strtoull(witness->line, NULL, 16), address);
	while (next_line(witness) && strncmp(witness->line, "0x", 2)) {
		struct frame *frame = &frames[count++];
		assert_true(count <= FRAMES_MOST);
		snprintf(frame->name, sizeof frame->name, "%s", witness->line);
		assert_true(next_line(witness));
		char *place = strstr(witness->line, " (discriminator");
		if (place)
			*place = '\0';
		place = strrchr(witness->line, ':');
		assert_non_null(place);
		*place = '\0';
		frame->line = (unsigned)strtoul(place + 1, NULL, 10);
		snprintf(frame->file, sizeof frame->file, "%s", witness->line);
	}
	return count;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* One piece of code may be several functions (the linker folds equal ones): nm then has both at one address.
 */
static bool are_aliases(const char *truth, const char *one, const char *other)
{
	static char last[2][4096]; /* addresses come in order: the same pair many times */
	static bool last_answer;
	if (!strcmp(last[0], one) && !strcmp(last[1], other))
		return last_answer;
	snprintf(last[0], sizeof last[0], "%s", one);
	snprintf(last[1], sizeof last[1], "%s", other);
	char command[10000];
	snprintf(command, sizeof command,
		"test \"$(nm %s/%s | awk '$3 == \"%s\" {print $1}')\" = \"$(nm %s/%s | awk '$3 == \"%s\" "
		"{print $1}')\" && "
		"nm %s/%s | grep -q ' %s$'",
		folder, truth, one, folder, truth, other, folder, truth, one);
	last_answer = !strchr(one, '\'') && !strchr(other, '\'') && system(command) == 0;
	return last_answer;
}

struct tally {
	size_t asked, inlined, unknown, wrong;
};

static bool is_same(const char *truth, const struct dp_symbol *ours, struct frame *theirs,
	bool do_names_count, bool do_files_count)
{
	char name[4096];
	snprintf(name, sizeof name, "%s", ours->system_name);
	drop_suffix(name);
	drop_suffix(theirs->name);
	if (do_names_count && strcmp(name, theirs->name) && !ends_in(name, theirs->name) &&
		!are_aliases(truth, ours->system_name, theirs->name))
		return false;
	if (ours->line != theirs->line)
		return false;
	return !do_files_count || !theirs->line ||
	       (ours->file && !strcmp(base_name(ours->file), base_name(theirs->file)));
}

/* Every step-th address of program's code; the witness reads the file truth, which is program or the one
 * before it was stripped. */
static void compare(const char *program, const char *truth, const char *witness_command, bool do_names_count,
	bool do_files_count, uint64_t step, struct tally *tally)
{
	struct witness witness = {0};
	struct frame frames[FRAMES_MOST];
	struct dp_symbol symbols[FRAMES_MOST];
	char path[512], command[1024];
	uint64_t start, size;
	int error;

	ask_text(truth, &start, &size);
	snprintf(path, sizeof path, "%s/addresses", folder);
	FILE *addresses = fopen(path, "w");
	assert_non_null(addresses);
	for (uint64_t address = start; address < start + size; address += step)
		fprintf(addresses, "0x%lx\n", address);
	assert_int_equal(fclose(addresses), 0);

	snprintf(path, sizeof path, "%s/%s", folder, program);
	struct dp_object *object = dp_object_open(path, NULL, &error);
	assert_non_null(object);
	snprintf(command, sizeof command, "cd %s && %s -a -f -i -e %s <addresses 2>/dev/null", folder,
		witness_command, truth);
	witness.answer = popen(command, "r");
	assert_non_null(witness.answer);
	*tally = (struct tally){0};
	assert_true(next_line(&witness));
	for (uint64_t address = start; address < start + size; address += step) {
		const int their_count = next_frames(&witness, address, frames);
		const int count = dp_object_symbolise(object, address, symbols, FRAMES_MOST);
		/* Padding, and start-up code of libc: no debug information, so nobody knows more than a name.
		 */
		if (!strcmp(frames[0].name, "??") || !frames[their_count - 1].line) {
			tally->unknown++;
			tally->wrong += count > their_count;
			continue;
		}
		tally->asked++;
		tally->inlined += their_count > 1;
		bool is_right = count == their_count;
		for (int i = 0; is_right && i < count; i++)
			is_right = is_same(truth, &symbols[i], &frames[i], do_names_count, do_files_count);
		if (is_right)
			continue;
		if (tally->wrong++ < 5) {
			for (int i = 0; i < count; i++)
				print_error("%s %lx: ours %s %s:%u\n", program, address,
					symbols[i].system_name, symbols[i].file ? symbols[i].file : "?",
					symbols[i].line);
			for (int i = 0; i < their_count; i++)
				print_error("%s %lx: theirs %s %s:%u\n", program, address, frames[i].name,
					frames[i].file, frames[i].line);
		}
	}
	pclose(witness.answer);
	free(witness.line);
	print_message(
		"%-14s beside %-40.40s: %zu addresses, %zu in inlined code, %zu wrong (%zu unknown to it)\n",
		program, witness_command, tally->asked, tally->inlined, tally->wrong, tally->unknown);
	dp_object_free(object);
}

static void assert_as_addr2line(const char *program, const char *truth, bool is_c, uint64_t step)
{
	struct tally tally;
	compare(program, truth, "addr2line", is_c, is_c, step, &tally);
	assert_int_equal(tally.wrong, 0);
	assert_true(tally.asked > 50 && tally.inlined > 20);
}

static void assert_as_llvm(const char *program, const char *truth, uint64_t step)
{
	struct tally tally;
	char command[256];
	const char *symbolizer = llvm_symbolizer();
	if (!symbolizer) {
		print_message("no llvm-symbolizer here: %s not compared with it\n", program);
		return;
	}
	snprintf(command, sizeof command, "%s --output-style=GNU --no-demangle", symbolizer);
	compare(program, truth, command, true, true, step, &tally);
	assert_int_equal(tally.wrong, 0);
	assert_true(tally.asked > 50 && tally.inlined > 20);
}

static void gcc_writes_dwarf_4_and_5(void **state)
{
	(void)state;
	for (int version = 4; version <= 5; version++) {
		assert_int_equal(
			shell("gcc -O2 -g -gdwarf-%d a.c -o c%d && g++ -O2 -g -gdwarf-%d b.cpp -o cpp%d",
				version, version, version, version),
			0);
		char name[16];
		snprintf(name, sizeof name, "c%d", version);
		assert_as_addr2line(name, name, true, 1);
		assert_as_llvm(name, name, 1);
		snprintf(name, sizeof name, "cpp%d", version);
		assert_as_addr2line(name, name, false, 3);
		assert_as_llvm(name, name, 3);
	}
}

static void clang_writes_no_aranges(void **state)
{
	(void)state;
	const char *clang = have("clang") ? "clang" : have("clang-14") ? "clang-14" : NULL;
	if (!clang) {
		print_message("no clang here\n");
		skip();
	}
	for (int version = 4; version <= 5; version++) {
		assert_int_equal(
			shell("%s -O2 -g -gdwarf-%d b.cpp -o clang%d -lstdc++", clang, version, version), 0);
		char name[16];
		snprintf(name, sizeof name, "clang%d", version);
		assert_int_not_equal(shell("readelf -SW %s | grep -q debug_aranges", name), 0);
		if (version == 4)
			assert_as_addr2line(name, name, false, 3);
		assert_as_llvm(name, name, 3);
	}
}

static void sections_are_compressed(void **state)
{
	(void)state;
	assert_int_equal(
		shell("g++ -O2 -g -gz=zlib b.cpp -o packed && readelf -tW packed | grep -q COMPRESSED"), 0);
	assert_as_addr2line("packed", "packed", false, 3);
	assert_as_llvm("packed", "packed", 3);
}

static void units_are_split_into_dwo_files(void **state)
{
	(void)state;
	for (int version = 4; version <= 5; version++) {
		assert_int_equal(shell("g++ -O2 -g -gdwarf-%d -c -gsplit-dwarf b.cpp -o split%d.o && "
				       "g++ split%d.o -o split%d && g++ -O2 -g -gdwarf-%d b.cpp -o whole%d",
					 version, version, version, version, version, version),
			0);
		char name[16], whole[16];
		snprintf(name, sizeof name, "split%d", version);
		snprintf(whole, sizeof whole, "whole%d", version);
		/* Same code: the witness reads the file that is not split. */
		assert_int_equal(shell("objcopy -O binary -j .text %s one && objcopy -O binary -j .text %s "
				       "two && cmp one two",
					 name, whole),
			0);
		assert_as_addr2line(name, whole, false, 3);
		assert_as_llvm(name, whole, 3);
	}
	/* Without their .dwo, lines stay, inlined functions go. */
	assert_int_equal(shell("rm *.dwo"), 0);
	struct tally tally;
	compare("split5", "whole5", "addr2line", false, false, 3, &tally);
	assert_true(tally.wrong > 0);
}

static void debug_files_are_found_by_link(void **state)
{
	(void)state;
	/* Without a build-id the CRC must prove the file. */
	assert_int_equal(shell("g++ -O2 -g -Wl,--build-id=none b.cpp -o full && "
			       "mkdir -p .debug && objcopy --only-keep-debug full full.dbg && "
			       "objcopy --strip-all --add-gnu-debuglink=full.dbg full linked && "
			       "cp linked hidden && mv full.dbg .debug/full.dbg"),
		0);
	assert_as_addr2line("linked", "full", false, 3);
	assert_as_llvm("linked", "full", 3);
	/* A file of that name that is another one is not believed. */
	assert_int_equal(shell("objcopy --only-keep-debug cpp4 .debug/full.dbg"), 0);
	struct tally tally;
	compare("linked", "full", "addr2line", false, false, 3, &tally);
	assert_int_equal(tally.wrong, tally.asked);
}

static void debug_files_are_found_by_build_id_under_the_root(void **state)
{
	(void)state;
	struct dp_symbol symbols[FRAMES_MOST];
	char root[64];
	uint64_t start, size;
	int error;
	assert_int_equal(shell("gcc -O2 -g -Wl,--build-id=0xfeedfacefeedface a.c -o identified && "
			       "mkdir -p root/bin root/usr/lib/debug/.build-id/fe && "
			       "objcopy --only-keep-debug identified "
			       "root/usr/lib/debug/.build-id/fe/edfacefeedface.debug && "
			       "strip -o root/bin/identified identified"),
		0);
	ask_text("identified", &start, &size);
	snprintf(root, sizeof root, "%s/root", folder);
	struct dp_object *object = dp_object_open("/bin/identified", root, &error);
	assert_non_null(object);
	assert_string_equal(dp_object_build_id(object), "feedfacefeedface");
	bool has_inlined = false;
	for (uint64_t address = start; address < start + size; address++) {
		const int count = dp_object_symbolise(object, address, symbols, FRAMES_MOST);
		has_inlined |= count == 3 && !strcmp(symbols[0].name, "low") &&
			       !strcmp(symbols[1].name, "middle") && !strcmp(symbols[2].name, "top") &&
			       symbols[1].line == 10 && symbols[2].start_line == 13;
	}
	assert_true(has_inlined);
	const struct dp_object_abilities can = dp_object_abilities(object);
	assert_true(can.has_functions && can.has_files && can.has_lines && can.has_inlines);
	dp_object_free(object);
}

static void shared_debug_information_is_found(void **state)
{
	(void)state;
	if (!have("dwz")) {
		print_message("no dwz here\n");
		skip();
	}
	assert_int_equal(
		shell("g++ -O2 -g -gdwarf-5 b.cpp -o dwz1 && g++ -O2 -g -gdwarf-5 -DX b.cpp -o dwz2 && "
		      "cp dwz1 undwz && dwz -m shared.dwz dwz1 dwz2 && readelf -SW dwz1 | grep -q altlink"),
		0);
	assert_as_addr2line("dwz1", "undwz", false, 3);
	assert_as_llvm("dwz1", "undwz", 3);
}

static void mini_debug_information_names_static_functions(void **state)
{
	(void)state;
	struct dp_symbol symbols[FRAMES_MOST];
	char path[256];
	unsigned long address = 0;
	int error;
	/* As Fedora's find-debuginfo does: symbols that .dynsym lacks, packed by xz. */
	assert_int_equal(shell("gcc -O2 -rdynamic -Wl,--build-id=none -fno-inline d.c -o full_mini && "
			       "objcopy --only-keep-debug full_mini mini && strip --strip-debug mini && xz "
			       "-f -k mini && "
			       "strip -o plain full_mini && objcopy --add-section .gnu_debugdata=mini.xz "
			       "plain with_mini"),
		0);
	snprintf(path, sizeof path, "nm %s/full_mini | grep ' t hidden'", folder);
	FILE *answer = popen(path, "r");
	assert_non_null(answer);
	assert_int_equal(fscanf(answer, "%lx", &address), 1);
	pclose(answer);
	for (int turn = 0; turn < 2; turn++) {
		snprintf(path, sizeof path, "%s/%s", folder, turn ? "with_mini" : "plain");
		struct dp_object *object = dp_object_open(path, NULL, &error);
		assert_non_null(object);
		const int count = dp_object_symbolise(object, address + 4, symbols, FRAMES_MOST);
		assert_int_equal(count, turn);
		if (count)
			assert_string_equal(symbols[0].name, "hidden");
		dp_object_free(object);
	}
}

static void rust_is_read_in_both_manglings(void **state)
{
	(void)state;
	if (!have("rustc")) {
		print_message("no rustc here\n");
		skip();
	}
	assert_int_equal(shell("rustc -O -g r.rs -o rust_legacy && "
			       "rustc -O -g -C symbol-mangling-version=v0 r.rs -o rust_v0"),
		0);
	assert_as_llvm("rust_legacy", "rust_legacy", 97);
	assert_as_llvm("rust_v0", "rust_v0", 97);
}

static void answers_are_the_same_after_a_trim(void **state)
{
	(void)state;
	struct dp_symbol first[FRAMES_MOST], second[FRAMES_MOST];
	char path[256];
	uint64_t start, size;
	int error;
	/* Unpacking must leave no trace in the bytes that are read again. */
	assert_int_equal(shell("g++ -O2 -g -gz=zlib b.cpp -o trimmed"), 0);
	ask_text("trimmed", &start, &size);
	snprintf(path, sizeof path, "%s/trimmed", folder);
	struct dp_object *object = dp_object_open(path, NULL, &error);
	assert_non_null(object);
	size_t bytes_size;
	const uint8_t *bytes = dp_object_bytes(object, &bytes_size);
	uint8_t *before = malloc(bytes_size);
	assert_non_null(before);
	memcpy(before, bytes, bytes_size);
	for (uint64_t address = start; address < start + size; address += 97) {
		const int count = dp_object_symbolise(object, address, first, FRAMES_MOST);
		assert_int_equal(dp_object_symbolise(object, address, second, FRAMES_MOST), count);
		const size_t full = dp_object_memory(object);
		dp_object_trim(object);
		assert_true(dp_object_memory(object) < full);
		/* Strings given out before outlive the trim. */
		assert_int_equal(dp_object_symbolise(object, address, second, FRAMES_MOST), count);
		for (int i = 0; i < count; i++) {
			assert_ptr_equal(first[i].name, second[i].name);
			assert_ptr_equal(first[i].file, second[i].file);
			assert_int_equal(first[i].line, second[i].line);
			assert_int_equal(first[i].start_line, second[i].start_line);
		}
	}
	assert_memory_equal(bytes, before, bytes_size);
	free(before);
	dp_object_free(object);
}

static void what_nobody_asks_for_long_is_dropped_and_read_again(void **state)
{
	(void)state;
	struct dp_symbol first[FRAMES_MOST], second[FRAMES_MOST];
	char path[256];
	uint64_t start, size;
	int error;
	assert_int_equal(shell("g++ -O2 -g -gz=zlib b.cpp -o rested"), 0);
	ask_text("rested", &start, &size);
	snprintf(path, sizeof path, "%s/rested", folder);
	struct dp_object *object = dp_object_open(path, NULL, &error);
	assert_non_null(object);
	assert_false(dp_object_rest(object, 1000)); /* nothing was read yet */
	const uint64_t half = start + size / 2;
	for (uint64_t address = start; address < half; address += 97)
		dp_object_symbolise(object, address, first, FRAMES_MOST);
	const size_t full = dp_object_memory(object);
	assert_false(dp_object_rest(object, 100000)); /* it was asked just before */
	assert_false(dp_object_rest(object, 129999));
	dp_object_symbolise(object, half, first, FRAMES_MOST); /* asked anew */
	assert_false(dp_object_rest(object, 130000));
	assert_false(dp_object_rest(object, 159999));
	assert_true(dp_object_rest(object, 160000));
	assert_true(dp_object_memory(object) < full);
	assert_false(dp_object_rest(object, 300000)); /* nothing is left to drop */
	struct dp_object *fresh = dp_object_open(path, NULL, &error);
	assert_non_null(fresh);
	for (uint64_t address = start; address < start + size; address += 31) {
		const int count = dp_object_symbolise(object, address, first, FRAMES_MOST);
		assert_int_equal(dp_object_symbolise(fresh, address, second, FRAMES_MOST), count);
		for (int i = 0; i < count; i++) {
			assert_string_equal(first[i].name, second[i].name);
			assert_string_equal(first[i].file ? first[i].file : "", second[i].file ? second[i].file : "");
			assert_int_equal(first[i].line, second[i].line);
		}
	}
	dp_object_free(fresh);
	dp_object_free(object);
}

static void of_too_many_frames_the_function_itself_stays(void **state)
{
	(void)state;
	struct dp_symbol all[FRAMES_MOST], few[2];
	char path[256];
	uint64_t start, size;
	int error;
	size_t tried = 0;
	ask_text("cpp5", &start, &size);
	snprintf(path, sizeof path, "%s/cpp5", folder);
	struct dp_object *object = dp_object_open(path, NULL, &error);
	assert_non_null(object);
	for (uint64_t address = start; address < start + size; address += 7) {
		const int count = dp_object_symbolise(object, address, all, FRAMES_MOST);
		if (count < 3)
			continue;
		tried++;
		assert_int_equal(dp_object_symbolise(object, address, few, 2), 2);
		assert_ptr_equal(few[0].name, all[0].name);
		assert_ptr_equal(few[1].name, all[count - 1].name);
	}
	assert_true(tried > 10);
	dp_object_free(object);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	/* As in the agent: files are mapped. test_symbol_functions has them copied. */
	if (dp_object_guard_bus())
		return -1;
	write_text("a.c", c_source);
	write_text("b.cpp", cpp_source);
	write_text("r.rs", rust_source);
	write_text("d.c", "#include <stdio.h>\n__attribute__((noinline)) static int hidden(int x) { "
			  "printf(\"%d\", x); return x * 7; }\n"
			  "int shown(int x) { return hidden(x) + hidden(x + 1); }\nint main(int c, char **v) "
			  "{ (void)v; return shown(c); }\n");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return shell("rm -rf %s", folder) & 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gcc_writes_dwarf_4_and_5),
		cmocka_unit_test(clang_writes_no_aranges),
		cmocka_unit_test(sections_are_compressed),
		cmocka_unit_test(units_are_split_into_dwo_files),
		cmocka_unit_test(debug_files_are_found_by_link),
		cmocka_unit_test(debug_files_are_found_by_build_id_under_the_root),
		cmocka_unit_test(shared_debug_information_is_found),
		cmocka_unit_test(mini_debug_information_names_static_functions),
		cmocka_unit_test(rust_is_read_in_both_manglings),
		cmocka_unit_test(answers_are_the_same_after_a_trim),
		cmocka_unit_test(what_nobody_asks_for_long_is_dropped_and_read_again),
		cmocka_unit_test(of_too_many_frames_the_function_itself_stays),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
