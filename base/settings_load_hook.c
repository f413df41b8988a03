/* SPDX-License-Identifier: Apache-2.0
 * All of a process's settings, as its constructor or the command reads them. */
#include "base/settings.h"

#include "base/syscall.h"

#include <fcntl.h>
#include <string.h>

static void read_config_file(struct dp_settings *settings, const char *path, const struct dp_settings_listener *listener)
{
	static char bytes[16 * 1024];
	const long fd = DP_SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	size_t size = 0;
	long got = 0;
	while (fd >= 0 && size < sizeof bytes &&
		(got = DP_SYS3(SYS_read, fd, bytes + size, sizeof bytes - size)) > 0)
		size += (size_t)got;
	if (fd >= 0)
		DP_SYS1(SYS_close, fd);
	if (fd < 0 || got < 0 || size == sizeof bytes) {
		char line[600] = "DEEPPROF_CONFIG names ";
		strncat(line, path, 400);
		strcat(line, size == sizeof bytes ? ", which is larger than 16 KiB: shorten it"
						  : ", which cannot be read: name a readable file or unset it");
		if (listener && listener->say)
			listener->say(listener->context, line);
		return;
	}
	dp_settings_read_file(settings, bytes, size, listener);
}

void dp_settings_load(
	struct dp_settings *settings, char *const *environment, const struct dp_settings_listener *listener)
{
	const char *config = dp_settings_config_path(environment);
	if (config)
		read_config_file(settings, config, listener);
	dp_settings_read_environment(settings, environment, listener);
}
