/* SPDX-License-Identifier: Apache-2.0
 * For tests and benches: a process as the walker and the finisher see it. */
#include "tests/unit/unwind_host.h"

#include "unwind/elf_bytes.h"
#include "unwind/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RANGES = 512, FILES = 512 };

static struct file {
	char path[512];
	void *bytes;
	size_t size;
	struct dp_table_image image;
	bool has_table;
} files[FILES];
static unsigned file_count;
static uint32_t generation;

static struct file *add_file(const char *path, void *bytes, size_t size)
{
	struct file *file = &files[file_count++];

	snprintf(file->path, sizeof file->path, "%s", path);
	file->bytes = bytes;
	file->size = size;
	file->has_table = !dp_table_compile(bytes, size, &file->image) &&
			  !dp_table_check(file->image.bytes, file->image.size);
	return file;
}

static struct file *file_of(const char *path, pid_t pid, uintptr_t start, uintptr_t end)
{
	struct stat status;
	void *bytes;
	int fd;

	for (unsigned i = 0; i < file_count; i++)
		if (!strcmp(files[i].path, path))
			return &files[i];
	if (file_count == FILES)
		return NULL;
	if (!strcmp(path, "[vdso]")) {
		struct iovec local = {.iov_base = malloc(end - start), .iov_len = end - start};
		struct iovec remote = {.iov_base = (void *)start, .iov_len = end - start};

		if (!local.iov_base ||
			process_vm_readv(pid, &local, 1, &remote, 1, 0) != (ssize_t)(end - start))
			return NULL;
		return add_file(path, local.iov_base, end - start);
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	bytes = fstat(fd, &status) ? MAP_FAILED : mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return bytes == MAP_FAILED ? NULL : add_file(path, bytes, status.st_size);
}

/* Host address - ELF virtual address of the mapping of file offset at start. */
static bool find_bias(const struct file *file, uintptr_t start, uint64_t offset, uint64_t *bias)
{
	struct dp_elf elf;

	if (dp_elf_read(&elf, file->bytes, file->size))
		return false;
	for (unsigned i = 0; i < elf.load_count; i++) {
		const struct dp_elf_load *load = &elf.loads[i];

		if ((load->flags & PF_X) && offset + 4096 > load->offset &&
			offset < load->offset + load->file_size) {
			*bias = start - (load->address + offset - load->offset);
			return true;
		}
	}
	return false;
}

static void add_range(struct unwind_host *host, pid_t pid, uintptr_t start, uintptr_t end, uint64_t offset,
	const char *path)
{
	struct file *file = file_of(path, pid, start, end);
	uint64_t bias;

	if (host->count == RANGES || !file || !find_bias(file, start, offset, &bias))
		return;
	host->modules[host->count] = (struct dp_finish_module){
		.start = start, .end = end, .bias = bias, .elf = file->bytes, .elf_size = file->size};
	host->map->ranges[host->count] = (struct dp_code_range){
		.start = start,
		.end = end,
		.origin = bias + file->image.origin,
		.table = file->has_table ? file->image.bytes : NULL,
		.module = host->count,
	};
	host->map->count = ++host->count;
}

int unwind_host_read(struct unwind_host *host, pid_t pid)
{
	char line[1024], name[64];
	FILE *maps;

	unwind_host_fini(host);
	host->map = calloc(1, sizeof *host->map + RANGES * sizeof host->map->ranges[0]);
	host->modules = calloc(RANGES, sizeof *host->modules);
	snprintf(name, sizeof name, "/proc/%d/maps", pid);
	maps = fopen(name, "r");
	if (!host->map || !host->modules || !maps)
		return -ENOMEM;
	host->map->generation = ++generation;
	while (fgets(line, sizeof line, maps)) {
		unsigned long start, end, offset;
		char access[8], path[512] = "";

		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %511[^\n]", &start, &end, access, &offset, path) <
			4)
			continue;
		if (!strcmp(path, "[stack]")) {
			host->stack_low = start;
			host->stack_high = end;
		}
		if (access[2] == 'x' && (path[0] == '/' || !strcmp(path, "[vdso]")))
			add_range(host, pid, start, end, offset, path);
	}
	fclose(maps);
	return 0;
}

void unwind_host_fini(struct unwind_host *host)
{
	free(host->map);
	free(host->modules);
	*host = (struct unwind_host){0};
}

const struct dp_finish_module *unwind_host_find(void *context, uint64_t pc)
{
	const struct unwind_host *host = context;
	unsigned low = 0, high = host->count;

	while (low < high) {
		const unsigned middle = (low + high) / 2;

		if (host->modules[middle].end <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low < host->count && pc >= host->modules[low].start ? &host->modules[low] : NULL;
}
