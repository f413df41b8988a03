/* SPDX-License-Identifier: Apache-2.0
 * How we came into the process: preloaded by a user, or asked for by the program itself (linked, or by
 * dlopen). */
#include "preload/hooks.h"

#define DEEPPROF_IMPLEMENTATION
#include "deepprof.h"

#include <elf.h>
#include <link.h>
#include <string.h>

extern char **environ;

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* LD_PRELOAD is a list separated by colons or spaces (ld.so(8)). */
static bool is_in_list(const char *list, const char *name)
{
	const size_t size = strlen(name);
	while (*list) {
		const size_t length = strcspn(list, ": ");
		if (length >= size && !memcmp(list + length - size, name, size) &&
			(length == size || list[length - size - 1] == '/'))
			return true;
		list += length + (list[length] != 0);
	}
	return false;
}

static bool is_in_environment(const char *name)
{
	static const char key[] = "LD_PRELOAD=";
	for (char **at = environ; at && *at; at++)
		if (!strncmp(*at, key, sizeof key - 1))
			return is_in_list(*at + sizeof key - 1, name);
	return false;
}

struct order {
	const char *name; /* our file's */
	bool seen_us, is_needed, is_before_libc;
};

static const ElfW(Dyn) * dynamic_of(const struct dl_phdr_info *info)
{
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			return (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	return NULL;
}

/* In the order of the link map: the program, what was preloaded, what they need. */
static int on_object(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct order *order = argument;
	const char *name = info->dlpi_name ? base_name(info->dlpi_name) : "";
	const ElfW(Dyn) *dynamic = dynamic_of(info);
	uintptr_t strings = 0;
	(void)size;
	if (!strncmp(name, "libc.", 5) && order->seen_us)
		order->is_before_libc = true;
	if (!strcmp(name, order->name))
		order->seen_us = true;
	for (const ElfW(Dyn) *at = dynamic; at && at->d_tag != DT_NULL; at++)
		if (at->d_tag == DT_STRTAB)
			strings = at->d_un.d_ptr;
	if (strings && strings < info->dlpi_addr)
		strings += info->dlpi_addr; /* a loader that relocates a copy of it (musl), or the vDSO */
	for (const ElfW(Dyn) *at = dynamic; strings && at && at->d_tag != DT_NULL; at++)
		if (at->d_tag == DT_NEEDED &&
			!strcmp(base_name((const char *)strings + at->d_un.d_val), order->name))
			order->is_needed = true;
	return 0;
}

bool dp_is_preloaded(const char *self_path)
{
	struct order order = {.name = base_name(self_path)};
	if (is_in_environment(order.name))
		return true;
	/* By /etc/ld.so.preload: nobody asked for us, yet we came first. */
	dl_iterate_phdr(on_object, &order);
	return !order.is_needed && order.is_before_libc;
}

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

/* Names that both export mean the first one's. */
bool dp_is_second_copy(void)
{
	const uintptr_t start = (uintptr_t)deepprof_start;
	return start < (uintptr_t)__ehdr_start || start >= (uintptr_t)_end;
}
