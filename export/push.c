/* SPDX-License-Identifier: Apache-2.0
 * The queue to the servers. Each has its own share of the memory, its own uploads under way and its own
 * circuit breaker, so that a dead, slow or lying one costs that share and nothing else.
 *
 * A server that fails often in a row is left alone for a while (the breaker is open), then asked with a
 * single upload; when that one arrives, the rest follows at once. */
#include "export/push.h"
#include "export/push_request.h"
#include "export/spool.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
	QUEUE_BYTES = 8 * 1024 * 1024,
	TIMEOUT_MS = 10000,
	BACKOFF_MS = 500,
	BACKOFF_MOST_MS = 60000,
	FLUSH_BACKOFF_MOST_MS = 200,
	AGE_MOST_S = 55 * 60,
	SERVERS_MOST = 8,
	AT_ONCE = 6,          /* a hundred hosts, one upload each in ten seconds, half a second an upload */
	FAILURES_TO_OPEN = 5, /* in a row */
	FAULTS_MOST = 4,      /* tries of an upload that may never pass, or may have arrived */
	LIMITED_MOST = 10,
	TIMES_KEPT = 1024,
	CAUSES_MOST = 8,
	SPOOL_BYTES = 64 * 1024 * 1024,
	SERVICES_MOST = 64, /* whose left uploads are taken over */
	ADOPT_MS = 30000,
};

struct upload {
	struct upload *next;
	struct server *server;
	struct dp_http_request *request; /* NULL: it waits */
	uint64_t not_before_ms, give_up_ms;
	uint64_t weight_ns; /* of its samples */
	unsigned tries, faults;
	struct dp_spool_entry *entry; /* its copy in the spool, NULL: none */
	uint64_t service;             /* as the spool knows it */
	int64_t time_ns;              /* of its profile */
	size_t size;
	uint8_t body[];
};

struct server {
	struct dp_push *push;
	struct dp_server_address address;
	uint64_t key; /* as the spool knows it */
	struct upload *uploads; /* oldest first */
	size_t bytes;
	unsigned under_way;
	unsigned failures;      /* in a row */
	unsigned opened;        /* in a row */
	uint64_t open_until_ms; /* 0: closed. Later, one upload is let through */
	long said[CAUSES_MOST]; /* causes logged since it last took something: a status, or minus an outcome */
	unsigned said_count;
	bool is_full_said;
};

struct dp_push {
	struct dp_push_options options;
	char *texts[9]; /* behind options */
	struct dp_http *http;
	struct server servers[SERVERS_MOST];
	unsigned server_count;
	bool is_flushing;
	struct dp_spool *spool; /* NULL: none */
	uint64_t services[SERVICES_MOST];
	unsigned service_count;
	uint64_t adopt_ms; /* when to look next */
	int64_t times_ms[TIMES_KEPT]; /* of the last parts */
	unsigned time_count;
	struct dp_push_stats stats;
};

/* ---- when ---- */

static uint64_t random_below(uint64_t most)
{
	uint64_t random;
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
		random = dp_http_now_ms() * UINT64_C(0x9e3779b97f4a7c15) >> 16;
	return random % (most + 1);
}

/* The longest wait after that many failures. */
static uint64_t wait_most_ms(const struct dp_push *push, unsigned failures)
{
	uint64_t most = push->options.backoff_ms;
	while (failures-- > 1 && most < push->options.backoff_most_ms)
		most *= 2;
	if (most > push->options.backoff_most_ms)
		most = push->options.backoff_most_ms;
	return push->is_flushing && most > FLUSH_BACKOFF_MOST_MS ? FLUSH_BACKOFF_MOST_MS : most;
}

/* Full jitter: agents that failed together do not come back together. */
static uint64_t backoff_ms(const struct dp_push *push, unsigned failures)
{
	return random_below(wait_most_ms(push, failures));
}

/* ---- uploads ---- */

