/* SPDX-License-Identifier: Apache-2.0
 * One ELF file as all hosts share it: its bytes at once, its names when somebody asks.
 *
 * The outermost function of an address is named by the symbol table, which knows aliases and clones; what is
 * inlined there, and lines, come from DWARF. Answers are kept: the same hot addresses come back window after
 * window. */
#include "symbols/symbols.h"
#include "symbols/debug_file.h"
#include "symbols/dwarf_frames.h"
#include "symbols/name_pool.h"
#include "symbols/symbol_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

enum {
	FRAMES_MOST = 64,
	ANSWERS_MOST = 1 << 18, /* then forgotten all together */
	REST_MS = 30000,
};

struct answer {
	uint64_t address;
	uint32_t first;        /* into the symbols */
	uint32_t count_plus_1; /* 0: free slot */
};

struct dp_object {
	struct dp_elf_file file, debug, alt, mini;
	bool has_debug, has_alt, has_mini;
	bool has_looked; /* for debug information */
	bool has_table, has_tried_dwarf;
	bool was_asked; /* of DWARF, since the last rest */
	uint64_t asked_ms; /* the first rest after it was last asked */
	char build_id[129];
	char *path, *root;
	struct dp_symbol_table table;
	struct dp_dwarf *dwarf;
	struct dp_name_pool names;
	struct answer *answers; /* open addressing */
	size_t answer_count, answer_room;
	struct dp_symbol *symbols;
	size_t symbol_count, symbol_room;
};

static struct dp_object *new_object(const char *path, const char *root)
{
	struct dp_object *object = calloc(1, sizeof *object);
	if (!object)
		return NULL;
	dp_name_pool_init(&object->names);
	object->path = path ? strdup(path) : NULL;
	object->root = root && *root && strcmp(root, "/") ? strdup(root) : NULL;
	if (path && !object->path) {
		dp_object_free(object);
		return NULL;
	}
	return object;
}

struct dp_object *dp_object_open(const char *path, const char *root, int *error)
{
	struct dp_object *object = new_object(path, root);
	*error = object ? dp_elf_open_under(&object->file, path, object->root) : -ENOMEM;
	if (*error) {
		dp_object_free(object);
		return NULL;
	}
	dp_elf_build_id(&object->file, object->build_id, sizeof object->build_id);
	return object;
}

struct dp_object *dp_object_from_memory(const void *bytes, size_t size, const char *name, int *error)
{
	struct dp_object *object = new_object(NULL, NULL);
	void *copy = malloc(size ? size : 1);
	(void)name;
	if (!object || !copy) {
		free(copy);
		dp_object_free(object);
		*error = -ENOMEM;
		return NULL;
	}
	memcpy(copy, bytes, size);
	*error = dp_elf_take(&object->file, copy, size);
	if (*error) {
		dp_object_free(object);
		return NULL;
	}
	dp_elf_build_id(&object->file, object->build_id, sizeof object->build_id);
	return object;
}

/* The kernel maps it whole, section headers last; no other size is told. */
struct dp_object *dp_object_vdso(int *error)
{
	const uint8_t *bytes = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	*error = -ENOENT;
	if (!bytes)
		return NULL;
	memcpy(&header, bytes, sizeof header);
	size_t size = header.e_shoff + (size_t)header.e_shnum * header.e_shentsize;
	for (size_t i = 0; i < header.e_phnum; i++) {
		memcpy(&segment, bytes + header.e_phoff + i * sizeof segment, sizeof segment);
		if (segment.p_offset + segment.p_filesz > size)
			size = segment.p_offset + segment.p_filesz;
	}
	return dp_object_from_memory(bytes, size, "[vdso]", error);
}

void dp_object_free(struct dp_object *object)
{
	if (!object)
		return;
	dp_object_trim(object);
	if (object->has_alt)
		dp_elf_close(&object->alt);
	if (object->has_debug)
		dp_elf_close(&object->debug);
	dp_elf_close(&object->file);
	dp_name_pool_fini(&object->names);
	free(object->path);
	free(object->root);
	free(object);
}

const char *dp_object_build_id(const struct dp_object *object)
{
	return object->build_id;
}

const void *dp_object_bytes(const struct dp_object *object, size_t *size)
{
	*size = object->file.size;
	return object->file.bytes;
}

bool dp_object_address_of_offset(const struct dp_object *object, uint64_t file_offset, uint64_t *address)
{
	return dp_elf_address_of_offset(&object->file, file_offset, address);
}

static bool has_contents(const struct dp_elf_file *file, const char *name)
{
	Elf64_Shdr section;
	return dp_elf_find(file, name, &section, NULL) && section.sh_type != SHT_NOBITS && section.sh_size;
}

