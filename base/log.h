/* SPDX-License-Identifier: Apache-2.0
 * The agent's and the command's log: one line a message, nothing below the chosen level. Agent only. */
#ifndef DEEPPROF_BASE_LOG_H
#define DEEPPROF_BASE_LOG_H

enum dp_log_level { DP_LOG_ERROR, DP_LOG_WARN, DP_LOG_INFO, DP_LOG_DEBUG };

/* file: path appended to, NULL for stderr. 0, or -errno when the file cannot be opened (stderr stays). */
int dp_log_init(enum dp_log_level level, const char *file);
void dp_log(enum dp_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define dp_error(...) dp_log(DP_LOG_ERROR, __VA_ARGS__)
#define dp_warn(...)  dp_log(DP_LOG_WARN, __VA_ARGS__)
#define dp_info(...)  dp_log(DP_LOG_INFO, __VA_ARGS__)
#define dp_debug(...) dp_log(DP_LOG_DEBUG, __VA_ARGS__)

#endif
