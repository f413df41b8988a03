/* SPDX-License-Identifier: Apache-2.0
 * Asks the loader what is mapped. The loader's own lock makes us one at a time on glibc; the flag does elsewhere. */
#include "capture/module.h"
#include "capture/host.h"

#include "base/syscall.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

_Atomic uint32_t dp_module_generation;
_Atomic uint32_t dp_module_count;

static struct dp_module first_modules[DP_MODULES_FIRST];
static _Atomic(struct dp_module *) chunks[DP_MODULE_CHUNKS] = {first_modules};
static _Atomic uint32_t is_refreshing;
static unsigned long long adds_seen, subs_seen;
static char first_names[8192];
static char *names = first_names;
static size_t names_left = sizeof first_names;
static const char *self_path;

struct dp_module *dp_module_at(uint32_t number)
{
	const uint32_t chunk = number < DP_MODULES_FIRST ? 0 : 1 + (number - DP_MODULES_FIRST) / DP_MODULES_MORE;
	const uint32_t place = number < DP_MODULES_FIRST ? number : (number - DP_MODULES_FIRST) % DP_MODULES_MORE;
	if (chunk >= DP_MODULE_CHUNKS)
		return NULL;
	struct dp_module *modules = dp_load_acquire(&chunks[chunk]);
	return modules ? &modules[place] : NULL;
}

const char *dp_modules_self_path(void)
{
	return self_path;
}

static void *map_memory(size_t size)
{
	const long memory = DP_SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory < 0 && memory > -4096 ? NULL : (void *)memory;
}

static const char *keep_name(const char *name, size_t size)
{
	enum { MORE = 64 * 1024 };
	if (size + 1 > names_left) {
		char *more = size + 1 <= MORE ? map_memory(MORE) : NULL;
		if (!more)
			return "";
		names = more;
		names_left = MORE;
	}
	char *copy = names;
	memcpy(copy, name, size);
	copy[size] = 0;
	names += size + 1;
	names_left -= size + 1;
	return copy;
}

static struct dp_module *new_module(uint32_t *number)
{
	*number = dp_load_relaxed(&dp_module_count);
	struct dp_module *module = dp_module_at(*number);
	if (module)
		return module;
	for (unsigned chunk = 1; chunk < DP_MODULE_CHUNKS; chunk++) {
		if (dp_load_relaxed(&chunks[chunk]))
			continue;
		struct dp_module *more = map_memory(DP_MODULES_MORE * sizeof *more);
		if (more)
			dp_store_release(&chunks[chunk], more);
		break;
	}
	return dp_module_at(*number);
}

static void read_build_id(const struct dl_phdr_info *info, const ElfW(Phdr) *header, struct dp_module *module)
{
	const uint8_t *at = (const uint8_t *)(info->dlpi_addr + header->p_vaddr);
	size_t left = header->p_memsz;
	while (left >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) note;
		memcpy(&note, at, sizeof note);
		const size_t name_size = (note.n_namesz + 3u) & ~(size_t)3;
		const size_t description_size = (note.n_descsz + 3u) & ~(size_t)3;
		if (name_size > left || description_size > left ||
		        sizeof note + name_size + description_size > left)
			return;
		const uint8_t *name = at + sizeof note;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(name, "GNU", 4) &&
		        note.n_descsz && note.n_descsz <= DP_BUILD_ID_MAX) {
			memcpy(module->build_id, name + name_size, note.n_descsz);
			module->build_id_size = (uint8_t)note.n_descsz;
			return;
		}
		at += sizeof note + name_size + description_size;
		left -= sizeof note + name_size + description_size;
	}
}

static bool describe(const struct dl_phdr_info *info, struct dp_module *module)
{
	const ElfW(Phdr) *notes[8];
	unsigned note_count = 0;
	module->bias = info->dlpi_addr;
	module->start = UINTPTR_MAX;
	module->end = 0;
	module->build_id_size = 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		if (header->p_type == PT_LOAD && header->p_flags & PF_X && header->p_memsz) {
			const uintptr_t start = info->dlpi_addr + header->p_vaddr;
			if (start < module->start)
				module->start = start;
			if (start + header->p_memsz > module->end)
				module->end = start + header->p_memsz;
		} else if (header->p_type == PT_NOTE && note_count < 8) {
			notes[note_count++] = header;
		}
	}
	if (!module->end)
		return false;
	for (unsigned i = 0; i < note_count && !module->build_id_size; i++)
		read_build_id(info, notes[i], module);
	return true;
}

