/* SPDX-License-Identifier: Apache-2.0
 * Was this process made by one that we are a guest of, too? Asked only where it matters: a line on stderr is said by
 * the first process alone, and children=false means all but the first. */
#include "preload/hooks.h"

#include "base/syscall.h"

#include <fcntl.h>
#include <string.h>

static void parent_maps_path(char *path)
{
	static const char head[] = "/proc/", tail[] = "/maps";
	char digits[12];
	unsigned count = 0;
	for (long rest = DP_SYS0(SYS_getppid); rest > 0; rest /= 10)
		digits[count++] = (char)('0' + rest % 10);
	memcpy(path, head, sizeof head - 1);
	path += sizeof head - 1;
	while (count)
		*path++ = digits[--count];
	memcpy(path, tail, sizeof tail);
}

bool dp_parent_is_host(void)
{
	static const char name[] = "/libdeepprof.so\n";
	static char bytes[8 * 1024];
	char path[32];
	size_t kept = 0;
	bool is_found = false;
	long got;

	parent_maps_path(path);
	const long fd = DP_SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	/* The name may lie across two reads: its length is kept from one to the next. */
	while (!is_found && (got = DP_SYS3(SYS_read, fd, bytes + kept, sizeof bytes - kept)) > 0) {
		const size_t size = kept + (size_t)got;
		is_found = memmem(bytes, size, name, sizeof name - 1) != NULL;
		kept = size < sizeof name ? size : sizeof name;
		memmove(bytes, bytes + size - kept, kept);
	}
	DP_SYS1(SYS_close, fd);
	return is_found;
}
