/* SPDX-License-Identifier: Apache-2.0
 * SESSION-NUMBER.upload is an entry, SESSION.lock says who lives, by flock(): the kernel takes it away however the
 * process ends. Whoever takes over holds the dead session's lock meanwhile, so that of two only one does; a file
 * changes hands by rename(), whole or not at all. Files are 0600 and of our own user, links are not followed:
 * the folder may be one that others write to. */
#include "export/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { SESSION_SIZE = 16, NAME_SIZE = 64, ENTRY_MOST = 16 * 1024 * 1024, SKEW_S = 600 };
#define ENTRY_END ".upload"
#define LOCK_END  ".lock"

static const char magic[8] = {'d', 'p', 's', 'p', 'o', 'o', 'l', '1'};

struct head {
	char magic[8];
	uint32_t checksum; /* of the rest of the file */
	uint32_t size;     /* of the upload behind it */
	uint64_t server, service, weight_ns;
	int64_t time_ns;
};

struct dp_spool {
	int folder, lock;
	bool is_listed; /* the lock, for forks */
	uint64_t bytes_most;
	unsigned age_s;
	char session[SESSION_SIZE + 1];
	uint64_t numbers;
	struct dp_spool_entry *entries; /* oldest first */
	struct dp_spool_losses losses;
};

/* ---- an entry's bytes ---- */

static uint32_t checksum_of(const uint8_t *bytes, size_t size)
{
	const size_t from = offsetof(struct head, size);
	return (uint32_t)crc32(0, bytes + from, (uInt)(size - from));
}

bool dp_spool_parse(const uint8_t *bytes, size_t size, struct dp_spool_entry *head)
{
	struct head read;
	if (size < sizeof read || size > sizeof read + ENTRY_MOST)
		return false;
	memcpy(&read, bytes, sizeof read);
	if (memcmp(read.magic, magic, sizeof magic) != 0 || read.size != size - sizeof read ||
	        read.checksum != checksum_of(bytes, size))
		return false;
	*head = (struct dp_spool_entry){.server = read.server,
	        .service = read.service,
	        .weight_ns = read.weight_ns,
	        .time_ns = read.time_ns,
	        .size = read.size};
	return true;
}

/* FNV-1a. */
uint64_t dp_spool_key(uint64_t key, const char *text)
{
	key = key ? key : UINT64_C(0xcbf29ce484222325);
	do
		key = (key ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return key;
}

/* ---- files ---- */

static void name_entry(const char *session, uint64_t number, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%s-%llu" ENTRY_END, session, (unsigned long long)number);
}

static bool is_session(const char *name)
{
	return strspn(name, "0123456789abcdef") == SESSION_SIZE;
}

static bool ends(const char *name, const char *end)
{
	const size_t size = strlen(name), length = strlen(end);
	return size > length && !strcmp(name + size - length, end);
}

/* -1: not there, or nothing of ours. */
static int open_own(const struct dp_spool *spool, const char *name, struct stat *status)
{
	const int fd = openat(spool->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, status) != 0 || !S_ISREG(status->st_mode) || status->st_uid != geteuid())) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The whole file, NULL with *size 0 where it cannot be an entry. The caller frees it. */
static uint8_t *read_file(const struct dp_spool *spool, const char *name, size_t *size)
{
	struct stat status;
	const int fd = open_own(spool, name, &status);
	uint8_t *bytes = NULL;
	*size = 0;
	if (fd >= 0 && status.st_size > 0 && (size_t)status.st_size <= sizeof(struct head) + ENTRY_MOST)
		bytes = malloc((size_t)status.st_size);
	for (ssize_t got = 1; bytes && got > 0 && *size < (size_t)status.st_size; *size += (size_t)(got > 0 ? got : 0))
		got = read(fd, bytes + *size, (size_t)status.st_size - *size);
	if (fd >= 0)
		close(fd);
	return bytes;
}

