/* SPDX-License-Identifier: Apache-2.0
 * Files opened once, tables compiled once into sealed memfds. */
#include "agent/objects.h"

#include "base/log.h"
#include "base/sha256.h"
#include "unwind/compile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct dp_shared_object *objects;
pthread_mutex_t dp_tables_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dp_agent_table tables[DP_TABLE_MAX];
static uint32_t table_count;

bool dp_tables_get(uint32_t number, struct dp_agent_table *table)
{
	pthread_mutex_lock(&dp_tables_lock);
	const bool is_there = number < table_count;
	if (is_there)
		*table = tables[number];
	pthread_mutex_unlock(&dp_tables_lock);
	return is_there;
}

/* The bytes in a memfd that nobody can change any more. */
static int seal(const struct dp_table_image *image)
{
	const int fd = memfd_create("deepprof-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	size_t at = 0;
	while (at < image->size) {
		const ssize_t wrote = write(fd, (const char *)image->bytes + at, image->size - at);
		if (wrote <= 0) {
			const int error = wrote ? errno : EIO;
			close(fd);
			return -error;
		}
		at += (size_t)wrote;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
		const int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

static void compile(struct dp_shared_object *shared)
{
	struct dp_table_image image;
	size_t size;
	shared->has_table = true;
	shared->table = DP_TABLE_NONE;
	const void *bytes = shared->object ? dp_object_bytes(shared->object, &size) : NULL;
	if (!bytes || table_count == DP_TABLE_MAX)
		return;
	const int error = dp_table_compile(bytes, size, &image);
	dp_object_let_go(shared->object);
	if (error) {
		if (error != -ENODATA)
			dp_debug("%s: no unwind table: %s", shared->path, strerror(-error));
		return;
	}
	const int fd = image.size <= UINT32_MAX ? seal(&image) : -EFBIG;
	free(image.bytes);
	if (fd < 0) {
		dp_debug("%s: table: %s", shared->path, strerror(-fd));
		return;
	}
	shared->origin = image.origin;
	pthread_mutex_lock(&dp_tables_lock);
	shared->table = table_count;
	tables[table_count++] = (struct dp_agent_table){fd, (uint32_t)image.size, image.origin};
	pthread_mutex_unlock(&dp_tables_lock);
	dp_debug("%s: %u rows, %u complex", shared->path, image.rows, image.complex_rows);
}

static bool is_vdso(const char *path)
{
	return !strncmp(path, "linux-vdso", 10) || !strncmp(path, "linux-gate", 10) || !strcmp(path, "[vdso]");
}

static struct dp_shared_object *add(const char *path, const struct stat *status)
{
	struct dp_shared_object *shared = calloc(1, sizeof *shared);
	if (!shared)
		return NULL;
	shared->path = strdup(path);
	if (!shared->path) {
		free(shared);
		return NULL;
	}
	shared->device = status->st_dev;
	shared->inode = status->st_ino;
	shared->size = (uint64_t)status->st_size;
	shared->mtime_ns = (uint64_t)status->st_mtim.tv_sec * 1000000000 + (uint64_t)status->st_mtim.tv_nsec;
	shared->next = objects;
	objects = shared;
	return shared;
}

struct dp_shared_object *dp_objects_get(int32_t pid, const char *path, const char *build_id)
{
	char root[32];
	char full[4200];
	struct stat status = {0};
	const bool vdso = is_vdso(path);
	(void)build_id;
	/* The host's root where it is another than ours (a container, a chroot) and may be looked through. */
	snprintf(root, sizeof root, "/proc/%d/root", pid);
	snprintf(full, sizeof full, "%s%s", root, path);
	bool through_root = false;
	struct stat ours = {0};
	const bool has_ours = !vdso && stat(path, &ours) == 0;
	if (!vdso && stat(full, &status) == 0)
		through_root = !has_ours || ours.st_dev != status.st_dev || ours.st_ino != status.st_ino;
	else if (has_ours)
		status = ours;
	const uint64_t mtime_ns =
	        (uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec;
	for (struct dp_shared_object *shared = objects; shared; shared = shared->next)
		if (shared->device == status.st_dev && shared->inode == status.st_ino &&
		        shared->size == (uint64_t)status.st_size && shared->mtime_ns == mtime_ns &&
		        !strcmp(shared->path, path))
			return shared;
	struct dp_shared_object *shared = add(path, &status);
	if (!shared)
		return NULL;
	if (vdso)
		shared->object = dp_object_vdso(&shared->error); /* the same for every process of this kernel */
	else if (!status.st_ino)
		shared->error = -ENOENT;
	else
		shared->object = dp_object_open(path, through_root && pid > 0 ? root : NULL, &shared->error);
	if (!shared->object && through_root && !vdso)
		shared->object = dp_object_open(path, NULL, &shared->error);
	if (!shared->object)
		dp_debug("%s: %s", path, strerror(-shared->error));
	return shared;
}

uint32_t dp_tables_of(struct dp_shared_object *shared, uint64_t *origin)
{
	if (!shared->has_table)
		compile(shared);
	*origin = shared->origin;
	return shared->table;
}

/* SPEC specification/profiles/mappings.md of OpenTelemetry: the first 16 bytes of the SHA-256 of head, tail, length. */
const char *dp_objects_hash(struct dp_shared_object *shared)
{
	enum { PIECE = 4096, SHOWN = 16 };
	uint8_t text[2 * PIECE + 8], digest[DP_SHA256_BYTES];
	size_t size = 0;
	const uint8_t *bytes = shared->object && !*shared->hash ? dp_object_bytes(shared->object, &size) : NULL;
	if (!bytes)
		return shared->hash;
	const size_t piece = size < PIECE ? size : PIECE;
	memcpy(text, bytes, piece);
	memcpy(text + piece, bytes + size - piece, piece);
	for (int i = 0; i < 8; i++)
		text[2 * piece + (size_t)i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
	dp_sha256(text, 2 * piece + 8, digest);
	for (int i = 0; i < SHOWN; i++)
		snprintf(shared->hash + 2 * i, 3, "%02x", digest[i]);
	return shared->hash;
}

bool dp_objects_rest(uint64_t now_ms)
{
	bool has_given = false;
	for (struct dp_shared_object *shared = objects; shared; shared = shared->next)
		has_given |= shared->object && dp_object_rest(shared->object, now_ms);
	return has_given;
}
