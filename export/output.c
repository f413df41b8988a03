/* SPDX-License-Identifier: Apache-2.0
 * Profiles in files: the name from a pattern, the format from its ending, whole or not at all. */
#include "export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool ends_in(const char *path, const char *ending)
{
	const size_t size = strlen(path), end = strlen(ending);
	return size > end && !strcmp(path + size - end, ending);
}

int dp_format_of(const char *path)
{
	static const struct {
		const char *ending;
		enum dp_format format;
	} endings[] = {
	        {".pb.gz", DP_FORMAT_PPROF},
	        {".collapsed", DP_FORMAT_COLLAPSED},
	        {".html", DP_FORMAT_HTML},
	        {".speedscope.json", DP_FORMAT_SPEEDSCOPE},
	        {".otlp", DP_FORMAT_OTLP},
	};
	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
		if (ends_in(path, endings[i].ending))
			return endings[i].format;
	return -EINVAL;
}

/* A program's name in a file's name: no separators, no surprises. */
static void safe_name(const char *program, char *name, size_t size)
{
	size_t at = 0;
	for (; *program && at < size - 1; program++)
		name[at++] = *program == '/' || (unsigned char)*program <= ' ' ? '_' : *program;
	name[at] = 0;
}

int dp_output_path(const char *pattern, int pid, const char *program, int64_t start_ns, char *path, size_t size)
{
	char name[128], number[16], start[32];
	const time_t seconds = (time_t)(start_ns / 1000000000);
	struct tm utc;
	size_t at = 0;
	safe_name(program, name, sizeof name);
	snprintf(number, sizeof number, "%d", pid);
	gmtime_r(&seconds, &utc);
	strftime(start, sizeof start, "%Y%m%dT%H%M%S", &utc);
	for (; *pattern; pattern++) {
		char one[2] = {*pattern, 0};
		const char *part = one;
		if (*pattern == '%') {
			pattern++;
			part = *pattern == 'p' ? number : *pattern == 'n' ? name : *pattern == 't' ? start : *pattern == '%' ? "%" : NULL;
			if (!part)
				return -EINVAL;
		}
		const size_t length = strlen(part);
		if (at + length >= size)
			return -ENAMETOOLONG;
		memcpy(path + at, part, length);
		at += length;
	}
	path[at] = 0;
	return 0;
}

static int encode(const char *path, const struct dp_profile *profile, struct dp_buffer *out)
{
	struct dp_buffer plain = {0};
	const char *slash = strrchr(path, '/');
	int error;
	switch (dp_format_of(path)) {
	case DP_FORMAT_PPROF:
		error = dp_pprof_encode(profile, &plain);
		if (!error)
			error = dp_gzip(plain.bytes, plain.size, out);
		break;
	case DP_FORMAT_COLLAPSED:
		error = dp_collapsed_encode(profile, out);
		break;
	case DP_FORMAT_HTML:
		error = dp_html_encode(profile, NULL, slash ? slash + 1 : path, out);
		break;
	case DP_FORMAT_SPEEDSCOPE:
		error = dp_speedscope_encode(profile, slash ? slash + 1 : path, out);
		break;
	case DP_FORMAT_OTLP:
		error = dp_otlp_encode(profile, out);
		break;
	default:
		error = -EINVAL;
	}
	dp_buffer_fini(&plain);
	return error;
}

/* A new file beside path. Its name is a random one: in a container that starts again pids repeat, and a file
 * that a killed predecessor left must not be in the way. */
static int open_beside(const char *path, char *temporary, size_t size)
{
	enum { ATTEMPTS = 8 };
	struct stat known;
	uint64_t random;
	/* rename() would replace a device or a pipe by a file. */
	if (stat(path, &known) == 0 && !S_ISREG(known.st_mode))
		return S_ISDIR(known.st_mode) ? -EISDIR : -EINVAL;
	for (int i = 0; i < ATTEMPTS; i++) {
		if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
			random = (uint64_t)getpid() << 32 | (uint32_t)i;
		if ((size_t)snprintf(temporary, size, "%s.%016llx.tmp", path, (unsigned long long)random) >=
			size)
			return -ENAMETOOLONG;
		const int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int dp_output_write_bytes(const char *path, const void *bytes, size_t size)
{
	char temporary[4200];
	const int fd = open_beside(path, temporary, sizeof temporary);
	if (fd < 0)
		return fd;
	int error = 0;
	for (size_t at = 0; at < size && !error;) {
		const ssize_t wrote = write(fd, (const char *)bytes + at, size - at);
		if (wrote > 0)
			at += (size_t)wrote;
		else if (wrote == 0 || errno != EINTR)
			error = wrote ? -errno : -EIO;
	}
	if (close(fd) != 0 && !error)
		error = -errno;
	if (!error && rename(temporary, path) != 0)
		error = -errno;
	if (error)
		unlink(temporary);
	return error;
}

int dp_output_write(const char *path, const struct dp_profile *profile)
{
	struct dp_buffer out = {0};
	int error = encode(path, profile, &out);
	if (!error)
		error = dp_output_write_bytes(path, out.bytes, out.size);
	dp_buffer_fini(&out);
	return error;
}
