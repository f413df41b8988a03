/* SPDX-License-Identifier: Apache-2.0
 * Lines and inlined functions of addresses, from DWARF by libdw.
 *
 * libdw finds the unit of an address by .debug_aranges, which clang does not write, and scopes by walking the
 * whole unit for each question. So there are two indexes of our own: the ranges of all units, made once, and
 * the functions of a unit, made when it is first asked for. libdw reads our bytes, not a file, so it maps
 * nothing itself. DWARF is as foreign as everything: depths and counts of what we walk are bounded here; that
 * an origin does not lead in circles is checked by libdw. */
#include "symbols/dwarf_frames.h"

#include "base/arena.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	DEPTH_MOST = 128,
	INLINES_MOST = 64,
	RANGES_MOST = 1 << 16,  /* of one entry */
	ENTRIES_MOST = 1 << 24, /* walked in one unit */
	SCRATCH_BYTES = 16 * 1024,
	LINE_BYTES = 48, /* of libdw, per line and per unit */
	UNIT_BYTES = 640,
};

struct function {
	uint64_t low, high;
	void *entry; /* Dwarf_Die.addr */
};

struct unit {
	Dwarf_Die root;       /* of the skeleton where the unit is split */
	Dwarf_Die split_root; /* where its functions are */
	struct function *functions;
	size_t function_count, function_room;
	bool is_read, has_names;
};

struct unit_range {
	uint64_t low, high;
	uint64_t high_before; /* the highest end of this range and those before: how far to look back */
	uint32_t unit;
};

/* Finding the scopes around a function walks much of its unit, and each inlined copy asks anew. */
struct scoped_name {
	const void *entry; /* Dwarf_Die.addr of the declaration; NULL: free */
	const char *name, *scoped;
};

struct dp_dwarf {
	const struct dp_elf_file *file;
	Elf *elf, *alt_elf;
	Dwarf *dwarf, *alt;
	struct unit *units;
	size_t unit_count, unit_room;
	struct unit_range *ranges;
	size_t range_count, range_room;
	bool is_indexed;
	struct scoped_name *scoped_names; /* open addressing */
	size_t scoped_count, scoped_room;
	struct dp_arena texts;
	size_t estimate;
	size_t scratch_used;
	char scratch[SCRATCH_BYTES]; /* qualified names of one look-up */
};

static bool make_room(void **array, size_t *room, size_t count, size_t size)
{
	if (count < *room)
		return true;
	const size_t grown_room = *room ? 2 * *room : 64;
	void *grown = realloc(*array, grown_room * size);
	if (!grown)
		return false;
	*array = grown;
	*room = grown_room;
	return true;
}

/* What nothing here asks for, as large as the rest together. */
static bool is_needless(const char *section)
{
	static const char *const names[] = {"aranges", "frame", "gnu_pubnames", "gnu_pubtypes", "loc", "loclists", "macinfo",
		"macro", "names", "pubnames", "pubtypes"};
	if (!strncmp(section, ".debug_", 7))
		section += 7;
	else if (!strncmp(section, ".zdebug_", 8))
		section += 8;
	else
		return false;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (!strcmp(section, names[i]))
			return true;
	return false;
}

/* libdw unpacks all debug sections at once; those whose header says that they are elsewhere it leaves alone. */
static void hide_needless(const struct dp_elf_file *file, uint8_t *table)
{
	Elf64_Shdr names, section;
	size_t size;
	if (!dp_elf_section_at(file, file->section_names, &names))
		return;
	const uint8_t *texts = dp_elf_section_bytes(file, &names, &size);
	for (size_t i = 1; dp_elf_section_at(file, i, &section); i++) {
		const char *name = dp_elf_text(texts, size, section.sh_name);
		if (!name || !is_needless(name))
			continue;
		section.sh_type = SHT_NOBITS;
		memcpy(table + i * sizeof section, &section, sizeof section);
	}
}

/* Where libelf unpacks a section it says so in the section's header, in our bytes, which others read too: the
 * table is writable for that moment, and after it what it was. libdw then has what it wants of it. */
