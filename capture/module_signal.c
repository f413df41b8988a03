/* SPDX-License-Identifier: Apache-2.0
 * The module list, and the objects that no hook has seen.
 *
 * A hook may run before dlopen alone, and libc opens some libraries by itself: the newest ones are not in the
 * list. A tick that met unknown code looks for them in the loader's own list (struct r_debug, link.h), which
 * debuggers read at any moment. All of it but the head is read by process_vm_readv: another thread may be
 * closing what we read. */
#include "capture/module.h"
#include "capture/host.h"

#include "base/syscall.h"
#include "runtimes/runtime.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/uio.h>

_Atomic uint32_t dp_module_generation;
_Atomic uint32_t dp_module_count;

static struct dp_module first_modules[DP_MODULES_FIRST];
static _Atomic(struct dp_module *) chunks[DP_MODULE_CHUNKS] = {first_modules};
static _Atomic uint32_t is_changing;
static char first_names[8192];
static char *names = first_names;
static size_t names_left = sizeof first_names;

struct dp_module *dp_module_at(uint32_t number)
{
	const uint32_t chunk =
		number < DP_MODULES_FIRST ? 0 : 1 + (number - DP_MODULES_FIRST) / DP_MODULES_MORE;
	const uint32_t place =
		number < DP_MODULES_FIRST ? number : (number - DP_MODULES_FIRST) % DP_MODULES_MORE;
	if (chunk >= DP_MODULE_CHUNKS)
		return NULL;
	struct dp_module *modules = dp_load_acquire(&chunks[chunk]);
	return modules ? &modules[place] : NULL;
}

/* ---- the list ---- */

bool dp_modules_lock(void)
{
	uint32_t free = 0;
	return dp_cas(&is_changing, &free, 1);
}

void dp_modules_unlock(uint32_t generation)
{
	if (generation) {
		dp_store_release(&dp_module_generation, generation);
		struct dp_region *region = dp_load_acquire(&dp_host.region);
		if (region)
			dp_store_relaxed(&region->generation, generation);
	}
	dp_store_release(&is_changing, 0);
}

