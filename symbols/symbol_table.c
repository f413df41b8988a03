/* SPDX-License-Identifier: Apache-2.0
 * The functions of an ELF file by address: one sorted table of 16-byte entries, so that libraries of a
 * million symbols cost little, and names stay where they lie in the file. */
#include "symbols/symbol_table.h"
#include "symbols/plt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PADDING_MOST = 15, NESTED_MOST = 64 };

/* One symbol while the table is made. */
struct raw {
	uint64_t address, size;
	uint32_t name;
	uint8_t rank; /* smaller is the better name */
	bool is_weak;
	bool is_guessed; /* the symbol says no size */
	bool is_label;   /* nor that it is a function */
};

struct maker {
	struct dp_symbol_table *table;
	struct raw *raws;
	size_t count, room;
};

static const char *text_at(const struct dp_symbol_table *table, uint32_t name)
{
	for (size_t i = 0; i < table->text_count; i++) {
		if (name < table->texts[i].size)
			return (const char *)table->texts[i].bytes + name;
		name -= (uint32_t)table->texts[i].size;
	}
	return "";
}

/* Index of the first piece that starts at the address or behind it. */
static size_t first_behind(const struct dp_symbol_table *table, uint64_t address)
{
	size_t low = 0, high = table->count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (table->functions[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Where the texts start in the table's count; UINT32_MAX: no room for them. */
static uint32_t add_text(struct dp_symbol_table *table, const uint8_t *bytes, size_t size)
{
	uint64_t base = 0;
	for (size_t i = 0; i < table->text_count; i++)
		base += table->texts[i].size;
	if (table->text_count == DP_TABLE_TEXTS || base + size >= UINT32_MAX)
		return UINT32_MAX;
	table->texts[table->text_count++] = (struct dp_table_text){bytes, size};
	return (uint32_t)base;
}

static bool add_raw(struct maker *maker, const struct raw *raw)
{
	if (maker->count == maker->room) {
		const size_t room = maker->room ? maker->room * 2 : 1024;
		struct raw *raws = realloc(maker->raws, room * sizeof *raws);
		if (!raws)
			return false;
		maker->raws = raws;
		maker->room = room;
	}
	maker->raws[maker->count++] = *raw;
	return true;
}

/* A size is worth most: a name without one is a label. Weak ones are the public names of libc (write, puts).
 */
static uint8_t rank_of(const Elf64_Sym *symbol)
{
	return (uint8_t)((symbol->st_size ? 0 : 2) + (ELF64_ST_BIND(symbol->st_info) == STB_LOCAL ? 1 : 0));
}

/* The end of the section that holds the symbol: as far as a symbol without size may reach. */
static uint64_t section_end(const struct dp_elf_file *file, const Elf64_Sym *symbol)
{
	Elf64_Shdr section;
	if (symbol->st_shndx >= SHN_LORESERVE || !dp_elf_section_at(file, symbol->st_shndx, &section) ||
		symbol->st_value - section.sh_addr >= section.sh_size)
		return symbol->st_value + 1;
	return section.sh_addr + section.sh_size;
}

static bool is_defined(const Elf64_Sym *symbol)
{
	return symbol->st_shndx != SHN_UNDEF && symbol->st_shndx != SHN_ABS && symbol->st_name;
}

static bool is_function(const Elf64_Sym *symbol)
{
	const uint8_t type = ELF64_ST_TYPE(symbol->st_info);
	return type == STT_FUNC || type == STT_GNU_IFUNC;
}

/* Code in assembler often forgets to say that it is a function (__restore_rt). $x and $d tell code from data
 * on aarch64 and are no names. */
static bool is_label(const struct dp_elf_file *file, const Elf64_Sym *symbol, const char *name)
{
	Elf64_Shdr section;
	return ELF64_ST_TYPE(symbol->st_info) == STT_NOTYPE && *name != '$' && *name != '.' &&
	       dp_elf_section_at(file, symbol->st_shndx, &section) && section.sh_flags & SHF_EXECINSTR &&
	       symbol->st_value - section.sh_addr < section.sh_size;
}

static int add_section(struct maker *maker, const struct dp_elf_file *file, const Elf64_Shdr *section)
{
	Elf64_Shdr strings;
	Elf64_Sym symbol;
	size_t size, text_size;
	const uint8_t *symbols = dp_elf_section_bytes(file, section, &size);
	if (!symbols || section->sh_entsize != sizeof symbol ||
		!dp_elf_section_at(file, section->sh_link, &strings))
		return 0;
	const uint8_t *texts = dp_elf_section_bytes(file, &strings, &text_size);
	while (text_size && texts[text_size - 1])
		text_size--; /* so that every text ends */
	const uint32_t base = text_size ? add_text(maker->table, texts, text_size) : UINT32_MAX;
	if (base == UINT32_MAX)
		return 0;
	for (size_t at = 0; size - at >= sizeof symbol; at += sizeof symbol) {
		memcpy(&symbol, symbols + at, sizeof symbol);
		if (!is_defined(&symbol) || symbol.st_name >= text_size || !texts[symbol.st_name])
			continue;
		struct raw raw = {.address = symbol.st_value,
			.size = symbol.st_size,
			.name = base + symbol.st_name,
			.rank = rank_of(&symbol),
			.is_weak = ELF64_ST_BIND(symbol.st_info) == STB_WEAK};
		if (!is_function(&symbol)) {
			if (!is_label(file, &symbol, (const char *)texts + symbol.st_name))
				continue;
			raw.is_label = true;
			raw.rank += 4;
		}
		if (!raw.size) {
			raw.is_guessed = true;
			raw.size = section_end(file, &symbol) - raw.address;
		}
		if (raw.size > UINT64_MAX - raw.address)
			continue;
		if (!add_raw(maker, &raw))
			return -ENOMEM;
	}
	return 0;
}

/* What the linker or a library put before the name people call: malloc is __libc_malloc too. Mangled names
 * start with one that says nothing, and the vDSO's own names are better than those they share with libc. */
static size_t underscores(const char *name)
{
	if (!strncmp(name, "__vdso_", 7) || !strncmp(name, "__kernel_", 9))
		return 0;
	return !strncmp(name, "_Z", 2) || !strncmp(name, "_R", 2) ? 1 : 1 + strspn(name, "_");
}

/* By address; of several names the one to keep first. */
static int compare(const void *a, const void *b, void *context)
{
	const struct raw *left = a, *right = b;
	const struct dp_symbol_table *table = context;
	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	if (left->rank != right->rank)
		return left->rank < right->rank ? -1 : 1;
	if (left->name == right->name)
		return 0;
	const char *one = text_at(table, left->name), *other = text_at(table, right->name);
	if (underscores(one) != underscores(other))
		return underscores(one) < underscores(other) ? -1 : 1;
	if (left->is_weak != right->is_weak)
		return left->is_weak ? 1 : -1;
	const size_t length = strlen(one), other_length = strlen(other);
	if (length != other_length)
		return length < other_length ? -1 : 1;
	const int order = strcmp(one, other);
	return order ? order : left->name < right->name ? -1 : 1;
}

/* One name an address; a name without size ends where the next symbol starts and yields to a function around.
 */
static size_t keep_best(struct raw *raws, size_t count)
{
	size_t kept = 0;
	uint64_t covered_to = 0;
	for (size_t i = 0; i < count; i++) {
		struct raw raw = raws[i];
		if (kept && raws[kept - 1].address == raw.address)
			continue;
		/* Labels inside a function are places to jump to. */
		if (raw.is_label && kept && !raws[kept - 1].is_label && raws[kept - 1].is_guessed &&
			raw.address - raws[kept - 1].address < raws[kept - 1].size)
			continue;
		if (kept && raws[kept - 1].is_guessed &&
			raws[kept - 1].size > raw.address - raws[kept - 1].address)
			raws[kept - 1].size = raw.address - raws[kept - 1].address;
		if (raw.is_guessed && raw.address < covered_to)
			continue;
		if (!raw.is_guessed && raw.address + raw.size > covered_to)
			covered_to = raw.address + raw.size;
		raws[kept++] = raw;
	}
	return kept;
}

static void put(struct dp_symbol_table *table, uint64_t from, uint64_t to, uint32_t name)
{
	if (to > from)
		table->functions[table->count++] = (struct dp_code_piece){
			from, to - from > UINT32_MAX ? UINT32_MAX : (uint32_t)(to - from), name};
}

/* Functions can lie within others (code in assembler): cut them into pieces, so that a look-up is one search.
 * The innermost wins; each symbol ends at most one piece of another, hence at most 2 * count pieces. */
static void flatten(struct dp_symbol_table *table, const struct raw *raws, size_t count)
{
	struct {
		uint64_t end;
		uint32_t name;
	} open[NESTED_MOST];
	size_t depth = 0;
	uint64_t at = 0;

	for (size_t i = 0; i <= count; i++) {
		const uint64_t next = i < count ? raws[i].address : UINT64_MAX;
		while (depth && open[depth - 1].end <= next) {
			put(table, at, open[depth - 1].end, open[depth - 1].name);
			if (open[depth - 1].end > at)
				at = open[depth - 1].end;
			depth--;
		}
		if (i == count)
			break;
		if (depth)
			put(table, at, next, open[depth - 1].name);
		at = next;
		if (depth == NESTED_MOST)
			depth--;
		open[depth].end = raws[i].address + raws[i].size;
		open[depth].name = raws[i].name;
		depth++;
	}
}

/* Padding behind a function is reached by return addresses of calls that do not return. It ends where the
 * section does: behind the last stub of .plt lies the first function of .text, which may have lost its name.
 */
static void take_padding(struct dp_symbol_table *table, const struct dp_elf_file *file)
{
	Elf64_Shdr section;
	for (size_t i = 1; dp_elf_section_at(file, i, &section); i++) {
		if (!(section.sh_flags & SHF_EXECINSTR))
			continue;
		const uint64_t end = section.sh_addr + section.sh_size;
		for (size_t at = first_behind(table, section.sh_addr); at < table->count; at++) {
			struct dp_code_piece *piece = &table->functions[at];
			uint64_t room = PADDING_MOST;
			if (piece->address >= end)
				break;
			if (at + 1 < table->count && piece[1].address - piece->address - piece->size < room)
				room = piece[1].address - piece->address - piece->size;
			const uint64_t piece_end = piece->address + piece->size;
			if (piece_end > end)
				room = 0;
			else if (end - piece_end < room)
				room = end - piece_end;
			if (piece->size <= UINT32_MAX - room)
				piece->size += (uint32_t)room;
		}
	}
}

static int finish(struct maker *maker, const struct dp_elf_file *file)
{
	struct dp_symbol_table *table = maker->table;
	if (!maker->count)
		return 0;
	qsort_r(maker->raws, maker->count, sizeof *maker->raws, compare, table);
	const size_t count = keep_best(maker->raws, maker->count);
	table->functions = malloc(2 * count * sizeof *table->functions);
	if (!table->functions)
		return -ENOMEM;
	flatten(table, maker->raws, count);
	take_padding(table, file);
	struct dp_code_piece *fitting = realloc(table->functions, (table->count + 1) * sizeof *fitting);
	if (fitting)
		table->functions = fitting;
	return 0;
}

/* Stubs wait apart until their texts stop moving. */
struct stubs {
	struct maker *maker;
	size_t room;
	bool has_failed;
};

static bool add_stub(void *context, uint64_t address, uint32_t size, const char *name)
{
	struct stubs *stubs = context;
	struct dp_symbol_table *table = stubs->maker->table;
	const size_t length = strlen(name), need = length + sizeof "@plt";
	if (stubs->room - table->owned_size < need) {
		const size_t room = 2 * stubs->room + need + 4096;
		char *owned = realloc(table->owned, room);
		if (!owned) {
			stubs->has_failed = true;
			return false;
		}
		table->owned = owned;
		stubs->room = room;
	}
	const struct raw raw = {address, size, (uint32_t)table->owned_size, .rank = 8};
	memcpy(table->owned + table->owned_size, name, length);
	memcpy(table->owned + table->owned_size + length, "@plt", sizeof "@plt");
	table->owned_size += need;
	stubs->has_failed = table->owned_size > UINT32_MAX / 2 || !add_raw(stubs->maker, &raw);
	return !stubs->has_failed;
}

static int add_stubs(struct maker *maker, const struct dp_elf_file *file)
{
	struct stubs stubs = {.maker = maker};
	const size_t first = maker->count;
	dp_plt_read(file, add_stub, &stubs);
	if (stubs.has_failed)
		return -ENOMEM;
	const uint32_t base =
		add_text(maker->table, (const uint8_t *)maker->table->owned, maker->table->owned_size);
	if (base == UINT32_MAX)
		maker->count = first;
	for (size_t i = first; i < maker->count; i++)
		maker->raws[i].name += base;
	return 0;
}

int dp_symbol_table_init(struct dp_symbol_table *table, const struct dp_elf_file *const *files, size_t count)
{
	struct maker maker = {.table = table};
	int error = 0;
	bool has_full = false, has_dynamic = false;

	*table = (struct dp_symbol_table){0};
	for (size_t i = 0; !error && i < count; i++) {
		Elf64_Shdr section;
		size_t size;
		/* The full table of one file is enough, but .gnu_debugdata leaves out what .dynsym has. */
		if (!has_full && dp_elf_find_type(files[i], SHT_SYMTAB, &section) &&
			dp_elf_section_bytes(files[i], &section, &size) && size > sizeof(Elf64_Sym)) {
			has_full = true;
			error = add_section(&maker, files[i], &section);
		}
		if (!error && !has_dynamic && dp_elf_find_type(files[i], SHT_DYNSYM, &section) &&
			dp_elf_section_bytes(files[i], &section, &size)) {
			has_dynamic = true;
			error = add_section(&maker, files[i], &section);
		}
	}
	if (!error && count)
		error = add_stubs(&maker, files[0]);
	if (!error && count)
		error = finish(&maker, files[0]);
	free(maker.raws);
	if (error)
		dp_symbol_table_fini(table);
	return error;
}

void dp_symbol_table_fini(struct dp_symbol_table *table)
{
	free(table->functions);
	free(table->owned);
	*table = (struct dp_symbol_table){0};
}

const char *dp_symbol_table_find(const struct dp_symbol_table *table, uint64_t address)
{
	const size_t behind = address < UINT64_MAX ? first_behind(table, address + 1) : table->count;
	if (!behind)
		return NULL;
	const struct dp_code_piece *function = &table->functions[behind - 1];
	return address - function->address < function->size ? text_at(table, function->name) : NULL;
}