static void forget(struct upload *upload)
{
	struct server *server = upload->server;
	struct upload **link = &server->uploads;
	while (*link != upload)
		link = &(*link)->next;
	*link = upload->next;
	server->bytes -= upload->size;
	if (upload->entry)
		dp_spool_remove(server->push->spool, upload->entry);
	free(upload);
}

/* A copy on disk of what may have to wait for long. */
static void keep(struct upload *upload)
{
	struct dp_push *push = upload->server->push;
	const struct dp_spool_entry like = {.server = upload->server->key,
		.service = upload->service,
		.time_ns = upload->time_ns,
		.weight_ns = upload->weight_ns,
		.size = upload->size - sizeof *upload,
		.is_held = true};
	if (push->spool && !upload->entry)
		upload->entry = dp_spool_put(push->spool, &like, upload->body);
}

static void give_up(struct upload *upload)
{
	upload->server->push->stats.upload_failed++;
	upload->server->push->stats.upload_failed_ns += upload->weight_ns;
	forget(upload);
}

/* What take_part() needs to know. */
struct profile_age {
	struct dp_push *push;
	const struct dp_server_kind *kind;
	uint64_t give_up_ms;
	uint64_t service;
	int64_t time_ns;
	int error;
};

/* What the memory has no room for; the spool may. */
static bool keep_alone(struct server *server, const struct dp_buffer *body, uint64_t weight_ns,
	const struct profile_age *age)
{
	const struct dp_spool_entry like = {.server = server->key,
		.service = age->service,
		.time_ns = age->time_ns,
		.weight_ns = weight_ns,
		.size = body->size};
	return server->push->spool && dp_spool_put(server->push->spool, &like, body->bytes);
}

static int enqueue(struct server *server, const struct dp_buffer *body, uint64_t weight_ns,
	const struct profile_age *age)
{
	struct dp_push *push = server->push;
	struct upload **last = &server->uploads;
	if (server->bytes + sizeof(struct upload) + body->size >
		push->options.queue_bytes / push->server_count) {
		if (keep_alone(server, body, weight_ns, age))
			return 0;
		push->stats.queue_full++;
		push->stats.queue_full_ns += weight_ns;
		if (!server->is_full_said)
			dp_warn("%s: the queue of %zu KiB is full, new profiles are dropped",
				server->address.shown, push->options.queue_bytes / push->server_count / 1024);
		server->is_full_said = true;
		return -ENOSPC;
	}
	struct upload *upload = malloc(sizeof *upload + body->size);
	if (!upload)
		return -ENOMEM;
	*upload = (struct upload){.server = server,
		.size = sizeof *upload + body->size,
		.weight_ns = weight_ns,
		.service = age->service,
		.time_ns = age->time_ns,
		.give_up_ms = age->give_up_ms};
	memcpy(upload->body, body->bytes, body->size);
	while (*last)
		last = &(*last)->next;
	*last = upload;
	server->bytes += upload->size;
	return 0;
}

/* One part, to each server of the kind it was made for. */
static int take_part(void *context, const struct dp_part *part)
{
	struct profile_age *age = context;
	struct dp_buffer body = {0};
	int error = age->kind->body(part, &body);
	for (unsigned i = 0; i < age->push->server_count && !error; i++) {
		struct server *server = &age->push->servers[i];
		const int full = server->address.kind == age->kind
					 ? enqueue(server, &body, part->weight_ns, age)
					 : 0;
		if (full)
			age->error = full;
	}
	dp_buffer_fini(&body);
	return error;
}

static bool is_taken(const struct dp_push *push, int64_t ms)
{
	for (unsigned i = 0; i < TIMES_KEPT; i++)
		if (push->times_ms[i] == ms)
			return true;
	return false;
}

/* Two parts of one series in one millisecond are one to Parca and to Pyroscope 1.x, the second is lost: workers of one
 * service, forked together, would lose each other's. */
