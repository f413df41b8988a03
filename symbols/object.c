/* SPDX-License-Identifier: Apache-2.0
 * An object: its file, the files that describe it, and its functions, read on the first question. */
#include "symbols/symbols.h"

#include "symbols/demangle.h"
#include "symbols/elf_file.h"
#include "symbols/symbol_table.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUILD_ID_HEX = 129 };

struct known_name { /* system names and what they read as, once each */
	struct known_name *next;
	const char *system_name;
	char name[];
};

struct dp_object {
	struct dp_elf_file file, debug;
	bool has_debug, has_table;
	char *path, *root;
	char build_id[BUILD_ID_HEX];
	struct dp_symbol_table table;
	struct known_name *names[256];
	size_t name_bytes;
};

static struct dp_object *new_object(const char *path, const char *root)
{
	struct dp_object *object = calloc(1, sizeof *object);
	if (!object)
		return NULL;
	object->path = strdup(path);
	object->root = strdup(root ? root : "");
	if (!object->path || !object->root) {
		free(object->path);
		free(object->root);
		free(object);
		return NULL;
	}
	return object;
}

static struct dp_object *opened(struct dp_object *object, int result, int *error)
{
	*error = result;
	if (result != 0) {
		free(object->path);
		free(object->root);
		free(object);
		return NULL;
	}
	dp_elf_build_id(&object->file, object->build_id, sizeof object->build_id);
	return object;
}

struct dp_object *dp_object_open(const char *path, const char *root, int *error)
{
	char full[PATH_MAX];
	struct dp_object *object = new_object(path, root);
	*error = -ENOMEM;
	if (!object)
		return NULL;
	if ((size_t)snprintf(full, sizeof full, "%s%s", object->root, path) >= sizeof full)
		return opened(object, -ENAMETOOLONG, error);
	return opened(object, dp_elf_open(&object->file, full), error);
}

struct dp_object *dp_object_from_memory(const void *bytes, size_t size, const char *name, int *error)
{
	struct dp_object *object = new_object(name, NULL);
	*error = -ENOMEM;
	return object ? opened(object, dp_elf_from_memory(&object->file, bytes, size), error) : NULL;
}

static void forget_names(struct dp_object *object)
{
	for (size_t i = 0; i < sizeof object->names / sizeof object->names[0]; i++)
		while (object->names[i]) {
			struct known_name *next = object->names[i]->next;
			free(object->names[i]);
			object->names[i] = next;
		}
	object->name_bytes = 0;
}

void dp_object_free(struct dp_object *object)
{
	if (!object)
		return;
	forget_names(object);
	dp_symbol_table_fini(&object->table);
	if (object->has_debug)
		dp_elf_close(&object->debug);
	dp_elf_close(&object->file);
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
	return dp_elf_is_whole(&object->file) ? object->file.bytes : NULL;
}

bool dp_object_address_of_offset(const struct dp_object *object, uint64_t file_offset, uint64_t *address)
{
	return dp_elf_is_whole(&object->file) && dp_elf_address_of_offset(&object->file, file_offset, address);
}

/* ---- the file with the symbols that were split off ---- */

static bool try_debug(struct dp_object *object, const char *path)
{
	char build_id[BUILD_ID_HEX];
	if (dp_elf_open(&object->debug, path) != 0)
		return false;
	dp_elf_build_id(&object->debug, build_id, sizeof build_id);
	if (*object->build_id && strcmp(build_id, object->build_id) != 0) {
		dp_elf_close(&object->debug);
		return false;
	}
	return object->has_debug = true;
}

static void find_debug(struct dp_object *object)
{
	char path[3 * PATH_MAX];
	Elf64_Shdr section;
	if (strlen(object->build_id) > 2) {
		snprintf(path, sizeof path, "%s/usr/lib/debug/.build-id/%.2s/%s.debug", object->root, object->build_id,
		        object->build_id + 2);
		if (try_debug(object, path))
			return;
	}
	size_t size = 0;
	const uint8_t *link = dp_elf_find(&object->file, ".gnu_debuglink", &section, NULL)
	                              ? dp_elf_section_bytes(&object->file, &section, &size)
	                              : NULL;
	const char *name = link ? dp_elf_text(link, size, 0) : NULL;
	const char *slash = strrchr(object->path, '/');
	if (!name || !*name || strchr(name, '/') || !slash)
		return;
	const int directory = (int)(slash - object->path);
	snprintf(path, sizeof path, "%s%.*s/%s", object->root, directory, object->path, name);
	if (try_debug(object, path))
		return;
	snprintf(path, sizeof path, "%s%.*s/.debug/%s", object->root, directory, object->path, name);
	if (try_debug(object, path))
		return;
	snprintf(path, sizeof path, "%s/usr/lib/debug%.*s/%s", object->root, directory, object->path, name);
	try_debug(object, path);
}

static void read_table(struct dp_object *object)
{
	const struct dp_elf_file *files[2] = {&object->file, &object->debug};
	Elf64_Shdr symbols;
	if (object->has_table)
		return;
	object->has_table = true;
	if (!dp_elf_is_whole(&object->file))
		return;
	if (!dp_elf_find_type(&object->file, SHT_SYMTAB, &symbols))
		find_debug(object);
	dp_symbol_table_init(&object->table, files, object->has_debug ? 2 : 1);
}

/* ---- names ---- */

static const char *readable(struct dp_object *object, const char *system_name)
{
	char name[DP_NAME_BYTES_MOST];
	struct known_name **bucket = &object->names[(uintptr_t)system_name * UINT64_C(0x9e3779b97f4a7c15) >> 56];
	for (struct known_name *known = *bucket; known; known = known->next)
		if (known->system_name == system_name)
			return known->name;
	dp_demangle(system_name, name, sizeof name);
	const size_t size = strlen(name) + 1;
	struct known_name *known = malloc(sizeof *known + size);
	if (!known)
		return system_name;
	known->system_name = system_name;
	memcpy(known->name, name, size);
	known->next = *bucket;
	*bucket = known;
	object->name_bytes += sizeof *known + size;
	return known->name;
}

int dp_object_symbolise(struct dp_object *object, uint64_t address, struct dp_symbol *symbols, int max)
{
	read_table(object);
	if (max < 1 || !dp_elf_is_whole(&object->file) || (object->has_debug && !dp_elf_is_whole(&object->debug)))
		return 0;
	const char *system_name = dp_symbol_table_find(&object->table, address);
	if (!system_name)
		return 0;
	symbols[0] = (struct dp_symbol){.name = readable(object, system_name), .system_name = system_name};
	return 1;
}

struct dp_object_abilities dp_object_abilities(struct dp_object *object)
{
	read_table(object);
	return (struct dp_object_abilities){.has_functions = object->table.count > 0};
}

size_t dp_object_memory(const struct dp_object *object)
{
	return sizeof *object + object->table.count * sizeof object->table.functions[0] + object->table.owned_size +
	       object->name_bytes;
}

/* Names may be in use until the profile is made: the caller trims between profiles. */
void dp_object_trim(struct dp_object *object)
{
	forget_names(object);
	dp_symbol_table_fini(&object->table);
	object->table = (struct dp_symbol_table){0};
	if (object->has_debug)
		dp_elf_close(&object->debug);
	object->has_debug = object->has_table = false;
}
