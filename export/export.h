/* SPDX-License-Identifier: Apache-2.0
 * Profiles as others read them: files and servers. Agent and command only. */
#ifndef DEEPPROF_EXPORT_EXPORT_H
#define DEEPPROF_EXPORT_EXPORT_H

#include "base/profile.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes that grow. Zeroed memory is empty; bytes is malloc'd and freed by dp_buffer_fini(). */
struct dp_buffer {
	uint8_t *bytes;
	size_t size, capacity;
};
int dp_buffer_append(struct dp_buffer *buffer, const void *bytes, size_t size); /* 0 or -ENOMEM */
int dp_buffer_format(struct dp_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
int dp_json_append(struct dp_buffer *buffer, const char *text); /* as a string in quotes */
struct ProtobufCMessage;
int dp_buffer_pack(struct dp_buffer *buffer, const struct ProtobufCMessage *message); /* its protobuf form */
void dp_buffer_fini(struct dp_buffer *buffer);

/* Encoders append to out. 0, or -errno with out's contents undefined. */
int dp_pprof_encode(const struct dp_profile *profile, struct dp_buffer *out); /* not compressed */
int dp_otlp_encode(const struct dp_profile *profile, struct dp_buffer *out);  /* a request or file, not compressed */
int dp_gzip(const void *bytes, size_t size, struct dp_buffer *out);
int dp_gunzip(const void *bytes, size_t size, size_t most, struct dp_buffer *out); /* most: refuse beyond */
int dp_collapsed_encode(const struct dp_profile *profile, struct dp_buffer *out);
int dp_speedscope_encode(const struct dp_profile *profile, const char *name, struct dp_buffer *out);
/* One self-contained page. base: NULL, or the profile to compare with (difference colours). */
int dp_html_encode(const struct dp_profile *profile, const struct dp_profile *base, const char *title,
        struct dp_buffer *out);
/* For people: the hottest functions, and the tree. */
int dp_top_encode(const struct dp_profile *profile, const struct dp_profile *base, unsigned most,
        struct dp_buffer *out);
int dp_tree_encode(const struct dp_profile *profile, const struct dp_profile *base, struct dp_buffer *out);

/* Reads a pprof file (gzip or plain). Hostile bytes are expected. -EBADMSG: not a profile. */
int dp_pprof_decode(const void *bytes, size_t size, struct dp_profile **profile);

/* A file's format by its ending. pattern: %p pid, %n program, %t start time (UTC, 20261122T101500), %% a per
 * cent sign. */
enum dp_format { DP_FORMAT_PPROF, DP_FORMAT_COLLAPSED, DP_FORMAT_HTML, DP_FORMAT_SPEEDSCOPE, DP_FORMAT_OTLP };
int dp_format_of(const char *path); /* enum dp_format, or -EINVAL */
int dp_output_path(const char *pattern, int pid, const char *program, int64_t start_ns, char *path, size_t size);
/* Writes the profile whole or not at all (temporary file beside it, then rename). 0 or -errno. */
int dp_output_write(const char *path, const struct dp_profile *profile);
/* The same for bytes that are already encoded. */
int dp_output_write_bytes(const char *path, const void *bytes, size_t size);

#endif
