/* SPDX-License-Identifier: Apache-2.0
 * A log line is one write(), so that lines of several processes do not tear. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum dp_log_level chosen = DP_LOG_WARN;
static int log_fd = STDERR_FILENO;

int dp_log_init(enum dp_log_level level, const char *file)
{
	chosen = level;
	if (!file || !*file)
		return 0;
	const int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return -errno;
	log_fd = fd;
	return 0;
}

void dp_log(enum dp_log_level level, const char *format, ...)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	char line[1026];
	if (level > chosen)
		return;
	int size = snprintf(line, sizeof line, "deepprof: %s%s", level == DP_LOG_INFO ? "" : names[level],
	        level == DP_LOG_INFO ? "" : ": ");
	va_list arguments;
	va_start(arguments, format);
	size += vsnprintf(line + size, sizeof line - 1 - (size_t)size, format, arguments);
	va_end(arguments);
	if ((size_t)size >= sizeof line - 1)
		size = sizeof line - 2;
	line[size++] = '\n';
	if (write(log_fd, line, (size_t)size) < 0)
		return; /* nowhere left to say so */
}