static Dwarf *begin(const struct dp_elf_file *file, Elf **elf)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint8_t *const table = (uint8_t *)file->bytes + file->header.e_shoff;
	const size_t size = file->section_count * sizeof(Elf64_Shdr);
	uint8_t *const first_page = (uint8_t *)((uintptr_t)table & ~(page - 1));
	const bool is_mapped = file->held == DP_ELF_MAPPED;
	Dwarf *dwarf = NULL;

	if (!size)
		return NULL;
	void *former = malloc(size);
	if (!former)
		return NULL;
	memcpy(former, table, size);
	elf_version(EV_CURRENT);
	if (!is_mapped ||
		!mprotect(first_page, (size_t)(table + size - first_page), PROT_READ | PROT_WRITE)) {
		hide_needless(file, table);
		*elf = elf_memory((char *)file->bytes, file->size);
		dwarf = *elf ? dwarf_begin_elf(*elf, DWARF_C_READ, NULL) : NULL;
		memcpy(table, former, size);
		if (is_mapped)
			mprotect(first_page, (size_t)(table + size - first_page), PROT_READ);
	}
	dp_elf_let_go(file); /* what was unpacked is not looked at again */
	free(former);
	return dwarf;
}

/* Unpacked debug sections stay in libelf's memory. */
static size_t unpacked_size(const struct dp_elf_file *file)
{
	Elf64_Shdr names, section;
	size_t total = 0, texts_size = 0;
	if (!dp_elf_section_at(file, file->section_names, &names))
		return 0;
	const uint8_t *texts = dp_elf_section_bytes(file, &names, &texts_size);
	for (size_t i = 1; dp_elf_section_at(file, i, &section); i++) {
		Elf64_Chdr header;
		const char *name = dp_elf_text(texts, texts_size, section.sh_name);
		if (!(section.sh_flags & SHF_COMPRESSED) || !name || is_needless(name) || section.sh_offset > file->size ||
			file->size - section.sh_offset < sizeof header)
			continue;
		memcpy(&header, file->bytes + section.sh_offset, sizeof header);
		if (header.ch_size < 1ull << 32)
			total += header.ch_size;
	}
	return total;
}

struct dp_dwarf *dp_dwarf_new(const struct dp_elf_file *file)
{
	struct dp_dwarf *dwarf = calloc(1, sizeof *dwarf);
	if (!dwarf)
		return NULL;
	dwarf->file = file;
	dwarf->dwarf = begin(file, &dwarf->elf);
	if (!dwarf->dwarf) {
		dp_dwarf_free(dwarf);
		return NULL;
	}
	dwarf->estimate = sizeof *dwarf + unpacked_size(file);
	return dwarf;
}

bool dp_dwarf_alt_link(const struct dp_dwarf *dwarf, const char **name, char *build_id, size_t size)
{
	const void *id;
	const ssize_t id_size = dwelf_dwarf_gnu_debugaltlink(dwarf->dwarf, name, &id);
	if (id_size <= 0 || (size_t)id_size * 2 >= size)
		return false;
	for (ssize_t i = 0; i < id_size; i++)
		snprintf(build_id + 2 * i, 3, "%02x", ((const uint8_t *)id)[i]);
	return true;
}

void dp_dwarf_set_alt(struct dp_dwarf *dwarf, const struct dp_elf_file *alt)
{
	dwarf->alt = begin(alt, &dwarf->alt_elf);
	if (dwarf->alt)
		dwarf_setalt(dwarf->dwarf, dwarf->alt);
}

void dp_dwarf_free(struct dp_dwarf *dwarf)
{
	if (!dwarf)
		return;
	for (size_t i = 0; i < dwarf->unit_count; i++)
		free(dwarf->units[i].functions);
	free(dwarf->units);
	free(dwarf->ranges);
	free(dwarf->scoped_names);
	dp_arena_fini(&dwarf->texts);
	if (dwarf->dwarf)
		dwarf_end(dwarf->dwarf);
	if (dwarf->alt)
		dwarf_end(dwarf->alt);
	if (dwarf->elf)
		elf_end(dwarf->elf);
	if (dwarf->alt_elf)
		elf_end(dwarf->alt_elf);
	free(dwarf);
}

/* Linkers leave the debug information of functions they dropped at address 0 or beside it. */
static bool is_code(const struct dp_elf_file *file, uint64_t low, uint64_t high)
{
	Elf64_Phdr segment;
	for (size_t i = 0; low < high && dp_elf_segment(file, i, &segment); i++)
		if (segment.p_type == PT_LOAD && segment.p_flags & PF_X && low >= segment.p_vaddr &&
			high - segment.p_vaddr <= segment.p_memsz)
			return true;
	return false;
}