static bool is_same(const struct dp_module *one, const struct dp_module *other, const char *path)
{
	return one->start == other->start && one->end == other->end && one->bias == other->bias &&
	       one->build_id_size == other->build_id_size &&
	       !memcmp(one->build_id, other->build_id, one->build_id_size) && !strcmp(one->path, path);
}

struct refresh {
	uint32_t generation; /* that a change would begin */
	uint32_t before;     /* entries before this refresh */
	int changed;
	bool is_first;
	uint64_t seen[(DP_MODULES_FIRST + DP_MODULES_MORE * (DP_MODULE_CHUNKS - 1) + 63) / 64];
};

static const char *path_of(const struct dl_phdr_info *info, char *buffer, size_t size, bool is_first)
{
	if (info->dlpi_name && *info->dlpi_name)
		return info->dlpi_name;
	if (!is_first)
		return "";
	const long length = DP_SYS4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", buffer, size - 1);
	buffer[length > 0 ? length : 0] = 0;
	return buffer;
}

static int on_module(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct refresh *refresh = argument;
	struct dp_module found;
	char exe[512];
	const bool is_first = refresh->is_first;

	if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
		if (is_first && dp_load_relaxed(&dp_module_count) && info->dlpi_adds == adds_seen &&
		        info->dlpi_subs == subs_seen)
			return 1; /* nothing came, nothing went */
		adds_seen = info->dlpi_adds;
		subs_seen = info->dlpi_subs;
	}
	refresh->is_first = false;
	if (!describe(info, &found))
		return 0;
	const char *path = path_of(info, exe, sizeof exe, is_first);
	for (uint32_t i = 0; i < refresh->before; i++) {
		struct dp_module *module = dp_module_at(i);
		if (!is_same(module, &found, path))
			continue;
		refresh->seen[i / 64] |= UINT64_C(1) << i % 64;
		if (dp_load_relaxed(&module->died)) { /* the same object is back at the same place */
			dp_store_relaxed(&module->died, 0);
			dp_store_relaxed(&module->born, refresh->generation);
			module->told = 0;
			refresh->changed = 1;
		}
		return 0;
	}
	uint32_t number;
	struct dp_module *module = new_module(&number);
	if (!module) {
		dp_count_loss(DP_DROP_MODULE_FULL, 0);
		return 0;
	}
	found.path = keep_name(path, strlen(path));
	found.path_size = (uint16_t)strlen(found.path);
	found.told = 0;
	found.table = NULL;
	found.has_no_table = false;
	found.origin = 0;
	found.born = refresh->generation;
	found.died = 0;
	memcpy(module, &found, sizeof found);
	if (!self_path && (uintptr_t)&dp_modules_refresh >= found.start && (uintptr_t)&dp_modules_refresh < found.end)
		self_path = module->path;
	dp_store_release(&dp_module_count, number + 1);
	refresh->changed = 1;
	return 0;
}

int dp_modules_refresh(void)
{
	uint32_t free = 0;
	if (!dp_cas(&is_refreshing, &free, 1))
		return 0;
	struct refresh refresh = {
	        .generation = dp_load_relaxed(&dp_module_generation) + 1,
	        .before = dp_load_relaxed(&dp_module_count),
	        .is_first = true,
	};
	const int stopped = dl_iterate_phdr(on_module, &refresh);
	for (uint32_t i = 0; !stopped && i < refresh.before; i++) {
		struct dp_module *module = dp_module_at(i);
		if (!(refresh.seen[i / 64] >> i % 64 & 1) && !dp_load_relaxed(&module->died)) {
			dp_store_relaxed(&module->died, refresh.generation);
			refresh.changed = 1;
		}
	}
	if (refresh.changed) {
		dp_store_release(&dp_module_generation, refresh.generation);
		struct dp_region *region = dp_load_acquire(&dp_host.region);
		if (region)
			dp_store_relaxed(&region->generation, refresh.generation);
	}
	dp_store_release(&is_refreshing, 0);
	return refresh.changed;
}