static bool write_whole(int fd, const void *bytes, size_t size)
{
	for (const uint8_t *at = bytes; size;) {
		const ssize_t done = write(fd, at, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		at += done;
		size -= (size_t)done;
	}
	return true;
}

/* ---- the index ---- */

static struct dp_spool_entry *add_entry(struct dp_spool *spool, const struct dp_spool_entry *like, uint64_t number)
{
	struct dp_spool_entry *entry = malloc(sizeof *entry), **link = &spool->entries;
	if (!entry)
		return NULL;
	*entry = *like;
	entry->number = number;
	while (*link && (*link)->time_ns <= entry->time_ns)
		link = &(*link)->next;
	entry->next = *link;
	*link = entry;
	return entry;
}

void dp_spool_remove(struct dp_spool *spool, struct dp_spool_entry *entry)
{
	char name[NAME_SIZE];
	struct dp_spool_entry **link = &spool->entries;
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	name_entry(spool->session, entry->number, name);
	unlinkat(spool->folder, name, 0);
	free(entry);
}

static bool is_old(const struct dp_spool *spool, int64_t time_ns)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	const int64_t age_s = now.tv_sec - time_ns / 1000000000;
	return age_s > (int64_t)spool->age_s || age_s < -SKEW_S;
}

/* Bytes of all entries in the folder, whosesoever. */
static uint64_t used_bytes(const struct dp_spool *spool)
{
	const int fd = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t bytes = 0;
	struct stat status;
	if (!folder) {
		if (fd >= 0)
			close(fd);
		return UINT64_MAX;
	}
	for (struct dirent *file; (file = readdir(folder));)
		if (is_session(file->d_name) && fstatat(spool->folder, file->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)status.st_size;
	closedir(folder);
	return bytes;
}

/* Our oldest that nobody is sending goes first: it is the nearest to being of no use. */
static bool make_room(struct dp_spool *spool, uint64_t size)
{
	if (size > spool->bytes_most)
		return false;
	for (uint64_t used; (used = used_bytes(spool)) > spool->bytes_most - size;) {
		struct dp_spool_entry *oldest = spool->entries;
		while (oldest && oldest->is_held)
			oldest = oldest->next;
		if (!oldest || used == UINT64_MAX)
			return false;
		spool->losses.full++;
		spool->losses.weight_ns += oldest->weight_ns;
		dp_spool_remove(spool, oldest);
	}
	return true;
}

struct dp_spool_entry *dp_spool_put(struct dp_spool *spool, const struct dp_spool_entry *like, const void *bytes)
{
	struct head head = {.size = (uint32_t)like->size,
	        .server = like->server,
	        .service = like->service,
	        .weight_ns = like->weight_ns,
	        .time_ns = like->time_ns};
	char name[NAME_SIZE], unfinished[NAME_SIZE];
	if (like->size > ENTRY_MOST || !make_room(spool, sizeof head + like->size))
		return NULL;
	memcpy(head.magic, magic, sizeof magic);
	const size_t from = offsetof(struct head, size);
	head.checksum = (uint32_t)crc32(0, (const uint8_t *)&head + from, (uInt)(sizeof head - from));
	head.checksum = (uint32_t)crc32(head.checksum, bytes, (uInt)like->size);
	name_entry(spool->session, ++spool->numbers, name);
	snprintf(unfinished, sizeof unfinished, "%s-new", spool->session);
	const int fd = openat(spool->folder, unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return NULL;
	const bool is_written = write_whole(fd, &head, sizeof head) && write_whole(fd, bytes, like->size);
	struct dp_spool_entry *entry = NULL;
	if (close(fd) == 0 && is_written && renameat(spool->folder, unfinished, spool->folder, name) == 0)
		entry = add_entry(spool, like, spool->numbers);
	if (!entry) {
		unlinkat(spool->folder, unfinished, 0);
		unlinkat(spool->folder, name, 0);
	}
	return entry;
}

struct dp_spool_entry *dp_spool_next(const struct dp_spool *spool, uint64_t server)
{
	struct dp_spool_entry *entry = spool->entries;
	while (entry && (entry->is_held || entry->server != server))
		entry = entry->next;
	return entry;
}

uint64_t dp_spool_waiting(const struct dp_spool *spool, uint64_t server)
{
	uint64_t count = 0;
	for (const struct dp_spool_entry *entry = spool->entries; entry; entry = entry->next)
		count += !entry->is_held && entry->server == server;
	return count;
}

int dp_spool_read(struct dp_spool *spool, struct dp_spool_entry *entry, struct dp_buffer *out)
{
	char name[NAME_SIZE];
	struct dp_spool_entry head;
	size_t size;
	name_entry(spool->session, entry->number, name);
	uint8_t *bytes = read_file(spool, name, &size);
	int error = -EBADMSG;
	if (is_old(spool, entry->time_ns))
		spool->losses.aged++;
	else if (bytes && dp_spool_parse(bytes, size, &head) && head.server == entry->server)
		error = dp_buffer_append(out, bytes + sizeof(struct head), size - sizeof(struct head));
	else
		spool->losses.damaged++;
	free(bytes);
	if (error == -EBADMSG) {
		spool->losses.weight_ns += entry->weight_ns;
		dp_spool_remove(spool, entry);
	}
	return error;
}

/* ---- what others left ---- */

struct adoption {
	struct dp_spool *spool;
	const uint64_t *servers, *services;
	unsigned server_count, service_count;
};

static bool is_among(const uint64_t *keys, unsigned count, uint64_t key)
{
	for (unsigned i = 0; i < count; i++)
		if (keys[i] == key)
			return true;
	return false;
}

/* One file of a dead session, ours from now on if we know its kin. True: it stays where it is. */
static bool adopt_file(const struct adoption *adoption, const char *file)
{
	struct dp_spool *spool = adoption->spool;
	struct dp_spool_entry head = {0};
	char name[NAME_SIZE];
	size_t size;
	struct stat status;
	if (fstatat(spool->folder, file, &status, AT_SYMLINK_NOFOLLOW) != 0 || status.st_uid != geteuid())
		return true;
	if (!ends(file, ENTRY_END)) { /* what it had not finished */
		unlinkat(spool->folder, file, 0);
		return false;
	}
	uint8_t *bytes = read_file(spool, file, &size);
	const bool is_whole = bytes && dp_spool_parse(bytes, size, &head);
	free(bytes);
	if (!is_whole || is_old(spool, head.time_ns)) {
		if (unlinkat(spool->folder, file, 0) == 0) {
			spool->losses.damaged += !is_whole;
			spool->losses.aged += is_whole;
			spool->losses.weight_ns += head.weight_ns;
		}
		return false;
	}
	if (!is_among(adoption->servers, adoption->server_count, head.server) ||
	        !is_among(adoption->services, adoption->service_count, head.service))
		return true;
	name_entry(spool->session, ++spool->numbers, name);
	if (renameat(spool->folder, file, spool->folder, name) != 0)
		return true;
	if (!add_entry(spool, &head, spool->numbers))
		unlinkat(spool->folder, name, 0);
	return false;
}

/* Holds the lock of a session that nobody else holds. -1: it lives, or is no session. */
static int lock_dead(const struct dp_spool *spool, const char *lock_name)
{
	struct stat status;
	const int fd = open_own(spool, lock_name, &status);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void adopt_session(const struct adoption *adoption, const char *session)
{
	struct dp_spool *spool = adoption->spool;
	char lock_name[NAME_SIZE];
	bool is_empty = true;
	snprintf(lock_name, sizeof lock_name, "%.*s" LOCK_END, SESSION_SIZE, session);
	const int lock = lock_dead(spool, lock_name);
	if (lock < 0)
		return;
	const int fd = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	if (!folder && fd >= 0)
		close(fd);
	for (struct dirent *file; folder && (file = readdir(folder));)
		if (!strncmp(file->d_name, session, SESSION_SIZE) && file->d_name[SESSION_SIZE] == '-')
			is_empty &= !adopt_file(adoption, file->d_name);
	if (folder)
		closedir(folder);
	if (folder && is_empty)
		unlinkat(spool->folder, lock_name, 0);
	close(lock);
}

void dp_spool_adopt(struct dp_spool *spool, const uint64_t *servers, unsigned server_count, const uint64_t *services,
        unsigned service_count)
{
	const struct adoption adoption = {spool, servers, services, server_count, service_count};
	const int fd = openat(spool->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	if (!folder && fd >= 0)
		close(fd);
	for (struct dirent *file; folder && (file = readdir(folder));)
		if (is_session(file->d_name) && ends(file->d_name, LOCK_END) &&
		        strncmp(file->d_name, spool->session, SESSION_SIZE) != 0)
			adopt_session(&adoption, file->d_name);
	if (folder)
		closedir(folder);
}

int dp_spool_survey(const char *path, struct dp_spool_survey *survey)
{
	DIR *folder = opendir(path);
	const time_t now = time(NULL);
	struct stat status;
	*survey = (struct dp_spool_survey){0};
	if (!folder)
		return -errno;
	for (struct dirent *file; (file = readdir(folder));)
		if (is_session(file->d_name) && ends(file->d_name, ENTRY_END) &&
		        fstatat(dirfd(folder), file->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
			survey->count++;
			survey->bytes += (uint64_t)status.st_size;
			if (now - status.st_mtime > survey->oldest_s)
				survey->oldest_s = now - status.st_mtime;
		}
	closedir(folder);
	return 0;
}

/* ---- a life ---- */

/* A lock belongs to the open file, which a forked child of an agent that is a thread has, too: the session would live as long as
 * the child. Descriptors + 1. */
enum { LOCKS = 16 };
static _Atomic int locks[LOCKS];

static void release_in_child(void)
{
	for (unsigned i = 0; i < LOCKS; i++) {
		const int lock = atomic_exchange(&locks[i], 0);
		if (lock)
			close(lock - 1);
	}
}

static void follow_forks(void)
{
	pthread_atfork(NULL, NULL, release_in_child);
}

/* False: no room; then it goes as before. */
static bool list_lock(int lock)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, follow_forks);
	for (unsigned i = 0; i < LOCKS; i++) {
		int free = 0;
		if (atomic_compare_exchange_strong(&locks[i], &free, lock + 1))
			return true;
	}
	return false;
}

/* In a child, where it is closed already: false. */
static bool unlist_lock(int lock)
{
	bool was_listed = false;
	for (unsigned i = 0; i < LOCKS; i++) {
		int listed = lock + 1;
		was_listed |= atomic_compare_exchange_strong(&locks[i], &listed, 0);
	}
	return was_listed;
}

/* A name that nobody has, locked before anybody can take it for dead. 0 or -errno. */
static int begin_session(struct dp_spool *spool)
{
	char name[NAME_SIZE];
	for (int tries = 0; tries < 10; tries++) {
		uint64_t random;
		struct stat status;
		if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
			return -errno;
		snprintf(spool->session, sizeof spool->session, "%016llx", (unsigned long long)random);
		snprintf(name, sizeof name, "%s" LOCK_END, spool->session);
		spool->lock = openat(spool->folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (spool->lock < 0 && errno != EEXIST)
			return -errno;
		if (spool->lock < 0)
			continue;
		if (flock(spool->lock, LOCK_EX | LOCK_NB) == 0 && fstat(spool->lock, &status) == 0 && status.st_nlink)
			return 0;
		close(spool->lock); /* somebody looked in between, and removes it */
		spool->lock = -1;
	}
	return -EAGAIN;
}

struct dp_spool *dp_spool_new(const char *path, uint64_t bytes, unsigned age_s, const char **message)
{
	static char wrong[700];
	struct dp_spool *spool = calloc(1, sizeof *spool);
	*message = "spool: no memory";
	if (!spool)
		return NULL;
	*spool = (struct dp_spool){.lock = -1, .bytes_most = bytes, .age_s = age_s};
	mkdir(path, 0700);
	spool->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int error = spool->folder < 0 ? -errno : begin_session(spool);
	if (!error) {
		spool->is_listed = list_lock(spool->lock);
		return spool;
	}
	snprintf(wrong, sizeof wrong, "spool %.500s: %s; name a folder that can be written to", path, strerror(-error));
	*message = wrong;
	dp_spool_free(spool);
	return NULL;
}

const struct dp_spool_losses *dp_spool_losses(const struct dp_spool *spool)
{
	return &spool->losses;
}

void dp_spool_free(struct dp_spool *spool)
{
	char name[NAME_SIZE];
	if (!spool)
		return;
	if (spool->lock >= 0 && !spool->entries) {
		snprintf(name, sizeof name, "%s" LOCK_END, spool->session);
		unlinkat(spool->folder, name, 0);
	}
	for (struct dp_spool_entry *entry; (entry = spool->entries);) {
		spool->entries = entry->next;
		free(entry);
	}
	if (spool->lock >= 0 && (!spool->is_listed || unlist_lock(spool->lock)))
		close(spool->lock);
	if (spool->folder >= 0)
		close(spool->folder);
	free(spool);
}
