/* SPDX-License-Identifier: Apache-2.0
 * The bytes of one ELF file, checked.
 *
 * A file that is mapped can be cut by anybody who may write it (cp over a library does), and a look beyond
 * its new end is SIGBUS. Our own process asks for dp_object_guard_bus(), which makes such a page read as
 * zeros, to every reader just a damaged file: libdw and libunwind read these bytes too. So all but small
 * files are mapped there and cost the pages looked at. Inside a host no signal is ours: files up to a few
 * MiB, plugins that are built and loaded again and again among them, are copied. A larger one is mapped;
 * linkers and package managers replace those by rename, which leaves our mapping whole, and what remains is
 * met by asking the file's length before each look (dp_elf_is_whole), which leaves a window of microseconds.
 */
#include "symbols/elf_file.h"
#include "symbols/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#endif
enum { COPIED_GUARDED_MOST = 64 * 1024, COPIED_BYTES_MOST = 4 << 20, SECTIONS_MOST = 1 << 20 };

static bool is_guarded;
static struct sigaction former_bus;

static void on_bus(int signo, siginfo_t *info, void *context)
{
	const int saved_errno = errno;
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	void *at = (void *)((uintptr_t)info->si_addr & ~(page - 1));
	(void)context;
	if (info->si_code != BUS_ADRERR ||
		mmap(at, page, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != at)
		sigaction(signo, &former_bus, NULL); /* not for us: it faults again, as without us */
	errno = saved_errno;
}

int dp_object_guard_bus(void)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
	if (is_guarded)
		return 0;
	sigfillset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &former_bus) < 0)
		return -errno;
	is_guarded = true;
	return 0;
}

static bool within(const struct dp_elf_file *file, uint64_t offset, uint64_t size)
{
	return offset <= file->size && size <= file->size - offset;
}

static bool read_at(const struct dp_elf_file *file, uint64_t offset, void *into, size_t size)
{
	if (!within(file, offset, size))
		return false;
	memcpy(into, file->bytes + offset, size);
	return true;
}

/* ELF specification, "Section header table": counts that do not fit stand in section 0. */
static void count_headers(struct dp_elf_file *file)
{
	const Elf64_Ehdr *header = &file->header;
	Elf64_Shdr first;
	size_t sections = header->e_shnum, names = header->e_shstrndx, segments = header->e_phnum;

	file->section_count = file->segment_count = file->section_names = 0;
	const bool has_first = header->e_shoff && header->e_shentsize == sizeof first &&
			       read_at(file, header->e_shoff, &first, sizeof first);
	if (has_first) {
		if (!sections)
			sections = first.sh_size;
		if (names == SHN_XINDEX)
			names = first.sh_link;
		if (segments == PN_XNUM)
			segments = first.sh_info;
	}
	if (has_first && sections <= SECTIONS_MOST &&
		within(file, header->e_shoff, sections * sizeof first)) {
		file->section_count = sections;
		file->section_names = names < sections ? names : 0;
	}
	if (header->e_phoff && header->e_phentsize == sizeof(Elf64_Phdr) && segments <= SECTIONS_MOST &&
		within(file, header->e_phoff, segments * sizeof(Elf64_Phdr)))
		file->segment_count = segments;
}

static int check(struct dp_elf_file *file)
{
	Elf64_Ehdr *header = &file->header;
	const uint8_t order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	if (!read_at(file, 0, header, sizeof *header) || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
		header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != order ||
		header->e_ident[EI_VERSION] != EV_CURRENT || header->e_machine != MACHINE)
		return -EBADMSG;
	count_headers(file);
	return 0;
}

int dp_elf_from_memory(struct dp_elf_file *file, const void *bytes, size_t size)
{
	*file = (struct dp_elf_file){.bytes = bytes, .size = size, .held = DP_ELF_BORROWED};
	return check(file);
}

int dp_elf_take(struct dp_elf_file *file, void *bytes, size_t size)
{
	*file = (struct dp_elf_file){.bytes = bytes, .size = size, .held = DP_ELF_COPIED};
	const int error = check(file);
	if (error)
		dp_elf_close(file);
	return error;
}

