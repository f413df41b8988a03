/* SPDX-License-Identifier: Apache-2.0
 * Asks the loader what is mapped. */
#include "capture/module.h"
#include "capture/host.h"

#include "base/syscall.h"
#include "runtimes/runtime.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>

static unsigned long long adds_seen, subs_seen;
static _Atomic bool has_unsettled; /* modules that a reader wants to see again; written under the lock */
static const char *self_path;

const char *dp_modules_self_path(void)
{
	return self_path;
}

static void read_build_id(
	const struct dl_phdr_info *info, const ElfW(Phdr) * header, struct dp_module *module)
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
	const ElfW(Phdr) * notes[8];
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

/* DT_DEBUG of the program: set by the loader, on glibc and musl alike. */
static void find_loader_debug(const struct dl_phdr_info *program)
{
	for (unsigned i = 0; i < program->dlpi_phnum; i++) {
		if (program->dlpi_phdr[i].p_type != PT_DYNAMIC)
			continue;
		const ElfW(Dyn) *dynamic =
			(const ElfW(Dyn) *)(program->dlpi_addr + program->dlpi_phdr[i].p_vaddr);
		for (; dynamic->d_tag != DT_NULL; dynamic++)
			if (dynamic->d_tag == DT_DEBUG)
				dp_host.loader_debug = (const struct r_debug *)dynamic->d_un.d_ptr;
	}
}

static bool read_plainly(uintptr_t address, void *to, size_t size)
{
	memcpy(to, (const void *)address, size);
	return true;
}

/* Is it an interpreter that we can read? */
static void look_at(struct dp_module *module, const struct dl_phdr_info *info)
{
	const struct dp_runtime_module found = {
		.bias = info->dlpi_addr,
		.start = module->start,
		.end = module->end,
		.headers = info->dlpi_phdr,
		.header_count = info->dlpi_phnum,
		.path = module->path,
		.read = read_plainly,
	};
	if (!module->is_looked_at)
		module->is_looked_at = dp_runtimes_look(&found);
	if (!module->is_looked_at)
		dp_store_relaxed(&has_unsettled, true);
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
	const char *name = info->dlpi_name ? info->dlpi_name : "";
	if (!is_first || *name == '/')
		return name;
	/* The program: glibc gives it no name, musl the one it was called by, which leads the agent nowhere. */
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
		if (is_first && !dp_load_relaxed(&has_unsettled) && dp_load_relaxed(&dp_module_count) && info->dlpi_adds == adds_seen &&
			info->dlpi_subs == subs_seen)
			return 1; /* nothing came, nothing went */
		adds_seen = info->dlpi_adds;
		subs_seen = info->dlpi_subs;
	}
	if (is_first && !dp_host.loader_debug)
		find_loader_debug(info);
	if (is_first)
		dp_store_relaxed(&has_unsettled, false);
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
		look_at(module, info);
		return 0;
	}
	found.path = path;
	found.path_size = (uint16_t)strlen(path);
	struct dp_module *module = dp_module_add(&found, refresh->generation);
	if (!module)
		return 0;
	if (!self_path && (uintptr_t)&dp_modules_refresh >= found.start &&
		(uintptr_t)&dp_modules_refresh < found.end)
		self_path = module->path;
	look_at(module, info);
	refresh->changed = 1;
	return 0;
}

int dp_modules_refresh(void)
{
	if (!dp_modules_lock())
		return 0;
	const uint32_t loader_calls = dp_load_relaxed(&dp_host.loader_calls);
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
	dp_store_relaxed(&dp_host.loader_calls_seen, loader_calls);
	dp_modules_unlock(refresh.changed ? refresh.generation : 0);
	return refresh.changed;
}

bool dp_modules_are_stale(void)
{
	return dp_load_relaxed(&dp_host.loader_calls) != dp_load_relaxed(&dp_host.loader_calls_seen) ||
	       dp_load_relaxed(&has_unsettled);
}
