/* SPDX-License-Identifier: Apache-2.0
 * Delivery to servers: a bounded queue, retry with full jitter, a circuit breaker. Agent only; never blocks
 * its caller except in dp_push_flush(). */
#ifndef DEEPPROF_EXPORT_PUSH_H
#define DEEPPROF_EXPORT_PUSH_H

#include "base/profile.h"

#include <stddef.h>
#include <stdint.h>

struct dp_push_options {
	const char *server; /* setting "server": one or several URLs separated by spaces; which kind each is,
			     * its scheme says: http(s):// Pyroscope, parca+http(s):// Parca; otlp+ and
			     * datadog+ are answered with one clear message until they are built */
	const char *auth; /* setting "auth": basic:USER:PASS, bearer:TOKEN, header:NAME:VALUE, or ""; several
			   * one a line; "parca+" or "pyroscope+" before one: for that kind of server alone */
	const char *tenant;           /* X-Scope-OrgID, or "" */
	const char *ca, *cert, *key;  /* PEM files, or "" */
	const char *http_proxy, *https_proxy; /* of servers of that scheme, or "" */
	const char *no_proxy;                 /* hosts that need none, as curl reads it, or "" */
	size_t queue_bytes;           /* most that waits, 0: 8 MiB */
	unsigned timeout_ms;          /* of one request, 0: 10 s */
	unsigned backoff_ms,
		backoff_most_ms; /* the first wait before a second try, 0: 500; the longest, 0: 60 s */
	unsigned age_most_s; /* profiles older than this are given up, 0: 55 min (Pyroscope takes none over an
				hour) */
};

/* An upload is one part of a profile on its way to one server; an ordinary profile is one part. */
struct dp_push_stats {
	uint64_t sent, sent_bytes, retried; /* uploads delivered, their bytes; tries after the first */
	uint64_t queue_full, upload_failed; /* uploads dropped: no room; refused, too old or tried in vain */
	uint64_t queue_full_ns, upload_failed_ns; /* CPU time of the samples in those */
	uint64_t queued, queued_bytes;      /* uploads that wait or are under way now */
	uint64_t breaker_opened;            /* how often a server was left alone for a while */
};

struct dp_push;

/* One per distinct set of options; hosts with equal options share it. Copies the options. NULL sets *message
 * to one clear sentence naming the bad value (static, until the next call; no secret in it). */
struct dp_push *dp_push_new(const struct dp_push_options *options, const char **message);
/* Takes what it needs of the profile at once (encodes it), keeps nothing of it. Splits where a server's
 * limits ask for it. 0, or -ENOSPC: the queue to some server is full, the newest was dropped and counted.
 * Each server has its own share of queue_bytes, so a dead one does not starve the others. */
int dp_push_profile(struct dp_push *push, const struct dp_profile *profile);

/* The agent's loop: put this descriptor into epoll and call dp_push_run() when it is ready and at the latest
 * after dp_push_timeout_ms(). No call blocks. */
int dp_push_fd(const struct dp_push *push);
int dp_push_timeout_ms(const struct dp_push *push);
void dp_push_run(struct dp_push *push);
/* True while something is queued or under way. */
int dp_push_is_busy(const struct dp_push *push);

/* Works until all is delivered or timeout_ms is over, without the long waits between tries; used when a host
 * asks for it or ends. Returns how many uploads are left; they stay queued, dp_push_free() gives them up. */
int dp_push_flush(struct dp_push *push, unsigned timeout_ms);
void dp_push_stats(const struct dp_push *push, struct dp_push_stats *stats);
void dp_push_free(struct dp_push *push); /* NULL is fine */

#endif