static bool add_unit(struct dp_dwarf *dwarf, const Dwarf_Die *root)
{
	Dwarf_Addr base = 0, low, high;
	ptrdiff_t at = 0;
	Dwarf_Die die = *root;

	if (!make_room((void **)&dwarf->units, &dwarf->unit_room, dwarf->unit_count, sizeof *dwarf->units))
		return false;
	dwarf->units[dwarf->unit_count] = (struct unit){.root = *root};
	for (int i = 0; i < RANGES_MOST && (at = dwarf_ranges(&die, at, &base, &low, &high)) > 0; i++) {
		if (!is_code(dwarf->file, low, high))
			continue;
		if (!make_room((void **)&dwarf->ranges, &dwarf->range_room, dwarf->range_count,
			    sizeof *dwarf->ranges))
			return false;
		dwarf->ranges[dwarf->range_count++] =
			(struct unit_range){.low = low, .high = high, .unit = (uint32_t)dwarf->unit_count};
	}
	dwarf->unit_count++;
	return true;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct unit_range *left = a, *right = b;
	if (left->low != right->low)
		return left->low < right->low ? -1 : 1;
	return left->unit < right->unit ? -1 : left->unit > right->unit;
}

static void index_units(struct dp_dwarf *dwarf)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die root;
	uint8_t type;

	dwarf->is_indexed = true;
	while (dwarf->unit_count < UINT32_MAX &&
		dwarf_get_units(dwarf->dwarf, cu, &cu, NULL, &type, &root, NULL) == 0)
		if ((type == DW_UT_compile || type == DW_UT_skeleton) && !add_unit(dwarf, &root))
			break;
	if (dwarf->range_count)
		qsort(dwarf->ranges, dwarf->range_count, sizeof *dwarf->ranges, compare_ranges);
	uint64_t highest = 0;
	for (size_t i = 0; i < dwarf->range_count; i++) {
		if (dwarf->ranges[i].high > highest)
			highest = dwarf->ranges[i].high;
		dwarf->ranges[i].high_before = highest;
	}
	dwarf->estimate += dwarf->unit_room * (sizeof *dwarf->units + UNIT_BYTES) +
			   dwarf->range_room * sizeof *dwarf->ranges;
}

static struct unit *unit_at(struct dp_dwarf *dwarf, uint64_t address)
{
	size_t low = 0, high = dwarf->range_count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (dwarf->ranges[middle].low <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low; i-- > 0 && dwarf->ranges[i].high_before > address;)
		if (address < dwarf->ranges[i].high)
			return &dwarf->units[dwarf->ranges[i].unit];
	return NULL;
}

static bool may_hold_functions(int tag)
{
	switch (tag) {
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type: /* Rust's have methods */
	case DW_TAG_variant_part:
	case DW_TAG_subprogram:
	case DW_TAG_lexical_block:
	case DW_TAG_inlined_subroutine:
	case DW_TAG_entry_point:
		return true;
	default:
		return false;
	}
}

static void add_function(struct dp_dwarf *dwarf, struct unit *unit, Dwarf_Die *entry)
{
	Dwarf_Addr base = 0, low, high;
	ptrdiff_t at = 0;
	for (int i = 0; i < RANGES_MOST && (at = dwarf_ranges(entry, at, &base, &low, &high)) > 0; i++) {
		if (!is_code(dwarf->file, low, high))
			continue;
		if (!make_room((void **)&unit->functions, &unit->function_room, unit->function_count,
			    sizeof *unit->functions))
			return;
		unit->functions[unit->function_count++] =
			(struct function){.low = low, .high = high, .entry = entry->addr};
	}
}

static void walk_functions(
	struct dp_dwarf *dwarf, struct unit *unit, Dwarf_Die *parent, int depth, int *budget)
{
	Dwarf_Die entry;
	if (depth == DEPTH_MOST || dwarf_child(parent, &entry))
		return;
	do {
		if (--*budget < 0)
			return;
		const int tag = dwarf_tag(&entry);
		if (tag == DW_TAG_subprogram)
			add_function(dwarf, unit, &entry);
		if (may_hold_functions(tag))
			walk_functions(dwarf, unit, &entry, depth + 1, budget);
	} while (!dwarf_siblingof(&entry, &entry));
}

/* A function nested in another comes behind it, so that looking back finds the inner one first. */
static int compare_functions(const void *a, const void *b)
{
	const struct function *left = a, *right = b;
	if (left->low != right->low)
		return left->low < right->low ? -1 : 1;
	return left->high > right->high ? -1 : left->high < right->high;
}

