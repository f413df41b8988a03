/* SPDX-License-Identifier: Apache-2.0
 * A host's modules over time. */
#include "agent/modules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAPS_EVERY_MS = 300, MODULES_MOST = 20000 };

static struct dp_agent_module *add(struct dp_modules *modules)
{
	if (modules->count == modules->capacity) {
		const uint32_t capacity = modules->capacity ? modules->capacity * 2 : 64;
		struct dp_agent_module **at = realloc(modules->at, capacity * sizeof *at);
		if (!at || modules->count >= MODULES_MOST)
			return NULL;
		modules->at = at;
		modules->capacity = capacity;
	}
	struct dp_agent_module *module = calloc(1, sizeof *module);
	if (module)
		modules->at[modules->count++] = module;
	return module;
}

static void put_hex(char *to, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

static void unload(struct dp_modules *modules, uint32_t number, uint32_t generation)
{
	for (uint32_t i = modules->count; i-- > 0;) {
		struct dp_agent_module *module = modules->at[i];
		if (module->number == number && module->origin == DP_MODULE_TOLD && !module->died) {
			module->died = generation;
			return;
		}
	}
}

static bool load(struct dp_modules *modules, const struct dp_module_record *record, const uint8_t *rest)
{
	struct dp_agent_module *module = add(modules);
	if (!module)
		return false;
	module->number = record->module;
	module->born = record->generation;
	module->finish.start = record->start;
	module->finish.end = record->end;
	module->finish.bias = record->bias;
	put_hex(module->build_id, rest, record->build_id_size);
	module->path = strndup((const char *)rest + record->build_id_size, record->path_size);
	if (!module->path) {
		modules->count--;
		free(module);
		return false;
	}
	return true;
}

uint32_t dp_modules_take_log(struct dp_modules *modules, const uint8_t *bytes, size_t size, uint32_t *bad_count)
{
	uint32_t added = 0;
	while (size >= sizeof(struct dp_module_record)) {
		struct dp_module_record record;
		memcpy(&record, bytes, sizeof record);
		if (record.size_bytes % 8 || record.size_bytes > size || record.build_id_size > 32 ||
		        record.size_bytes < sizeof record + record.build_id_size + record.path_size) {
			++*bad_count;
			return added;
		}
		if (record.event == DP_MODULE_LOADED && record.start < record.end)
			added += load(modules, &record, bytes + sizeof record);
		else if (record.event == DP_MODULE_UNLOADED)
			unload(modules, record.module, record.generation);
		else
			++*bad_count;
		if (record.generation > modules->told_generation)
			modules->told_generation = record.generation;
		bytes += record.size_bytes;
		size -= record.size_bytes;
	}
	if (size)
		++*bad_count;
	modules->last = NULL;
	return added;
}

static bool holds(const struct dp_agent_module *module, uint64_t address)
{
	return address >= module->finish.start && address < module->finish.end;
}

static bool lives(const struct dp_agent_module *module, uint32_t generation)
{
	return module->born <= generation && (!module->died || module->died > generation);
}

struct dp_agent_module *dp_modules_find(struct dp_modules *modules, uint64_t address, uint32_t generation)
{
	struct dp_agent_module *last = modules->last, *near = NULL;
	if (last && holds(last, address) && lives(last, generation))
		return last;
	/* Exact: alive at that generation. Else the one that was just being loaded (the tick came before the hook
	 * could count it), else the youngest. */
	for (uint32_t i = modules->count; i-- > 0;) {
		struct dp_agent_module *module = modules->at[i];
		if (!holds(module, address))
			continue;
		if (lives(module, generation))
			return modules->last = module;
		if (!near || (module->born > generation && module->born < near->born))
			near = module;
	}
	return near;
}

static bool is_known(const struct dp_modules *modules, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < modules->count; i++) {
		const struct dp_agent_module *module = modules->at[i];
		if (!module->died && start >= module->finish.start && start < module->finish.end &&
		        (end - 1) / 4096 <= (module->finish.end - 1) / 4096)
			return true;
	}
	return false;
}