static bool has_dwarf(const struct dp_elf_file *file)
{
	return has_contents(file, ".debug_info") || has_contents(file, ".zdebug_info");
}

static bool is_whole(const struct dp_object *object)
{
	return dp_elf_is_whole(&object->file) && (!object->has_debug || dp_elf_is_whole(&object->debug)) &&
	       (!object->has_alt || dp_elf_is_whole(&object->alt));
}

static void look_for_debug(struct dp_object *object)
{
	if (object->has_looked)
		return;
	object->has_looked = true;
	if (!object->path || (has_contents(&object->file, ".symtab") && has_dwarf(&object->file)))
		return;
	object->has_debug = !dp_debug_file_open(&object->debug, &object->file, object->path, object->root);
}

static const struct dp_elf_file *dwarf_file(const struct dp_object *object)
{
	if (has_dwarf(&object->file))
		return &object->file;
	return object->has_debug && has_dwarf(&object->debug) ? &object->debug : NULL;
}

static void read_table(struct dp_object *object)
{
	const struct dp_elf_file *files[3] = {&object->file};
	size_t count = 1;

	if (object->has_table)
		return;
	object->has_table = true;
	look_for_debug(object);
	if (object->has_debug)
		files[count++] = &object->debug;
	if (!has_contents(&object->file, ".symtab") &&
		!(object->has_debug && has_contents(&object->debug, ".symtab"))) {
		object->has_mini = !dp_mini_debug_open(&object->mini, &object->file);
		if (object->has_mini)
			files[count++] = &object->mini;
	}
	dp_symbol_table_init(&object->table, files, count);
	dp_object_let_go(object);
}

static void read_dwarf(struct dp_object *object)
{
	const char *link;
	char build_id[129];

	if (object->has_tried_dwarf)
		return;
	object->has_tried_dwarf = true;
	look_for_debug(object);
	const struct dp_elf_file *file = dwarf_file(object);
	object->dwarf = file ? dp_dwarf_new(file) : NULL;
	if (!object->dwarf || !dp_dwarf_alt_link(object->dwarf, &link, build_id, sizeof build_id))
		return;
	if (!object->has_alt)
		object->has_alt = !dp_alt_file_open(&object->alt, link, build_id, file->path, NULL);
	if (object->has_alt)
		dp_dwarf_set_alt(object->dwarf, &object->alt);
}

/* Names and places into the pool, where they outlive libdw's data. */
static bool keep(struct dp_object *object, const struct dp_dwarf_frame *frame, const char *system_name,
	struct dp_symbol *symbol)
{
	const char *linkage = system_name           ? system_name
			      : frame->linkage_name ? frame->linkage_name
						    : frame->name;
	if (!linkage)
		return false;
	const struct dp_pooled_name *pooled = dp_name_pool_symbol(&object->names, linkage);
	if (!pooled)
		return false;
	*symbol = (struct dp_symbol){
		.name = pooled->name,
		.system_name = pooled->system_name,
		.line = frame->line,
		.start_line = frame->start_line,
	};
	if (frame->file)
		symbol->file = dp_name_pool_text(&object->names, frame->file);
	return true;
}

static int find(struct dp_object *object, uint64_t address, struct dp_symbol *symbols)
{
	struct dp_dwarf_frame frames[FRAMES_MOST];
	int count = 0, kept = 0;

	read_table(object);
	read_dwarf(object);
	const char *system_name = dp_symbol_table_find(&object->table, address);
	object->was_asked = true;
	if (object->dwarf)
		count = dp_dwarf_find(object->dwarf, address, frames, FRAMES_MOST);
	if (!count && system_name) {
		frames[0] = (struct dp_dwarf_frame){0};
		count = 1;
	}
	for (int i = 0; i < count; i++)
		if (keep(object, &frames[i], i == count - 1 ? system_name : NULL, &symbols[kept]))
			kept++;
	return kept;
}

static size_t slot_of(const struct dp_object *object, uint64_t address)
{
	size_t at = (size_t)((address * 0x9e3779b97f4a7c15u) >> 32) & (object->answer_room - 1);
	while (object->answers[at].count_plus_1 && object->answers[at].address != address)
		at = (at + 1) & (object->answer_room - 1);
	return at;
}

static void forget_answers(struct dp_object *object)
{
	free(object->answers);
	free(object->symbols);
	object->answers = NULL;
	object->symbols = NULL;
	object->answer_count = object->answer_room = object->symbol_count = object->symbol_room = 0;
}

