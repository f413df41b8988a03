/* SPDX-License-Identifier: Apache-2.0
 * Where separate debug files lie is GDB's convention ("Debugging Information in Separate Files"). A wrong
 * file gives wrong names, so each candidate must prove itself: by build-id, or by the CRC in the debuglink.
 */
#include "symbols/debug_file.h"

#include <errno.h>
#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char debug_root[] = "/usr/lib/debug";
enum { BUILD_ID_TEXT = 129, LZMA_MEMORY_MOST = 128 << 20, MINI_BYTES_MOST = 256 << 20 };

static bool open_if_id(struct dp_elf_file *found, const char *path, const char *root, const char *build_id)
{
	char its[BUILD_ID_TEXT];
	if (dp_elf_open_under(found, path, root))
		return false;
	dp_elf_build_id(found, its, sizeof its);
	if (!strcmp(its, build_id))
		return true;
	dp_elf_close(found);
	return false;
}

static bool open_by_id(struct dp_elf_file *found, const char *build_id, const char *root)
{
	char path[sizeof debug_root + BUILD_ID_TEXT + 32];
	if (strlen(build_id) < 4)
		return false;
	snprintf(path, sizeof path, "%s/.build-id/%.2s/%s.debug", debug_root, build_id, build_id + 2);
	return open_if_id(found, path, root, build_id);
}

static bool read_link(const struct dp_elf_file *file, char *name, size_t name_size, uint32_t *crc)
{
	Elf64_Shdr section;
	size_t size;
	if (!dp_elf_find(file, ".gnu_debuglink", &section, NULL))
		return false;
	const uint8_t *bytes = dp_elf_section_bytes(file, &section, &size);
	if (!dp_elf_text(bytes, size, 0))
		return false;
	/* The name, its NUL, padding to four bytes, the CRC. */
	const size_t length = strnlen((const char *)bytes, size);
	const size_t crc_at = (length + 4) & ~(size_t)3;
	if (!length || length >= name_size || crc_at + 4 > size || memchr(bytes, '/', length))
		return false;
	memcpy(name, bytes, length);
	name[length] = '\0';
	memcpy(crc, bytes + crc_at, 4);
	return true;
}

static bool has_crc(const struct dp_elf_file *file, uint32_t wanted)
{
	static const size_t piece = 1 << 20;
	uLong crc = crc32(0, NULL, 0);
	for (size_t at = 0; at < file->size; at += piece)
		crc = crc32(crc, file->bytes + at, (uInt)(file->size - at < piece ? file->size - at : piece));
	return crc == wanted;
}

static bool open_if_crc(struct dp_elf_file *found, const struct dp_elf_file *file, const char *path,
	const char *root, const char *build_id, uint32_t crc)
{
	char its[BUILD_ID_TEXT];
	if (dp_elf_open_under(found, path, root))
		return false;
	dp_elf_build_id(found, its, sizeof its);
	const bool is_itself = found->device == file->device && found->inode == file->inode;
	/* Equal build-ids are proof enough; the sum of a gigabyte is not for free. */
	if (!is_itself && (*its && *build_id ? !strcmp(its, build_id) : has_crc(found, crc)))
		return true;
	dp_elf_close(found);
	return false;
}

static bool open_beside(struct dp_elf_file *found, const struct dp_elf_file *file, const char *path,
	const char *root, const char *build_id)
{
	char name[NAME_MAX + 1], candidate[PATH_MAX];
	uint32_t crc;
	const char *slash = strrchr(path, '/');
	if (!slash || !read_link(file, name, sizeof name, &crc))
		return false;
	const int folder = (int)(slash - path);
	static const char *const patterns[] = {"%s%.*s/%s", "%s%.*s/.debug/%s", "%s%.*s/%s"};
	for (int i = 0; i < 3; i++) {
		const char *before = i == 2 ? debug_root : "";
		const int size =
			snprintf(candidate, sizeof candidate, patterns[i], before, folder, path, name);
		if (size > 0 && (size_t)size < sizeof candidate &&
			open_if_crc(found, file, candidate, root, build_id, crc))
			return true;
	}
	return false;
}

int dp_debug_file_open(
	struct dp_elf_file *debug, const struct dp_elf_file *file, const char *path, const char *root)
{
	char build_id[BUILD_ID_TEXT];
	dp_elf_build_id(file, build_id, sizeof build_id);
	if (open_by_id(debug, build_id, root))
		return 0;
	if (!path)
		return -ENOENT;
	if (open_beside(debug, file, path, root, build_id))
		return 0;
	/* Behind a link the debug file lies where the file really is. Links of another root are not ours to
	 * follow. */
	char *real = root ? NULL : realpath(path, NULL);
	const bool is_found = real && strcmp(real, path) && open_beside(debug, file, real, root, build_id);
	free(real);
	return is_found ? 0 : -ENOENT;
}

int dp_alt_file_open(
	struct dp_elf_file *alt, const char *link, const char *build_id, const char *path, const char *root)
{
	char candidate[PATH_MAX];
	if (open_by_id(alt, build_id, root))
		return 0;
	const char *slash = path ? strrchr(path, '/') : NULL;
	int size;
	if (*link == '/' || !slash)
		size = snprintf(candidate, sizeof candidate, "%s", link);
	else
		size = snprintf(candidate, sizeof candidate, "%.*s/%s", (int)(slash - path), path, link);
	if (size > 0 && (size_t)size < sizeof candidate && open_if_id(alt, candidate, root, build_id))
		return 0;
	return -ENOENT;
}

/* The unpacked bytes, from malloc; NULL when they are damaged or too many. */
static uint8_t *unpack(const uint8_t *packed, size_t packed_size, size_t *size)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	uint8_t *bytes = NULL;
	size_t room = 0;
	lzma_ret result = LZMA_OK;

	if (lzma_stream_decoder(&stream, LZMA_MEMORY_MOST, 0) != LZMA_OK)
		return NULL;
	stream.next_in = packed;
	stream.avail_in = packed_size;
	while (result == LZMA_OK && room < MINI_BYTES_MOST) {
		const size_t grown_room = room ? 2 * room : 4 * packed_size + 4096;
		uint8_t *grown = realloc(bytes, grown_room);
		if (!grown)
			break;
		bytes = grown;
		stream.next_out = bytes + room;
		stream.avail_out = grown_room - room;
		room = grown_room;
		result = lzma_code(&stream, LZMA_FINISH);
	}
	*size = stream.total_out;
	lzma_end(&stream);
	if (result != LZMA_STREAM_END) {
		free(bytes);
		return NULL;
	}
	uint8_t *fitting = realloc(bytes, *size ? *size : 1);
	return fitting ? fitting : bytes;
}

int dp_mini_debug_open(struct dp_elf_file *mini, const struct dp_elf_file *file)
{
	Elf64_Shdr section;
	size_t packed_size, size;
	if (!dp_elf_find(file, ".gnu_debugdata", &section, NULL))
		return -ENOENT;
	const uint8_t *packed = dp_elf_section_bytes(file, &section, &packed_size);
	uint8_t *bytes = packed ? unpack(packed, packed_size, &size) : NULL;
	if (!bytes || dp_elf_take(mini, bytes, size))
		return -ENOENT;
	return 0;
}