static bool has_qualified_names(Dwarf_Die *root)
{
	switch (dwarf_srclang(root)) {
	case DW_LANG_C_plus_plus:
	case DW_LANG_C_plus_plus_03:
	case DW_LANG_C_plus_plus_11:
	case DW_LANG_C_plus_plus_14:
	case DW_LANG_Rust:
	case DW_LANG_D:
		return true;
	default:
		return false;
	}
}

static void read_unit(struct dp_dwarf *dwarf, struct unit *unit)
{
	Dwarf_Die split;
	Dwarf_Lines *lines;
	size_t line_count = 0;
	int budget = ENTRIES_MOST;

	unit->is_read = true;
	/* A split unit whose .dwo is not there still has its lines. */
	const bool is_split =
		!dwarf_cu_info(unit->root.cu, NULL, NULL, NULL, &split, NULL, NULL, NULL) && split.addr;
	unit->split_root = is_split ? split : unit->root;
	unit->has_names = has_qualified_names(&unit->split_root);
	walk_functions(dwarf, unit, &unit->split_root, 0, &budget);
	if (unit->function_count)
		qsort(unit->functions, unit->function_count, sizeof *unit->functions, compare_functions);
	dwarf_getsrclines(&unit->root, &lines, &line_count);
	dwarf->estimate += unit->function_room * sizeof *unit->functions + line_count * LINE_BYTES;
}

/* The innermost function: the last that starts at or before the address and holds it. Functions seldom
 * overlap, so looking back is short; where it is not, the first steps must do. */
static bool function_at(const struct unit *unit, uint64_t address, Dwarf_Die *entry)
{
	enum { LOOK_BACK_MOST = 256 };
	size_t low = 0, high = unit->function_count;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		if (unit->functions[middle].low <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low, steps = 0; i-- > 0 && steps < LOOK_BACK_MOST; steps++)
		if (address < unit->functions[i].high) {
			*entry = (Dwarf_Die){.addr = unit->functions[i].entry, .cu = unit->split_root.cu};
			return true;
		}
	return false;
}

/* Fills chain with the function and what is inlined at address, outermost first. */
static int inlined_at(Dwarf_Die *function, uint64_t address, Dwarf_Die *chain, int max)
{
	Dwarf_Die parent = *function, entry;
	int count = 1, budget = ENTRIES_MOST;

	chain[0] = *function;
	/* Blocks without a range of their own are looked into, so this is a walk with a way back. */
	Dwarf_Die waiting[DEPTH_MOST];
	int depth = 0;
	bool is_at_child = true;
	while (--budget > 0) {
		const int end = is_at_child ? dwarf_child(&parent, &entry) : dwarf_siblingof(&entry, &entry);
		is_at_child = false;
		if (end) {
			if (!depth)
				break;
			entry = waiting[--depth];
			continue;
		}
		const int tag = dwarf_tag(&entry);
		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block &&
			tag != DW_TAG_try_block && tag != DW_TAG_catch_block)
			continue;
		if (dwarf_haspc(&entry, address) == 1) {
			if (tag == DW_TAG_inlined_subroutine && count < max)
				chain[count++] = entry;
			depth = 0; /* nothing beside it can hold the address too */
		} else if (tag == DW_TAG_lexical_block && depth < DEPTH_MOST &&
			   !dwarf_hasattr(&entry, DW_AT_low_pc) && !dwarf_hasattr(&entry, DW_AT_ranges)) {
			waiting[depth++] = entry;
		} else {
			continue;
		}
		parent = entry;
		is_at_child = true;
	}
	return count;
}

static const char *text_of(Dwarf_Die *entry, unsigned int name)
{
	Dwarf_Attribute attribute;
	return dwarf_formstring(dwarf_attr_integrate(entry, name, &attribute));
}

/* The entry that declares a function stands in its class or name space; the one with code often does not. */
static void follow_origins(Dwarf_Die *entry)
{
	static const unsigned int links[] = {DW_AT_abstract_origin, DW_AT_specification};
	for (int i = 0; i < 16; i++) {
		Dwarf_Attribute attribute;
		Dwarf_Die origin;
		if (!dwarf_formref_die(dwarf_attr(entry, links[0], &attribute), &origin) &&
			!dwarf_formref_die(dwarf_attr(entry, links[1], &attribute), &origin))
			return;
		*entry = origin;
	}
}