static int copy(struct dp_elf_file *file, int fd)
{
	size_t got = 0;
	uint8_t *bytes = malloc(file->size);
	if (!bytes)
		return -ENOMEM;
	file->bytes = bytes;
	file->held = DP_ELF_COPIED;
	while (got < file->size) {
		const ssize_t n = pread(fd, bytes + got, file->size - got, (off_t)got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	file->size = got; /* cut since we asked: what is missing is out of bounds */
	return 0;
}

static int map(struct dp_elf_file *file, int fd)
{
	void *bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return -errno;
	file->bytes = bytes;
	file->held = DP_ELF_MAPPED;
	return 0;
}

/* O_NONBLOCK: a path of a host may name a pipe, and its open must not wait. */
int dp_open_under(const char *path, const char *root)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat status;
	int fd;

	if (!root || !*root || !strcmp(root, "/")) {
		fd = open(path, flags);
	} else {
		const int base = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (base < 0)
			return -errno;
		/* Absolute links in a container are meant from its root. */
		struct open_how how = {.flags = (uint64_t)flags, .resolve = RESOLVE_IN_ROOT};
		fd = (int)syscall(SYS_openat2, base, path, &how, sizeof how);
		if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* Linux before 5.6, or a filter */
			fd = openat(base, path + strspn(path, "/"), flags | O_NOFOLLOW);
		const int error = errno;
		close(base);
		errno = error;
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return -EBADMSG;
	}
	return fd;
}

static char *joined(const char *root, const char *path)
{
	char *whole;
	return asprintf(&whole, "%s%s", root ? root : "", path) < 0 ? NULL : whole;
}

int dp_elf_open_under(struct dp_elf_file *file, const char *path, const char *root)
{
	const size_t copied_most = is_guarded ? COPIED_GUARDED_MOST : COPIED_BYTES_MOST;
	struct stat status;
	int error;

	*file = (struct dp_elf_file){.held = DP_ELF_BORROWED};
	const int fd = dp_open_under(path, root);
	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0)
		error = -errno;
	else if (status.st_size < (off_t)sizeof(Elf64_Ehdr))
		error = -EBADMSG;
	else {
		file->size = (size_t)status.st_size;
		file->device = status.st_dev;
		file->inode = status.st_ino;
		file->path = joined(root, path);
		error = !file->path ? -ENOMEM : file->size <= copied_most ? copy(file, fd) : map(file, fd);
	}
	close(fd);
	if (!error)
		error = check(file);
	if (error)
		dp_elf_close(file);
	return error;
}

int dp_elf_open(struct dp_elf_file *file, const char *path)
{
	return dp_elf_open_under(file, path, NULL);
}

void dp_elf_close(struct dp_elf_file *file)
{
	if (file->held == DP_ELF_COPIED)
		free((void *)file->bytes);
	else if (file->held == DP_ELF_MAPPED)
		munmap((void *)file->bytes, file->size);
	free(file->path);
	*file = (struct dp_elf_file){.held = DP_ELF_BORROWED};
}

void dp_elf_let_go(const struct dp_elf_file *file)
{
	if (file->held == DP_ELF_MAPPED)
		madvise((void *)file->bytes, file->size, MADV_DONTNEED);
}

bool dp_elf_is_whole(const struct dp_elf_file *file)
{
	struct stat status;
	if (file->held != DP_ELF_MAPPED || is_guarded)
		return true;
	/* Another file by that name, or none: ours was replaced, not cut, and lives on in the mapping. */
	return stat(file->path, &status) < 0 || status.st_dev != file->device ||
	       status.st_ino != file->inode || (size_t)status.st_size >= file->size;
}

bool dp_elf_segment(const struct dp_elf_file *file, size_t index, Elf64_Phdr *segment)
{
	return index < file->segment_count &&
	       read_at(file, file->header.e_phoff + index * sizeof *segment, segment, sizeof *segment);
}

bool dp_elf_section_at(const struct dp_elf_file *file, size_t index, Elf64_Shdr *section)
{
	return index < file->section_count &&
	       read_at(file, file->header.e_shoff + index * sizeof *section, section, sizeof *section);
}

const char *dp_elf_text(const uint8_t *table, size_t size, uint64_t offset)
{
	return table && offset < size && memchr(table + offset, 0, size - offset)
		       ? (const char *)table + offset
		       : NULL;
}

