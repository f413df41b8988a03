/* SPDX-License-Identifier: Apache-2.0
 * A module's dynamic symbols, by its GNU hash table. */
#include "runtimes/dynamic.h"

#include "base/syscall.h"

#include <elf.h>
#include <link.h>

static uintptr_t absolute(const struct dp_runtime_module *module, uintptr_t value)
{
	return value < module->bias ? value + module->bias : value; /* glibc has relocated it, musl has not */
}

bool dp_dynamic_init(struct dp_dynamic *symbols, const struct dp_runtime_module *module)
{
	enum { ENTRIES_MOST = 128 };
	const ElfW(Phdr) *headers = module->headers;
	uint32_t head[4];
	dp_zero(symbols, sizeof *symbols);
	symbols->module = module;
	for (unsigned i = 0; i < module->header_count; i++) {
		if (headers[i].p_type != PT_DYNAMIC)
			continue;
		for (unsigned n = 0; n < ENTRIES_MOST; n++) {
			ElfW(Dyn) entry;
			if (!module->read(module->bias + headers[i].p_vaddr + n * sizeof entry, &entry, sizeof entry) ||
			        entry.d_tag == DT_NULL)
				break;
			if (entry.d_tag == DT_GNU_HASH)
				symbols->hash = absolute(module, entry.d_un.d_ptr);
			else if (entry.d_tag == DT_SYMTAB)
				symbols->table = absolute(module, entry.d_un.d_ptr);
			else if (entry.d_tag == DT_STRTAB)
				symbols->texts = absolute(module, entry.d_un.d_ptr);
		}
	}
	if (!symbols->hash || !symbols->table || !symbols->texts || !module->read(symbols->hash, head, sizeof head))
		return false;
	symbols->bucket_count = head[0];
	symbols->first = head[1];
	symbols->bloom_count = head[2];
	symbols->bloom_shift = head[3];
	return symbols->bucket_count && symbols->bloom_count && !(symbols->bloom_count & (symbols->bloom_count - 1)) &&
	       symbols->bloom_shift < 32;
}

static bool is_text(const struct dp_dynamic *symbols, uint32_t at, const char *name)
{
	char text[48];
	uint32_t size = 0;
	while (name[size])
		size++;
	if (size + 1 > sizeof text || !symbols->module->read(symbols->texts + at, text, size + 1))
		return false;
	for (uint32_t i = 0; i <= size; i++)
		if (text[i] != name[i])
			return false;
	return true;
}

uintptr_t dp_dynamic_find(const struct dp_dynamic *symbols, const char *name, uintptr_t *size)
{
	enum { CHAIN_MOST = 4096 };
	const struct dp_runtime_module *module = symbols->module;
	uint32_t hash = 5381, at, link;
	for (const char *c = name; *c; c++)
		hash = hash * 33 + (uint8_t)*c;
	uint64_t bloom;
	const uintptr_t blooms = symbols->hash + 16;
	if (!module->read(blooms + (hash / 64 & (symbols->bloom_count - 1)) * 8, &bloom, sizeof bloom) ||
	        !(bloom >> hash % 64 & 1) || !(bloom >> (hash >> symbols->bloom_shift) % 64 & 1))
		return 0;
	const uintptr_t buckets = blooms + (uintptr_t)symbols->bloom_count * 8;
	const uintptr_t chains = buckets + (uintptr_t)symbols->bucket_count * 4;
	if (!module->read(buckets + hash % symbols->bucket_count * 4, &at, sizeof at) || at < symbols->first)
		return 0;
	for (unsigned i = 0; i < CHAIN_MOST; i++, at++) {
		if (!module->read(chains + (uintptr_t)(at - symbols->first) * 4, &link, sizeof link))
			return 0;
		if ((link | 1) == (hash | 1)) {
			ElfW(Sym) symbol;
			if (module->read(symbols->table + (uintptr_t)at * sizeof symbol, &symbol, sizeof symbol) &&
			        symbol.st_shndx != SHN_UNDEF && is_text(symbols, symbol.st_name, name)) {
				if (size)
					*size = symbol.st_size;
				return module->bias + symbol.st_value;
			}
		}
		if (link & 1)
			return 0;
	}
	return 0;
}