static void *map_memory(size_t size)
{
	const long memory =
		DP_SYS(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory < 0 && memory > -4096 ? NULL : (void *)memory;
}

static const char *keep_name(const char *name, size_t size)
{
	enum { MORE = 64 * 1024 };
	if (size + 1 > names_left) {
		char *more = size + 1 <= MORE ? map_memory(MORE) : NULL;
		if (!more)
			return NULL;
		names = more;
		names_left = MORE;
	}
	char *copy = names;
	dp_copy(copy, name, size);
	copy[size] = 0;
	names += size + 1;
	names_left -= size + 1;
	return copy;
}

struct dp_module *dp_module_add(const struct dp_module *found, uint32_t generation)
{
	const uint32_t number = dp_load_relaxed(&dp_module_count);
	for (unsigned chunk = 1; !dp_module_at(number) && chunk < DP_MODULE_CHUNKS; chunk++) {
		if (dp_load_relaxed(&chunks[chunk]))
			continue;
		struct dp_module *more = map_memory(DP_MODULES_MORE * sizeof *more);
		if (more)
			dp_store_release(&chunks[chunk], more);
		break;
	}
	struct dp_module *module = dp_module_at(number);
	const char *path = module ? keep_name(found->path, found->path_size) : NULL;
	if (!path) {
		dp_count_loss(DP_DROP_MODULE_FULL, 0);
		return NULL;
	}
	dp_copy(module, found, sizeof *module);
	module->path = path;
	module->is_looked_at = false;
	module->told = 0;
	module->table = NULL;
	module->has_no_table = false;
	module->origin = 0;
	module->born = generation;
	module->died = 0;
	dp_store_release(&dp_module_count, number + 1);
	return module;
}

/* ---- the loader's list ---- */

/* As much as there is of size bytes; 0: nothing. */
static size_t read_memory(uintptr_t from_address, void *to_bytes, size_t size)
{
	struct iovec to = {to_bytes, size}, from = {(void *)from_address, size};
	const long got = DP_SYS(SYS_process_vm_readv, dp_host.pid, &to, 1, &from, 1, 0);
	return got > 0 ? (size_t)got : 0;
}

/* A text of at most size - 1 bytes that may end right before unmapped memory. */
static size_t read_text(uintptr_t address, char *text, size_t size)
{
	size_t at = 0;
	while (at < size - 1) {
		const size_t page = 4096 - ((address + at) & 4095);
		const size_t piece = page < size - 1 - at ? page : size - 1 - at;
		const size_t got = read_memory(address + at, text + at, piece);
		for (size_t i = 0; i < got; i++)
			if (!text[at + i])
				return at + i;
		if (got < piece)
			return 0;
		at += got;
	}
	return 0; /* too long for a path that we keep */
}

static bool is_listed(uintptr_t bias)
{
	const uint32_t count = dp_load_relaxed(&dp_module_count);
	for (uint32_t i = 0; i < count; i++) {
		const struct dp_module *module = dp_module_at(i);
		if (module->bias == bias && !dp_load_relaxed(&module->died))
			return true;
	}
	return false;
}

static void read_build_id(uintptr_t address, size_t size, struct dp_module *module)
{
	struct {
		ElfW(Nhdr) note;
		char name[4];
		uint8_t description[DP_BUILD_ID_MAX];
	} found;
	for (size_t at = 0; size - at >= sizeof found.note + 4;) {
		const size_t rest = size - at < sizeof found ? size - at : sizeof found;
		if (read_memory(address + at, &found, rest) < rest)
			return;
		if (found.note.n_type == NT_GNU_BUILD_ID && found.note.n_namesz == 4 &&
			found.name[0] == 'G' && found.note.n_descsz <= DP_BUILD_ID_MAX &&
			found.note.n_descsz + 16 <= rest) {
			dp_copy(module->build_id, found.description, found.note.n_descsz);
			module->build_id_size = (uint8_t)found.note.n_descsz;
			return;
		}
		const size_t step = sizeof found.note + ((found.note.n_namesz + 3u) & ~(size_t)3) +
				    ((found.note.n_descsz + 3u) & ~(size_t)3);
		if (step > size - at)
			return;
		at += step;
	}
}

/* An object that is linked to begin at 0, as shared objects are: its header lies at its bias. */
enum { HEADERS_MOST = 24 };
static bool describe(uintptr_t bias, struct dp_module *module, ElfW(Phdr) *headers, unsigned *header_count)
{
	ElfW(Ehdr) file;
	if (read_memory(bias, &file, sizeof file) < sizeof file || file.e_ident[0] != 0x7f ||
		file.e_ident[1] != 'E' || file.e_phentsize != sizeof *headers || !file.e_phnum ||
		file.e_phnum > HEADERS_MOST)
		return false;
	if (read_memory(bias + file.e_phoff, headers, file.e_phnum * sizeof *headers) <
		file.e_phnum * sizeof *headers)
		return false;
	*header_count = file.e_phnum;
	dp_zero(module, sizeof *module);
	module->bias = bias;
	module->start = UINTPTR_MAX;
	for (unsigned i = 0; i < file.e_phnum; i++) {
		const ElfW(Phdr) *header = &headers[i];
		const uintptr_t start = bias + header->p_vaddr;
		if (header->p_type == PT_LOAD && header->p_flags & PF_X && header->p_memsz) {
			module->start = start < module->start ? start : module->start;
			module->end =
				start + header->p_memsz > module->end ? start + header->p_memsz : module->end;
		} else if (header->p_type == PT_NOTE && !module->build_id_size) {
			read_build_id(start, header->p_memsz, module);
		}
	}
	return module->end > module->start;
}

static bool read_all(uintptr_t address, void *to, size_t size)
{
	return read_memory(address, to, size) == size;
}

/* Is it an interpreter that we can read? */
static void look_at(struct dp_module *module, const ElfW(Phdr) *headers, unsigned header_count)
{
	const struct dp_runtime_module found = {
		.bias = module->bias,
		.start = module->start,
		.end = module->end,
		.headers = headers,
		.header_count = header_count,
		.path = module->path,
		.read = read_all,
	};
	module->is_looked_at = dp_runtimes_look(&found);
}

bool dp_modules_discover(void)
{
	enum { OBJECTS_MOST = 4096, PATH_BYTES = 512 };
	const struct r_debug *debug = dp_host.loader_debug;
	uint32_t generation = 0;
	char path[PATH_BYTES];
	if (!debug || debug->r_state != RT_CONSISTENT || !dp_modules_lock())
		return false;
	uintptr_t at = (uintptr_t)debug->r_map;
	for (int i = 0; at && i < OBJECTS_MOST; i++) {
		struct link_map map;
		struct dp_module found;
		ElfW(Phdr) headers[HEADERS_MOST];
		unsigned header_count;
		if (read_memory(at, &map, sizeof map) < sizeof map)
			break;
		at = (uintptr_t)map.l_next;
		if (is_listed(map.l_addr) || !describe(map.l_addr, &found, headers, &header_count))
			continue;
		found.path_size = (uint16_t)read_text((uintptr_t)map.l_name, path, sizeof path);
		found.path = path;
		const uint32_t next = dp_load_relaxed(&dp_module_generation) + 1;
		struct dp_module *added = found.path_size ? dp_module_add(&found, next) : NULL;
		if (added) {
			look_at(added, headers, header_count);
			generation = next;
		}
	}
	dp_modules_unlock(generation);
	return generation != 0;
}
