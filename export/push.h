/* SPDX-License-Identifier: Apache-2.0
 * Delivery to servers: a bounded queue, retry with full jitter, a circuit breaker. Agent only; never blocks its
 * caller except in dp_push_flush(). */
#ifndef DEEPPROF_EXPORT_PUSH_H
#define DEEPPROF_EXPORT_PUSH_H

#include "base/profile.h"

#include <stddef.h>
#include <stdint.h>

struct dp_push_options {
	const char *server;    /* setting "server": one or several URLs separated by spaces; which kind each is, its
	                        * scheme says: http(s):// Pyroscope, parca+http(s):// Parca; otlp+ and datadog+ are
	                        * answered with one clear message until they are built */
	const char *auth;      /* setting "auth": basic:USER:PASS, bearer:TOKEN, header:NAME:VALUE, or "" */
	const char *tenant;    /* X-Scope-OrgID, or "" */
	const char *ca, *cert, *key; /* PEM files, or "" */
	const char *proxy, *no_proxy; /* as the host's environment has them, or "" */
	size_t queue_bytes;    /* most that waits, 0: 8 MiB */
	unsigned timeout_ms;   /* of one request, 0: 10 s */
};

struct dp_push_stats {
	uint64_t sent, sent_bytes, retried, queue_full, upload_failed;
};

struct dp_push;

/* One per distinct set of options; hosts with equal options share it. NULL sets *message to one clear sentence
 * naming the bad value (static or inside the options' lifetime; no secret in it). */
struct dp_push *dp_push_new(const struct dp_push_options *options, const char **message);
/* Takes what it needs of the profile at once (encodes it), keeps nothing of it. Splits where a server's limits
 * ask for it. 0, or -ENOSPC: queue full, newest dropped and counted. */
int dp_push_profile(struct dp_push *push, const struct dp_profile *profile);

/* The agent's loop: put this descriptor into epoll and call dp_push_run() when it is ready and at the latest after
 * dp_push_timeout_ms(). No call blocks. */
int dp_push_fd(const struct dp_push *push);
int dp_push_timeout_ms(const struct dp_push *push);
void dp_push_run(struct dp_push *push);
/* True while something is queued or under way. */
int dp_push_is_busy(const struct dp_push *push);

/* Works until all is delivered or timeout_ms is over; used when the agent or the last host ends. Returns how many
 * profiles were given up (counted as upload_failed). */
int dp_push_flush(struct dp_push *push, unsigned timeout_ms);
void dp_push_stats(const struct dp_push *push, struct dp_push_stats *stats);
void dp_push_free(struct dp_push *push);

#endif
