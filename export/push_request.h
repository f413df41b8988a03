/* SPDX-License-Identifier: Apache-2.0
 * What the queue asks of a kind of server, and the pieces they share.
 *
 * A server is one URL of the setting. A part is as much of a profile as one request may carry. An upload is
 * one part on its way to one server. */
#ifndef DEEPPROF_EXPORT_PUSH_REQUEST_H
#define DEEPPROF_EXPORT_PUSH_REQUEST_H

#include "base/profile.h"
#include "export/export.h"
#include "export/push.h"
#include "export/push_http.h"

enum dp_verdict {
	DP_DELIVERED,
	DP_BUSY,    /* 503 and the like, nobody there: try until the profile is too old */
	DP_LIMITED, /* a rate limit: some tries */
	DP_FAULT,   /* may or may not pass, or may even have arrived: few tries */
	DP_REFUSED, /* never will */
};

struct dp_part {
	const struct dp_profile *profile; /* identity, kind */
	struct dp_buffer encoded;         /* by its kind's encode(), then gzip */
	const struct dp_label *labels;    /* of its series, where a kind wants a series a label set */
	uint32_t label_count;
	uint64_t weight_ns; /* of its samples */
};

/* What becomes of the samples' labels. */
enum dp_label_policy {
	DP_LABELS_ALL,       /* they stay as they are */
	DP_LABELS_FEW,       /* each value of a text makes a series there: those with many stay at home */
	DP_LABELS_AS_SERIES, /* the same, and only those of a series are kept there: one series a label set */
};

/* A kind of server. */
struct dp_server_kind {
	const char *title;            /* as people call it */
	const char *prefix;           /* of the URL's scheme: "parca+", "" */
	const char *family;           /* as in the auth setting */
	const char *path;             /* behind the URL */
	const char *content_type;     /* of what we send and of what a good answer is */
	const char *content_encoding; /* of what we send; NULL for none */
	const char *const *headers;   /* others, NULL at the end; NULL for none */
	enum dp_label_policy labels;
	bool has_symboliser; /* names by build-id what comes without a name */
	int (*encode)(const struct dp_profile *part, struct dp_buffer *out); /* 0 or -errno */
	int (*body)(const struct dp_part *part, struct dp_buffer *body);     /* 0 or -errno */
	enum dp_verdict (*judge)(const struct dp_http_answer *answer);       /* only of DP_HTTP_ANSWERED */
	/* What a server says against a profile in an answer that is a 200 all the same; false when nothing.
	 * NULL: such a server has no way to say so. */
	bool (*objection)(const struct dp_http_answer *answer, char *words, size_t size);
};
extern const struct dp_server_kind dp_pyroscope, dp_parca, dp_otlp, dp_datadog;
extern const struct dp_server_kind *const dp_server_kinds[]; /* all, NULL at the end */

/* push_options.c: one server's URL, and the headers it gets. */
enum { DP_HEADERS_MOST = 24 };
struct dp_server_address {
	const struct dp_server_kind *kind;
	char *url;                      /* with the kind's path, without its prefix */
	char *socket;                   /* path of a unix socket, NULL: none */
	char *shown;                    /* what the user wrote, without USER:PASSWORD, for messages */
	char *headers[DP_HEADERS_MOST]; /* NULL at the end */
};
/* NULL, or one sentence that names what is wrong. */
const char *dp_push_options_check(const struct dp_push_options *options);
const char *dp_server_address_init(struct dp_server_address *address, const struct dp_push_options *options,
	const char *url, size_t size);
void dp_server_address_fini(struct dp_server_address *address);
/* Does the text hold one of the secrets? */
bool dp_server_address_is_secret(const struct dp_push_options *options, const char *text);

/* push_parts.c: cuts a profile into parts and gives each to take(). 0, or the first error of take or -errno.
 */
typedef int dp_part_take(void *context, const struct dp_part *part);
/* part_time: when the part is said to begin, for one that began at ns. */
typedef int64_t dp_part_time(void *context, int64_t ns);
int dp_parts_make(const struct dp_profile *profile, const struct dp_server_kind *kind,
	dp_part_time *part_time, dp_part_take *take, void *context);

/* A label's name as all servers take it: [a-zA-Z_][a-zA-Z0-9_]*, anything else becomes "_". */
void dp_label_name(const char *from, char *to, size_t size);
/* __name__ of a profile's kind. */
const char *dp_series_name(const struct dp_profile *profile);
enum { DP_SERIES_LABELS_MOST = 28, DP_LABEL_NAME_BYTES = 128, DP_LABEL_VALUE_BYTES = 1024 };
struct dp_series_label {
	char name[DP_LABEL_NAME_BYTES];
	char value[DP_LABEL_VALUE_BYTES];
};
/* The labels of a part's series, __name__ first: names are valid and unique, values not empty and short
 * enough. keeps_dots: OpenTelemetry's names stay as they are. An array of *count, the caller frees it. NULL:
 * no memory. */
struct dp_series_label *dp_series_labels(const struct dp_part *part, bool keeps_dots, uint32_t *count);

#endif