static int64_t part_time(void *context, int64_t ns)
{
	struct dp_push *push = ((struct profile_age *)context)->push;
	while (is_taken(push, ns / 1000000))
		ns += 1000000;
	push->times_ms[push->time_count++ % TIMES_KEPT] = ns / 1000000;
	return ns;
}

static bool has_kind(const struct dp_push *push, const struct dp_server_kind *kind)
{
	for (unsigned i = 0; i < push->server_count; i++)
		if (push->servers[i].address.kind == kind)
			return true;
	return false;
}

static const char *service_of(const struct dp_profile *profile)
{
	for (uint32_t i = 0; i < profile->identity.count; i++)
		if (!strcmp(profile->identity.at[i].key, "service_name"))
			return profile->identity.at[i].value;
	return "";
}

/* What earlier agents left for the services that send by this queue. */
static void adopt(struct dp_push *push)
{
	uint64_t servers[SERVERS_MOST];
	if (!push->spool || !push->service_count || dp_http_now_ms() < push->adopt_ms)
		return;
	push->adopt_ms = dp_http_now_ms() + ADOPT_MS;
	for (unsigned i = 0; i < push->server_count; i++)
		servers[i] = push->servers[i].key;
	dp_spool_adopt(push->spool, servers, push->server_count, push->services, push->service_count);
}

static void know_service(struct dp_push *push, uint64_t service)
{
	for (unsigned i = 0; i < push->service_count; i++)
		if (push->services[i] == service)
			return;
	if (push->service_count == SERVICES_MOST)
		return;
	push->services[push->service_count++] = service;
	push->adopt_ms = 0;
}

int dp_push_profile(struct dp_push *push, const struct dp_profile *profile)
{
	struct timespec real;
	clock_gettime(CLOCK_REALTIME, &real);
	const int64_t age_ms =
		((int64_t)real.tv_sec * 1000000000 + real.tv_nsec - profile->time_ns) / 1000000;
	const int64_t left_ms = (int64_t)push->options.age_most_s * 1000 - (age_ms > 0 ? age_ms : 0);
	struct profile_age age = {
		.push = push, .service = dp_spool_key(0, service_of(profile)), .time_ns = profile->time_ns,
		.give_up_ms = dp_http_now_ms() + (uint64_t)(left_ms > 0 ? left_ms : 0)};
	int error = 0;
	know_service(push, age.service);
	for (size_t i = 0; dp_server_kinds[i] && !error; i++) {
		age.kind = dp_server_kinds[i];
		if (has_kind(push, age.kind))
			error = dp_parts_make(profile, age.kind, part_time, take_part, &age);
	}
	dp_push_run(push);
	return error ? error : age.error;
}

/* ---- answers ---- */

static enum dp_verdict judge(const struct server *server, const struct dp_http_answer *answer)
{
	switch (answer->outcome) {
	case DP_HTTP_ANSWERED:
		return server->address.kind->judge(answer);
	case DP_HTTP_UNREACHABLE:
	case DP_HTTP_UNTRUSTED:
		return DP_BUSY;
	case DP_HTTP_BROKEN:
	case DP_HTTP_GARBAGE:
		break;
	}
	return DP_FAULT;
}

/* The server's own words as far as one line of a log may hold them. */
static void quote(const struct dp_push *push, const char *body, char *text, size_t size)
{
	size_t at = 0;
	*text = 0;
	if (!*body || dp_server_address_is_secret(&push->options, body))
		return;
	at = (size_t)snprintf(text, size, ": ");
	for (; *body && at < size - 1; body++)
		text[at++] = (unsigned char)*body < ' ' || *body == 0x7f ? ' ' : *body;
	text[at] = 0;
}

static const char *hint(const struct dp_http_answer *answer)
{
	switch (answer->status) {
	case 401:
	case 403:
		return "; check the setting auth";
	case 404:
	case 405:
		return "; check the setting server, its scheme says which kind of server it is";
	default:
		return "";
	}
}

