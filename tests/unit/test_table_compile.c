/* SPDX-License-Identifier: Apache-2.0
 * Compiled tables say what readelf says, row by row; damaged files give an error or a table, never a crash.
 *
 * Without arguments: a list of libraries; with arguments (the campaign): those files, and a summary. */
#include "unwind/compile.h"

#include "unwind/table.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const libraries[] = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libcrypto.so.3",
	"libz.so.1", "libcurl.so.4", "libgcc_s.so.1", "libelf.so.1", "libunwind.so.8",
	"ld-linux-x86-64.so.2"};

struct file {
	void *bytes;
	size_t size;
	struct dp_table_image image;
};

struct tally {
	unsigned long files, rows, equal, complex, mismatched, table_rows, table_bytes;
};

static int open_file(struct file *file, const char *path)
{
	struct stat status;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	*file = (struct file){0};
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status)) {
		close(fd);
		return -errno;
	}
	file->size = status.st_size;
	file->bytes = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	return file->bytes == MAP_FAILED ? -errno : 0;
}

static void close_file(struct file *file)
{
	free(file->image.bytes);
	munmap(file->bytes, file->size);
}

#if defined(__x86_64__)

/* One row of readelf's, as text: "rsp+8", "exp"; "c-16", "u", "s", "exp". */
struct row {
	char cfa[32], fp[32], ra[32];
};

static bool cfa_agrees(uint32_t rule, const char *cfa)
{
	static const char *const names[16] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
		"r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	const char *sign = strpbrk(cfa, "+-");
	char name[8] = "";

	if (!strcmp(cfa, "exp")) /* their meaning is judged where code runs: test_unwind_step.c */
		return dp_rule_kind(rule) == DP_RULE_PLT || dp_rule_kind(rule) == DP_RULE_AT_FP ||
		       dp_rule_kind(rule) == DP_RULE_AT_SP || dp_rule_kind(rule) == DP_RULE_SIGNAL;
	if (!sign || sign - cfa >= (long)sizeof name)
		return false;
	memcpy(name, cfa, sign - cfa);
	switch (dp_rule_kind(rule)) {
	case DP_RULE_SP:
		return !strcmp(name, "rsp") && dp_rule_long_offset(rule) == atol(sign);
	case DP_RULE_FP:
		return !strcmp(name, "rbp") && dp_rule_long_offset(rule) == atol(sign);
	case DP_RULE_OTHER:
		return !strcmp(name, names[dp_rule_small(rule)]) && dp_rule_short_offset(rule) == atol(sign);
	default:
		return false;
	}
}

static bool fp_agrees(uint32_t rule, const char *fp)
{
	const unsigned n = dp_rule_fp(rule);

	if (!strcmp(fp, "u") || !strcmp(fp, "s") || !*fp) /* u: undefined, and also: nothing was said */
		return n == DP_RULE_FP_SAME || n == DP_RULE_FP_UNDEFINED;
	if (!strcmp(fp, "exp")) /* popped in the last instruction: x86_64/step.h */
		return n == DP_RULE_FP_AT_FP || (n == DP_RULE_FP_SAME && dp_rule_kind(rule) == DP_RULE_SP);
	return fp[0] == 'c' && n >= 2 && n <= DP_RULE_FP_MAX && -8L * n == atol(fp + 1);
}

static bool agrees(uint32_t rule, const struct row *row)
{
	if (!strcmp(row->ra, "u"))
		return dp_rule_kind(rule) == DP_RULE_END;
	if (dp_rule_kind(rule) == DP_RULE_SIGNAL)
		return !strcmp(row->ra, "exp") && !strcmp(row->cfa, "exp");
	return !strcmp(row->ra, "c-8") && cfa_agrees(rule, row->cfa) && fp_agrees(rule, row->fp);
}

/* May this row be complex? What 32 bits can hold must not be. */
static bool is_beyond_rules(const struct row *row)
{
	if (strcmp(row->ra, "c-8") || !strcmp(row->cfa, "exp") || !strncmp(row->fp, "exp", 3) ||
		row->fp[0] == 'v')
		return true;
	if (row->fp[0] == 'c' && (atol(row->fp + 1) > -16 || atol(row->fp + 1) < -8 * DP_RULE_FP_MAX))
		return true;
	return row->fp[0] == 'r' || labs(atol(strpbrk(row->cfa, "+-"))) >= 1 << 18 ||
	       atol(strpbrk(row->cfa, "+-")) % 8;
}

