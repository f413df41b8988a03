/* SPDX-License-Identifier: Apache-2.0
 * POST requests that never block: libcurl's sockets behind one descriptor. Agent only. */
#ifndef DEEPPROF_EXPORT_PUSH_HTTP_H
#define DEEPPROF_EXPORT_PUSH_HTTP_H

#include <stddef.h>
#include <stdint.h>

struct dp_http;
struct dp_http_request;

/* Texts live as long as the dp_http. */
struct dp_http_options {
	const char *ca, *cert, *key, *http_proxy, *https_proxy, *no_proxy; /* "" where there is none */
	unsigned timeout_ms; /* of one request, from the look-up of the name to the last byte of the answer */
};

enum dp_http_outcome {
	DP_HTTP_ANSWERED,    /* status, body and headers are there */
	DP_HTTP_UNREACHABLE, /* nothing was sent: no name, no connection */
	DP_HTTP_UNTRUSTED,   /* nothing was sent: TLS */
	DP_HTTP_BROKEN,      /* sent at least in part: reset, timed out */
	DP_HTTP_GARBAGE,     /* what came back is not HTTP, or has no end */
};

struct dp_http_answer {
	enum dp_http_outcome outcome;
	long status;
	const char *body; /* NUL-terminated, at most 64 KiB, "" when empty */
	size_t body_size;
	const char *content_type; /* "" when there was none */
	const char *location;     /* of a redirect, which is never followed: it would take the secret along */
	unsigned retry_after_s;   /* 0: not said */
	const char *error;        /* one sentence when there was no answer */
};

struct dp_http_post {
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end */
	const void *body;           /* stays the caller's until done() */
	size_t size;
	/* Called once from dp_http_run(), unless cancelled. */
	void (*done)(void *context, const struct dp_http_answer *answer);
	void *context;
};

/* NULL: *message says why. */
struct dp_http *dp_http_new(const struct dp_http_options *options, const char **message);
/* NULL: no memory, or libcurl refused (*message). */
struct dp_http_request *dp_http_start(
	struct dp_http *http, const struct dp_http_post *post, const char **message);
void dp_http_cancel(struct dp_http_request *request);
int dp_http_fd(const struct dp_http *http);
/* When dp_http_run() is to be called at the latest, 0 for never: CLOCK_MONOTONIC, ms. */
uint64_t dp_http_due_ms(const struct dp_http *http);
void dp_http_run(struct dp_http *http);
void dp_http_free(struct dp_http *http); /* requests under way are cancelled; NULL is fine */

uint64_t dp_http_now_ms(void);

#endif