/* ": too many samples", where a good answer says so. */
static bool objects(const struct server *server, const struct dp_http_answer *answer, char *text, size_t size)
{
	char words[200];
	if (!server->address.kind->objection || !server->address.kind->objection(answer, words, sizeof words))
		return false;
	quote(server->push, words, text, size);
	return true;
}

/* One line a cause: a server that stays dead is not news. */
static void say(struct server *server, const struct dp_http_answer *answer, enum dp_verdict verdict)
{
	const char *shown = server->address.shown,
		   *then = verdict == DP_REFUSED ? "given up" : "tried again later";
	const long cause = answer->outcome == DP_HTTP_ANSWERED ? answer->status : -(long)answer->outcome;
	char words[240];
	const bool is_shown = answer->location && !dp_server_address_is_secret(&server->push->options, answer->location);
	for (unsigned i = 0; i < server->said_count; i++)
		if (server->said[i] == cause)
			return;
	if (server->said_count == CAUSES_MOST)
		return;
	server->said[server->said_count++] = cause;
	switch (answer->outcome) {
	case DP_HTTP_UNREACHABLE:
		dp_warn("%s cannot be reached: %s; profiles wait", shown, answer->error);
		break;
	case DP_HTTP_UNTRUSTED:
		if (strstr(answer->error, "alert"))
			dp_warn("%s does not trust us: %s; name a certificate that it knows by the settings cert and "
				"key", shown, answer->error);
		else
			dp_warn("%s is not trusted: %s; name its authority by the setting ca", shown,
				answer->error);
		break;
	case DP_HTTP_BROKEN:
	case DP_HTTP_GARBAGE:
		dp_warn("%s broke off: %s; the profile is %s", shown, answer->error, then);
		break;
	case DP_HTTP_ANSWERED:
		quote(server->push, answer->body, words, sizeof words);
		if (answer->status == 200 && objects(server, answer, words, sizeof words))
			dp_warn("%s takes the request but not the profile%s; it is given up", shown, words);
		else if (answer->status / 100 == 3)
			dp_warn("%s redirects%s%.*s, which is never followed; set server to what is right",
				shown, is_shown ? " to " : "", is_shown ? (int)strcspn(answer->location, "?#") : 0,
				answer->location);
		else if (answer->status == 200)
			dp_warn("%s is no %s: it answers 200 with \"%s\"; the profile is %s", shown,
				server->address.kind->title, answer->content_type, then);
		else
			dp_warn("%s answers %ld%s%s; the profile is %s", shown, answer->status, words,
				hint(answer), then);
		break;
	}
}

static void on_success(struct server *server)
{
	if (server->said_count)
		dp_info("%s takes profiles again", server->address.shown);
	server->said_count = 0;
	server->is_full_said = false;
	if (server->open_until_ms)
		for (struct upload *upload = server->uploads; upload; upload = upload->next)
			upload->not_before_ms = 0;
	server->failures = server->opened = 0;
	server->open_until_ms = 0;
}

static void on_failure(struct server *server)
{
	struct dp_push *push = server->push;
	server->failures++;
	if (server->failures < FAILURES_TO_OPEN)
		return;
	/* Uploads that were under way together fail together: that is one reason to open, not several. */
	if (server->open_until_ms && dp_http_now_ms() < server->open_until_ms)
		return;
	server->opened++;
	push->stats.breaker_opened += server->opened == 1;
	const uint64_t most = wait_most_ms(push, FAILURES_TO_OPEN + server->opened);
	server->open_until_ms = dp_http_now_ms() + most / 2 + random_below(most / 2) + 1;
}

static bool is_hopeless(const struct upload *upload, enum dp_verdict verdict)
{
	return verdict == DP_REFUSED || (verdict == DP_FAULT && upload->faults >= FAULTS_MOST) ||
	       (verdict == DP_LIMITED && upload->tries >= LIMITED_MOST) ||
	       dp_http_now_ms() >= upload->give_up_ms;
}