static void check_row(const struct file *file, const char *path, uint64_t from, uint64_t to,
	const struct row *row, struct tally *tally)
{
	const struct dp_table *table = file->image.bytes;
	const uint64_t at[] = {from, to - 1};

	if (from >= to)
		return;
	for (int i = 0; i < 2; i++) {
		const uint32_t rule = dp_table_find(table, at[i] - file->image.origin);

		tally->rows++;
		if (agrees(rule, row)) {
			tally->equal++;
		} else if (rule == DP_RULE_COMPLEX && is_beyond_rules(row)) {
			tally->complex++;
		} else if (tally->mismatched++ < 10) {
			print_message("%s %#lx: rule %#x, readelf: %s rbp %s ra %s\n", path, at[i], rule,
				row->cfa, row->fp, row->ra);
		}
	}
}

/* The column of a register in a table's head line; -1: none. */
static int column_of(const char *head, const char *name)
{
	char word[32];
	int used, column = 0;

	for (; sscanf(head, "%31s%n", word, &used) == 1; head += used, column++)
		if (!strcmp(word, name))
			return column;
	return -1;
}

static void parse_row(char *line, const int columns[3], struct row *row)
{
	int column = 0;
	char *rest;

	*row = (struct row){0};
	for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest), column++) {
		if (word[0] == '(') { /* "r10 (r10)" is one column */
			column--;
			continue;
		}
		if (column == columns[0])
			snprintf(row->cfa, sizeof row->cfa, "%s", word);
		if (column == columns[1])
			snprintf(row->fp, sizeof row->fp, "%s", word);
		if (column == columns[2])
			snprintf(row->ra, sizeof row->ra, "%s", word);
	}
}

/* The rows of the file's CIEs: an FDE without a row of its own has its CIE's. */
static struct cie {
	unsigned long offset;
	struct row row;
} cies[4096];
static unsigned cie_count;

static const struct row *row_of_cie(unsigned long offset)
{
	for (unsigned i = cie_count; i--;)
		if (cies[i].offset == offset)
			return &cies[i].row;
	return NULL;
}

static void compare_with_readelf(const char *path, struct tally *tally)
{
	char command[600], line[1024];
	int columns[3] = {-1, -1, -1};
	uint64_t start = 0, end = 0, from = 0, cie = 0;
	bool in_eh_frame = false, in_fde = false, in_cie = false, has_row = false;
	struct row row;
	struct file file;
	FILE *readelf;

	assert_int_equal(open_file(&file, path), 0);
	if (dp_table_compile(file.bytes, file.size, &file.image)) {
		close_file(&file);
		return;
	}
	assert_int_equal(dp_table_check(file.image.bytes, file.image.size), 0);
	tally->files++;
	tally->table_rows += file.image.rows;
	tally->table_bytes += file.image.size;
	snprintf(command, sizeof command, "readelf -wF -wN '%s' 2>/dev/null", path);
	readelf = popen(command, "r");
	assert_non_null(readelf);
	cie_count = 0;
	while (fgets(line, sizeof line, readelf)) {
		const char *pc = strstr(line, " pc=");
		const bool is_cie = strstr(line, " CIE ") != NULL;
		uint64_t location;

		if (strstr(line, "Contents of the"))
			in_eh_frame = strstr(line, ".eh_frame section") != NULL;
		if (strstr(line, "Contents of the") || is_cie || pc) {
			if (in_fde && has_row)
				check_row(&file, path, from, end, &row, tally);
			in_cie = in_eh_frame && is_cie && sscanf(line, "%lx", &cie) == 1;
			in_fde = in_eh_frame && pc && sscanf(pc, " pc=%lx..%lx", &start, &end) == 2 && start;
			has_row = false;
			if (in_fde && sscanf(strstr(line, "cie="), "cie=%lx", &cie) == 1 && row_of_cie(cie)) {
				row = *row_of_cie(cie);
				from = start;
				has_row = true;
			}
		} else if (strstr(line, "   LOC ")) {
			columns[0] = column_of(line, "CFA");
			columns[1] = column_of(line, "rbp");
			columns[2] = column_of(line, "ra");
		} else if ((in_fde || in_cie) && strspn(line, "0123456789abcdef") == 16 &&
			   sscanf(line, "%lx", &location) == 1) {
			if (in_fde && has_row)
				check_row(&file, path, from, location, &row, tally);
			parse_row(line, columns, &row);
			from = location;
			has_row = true;
			if (in_cie && cie_count < sizeof cies / sizeof *cies)
				cies[cie_count++] = (struct cie){cie, row};
		}
	}
	if (in_fde && has_row)
		check_row(&file, path, from, end, &row, tally);
	pclose(readelf);
	close_file(&file);
}

