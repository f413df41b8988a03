/* SPDX-License-Identifier: Apache-2.0
 * One server, one way of saying "here is a profile". */
#ifndef DEEPPROF_EXPORT_PUSH_REQUEST_H
#define DEEPPROF_EXPORT_PUSH_REQUEST_H

#include "base/profile.h"
#include "export/export.h"

enum dp_verdict { DP_DELIVERED, DP_TRY_AGAIN, DP_REFUSED };

/* A kind of server. */
struct dp_server_kind {
	const char *prefix;       /* of the URL's scheme: "parca+", "" */
	const char *family;       /* as in the auth setting */
	const char *path;         /* behind the URL */
	const char *content_type;
	bool gzips_body;          /* Content-Encoding: gzip around the body */
	/* The request's body for a pprof file (gzip). 0 or -errno. */
	int (*body)(const struct dp_profile *profile, const struct dp_buffer *pprof, struct dp_buffer *body);
	/* What an answer means. body: its first bytes, NUL-terminated. */
	enum dp_verdict (*judge)(long status, const char *body);
};
extern const struct dp_server_kind dp_pyroscope, dp_parca;

/* A label's name as all servers take it: [a-zA-Z_][a-zA-Z0-9_]*, anything else becomes "_". */
void dp_label_name(const char *from, char *to, size_t size);
/* __name__ of a profile's kind. */
const char *dp_series_name(const struct dp_profile *profile);

#endif