static void append(struct dp_dwarf *dwarf, const char *text)
{
	const size_t size = strnlen(text, SCRATCH_BYTES);
	if (dwarf->scratch_used + size + 3 > SCRATCH_BYTES)
		return;
	memcpy(dwarf->scratch + dwarf->scratch_used, text, size);
	dwarf->scratch_used += size;
}

/* A lambda is a class without a name whose operator() is called. */
static void append_scope(struct dp_dwarf *dwarf, Dwarf_Die *entry, const char *function)
{
	const char *name = dwarf_diename(entry);
	switch (dwarf_tag(entry)) {
	case DW_TAG_namespace:
		append(dwarf, name ? name : "(anonymous namespace)");
		break;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
		append(dwarf, name ? name : strcmp(function, "operator()") ? "{unnamed}" : "{lambda}");
		break;
	case DW_TAG_union_type:
	case DW_TAG_enumeration_type:
	case DW_TAG_subprogram:
		append(dwarf, name ? name : "{unnamed}");
		break;
	default:
		return;
	}
	append(dwarf, "::");
}

/* A::B::name into the scratch memory. libdw knows no parents; entries lie in order, so the parent at each level is
 * the last that starts before the one we want. NULL: no room, or not in a unit. */
static const char *spell_scopes(struct dp_dwarf *dwarf, const Dwarf_Die *wanted, const char *name)
{
	Dwarf_Die of = *wanted, parent, entry, next;
	int budget = ENTRIES_MOST;
	if (!dwarf_diecu(&of, &parent, NULL, NULL) || dwarf->scratch_used + 3 > SCRATCH_BYTES)
		return NULL;
	char *const start = dwarf->scratch + dwarf->scratch_used;
	for (int depth = 0; depth < DEPTH_MOST && !dwarf_child(&parent, &entry); depth++) {
		if (entry.addr > wanted->addr)
			break;
		while (--budget > 0 && entry.addr != wanted->addr && !dwarf_siblingof(&entry, &next) &&
			next.addr <= wanted->addr)
			entry = next;
		if (entry.addr == wanted->addr || budget <= 0)
			break;
		append_scope(dwarf, &entry, name);
		parent = entry;
	}
	append(dwarf, name);
	dwarf->scratch[dwarf->scratch_used++] = '\0';
	return start;
}

static struct scoped_name *scoped_slot(const struct dp_dwarf *dwarf, const void *entry, const char *name)
{
	size_t at = (size_t)(((uintptr_t)entry * 0x9e3779b97f4a7c15u) >> 32) & (dwarf->scoped_room - 1);
	while (dwarf->scoped_names[at].entry &&
		(dwarf->scoped_names[at].entry != entry || dwarf->scoped_names[at].name != name))
		at = (at + 1) & (dwarf->scoped_room - 1);
	return &dwarf->scoped_names[at];
}

static bool make_scoped_room(struct dp_dwarf *dwarf)
{
	if (dwarf->scoped_count * 4 < dwarf->scoped_room * 3)
		return true;
	const size_t former_room = dwarf->scoped_room;
	struct scoped_name *const former = dwarf->scoped_names;
	struct scoped_name *grown = calloc(former_room ? 2 * former_room : 64, sizeof *grown);
	if (!grown)
		return false;
	dwarf->scoped_names = grown;
	dwarf->scoped_room = former_room ? 2 * former_room : 64;
	for (size_t i = 0; i < former_room; i++)
		if (former[i].entry)
			*scoped_slot(dwarf, former[i].entry, former[i].name) = former[i];
	free(former);
	dwarf->estimate += (dwarf->scoped_room - former_room) * sizeof *grown;
	return true;
}

/* A::B::name where the compiler left no linkage name. */
static const char *qualified(struct dp_dwarf *dwarf, Dwarf_Die *function, const char *name)
{
	Dwarf_Die wanted = *function;
	follow_origins(&wanted);
	if (!make_scoped_room(dwarf))
		return name;
	struct scoped_name *slot = scoped_slot(dwarf, wanted.addr, name);
	if (slot->entry)
		return slot->scoped;
	const char *scoped = spell_scopes(dwarf, &wanted, name);
	const char *kept = scoped ? dp_arena_copy(&dwarf->texts, scoped, strlen(scoped)) : NULL;
	if (!kept)
		return scoped ? scoped : name;
	*slot = (struct scoped_name){wanted.addr, name, kept};
	dwarf->scoped_count++;
	dwarf->estimate += strlen(kept) + 1;
	return kept;
}