static void every_row_of_a_library_is_what_readelf_says(void **state)
{
	struct tally tally = {0};

	(void)state;
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
		char path[256];

		snprintf(path, sizeof path, "/usr/lib/x86_64-linux-gnu/%s", libraries[i]);
		if (!access(path, R_OK))
			compare_with_readelf(path, &tally);
	}
	print_message("%lu libraries, %lu rows seen at both ends: %lu equal, %lu complex, %lu mismatched\n",
		tally.files, tally.rows, tally.equal, tally.complex, tally.mismatched);
	assert_true(tally.files >= 6 && tally.rows > 200000);
	assert_int_equal(tally.mismatched, 0);
	assert_true(tally.complex < tally.rows / 1000);
}

#else

static void every_row_of_a_library_is_what_readelf_says(void **state)
{
	(void)state;
	skip();
}

#endif

static const char *c_library(void)
{
	return access("/usr/lib/x86_64-linux-gnu/libc.so.6", R_OK) ? "/usr/lib/aarch64-linux-gnu/libc.so.6"
								   : "/usr/lib/x86_64-linux-gnu/libc.so.6";
}

static void assert_same_table(const struct dp_table_image *a, const struct dp_table_image *b)
{
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->origin, b->origin);
	assert_memory_equal(a->bytes, b->bytes, a->size);
}

static void without_section_headers_the_table_is_the_same(void **state)
{
	struct file whole, bare;

	(void)state;
	assert_int_equal(open_file(&whole, c_library()), 0);
	assert_int_equal(open_file(&bare, c_library()), 0);
	((Elf64_Ehdr *)bare.bytes)->e_shoff = 0;
	((Elf64_Ehdr *)bare.bytes)->e_shnum = 0;
	assert_int_equal(dp_table_compile(whole.bytes, whole.size, &whole.image), 0);
	assert_int_equal(dp_table_compile(bare.bytes, bare.size, &bare.image), 0);
	assert_same_table(&whole.image, &bare.image);
	close_file(&whole);
	close_file(&bare);
}

static void without_eh_frame_hdr_the_table_is_the_same(void **state)
{
	struct file whole, bare;
	Elf64_Phdr *segments;

	(void)state;
	assert_int_equal(open_file(&whole, c_library()), 0);
	assert_int_equal(open_file(&bare, c_library()), 0);
	segments = (Elf64_Phdr *)((char *)bare.bytes + ((Elf64_Ehdr *)bare.bytes)->e_phoff);
	for (int i = 0; i < ((Elf64_Ehdr *)bare.bytes)->e_phnum; i++)
		if (segments[i].p_type == PT_GNU_EH_FRAME)
			segments[i].p_type = PT_NULL;
	assert_int_equal(dp_table_compile(whole.bytes, whole.size, &whole.image), 0);
	assert_int_equal(dp_table_compile(bare.bytes, bare.size, &bare.image), 0);
	assert_same_table(&whole.image, &bare.image);
	close_file(&whole);
	close_file(&bare);
}