static bool make_room(struct dp_object *object, size_t symbol_count)
{
	if (object->answer_count == ANSWERS_MOST)
		forget_answers(object);
	if (object->symbol_count + symbol_count > object->symbol_room) {
		const size_t room = 2 * object->symbol_room + FRAMES_MOST;
		struct dp_symbol *symbols = realloc(object->symbols, room * sizeof *symbols);
		if (!symbols)
			return false;
		object->symbols = symbols;
		object->symbol_room = room;
	}
	if (object->answer_count * 4 < object->answer_room * 3)
		return true;
	const size_t former_room = object->answer_room;
	struct answer *former = object->answers;
	struct answer *grown = calloc(former_room ? 2 * former_room : 64, sizeof *grown);
	if (!grown)
		return false;
	object->answers = grown;
	object->answer_room = former_room ? 2 * former_room : 64;
	for (size_t i = 0; i < former_room; i++)
		if (former[i].count_plus_1)
			grown[slot_of(object, former[i].address)] = former[i];
	free(former);
	return true;
}

static void remember(struct dp_object *object, uint64_t address, const struct dp_symbol *symbols, int count)
{
	if (!make_room(object, (size_t)count))
		return;
	object->answers[slot_of(object, address)] = (struct answer){.address = address,
		.first = (uint32_t)object->symbol_count,
		.count_plus_1 = (uint32_t)count + 1};
	object->answer_count++;
	if (count)
		memcpy(object->symbols + object->symbol_count, symbols, (size_t)count * sizeof *symbols);
	object->symbol_count += (size_t)count;
}

/* Of too many the ones in the middle go: the last is the function that all others are inlined into. */
static int hand_out(const struct dp_symbol *from, int count, struct dp_symbol *to, int max)
{
	if (count > max) {
		memcpy(to, from, (size_t)(max - 1) * sizeof *to);
		to[max - 1] = from[count - 1];
		return max;
	}
	if (count)
		memcpy(to, from, (size_t)count * sizeof *to);
	return count;
}

int dp_object_symbolise(struct dp_object *object, uint64_t address, struct dp_symbol *symbols, int max)
{
	struct dp_symbol found[FRAMES_MOST];
	if (max < 1)
		return 0;
	if (object->answer_room) {
		const struct answer *answer = &object->answers[slot_of(object, address)];
		if (answer->count_plus_1)
			return hand_out(
				object->symbols + answer->first, (int)answer->count_plus_1 - 1, symbols, max);
	}
	if (!is_whole(object))
		return 0;
	const int count = find(object, address, found);
	remember(object, address, found, count);
	return hand_out(found, count, symbols, max);
}

struct dp_object_abilities dp_object_abilities(struct dp_object *object)
{
	if (!is_whole(object))
		return (struct dp_object_abilities){0};
	read_table(object);
	const bool has_lines = dwarf_file(object) != NULL;
	return (struct dp_object_abilities){.has_functions = object->table.count || has_lines,
		.has_files = has_lines,
		.has_lines = has_lines,
		.has_inlines = has_lines};
}

size_t dp_object_memory(const struct dp_object *object)
{
	size_t size = sizeof *object + dp_name_pool_memory(&object->names);
	const struct dp_elf_file *const files[] = {
		&object->file, &object->debug, &object->alt, &object->mini};
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		if (files[i]->held == DP_ELF_COPIED)
			size += files[i]->size;
	size += object->table.count * sizeof *object->table.functions + object->table.owned_size;
	size += object->answer_room * sizeof *object->answers + object->symbol_room * sizeof *object->symbols;
	return size + (object->dwarf ? dp_dwarf_memory(object->dwarf) : 0);
}

static void drop_dwarf(struct dp_object *object)
{
	dp_dwarf_free(object->dwarf);
	object->dwarf = NULL;
	object->has_tried_dwarf = false;
}

bool dp_object_rest(struct dp_object *object, uint64_t now_ms)
{
	if (object->was_asked)
		object->asked_ms = now_ms;
	object->was_asked = false;
	if (!object->dwarf || now_ms - object->asked_ms < REST_MS)
		return false;
	drop_dwarf(object);
	dp_object_let_go(object);
	return true;
}

void dp_object_let_go(const struct dp_object *object)
{
	dp_elf_let_go(&object->file);
	if (object->has_debug)
		dp_elf_let_go(&object->debug);
	if (object->has_alt)
		dp_elf_let_go(&object->alt);
}

/* Open files stay: the name space they were opened in may be gone. */
void dp_object_trim(struct dp_object *object)
{
	forget_answers(object);
	drop_dwarf(object);
	dp_symbol_table_fini(&object->table);
	object->has_table = false;
	if (object->has_mini)
		dp_elf_close(&object->mini);
	object->has_mini = false;
}