static void on_answer(void *context, const struct dp_http_answer *answer)
{
	struct upload *upload = context;
	struct server *server = upload->server;
	struct dp_push *push = server->push;
	const enum dp_verdict verdict = judge(server, answer);
	upload->request = NULL;
	server->under_way--;
	if (verdict == DP_DELIVERED) {
		push->stats.sent++;
		push->stats.sent_bytes += upload->size - sizeof *upload;
		forget(upload);
		on_success(server);
		return;
	}
	say(server, answer, verdict);
	if (verdict == DP_REFUSED)
		server->failures = server->opened = 0,
		server->open_until_ms = 0; /* it is there, and means it */
	else
		on_failure(server);
	upload->faults += verdict == DP_FAULT;
	if (is_hopeless(upload, verdict)) {
		give_up(upload);
		return;
	}
	keep(upload);
	uint64_t wait = backoff_ms(push, upload->tries);
	if (answer->retry_after_s && !push->is_flushing) {
		const uint64_t asked = (uint64_t)answer->retry_after_s * 1000;
		wait += asked < push->options.backoff_most_ms ? asked : push->options.backoff_most_ms;
	}
	upload->not_before_ms = dp_http_now_ms() + wait;
}

/* ---- the loop's part ---- */

static bool start(struct upload *upload)
{
	struct server *server = upload->server;
	const char *message = NULL;
	const struct dp_http_post post = {
		.url = server->address.url,
		.socket = server->address.socket,
		.headers = (const char *const *)server->address.headers,
		.body = upload->body,
		.size = upload->size - sizeof *upload,
		.done = on_answer,
		.context = upload,
	};
	upload->request = dp_http_start(server->push->http, &post, &message);
	if (!upload->request) {
		const struct dp_http_answer answer = {.outcome = DP_HTTP_UNREACHABLE, .error = message};
		say(server, &answer, DP_BUSY);
		upload->not_before_ms = dp_http_now_ms() + BACKOFF_MOST_MS;
		return false;
	}
	server->push->stats.retried += upload->tries > 0;
	upload->tries++;
	server->under_way++;
	return true;
}

/* The next to send: the one tried least, so that one that never passes does not stand before the others. */
static struct upload *next_due(const struct server *server, uint64_t now)
{
	struct upload *best = NULL;
	for (struct upload *upload = server->uploads; upload; upload = upload->next)
		if (!upload->request && upload->not_before_ms <= now &&
			(!best || upload->tries < best->tries))
			best = upload;
	return best;
}

static unsigned allowed(const struct server *server, uint64_t now)
{
	if (!server->open_until_ms)
		return AT_ONCE;
	return now >= server->open_until_ms ? 1 : 0;
}

static void drop_the_old(struct server *server, uint64_t now)
{
	for (struct upload *upload = server->uploads, *next; upload; upload = next) {
		next = upload->next;
		if (!upload->request && now >= upload->give_up_ms)
			give_up(upload);
	}
}

/* From the spool, as long as the server takes what it gets and half of the memory is free. */
static void load(struct server *server, uint64_t now)
{
	struct dp_push *push = server->push;
	const size_t most = push->options.queue_bytes / push->server_count / 2;
	struct dp_spool_entry *entry;
	struct timespec real;
	clock_gettime(CLOCK_REALTIME, &real);
	while (push->spool && !server->failures && (entry = dp_spool_next(push->spool, server->key)) &&
		server->bytes + sizeof(struct upload) + entry->size <= most) {
		struct dp_buffer body = {0};
		const int64_t left_s = entry->time_ns / 1000000000 + push->options.age_most_s - real.tv_sec;
		const struct profile_age age = {.push = push,
			.service = entry->service,
			.time_ns = entry->time_ns,
			.give_up_ms = now + (uint64_t)(left_s > 0 ? left_s : 0) * 1000};
		const uint64_t weight_ns = entry->weight_ns;
		const int error = dp_spool_read(push->spool, entry, &body);
		struct upload **last = &server->uploads;
		if (!error && enqueue(server, &body, weight_ns, &age) == 0) {
			while ((*last)->next)
				last = &(*last)->next;
			(*last)->entry = entry;
			entry->is_held = true;
		}
		dp_buffer_fini(&body);
		if (error && error != -EBADMSG)
			return;
	}
}

