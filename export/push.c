/* SPDX-License-Identifier: Apache-2.0
 * The queue to the servers. libcurl's sockets sit in an epoll of our own, so that the agent's loop waits on one
 * descriptor; one request is under way per server, in order. */
#include "export/push.h"
#include "export/push_request.h"

#include "base/log.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
	QUEUE_BYTES = 8 * 1024 * 1024,
	TIMEOUT_MS = 10000,
	ANSWER_BYTES = 64 * 1024,
	TRIES = 10,
	BACKOFF_FIRST_MS = 500,
	BACKOFF_MOST_MS = 60000,
	BREAKER_FAILURES = 5, /* in a row: then one try at a time, and the rest waits */
	SERVERS_MOST = 8,
	HEADERS_MOST = 16,
};

struct item { /* a request that waits */
	struct item *next;
	unsigned tries;
	size_t size;
	uint8_t bytes[];
};

struct server {
	struct dp_push *push;
	const struct dp_server_kind *kind;
	char *url; /* without the kind's prefix, with its path */
	char *shown; /* the same without USER:PASSWORD */
	struct item *first, **last;
	uint64_t next_try_ms;
	unsigned failures; /* in a row */
	CURL *request;     /* under way, or NULL */
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	char answer[ANSWER_BYTES + 1];
	size_t answer_size;
	bool has_said; /* what is wrong, since it last went well */
};

struct dp_push {
	struct dp_push_options options;
	char *texts[8]; /* copies behind options */
	CURLM *multi;
	int epoll_fd;
	uint64_t curl_due_ms; /* 0: nothing */
	struct server servers[SERVERS_MOST];
	unsigned server_count;
	size_t waiting_bytes;
	struct dp_push_stats stats;
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- libcurl's loop in ours ---- */

static int on_socket(CURL *request, curl_socket_t fd, int what, void *context, void *known)
{
	struct dp_push *push = context;
	struct epoll_event event = {.data.fd = fd};
	(void)request;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(push->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(push->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST)
		epoll_ctl(push->epoll_fd, EPOLL_CTL_MOD, fd, &event);
	curl_multi_assign(push->multi, fd, push);
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct dp_push *push = context;
	(void)multi;
	push->curl_due_ms = timeout_ms < 0 ? 0 : now_ms() + (uint64_t)timeout_ms;
	return 0;
}

static size_t on_answer(char *bytes, size_t one, size_t count, void *context)
{
	struct server *server = context;
	size_t size = one * count;
	const size_t room = ANSWER_BYTES - server->answer_size;
	const size_t kept = size < room ? size : room;
	memcpy(server->answer + server->answer_size, bytes, kept);
	server->answer_size += kept;
	server->answer[server->answer_size] = 0;
	return kept == size ? size : 0; /* an endless answer is cut off */
}

/* ---- making one ---- */

static char *copy(struct dp_push *push, unsigned which, const char *text)
{
	return push->texts[which] = strdup(text ? text : "");
}

/* http://user:secret@host -> http://host, for logs. */
static char *without_secret(const char *url)
{
	char *shown = strdup(url);
	char *scheme = shown ? strstr(shown, "://") : NULL;
	if (!scheme)
		return shown;
	char *host = scheme + 3;
	char *end = host + strcspn(host, "/");
	char *at = memchr(host, '@', (size_t)(end - host));
	if (at)
		memmove(host, at + 1, strlen(at + 1) + 1);
	return shown;
}

static const char *add_server(struct dp_push *push, const char *url, size_t size)
{
	static char message[400];
	static const struct dp_server_kind *const kinds[] = {&dp_parca, &dp_pyroscope};
	char text[2048];
	if (size >= sizeof text || push->server_count == SERVERS_MOST)
		return "server: too long or too many, at most 8 URLs";
	memcpy(text, url, size);
	text[size] = 0;
	const struct dp_server_kind *kind = NULL;
	const char *rest = text;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] && !kind; i++) {
		const size_t prefix = strlen(kinds[i]->prefix);
		if (!strncasecmp(text, kinds[i]->prefix, prefix) &&
		        (!strncasecmp(text + prefix, "http://", 7) || !strncasecmp(text + prefix, "https://", 8))) {
			kind = kinds[i];
			rest = text + prefix;
		}
	}
	if (!kind || !strstr(rest, "://")[3]) {
		char *shown = without_secret(text);
		snprintf(message, sizeof message,
		        "server %.200s: must be http(s)://HOST:PORT for Pyroscope or parca+http(s)://HOST:PORT for Parca",
		        shown ? shown : "");
		free(shown);
		return message;
	}
	struct server *server = &push->servers[push->server_count++];
	server->push = push;
	server->kind = kind;
	server->last = &server->first;
	size_t length = strlen(rest);
	while (length && rest[length - 1] == '/')
		length--;
	if (asprintf(&server->url, "%.*s%s", (int)length, rest, kind->path) < 0)
		return "server: no memory";
	server->shown = without_secret(server->url);
	return server->shown ? NULL : "server: no memory";
}