bool dp_elf_find(const struct dp_elf_file *file, const char *name, Elf64_Shdr *section, size_t *index)
{
	Elf64_Shdr names;
	size_t size;
	if (!file->section_names || !dp_elf_section_at(file, file->section_names, &names))
		return false;
	const uint8_t *texts = dp_elf_section_bytes(file, &names, &size);
	for (size_t i = 1; dp_elf_section_at(file, i, section); i++) {
		const char *text = dp_elf_text(texts, size, section->sh_name);
		if (text && !strcmp(text, name)) {
			if (index)
				*index = i;
			return true;
		}
	}
	return false;
}

bool dp_elf_find_type(const struct dp_elf_file *file, uint32_t type, Elf64_Shdr *section)
{
	for (size_t i = 1; dp_elf_section_at(file, i, section); i++)
		if (section->sh_type == type)
			return true;
	return false;
}

const uint8_t *dp_elf_section_bytes(const struct dp_elf_file *file, const Elf64_Shdr *section, size_t *size)
{
	*size = 0;
	if (section->sh_type == SHT_NOBITS || section->sh_flags & SHF_COMPRESSED ||
		!within(file, section->sh_offset, section->sh_size))
		return NULL;
	*size = section->sh_size;
	return file->bytes + section->sh_offset;
}

/* Notes are aligned to 4 bytes; GNU property notes, aligned to 8, have a segment of their own. */
static bool find_build_id(const uint8_t *notes, size_t size, const uint8_t **id, size_t *id_size)
{
	Elf64_Nhdr note;
	for (size_t at = 0; at <= size && size - at >= sizeof note;) {
		memcpy(&note, notes + at, sizeof note);
		const uint64_t name = at + sizeof note;
		const uint64_t descriptor = name + (((uint64_t)note.n_namesz + 3) & ~(uint64_t)3);
		if (descriptor > size || note.n_descsz > size - descriptor)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(notes + name, "GNU", 4)) {
			*id = notes + descriptor;
			*id_size = note.n_descsz;
			return true;
		}
		at = descriptor + (((uint64_t)note.n_descsz + 3) & ~(uint64_t)3);
	}
	return false;
}

void dp_elf_build_id(const struct dp_elf_file *file, char *hex, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *id = NULL;
	size_t id_size = 0;
	Elf64_Phdr segment;

	for (size_t i = 0; !id && dp_elf_segment(file, i, &segment); i++)
		if (segment.p_type == PT_NOTE && within(file, segment.p_offset, segment.p_filesz))
			find_build_id(file->bytes + segment.p_offset, segment.p_filesz, &id, &id_size);
	/* Debug files keep the sections of notes; their segments say what the code's file holds. */
	Elf64_Shdr section;
	for (size_t i = 1; !id && dp_elf_section_at(file, i, &section); i++) {
		size_t notes_size;
		const uint8_t *notes = section.sh_type == SHT_NOTE
					       ? dp_elf_section_bytes(file, &section, &notes_size)
					       : NULL;
		if (notes)
			find_build_id(notes, notes_size, &id, &id_size);
	}
	*hex = 0;
	if (!id || id_size * 2 + 1 > size)
		return;
	for (size_t i = 0; i < id_size; i++) {
		hex[2 * i] = digits[id[i] >> 4];
		hex[2 * i + 1] = digits[id[i] & 15];
	}
	hex[2 * id_size] = 0;
}

bool dp_elf_address_of_offset(const struct dp_elf_file *file, uint64_t file_offset, uint64_t *address)
{
	/* A mapping starts at a page, its segment often later; the page's head belongs to the segment before
	 * as well. Whoever asks has code, so code is looked for first. */
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	Elf64_Phdr segment;
	for (int code = 1; code >= 0; code--)
		for (size_t i = 0; dp_elf_segment(file, i, &segment); i++) {
			const uint64_t slack = code ? segment.p_offset & page : 0;
			if (segment.p_type != PT_LOAD || (code && !(segment.p_flags & PF_X)) ||
				file_offset < segment.p_offset - slack ||
				file_offset - (segment.p_offset - slack) >= segment.p_filesz + slack)
				continue;
			*address = segment.p_vaddr + (file_offset - segment.p_offset);
			return true;
		}
	return false;
}