/* One line: "start-end perm offset dev inode path". False: no memory for more. */
static bool take_map(struct dp_modules *modules, int32_t pid, char *line, bool *has_added)
{
	unsigned long long start, end, offset;
	char permissions[5];
	int at = 0;
	if (sscanf(line, "%llx-%llx %4s %llx %*s %*s %n", &start, &end, permissions, &offset, &at) < 4 || !at)
		return true;
	if (start >= end || strlen(permissions) < 3 || permissions[2] != 'x' || is_known(modules, start, end))
		return true;
	char *name = line + at;
	name[strcspn(name, "\n")] = 0;
	char *deleted = strstr(name, " (deleted)");
	if (deleted)
		*deleted = 0;
	struct dp_agent_module *module = add(modules);
	if (!module)
		return false;
	module->number = UINT32_MAX;
	module->origin = DP_MODULE_MAPPED;
	module->finish.start = start;
	module->finish.end = end;
	module->path = strdup(*name == '/' || !strcmp(name, "[vdso]") ? name : "");
	if (!module->path) {
		modules->count--;
		free(module);
		return false;
	}
	if (*module->path) {
		uint64_t address = 0;
		struct dp_shared_object *shared = dp_modules_open(module, pid);
		if (shared && shared->object && dp_object_address_of_offset(shared->object, offset, &address))
			module->finish.bias = start - address;
		else
			module->finish.bias = start - offset;
	}
	*has_added = true;
	return true;
}

static bool is_relative(const struct dp_agent_module *module)
{
	return *module->path && *module->path != '/' && strchr(module->path, '/');
}

static char *mapped_path(int32_t pid, uint64_t address)
{
	char path[64];
	char *line = NULL, *found = NULL;
	size_t capacity = 0;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	while (maps && !found && getline(&line, &capacity, maps) > 0) {
		unsigned long long start, end;
		char *name = strchr(line, '/');
		if (sscanf(line, "%llx-%llx", &start, &end) != 2 || address < start || address >= end || !name)
			continue;
		name[strcspn(name, "\n")] = 0;
		char *deleted = strstr(name, " (deleted)");
		if (deleted)
			*deleted = 0;
		found = strdup(name);
	}
	free(line);
	if (maps)
		fclose(maps);
	return found;
}

void dp_modules_make_absolute(struct dp_modules *modules, uint32_t first_new, int32_t pid, const char *cwd)
{
	for (uint32_t i = first_new; i < modules->count; i++) {
		struct dp_agent_module *module = modules->at[i];
		if (!is_relative(module))
			continue;
		char *path = mapped_path(pid, module->finish.start);
		if (!path && asprintf(&path, "%s/%s", cwd, module->path) < 0)
			continue;
		free(module->path);
		module->path = path;
	}
}

bool dp_modules_take_maps(struct dp_modules *modules, int32_t pid, FILE *maps)
{
	char *line = NULL;
	size_t capacity = 0;
	bool has_added = false;
	while (getline(&line, &capacity, maps) > 0 && take_map(modules, pid, line, &has_added))
		;
	free(line);
	modules->last = NULL;
	return has_added;
}

bool dp_modules_read_maps(struct dp_modules *modules, int32_t pid, uint64_t now_ms)
{
	char path[64];
	if (modules->maps_read_ms && now_ms - modules->maps_read_ms < MAPS_EVERY_MS)
		return false;
	modules->maps_read_ms = now_ms ? now_ms : 1;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	if (!maps)
		return false;
	const bool has_added = dp_modules_take_maps(modules, pid, maps);
	fclose(maps);
	return has_added;
}

struct dp_shared_object *dp_modules_open(struct dp_agent_module *module, int32_t pid)
{
	if (!module->shared && *module->path) {
		module->shared = dp_objects_get(pid, module->path, module->build_id);
		if (module->shared && module->shared->object) {
			/* A file that was replaced since tells names and rows of other code: none are better. */
			const char *found = dp_object_build_id(module->shared->object);
			if (*module->build_id && *found && strcmp(found, module->build_id) != 0) {
				module->shared = NULL;
				free(module->path);
				module->path = strdup("");
				return NULL;
			}
			module->finish.elf = dp_object_bytes(module->shared->object, &module->finish.elf_size);
		}
	}
	return module->shared;
}

void dp_modules_fini(struct dp_modules *modules)
{
	for (uint32_t i = 0; i < modules->count; i++) {
		free(modules->at[i]->path);
		free(modules->at[i]);
	}
	free(modules->at);
	*modules = (struct dp_modules){0};
}