static void start_what_is_due(struct server *server)
{
	const uint64_t now = dp_http_now_ms();
	drop_the_old(server, now);
	load(server, now);
	while (server->under_way < allowed(server, now)) {
		struct upload *upload = next_due(server, now);
		if (!upload || !start(upload))
			break;
	}
}

void dp_push_run(struct dp_push *push)
{
	adopt(push);
	for (unsigned i = 0; i < push->server_count; i++)
		start_what_is_due(&push->servers[i]);
	dp_http_run(push->http);
	for (unsigned i = 0; i < push->server_count; i++)
		start_what_is_due(&push->servers[i]);
}

int dp_push_fd(const struct dp_push *push)
{
	return dp_http_fd(push->http);
}

static uint64_t server_due_ms(const struct server *server)
{
	uint64_t due = UINT64_MAX;
	if (server->under_way >= allowed(server, UINT64_MAX))
		return due;
	for (const struct upload *upload = server->uploads; upload; upload = upload->next)
		if (!upload->request && upload->not_before_ms < due)
			due = upload->not_before_ms;
	return due != UINT64_MAX && due < server->open_until_ms ? server->open_until_ms : due;
}

int dp_push_timeout_ms(const struct dp_push *push)
{
	const uint64_t now = dp_http_now_ms();
	uint64_t due = dp_http_due_ms(push->http) ? dp_http_due_ms(push->http) : UINT64_MAX;
	for (unsigned i = 0; i < push->server_count; i++) {
		const uint64_t server_due = server_due_ms(&push->servers[i]);
		due = server_due < due ? server_due : due;
	}
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : due - now > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : (int)(due - now);
}

int dp_push_is_busy(const struct dp_push *push)
{
	for (unsigned i = 0; i < push->server_count; i++)
		if (push->servers[i].uploads)
			return 1;
	return 0;
}

/* What waits long waits no longer. */
static void hurry(struct dp_push *push)
{
	for (unsigned i = 0; i < push->server_count; i++) {
		if (push->servers[i].open_until_ms)
			push->servers[i].open_until_ms = 1;
		for (struct upload *upload = push->servers[i].uploads; upload; upload = upload->next)
			upload->not_before_ms = 0;
	}
}

int dp_push_flush(struct dp_push *push, unsigned timeout_ms)
{
	const uint64_t end = dp_http_now_ms() + timeout_ms;
	push->is_flushing = true;
	hurry(push);
	dp_push_run(push);
	for (uint64_t now; dp_push_is_busy(push) && (now = dp_http_now_ms()) < end;) {
		struct pollfd ready = {dp_http_fd(push->http), POLLIN, 0};
		int wait = dp_push_timeout_ms(push);
		if (wait < 0 || (uint64_t)wait > end - now)
			wait = (int)(end - now);
		poll(&ready, 1, wait);
		dp_push_run(push);
	}
	push->is_flushing = false;
	struct dp_push_stats stats;
	dp_push_stats(push, &stats);
	return (int)stats.queued;
}

void dp_push_stats(const struct dp_push *push, struct dp_push_stats *stats)
{
	*stats = push->stats;
	if (push->spool) {
		const struct dp_spool_losses *losses = dp_spool_losses(push->spool);
		stats->spool_lost = losses->damaged + losses->aged + losses->full;
		stats->spool_lost_ns = losses->weight_ns;
		for (unsigned i = 0; i < push->server_count; i++)
			stats->spooled += dp_spool_waiting(push->spool, push->servers[i].key);
	}
	for (unsigned i = 0; i < push->server_count; i++) {
		stats->queued_bytes += push->servers[i].bytes;
		for (const struct upload *upload = push->servers[i].uploads; upload; upload = upload->next)
			stats->queued++;
	}
}