static void name_frame(
	struct dp_dwarf *dwarf, const struct unit *unit, Dwarf_Die *entry, struct dp_dwarf_frame *frame)
{
	int start_line;
	frame->linkage_name = text_of(entry, DW_AT_linkage_name);
	if (!frame->linkage_name)
		frame->linkage_name = text_of(entry, DW_AT_MIPS_linkage_name);
	frame->name = text_of(entry, DW_AT_name);
	if (frame->name && !frame->linkage_name && unit->has_names)
		frame->name = qualified(dwarf, entry, frame->name);
	if (!dwarf_decl_line(entry, &start_line) && start_line > 0)
		frame->start_line = (uint32_t)start_line;
}

/* libdw leaves paths relative to where the compiler ran, which only the unit tells. */
static const char *whole_path(struct dp_dwarf *dwarf, const struct unit *unit, const char *file)
{
	Dwarf_Attribute attribute;
	Dwarf_Die root = unit->root;
	if (!file || *file == '/')
		return file;
	const char *folder = dwarf_formstring(dwarf_attr(&root, DW_AT_comp_dir, &attribute));
	if (!folder || *folder != '/' ||
		dwarf->scratch_used + strlen(folder) + strlen(file) + 3 > SCRATCH_BYTES)
		return file;
	const char *const start = dwarf->scratch + dwarf->scratch_used;
	append(dwarf, folder);
	append(dwarf, "/");
	append(dwarf, file);
	dwarf->scratch[dwarf->scratch_used++] = '\0';
	return start;
}

static void place_in_line_table(
	struct dp_dwarf *dwarf, const struct unit *unit, uint64_t address, struct dp_dwarf_frame *frame)
{
	Dwarf_Die root = unit->root;
	int number;
	Dwarf_Line *line = dwarf_getsrc_die(&root, address);
	if (!line)
		return;
	frame->file = whole_path(dwarf, unit, dwarf_linesrc(line, NULL, NULL));
	if (!dwarf_lineno(line, &number) && number > 0)
		frame->line = (uint32_t)number;
}

/* Where the function inlined at callee was called: the place in its caller's frame. */
static void place_at_call(
	struct dp_dwarf *dwarf, const struct unit *unit, Dwarf_Die *callee, struct dp_dwarf_frame *frame)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;
	Dwarf_Files *files;
	size_t count;
	Dwarf_Die root = unit->split_root;
	if (!dwarf_formudata(dwarf_attr(callee, DW_AT_call_file, &attribute), &value) &&
		!dwarf_getsrcfiles(&root, &files, &count) && value < count)
		frame->file = whole_path(dwarf, unit, dwarf_filesrc(files, value, NULL, NULL));
	if (!dwarf_formudata(dwarf_attr(callee, DW_AT_call_line, &attribute), &value) && value <= UINT32_MAX)
		frame->line = (uint32_t)value;
}

int dp_dwarf_find(struct dp_dwarf *dwarf, uint64_t address, struct dp_dwarf_frame *frames, int max)
{
	Dwarf_Die function, chain[INLINES_MOST];

	dwarf->scratch_used = 0;
	if (!dwarf->is_indexed)
		index_units(dwarf);
	struct unit *unit = unit_at(dwarf, address);
	if (!unit || max < 1)
		return 0;
	if (!unit->is_read)
		read_unit(dwarf, unit);
	if (!function_at(unit, address, &function)) {
		frames[0] = (struct dp_dwarf_frame){0};
		place_in_line_table(dwarf, unit, address, &frames[0]);
		return frames[0].line ? 1 : 0;
	}
	const int depth = inlined_at(&function, address, chain, INLINES_MOST);
	const int count = depth < max ? depth : max;
	for (int i = 0; i < count; i++) {
		/* Of too many the ones in the middle go: the last frame is the function itself. */
		const int level = i == count - 1 ? 0 : depth - 1 - i;
		frames[i] = (struct dp_dwarf_frame){0};
		name_frame(dwarf, unit, &chain[level], &frames[i]);
		if (level == depth - 1)
			place_in_line_table(dwarf, unit, address, &frames[i]);
		else
			place_at_call(dwarf, unit, &chain[level + 1], &frames[i]);
	}
	return count;
}

size_t dp_dwarf_memory(const struct dp_dwarf *dwarf)
{
	return dwarf->estimate;
}