static void what_is_no_elf_file_of_this_machine_is_refused(void **state)
{
	struct file file;

	(void)state;
	assert_int_equal(dp_table_compile("not an ELF file", 15, &file.image), -EBADMSG);
	assert_int_equal(open_file(&file, c_library()), 0);
	assert_int_equal(dp_table_compile(file.bytes, 40, &file.image), -EBADMSG);
	((Elf64_Ehdr *)file.bytes)->e_machine = EM_S390;
	assert_int_equal(dp_table_compile(file.bytes, file.size, &file.image), -EBADMSG);
	((Elf64_Ehdr *)file.bytes)->e_machine = DP_ELF_MACHINE;
	assert_int_equal(dp_table_compile(file.bytes, 3000, &file.image), -ENODATA);
	close_file(&file);
}

/* Compiles the same function with .eh_frame and with .debug_frame alone (compressed or not): one table. */
static void debug_frame_serves_where_there_is_no_eh_frame(void **state)
{
	static const char source[] =
		"int g(int); int f(int n) { char a[n]; a[0] = g(n); return g(a[n / 2]) + 1; }"
		"int g(int n) { return n > 3 ? f(n - 1) * f(n - 2) : 7; }"
		"int main(int c, char **v) { (void)v; return f(c); }";
	static const char *const flags[] = {"-fasynchronous-unwind-tables",
		"-fno-asynchronous-unwind-tables -fno-unwind-tables -g",
		"-fno-asynchronous-unwind-tables -fno-unwind-tables -g -gz=zlib"};
	struct dp_table_image images[3] = {0};
	uint64_t main_at[3] = {0};

	(void)state;
	if (system("cc --version > /dev/null 2>&1"))
		skip();
	for (int i = 0; i < 3; i++) {
		char base[64], command[512];
		struct file file;
		FILE *out;

		snprintf(base, sizeof base, "table_compile_%d", i);
		snprintf(command, sizeof command,
			"cc -x c -O2 %s -nostdlib -static -Wl,-e,main -Wl,-z,max-page-size=4096 "
			"-Wl,-Ttext=0x401000 "
			"-Wl,--build-id=none -o %s -",
			flags[i], base);
		out = popen(command, "w");
		assert_non_null(out);
		assert_true(fputs(source, out) >= 0);
		assert_int_equal(pclose(out), 0);
		assert_int_equal(open_file(&file, base), 0);
		main_at[i] = ((Elf64_Ehdr *)file.bytes)->e_entry;
		assert_int_equal(dp_table_compile(file.bytes, file.size, &images[i]), 0);
		assert_int_equal(images[i].fdes, 3);
		close_file(&file);
		unlink(base);
	}
	for (int i = 1; i < 3; i++) {
		const struct dp_table *a = images[0].bytes, *b = images[i].bytes;

		assert_int_equal(main_at[i], main_at[0]);
		for (uint64_t at = 0x401000; at < 0x401000 + 512; at++)
			assert_int_equal(dp_table_find(a, at - images[0].origin),
				dp_table_find(b, at - images[i].origin));
	}
	for (int i = 0; i < 3; i++)
		free(images[i].bytes);
}

static int campaign(int count, char **paths)
{
	struct tally all = {0};

#if defined(__x86_64__)
	for (int i = 0; i < count; i++) {
		if (strchr(paths[i], '\''))
			continue;
		compare_with_readelf(paths[i], &all);
	}
#else
	(void)count, (void)paths;
#endif
	printf("%lu files; readelf rows seen at both ends: %lu, equal %lu, complex %lu (%.5f%%), mismatched "
	       "%lu; "
	       "table rows %lu, %.2f bytes each\n",
		all.files, all.rows, all.equal, all.complex, 100.0 * all.complex / (all.rows ? all.rows : 1),
		all.mismatched, all.table_rows,
		(double)all.table_bytes / (all.table_rows ? all.table_rows : 1));
	return all.mismatched || !all.rows;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_of_a_library_is_what_readelf_says),
		cmocka_unit_test(without_section_headers_the_table_is_the_same),
		cmocka_unit_test(without_eh_frame_hdr_the_table_is_the_same),
		cmocka_unit_test(what_is_no_elf_file_of_this_machine_is_refused),
		cmocka_unit_test(debug_frame_serves_where_there_is_no_eh_frame),
	};

	if (argc > 1)
		return campaign(argc - 1, argv + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