/* ---- a life ---- */

static int copy_options(struct dp_push *push, const struct dp_push_options *options)
{
	const char **const texts[] = {&push->options.auth, &push->options.tenant, &push->options.ca,
		&push->options.cert, &push->options.key, &push->options.http_proxy, &push->options.https_proxy,
		&push->options.no_proxy, &push->options.spool};
	push->options = *options;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		push->texts[i] = strdup(*texts[i] ? *texts[i] : "");
		if (!push->texts[i])
			return -ENOMEM;
		*texts[i] = push->texts[i];
	}
	push->options.server = NULL;
	if (!push->options.queue_bytes)
		push->options.queue_bytes = QUEUE_BYTES;
	if (!push->options.timeout_ms)
		push->options.timeout_ms = TIMEOUT_MS;
	if (!push->options.backoff_ms)
		push->options.backoff_ms = BACKOFF_MS;
	if (!push->options.backoff_most_ms)
		push->options.backoff_most_ms = BACKOFF_MOST_MS;
	if (!push->options.spool_bytes)
		push->options.spool_bytes = SPOOL_BYTES;
	if (!push->options.age_most_s)
		push->options.age_most_s = AGE_MOST_S;
	return 0;
}

static const char *add_servers(struct dp_push *push, const char *at)
{
	const char *wrong = NULL;
	for (; *at && !wrong; at += strspn(at, " ")) {
		const size_t size = strcspn(at, " ");
		if (!size)
			continue;
		if (push->server_count == SERVERS_MOST)
			return "server: at most 8 URLs";
		struct server *server = &push->servers[push->server_count];
		server->push = push;
		wrong = dp_server_address_init(&server->address, &push->options, at, size);
		if (!wrong)
			server->key = dp_spool_key(dp_spool_key(0, server->address.shown), push->options.tenant);
		push->server_count += !wrong;
		at += size;
	}
	if (!wrong && !push->server_count)
		wrong = "server: names no URL; right is http(s)://HOST:PORT";
	return wrong;
}

struct dp_push *dp_push_new(const struct dp_push_options *options, const char **message)
{
	struct dp_push *push = calloc(1, sizeof *push);
	*message = "server: no memory";
	if (!push)
		return NULL;
	if (copy_options(push, options) != 0)
		goto failed;
	*message = dp_push_options_check(&push->options);
	if (*message)
		goto failed;
	*message = add_servers(push, options->server ? options->server : "");
	if (*message)
		goto failed;
	const struct dp_http_options http = {.ca = push->options.ca,
		.cert = push->options.cert,
		.key = push->options.key,
		.http_proxy = push->options.http_proxy,
		.https_proxy = push->options.https_proxy,
		.no_proxy = push->options.no_proxy,
		.timeout_ms = push->options.timeout_ms};
	push->http = dp_http_new(&http, message);
	if (!push->http)
		goto failed;
	if (*push->options.spool) {
		push->spool = dp_spool_new(push->options.spool, push->options.spool_bytes,
			push->options.age_most_s, message);
		if (!push->spool) /* profiles are sent all the same */
			dp_warn("%s; nothing is kept there", *message);
	}
	return push;
failed:
	dp_push_free(push);
	return NULL;
}

void dp_push_free(struct dp_push *push)
{
	if (!push)
		return;
	dp_http_free(push->http);
	for (unsigned i = 0; i < push->server_count; i++) {
		for (struct upload *upload; (upload = push->servers[i].uploads);) {
			keep(upload);
			upload->entry = NULL; /* it stays for the next agent */
			forget(upload);
		}
		dp_server_address_fini(&push->servers[i].address);
	}
	dp_spool_free(push->spool);
	for (size_t i = 0; i < sizeof push->texts / sizeof *push->texts; i++)
		free(push->texts[i]);
	free(push);
}