static const char *check_auth(const char *auth)
{
	if (!*auth)
		return NULL;
	if (!strncmp(auth, "basic:", 6) && strchr(auth + 6, ':'))
		return NULL;
	if (!strncmp(auth, "bearer:", 7) && auth[7])
		return NULL;
	if (!strncmp(auth, "header:", 7) && auth[7] != ':' && strchr(auth + 7, ':'))
		return NULL;
	return "auth: must be basic:USER:PASSWORD, bearer:TOKEN or header:NAME:VALUE";
}

struct dp_push *dp_push_new(const struct dp_push_options *options, const char **message)
{
	static bool is_ready;
	struct dp_push *push = calloc(1, sizeof *push);
	*message = "server: no memory";
	if (!push)
		return NULL;
	if (!is_ready && curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		free(push);
		*message = "libcurl could not be set up";
		return NULL;
	}
	is_ready = true;
	push->options = *options;
	push->options.auth = copy(push, 0, options->auth);
	push->options.tenant = copy(push, 1, options->tenant);
	push->options.ca = copy(push, 2, options->ca);
	push->options.cert = copy(push, 3, options->cert);
	push->options.key = copy(push, 4, options->key);
	push->options.proxy = copy(push, 5, options->proxy);
	push->options.no_proxy = copy(push, 6, options->no_proxy);
	if (!push->options.queue_bytes)
		push->options.queue_bytes = QUEUE_BYTES;
	if (!push->options.timeout_ms)
		push->options.timeout_ms = TIMEOUT_MS;
	push->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	push->multi = curl_multi_init();
	const char *wrong = push->multi && push->epoll_fd >= 0 ? check_auth(push->options.auth) : *message;
	for (const char *at = options->server; !wrong && *at;) {
		const size_t size = strcspn(at, " ");
		if (size)
			wrong = add_server(push, at, size);
		at += size + (at[size] == ' ');
	}
	if (wrong) {
		*message = wrong;
		dp_push_free(push);
		return NULL;
	}
	curl_multi_setopt(push->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(push->multi, CURLMOPT_SOCKETDATA, push);
	curl_multi_setopt(push->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(push->multi, CURLMOPT_TIMERDATA, push);
	return push;
}

/* ---- one request ---- */

static void add_header(struct server *server, const char *format, const char *one, const char *two)
{
	char line[2200];
	if ((size_t)snprintf(line, sizeof line, format, one, two) >= sizeof line)
		return;
	struct curl_slist *more = curl_slist_append(server->headers, line);
	if (more)
		server->headers = more;
}

static void set_auth(struct server *server, CURL *request)
{
	const char *auth = server->push->options.auth;
	char name[256];
	if (!strncmp(auth, "basic:", 6)) {
		curl_easy_setopt(request, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
		curl_easy_setopt(request, CURLOPT_USERPWD, auth + 6);
	} else if (!strncmp(auth, "bearer:", 7)) {
		add_header(server, "Authorization: Bearer %s%s", auth + 7, "");
	} else if (!strncmp(auth, "header:", 7)) {
		const char *colon = strchr(auth + 7, ':');
		snprintf(name, sizeof name, "%.*s", (int)(colon - auth - 7), auth + 7);
		add_header(server, "%s: %s", name, colon + 1);
	}
}

static void start(struct server *server)
{
	const struct dp_push_options *options = &server->push->options;
	struct item *item = server->first;
	CURL *request = curl_easy_init();
	if (!request)
		return;
	server->headers = NULL;
	server->answer_size = 0;
	server->answer[0] = server->error[0] = 0;
	add_header(server, "%s%s", server->kind->content_type, "");
	add_header(server, "%s%s", "Expect:", "");
	if (*options->tenant)
		add_header(server, "%s%s", "X-Scope-OrgID: ", options->tenant);
	set_auth(server, request);
	curl_easy_setopt(request, CURLOPT_URL, server->url);
	curl_easy_setopt(request, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(request, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(request, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(request, CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
	curl_easy_setopt(request, CURLOPT_POSTFIELDS, (void *)item->bytes);
	curl_easy_setopt(request, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)item->size);
	curl_easy_setopt(request, CURLOPT_HTTPHEADER, server->headers);
	curl_easy_setopt(request, CURLOPT_USERAGENT, "deepprof/" DEEPPROF_VERSION);
	curl_easy_setopt(request, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(request, CURLOPT_WRITEDATA, server);
	curl_easy_setopt(request, CURLOPT_ERRORBUFFER, server->error);
	curl_easy_setopt(request, CURLOPT_PRIVATE, server);
	if (*options->ca)
		curl_easy_setopt(request, CURLOPT_CAINFO, options->ca);
	if (*options->cert)
		curl_easy_setopt(request, CURLOPT_SSLCERT, options->cert);
	if (*options->key)
		curl_easy_setopt(request, CURLOPT_SSLKEY, options->key);
	if (*options->proxy)
		curl_easy_setopt(request, CURLOPT_PROXY, options->proxy);
	if (*options->no_proxy)
		curl_easy_setopt(request, CURLOPT_NOPROXY, options->no_proxy);
	server->request = request;
	item->tries++;
	curl_multi_add_handle(server->push->multi, request);
}

static void drop_first(struct server *server)
{
	struct item *item = server->first;
	server->first = item->next;
	if (!server->first)
		server->last = &server->first;
	server->push->waiting_bytes -= item->size;
	free(item);
}

/* Full jitter: anywhere between nothing and the doubled wait. */
static uint64_t backoff_ms(unsigned tries)
{
	uint64_t most = BACKOFF_FIRST_MS, random = 0;
	while (--tries && most < BACKOFF_MOST_MS)
		most *= 2;
	if (most > BACKOFF_MOST_MS)
		most = BACKOFF_MOST_MS;
	if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
		random = now_ms() * UINT64_C(0x9e3779b97f4a7c15);
	return random % most + 1;
}

static void finish(struct server *server, CURLcode result)
{
	struct dp_push *push = server->push;
	long status = 0;
	curl_easy_getinfo(server->request, CURLINFO_RESPONSE_CODE, &status);
	enum dp_verdict verdict = DP_TRY_AGAIN;
	if (result == CURLE_OK)
		verdict = server->kind->judge(status, server->answer);
	else if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
	         result == CURLE_SSL_CERTPROBLEM)
		server->failures = BREAKER_FAILURES; /* will not heal by itself: wait long between tries */
	struct item *item = server->first;
	if (verdict == DP_DELIVERED) {
		push->stats.sent++;
		push->stats.sent_bytes += item->size;
		server->failures = 0;
		server->has_said = false;
		drop_first(server);
	} else {
		server->failures++;
		if (!server->has_said) {
			if (result != CURLE_OK)
				dp_warn("%s: %s", server->shown,
				        *server->error ? server->error : curl_easy_strerror(result));
			else
				dp_warn("%s: HTTP status %ld: %.300s", server->shown, status, server->answer);
		}
		server->has_said = true;
		if (verdict == DP_REFUSED || item->tries >= TRIES) {
			push->stats.upload_failed++;
			drop_first(server);
		} else {
			push->stats.retried++;
			server->next_try_ms = now_ms() + backoff_ms(server->failures);
		}
	}
	curl_multi_remove_handle(push->multi, server->request);
	curl_easy_cleanup(server->request);
	curl_slist_free_all(server->headers);
	server->headers = NULL;
	server->request = NULL;
}

/* ---- the loop's part ---- */

int dp_push_profile(struct dp_push *push, const struct dp_profile *profile)
{
	struct dp_buffer plain = {0}, pprof = {0};
	int error = dp_pprof_encode(profile, &plain);
	if (!error)
		error = dp_gzip(plain.bytes, plain.size, &pprof);
	for (unsigned i = 0; i < push->server_count && !error; i++) {
		struct server *server = &push->servers[i];
		struct dp_buffer body = {0};
		error = server->kind->body(profile, &pprof, &body);
		struct item *item = error ? NULL : malloc(sizeof *item + body.size);
		if (!error && !item)
			error = -ENOMEM;
		if (!error && push->waiting_bytes + body.size > push->options.queue_bytes) {
			push->stats.queue_full++;
			error = -ENOSPC;
		}
		if (error) {
			free(item);
		} else {
			*item = (struct item){.size = body.size};
			memcpy(item->bytes, body.bytes, body.size);
			*server->last = item;
			server->last = &item->next;
			push->waiting_bytes += item->size;
		}
		dp_buffer_fini(&body);
	}
	dp_buffer_fini(&plain);
	dp_buffer_fini(&pprof);
	dp_push_run(push);
	return error;
}

static void start_what_is_due(struct dp_push *push)
{
	const uint64_t now = now_ms();
	for (unsigned i = 0; i < push->server_count; i++) {
		struct server *server = &push->servers[i];
		if (server->first && !server->request && now >= server->next_try_ms)
			start(server);
	}
}

static void collect(struct dp_push *push)
{
	int left;
	for (CURLMsg *message; (message = curl_multi_info_read(push->multi, &left));) {
		struct server *server = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&server);
		finish(server, message->data.result);
	}
}

void dp_push_run(struct dp_push *push)
{
	struct epoll_event events[16];
	int running;
	start_what_is_due(push);
	const int count = epoll_wait(push->epoll_fd, events, 16, 0);
	for (int i = 0; i < count; i++)
		curl_multi_socket_action(push->multi, events[i].data.fd,
		        (events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
		                (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		                (events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0),
		        &running);
	if (push->curl_due_ms && now_ms() >= push->curl_due_ms) {
		push->curl_due_ms = 0;
		curl_multi_socket_action(push->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	collect(push);
	start_what_is_due(push);
}

int dp_push_fd(const struct dp_push *push)
{
	return push->epoll_fd;
}

int dp_push_timeout_ms(const struct dp_push *push)
{
	const uint64_t now = now_ms();
	uint64_t due = push->curl_due_ms ? push->curl_due_ms : UINT64_MAX;
	for (unsigned i = 0; i < push->server_count; i++) {
		const struct server *server = &push->servers[i];
		if (server->first && !server->request && server->next_try_ms < due)
			due = server->next_try_ms;
	}
	if (due == UINT64_MAX)
		return -1;
	return due <= now ? 0 : due - now > 60000 ? 60000 : (int)(due - now);
}

int dp_push_is_busy(const struct dp_push *push)
{
	for (unsigned i = 0; i < push->server_count; i++)
		if (push->servers[i].first)
			return 1;
	return 0;
}

int dp_push_flush(struct dp_push *push, unsigned timeout_ms)
{
	const uint64_t end = now_ms() + timeout_ms;
	int given_up = 0;
	for (uint64_t now; dp_push_is_busy(push) && (now = now_ms()) < end;) {
		struct pollfd ready = {push->epoll_fd, POLLIN, 0};
		int wait = dp_push_timeout_ms(push);
		if (wait < 0 || (uint64_t)wait > end - now)
			wait = (int)(end - now);
		poll(&ready, 1, wait);
		dp_push_run(push);
	}
	for (unsigned i = 0; i < push->server_count; i++)
		for (const struct item *item = push->servers[i].first; item; item = item->next)
			given_up++;
	return given_up;
}

void dp_push_stats(const struct dp_push *push, struct dp_push_stats *stats)
{
	*stats = push->stats;
}

void dp_push_free(struct dp_push *push)
{
	if (!push)
		return;
	for (unsigned i = 0; i < push->server_count; i++) {
		struct server *server = &push->servers[i];
		if (server->request) {
			curl_multi_remove_handle(push->multi, server->request);
			curl_easy_cleanup(server->request);
			curl_slist_free_all(server->headers);
		}
		while (server->first)
			drop_first(server);
		free(server->url);
		free(server->shown);
	}
	if (push->multi)
		curl_multi_cleanup(push->multi);
	if (push->epoll_fd >= 0)
		close(push->epoll_fd);
	for (unsigned i = 0; i < 8; i++)
		free(push->texts[i]);
	free(push);
}
