/* SPDX-License-Identifier: Apache-2.0
 * libcurl's multi interface behind an epoll of our own, so that the agent's loop waits on one descriptor.
 * What a server sends is bounded, and nothing it says makes us ask another one. */
#include "export/push_http.h"
#include "export/push_curl.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BODY_MOST = 64 * 1024, HEADERS_MOST = 64 * 1024, IDLE_CONNECTIONS = 8 };

struct dp_http {
	struct dp_http_options options;
	const struct dp_curl *curl; /* NULL until the first request */
	CURLM *multi;
	int epoll_fd;
	uint64_t due_ms;
	struct dp_http_request *requests;
};

struct dp_http_request {
	struct dp_http *http;
	struct dp_http_request *next;
	struct dp_http_post post;
	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE], location[256], content_type[128];
	char *body;
	size_t body_size, header_size;
	unsigned retry_after_s;
};

uint64_t dp_http_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- what libcurl calls ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
	struct dp_http *http = context;
	struct epoll_event event = {.data.fd = fd};
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	if (epoll_ctl(http->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
		epoll_ctl(http->epoll_fd, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
	http->curl->multi_assign(http->multi, fd, http);
	return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *context)
{
	struct dp_http *http = context;
	(void)multi;
	http->due_ms = timeout_ms < 0 ? 0 : dp_http_now_ms() + (uint64_t)timeout_ms;
	return 0;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *context)
{
	struct dp_http_request *request = context;
	const size_t size = one * count;
	if (size > BODY_MOST - request->body_size)
		return 0; /* an endless answer is cut off */
	char *body = realloc(request->body, request->body_size + size + 1);
	if (!body)
		return 0;
	memcpy(body + request->body_size, bytes, size);
	request->body = body;
	request->body_size += size;
	body[request->body_size] = 0;
	return size;
}

static bool take_header(const char *line, size_t size, const char *name, char *value, size_t room)
{
	const size_t length = strlen(name);
	if (size < length || strncasecmp(line, name, length) != 0)
		return false;
	for (line += length, size -= length; size && (*line == ' ' || *line == '\t'); size--)
		line++;
	while (size && (unsigned char)line[size - 1] <= ' ')
		size--;
	snprintf(value, room, "%.*s", (int)size, line);
	return true;
}

static size_t on_header(char *line, size_t one, size_t count, void *context)
{
	struct dp_http_request *request = context;
	const size_t size = one * count;
	char text[32];
	if (size > HEADERS_MOST - request->header_size)
		return 0;
	request->header_size += size;
	if (size > 5 && !memcmp(line, "HTTP/", 5)) { /* a new answer: what a proxy or a 100 said is over */
		*request->location = *request->content_type = 0;
		request->retry_after_s = 0;
	}
	take_header(line, size, "Location:", request->location, sizeof request->location);
	take_header(line, size, "Content-Type:", request->content_type, sizeof request->content_type);
	if (take_header(line, size, "Retry-After:", text, sizeof text))
		request->retry_after_s = (unsigned)strtoul(text, NULL, 10);
	return size;
}

/* ---- one request ---- */

static void release(struct dp_http_request *request)
{
	const struct dp_curl *curl = request->http->curl;
	struct dp_http_request **link = &request->http->requests;
	while (*link && *link != request)
		link = &(*link)->next;
	if (*link)
		*link = request->next;
	if (request->easy) {
		curl->multi_remove_handle(request->http->multi, request->easy);
		curl->easy_cleanup(request->easy);
	}
	curl->slist_free_all(request->headers);
	free(request->body);
	free(request);
}

static bool set_up_curl(struct dp_http *http, const char **message)
{
	if (http->multi)
		return true;
	http->curl = dp_curl_load(message);
	if (!http->curl)
		return false;
	*message = "no memory for a request";
	http->multi = http->curl->multi_init();
	if (!http->multi)
		return false;
	http->curl->multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	http->curl->multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	http->curl->multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	http->curl->multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	http->curl->multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS);
	return true;
}

/* 0 is CURLE_OK; options are set in one go, the first refusal is what counts. */
static int set_options(struct dp_http_request *request)
{
	const struct dp_http_options *options = &request->http->options;
	const struct dp_http_post *post = &request->post;
	int wrong = 0;
#define SET(option, value) \
	(wrong = wrong ? wrong : (int)request->http->curl->easy_setopt(request->easy, option, value))
	SET(CURLOPT_URL, post->url);
#if LIBCURL_VERSION_NUM >= 0x075500
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
	SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_TIMEOUT_MS, (long)options->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)options->timeout_ms);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_POSTFIELDS, post->body);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->size);
	SET(CURLOPT_HTTPHEADER, request->headers);
	SET(CURLOPT_USERAGENT, "deepprof/" DEEPPROF_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, request);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, request);
	SET(CURLOPT_ERRORBUFFER, request->error);
	SET(CURLOPT_PRIVATE, request);
	if (*options->ca)
		SET(CURLOPT_CAINFO, options->ca);
	if (*options->cert)
		SET(CURLOPT_SSLCERT, options->cert);
	if (*options->key)
		SET(CURLOPT_SSLKEY, options->key);
	/* "" too: the agent's own environment is not the host's. */
	SET(CURLOPT_PROXY, !strncasecmp(post->url, "https:", 6) ? options->https_proxy : options->http_proxy);
	SET(CURLOPT_NOPROXY, post->socket ? "*" : options->no_proxy);
	if (post->socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, post->socket);
#undef SET
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A cancelled look-up is not waited for; older libraries do without. */
	request->http->curl->easy_setopt(request->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
	return wrong;
}

struct dp_http_request *dp_http_start(
	struct dp_http *http, const struct dp_http_post *post, const char **message)
{
	if (!set_up_curl(http, message))
		return NULL;
	*message = "no memory for a request";
	struct dp_http_request *request = calloc(1, sizeof *request);
	if (!request)
		return NULL;
	request->http = http;
	request->post = *post;
	request->next = http->requests;
	http->requests = request;
	request->easy = http->curl->easy_init();
	for (size_t i = 0; request->easy && post->headers[i]; i++) {
		struct curl_slist *more = http->curl->slist_append(request->headers, post->headers[i]);
		if (!more)
			goto failed;
		request->headers = more;
	}
	if (!request->easy)
		goto failed;
	const int wrong = set_options(request);
	if (wrong) {
		*message = http->curl->easy_strerror(wrong);
		goto failed;
	}
	if (http->curl->multi_add_handle(http->multi, request->easy) == CURLM_OK)
		return request;
failed:
	release(request);
	return NULL;
}

void dp_http_cancel(struct dp_http_request *request)
{
	release(request);
}

/* No tunnel: the server has seen nothing. */
static bool is_refused_by_proxy(const struct dp_http_request *request)
{
	long code = 0;
	request->http->curl->easy_getinfo(request->easy, CURLINFO_HTTP_CONNECTCODE, &code);
	return code && code / 100 != 2;
}

/* In TLS 1.3 a server says only after the handshake, and perhaps after the request, that the client's certificate
 * is missing or wrong; the request was not looked at. */
static bool is_refused_by_tls(const struct dp_http_request *request)
{
	return strstr(request->error, "alert") && (strstr(request->error, "SSL") || strstr(request->error, "TLS"));
}

static enum dp_http_outcome outcome_of(const struct dp_http_request *request, int result)
{
	curl_off_t connect_us = 0, sent = 0;
	switch (result) {
	case CURLE_OK:
		return DP_HTTP_ANSWERED;
	case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, or no HTTP at all */
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_WRITE_ERROR:
	case CURLE_BAD_CONTENT_ENCODING:
		return DP_HTTP_GARBAGE;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		return DP_HTTP_UNTRUSTED;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return DP_HTTP_UNREACHABLE;
	default:
		if (is_refused_by_proxy(request))
			return DP_HTTP_UNREACHABLE;
		if (is_refused_by_tls(request))
			return DP_HTTP_UNTRUSTED;
		request->http->curl->easy_getinfo(request->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
		request->http->curl->easy_getinfo(request->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
		/* Of a body nothing was sent: a door that shut after the handshake. */
		return connect_us && (sent || !request->post.size) ? DP_HTTP_BROKEN : DP_HTTP_UNREACHABLE;
	}
}

static void finish(struct dp_http_request *request, int result)
{
	const struct dp_http_post post = request->post;
	struct dp_http_answer answer = {
		.outcome = outcome_of(request, result),
		.body = request->body ? request->body : "",
		.body_size = request->body_size,
		.content_type = request->content_type,
		.location = request->location,
		.retry_after_s = request->retry_after_s,
		.error = *request->error ? request->error : request->http->curl->easy_strerror(result),
	};
	request->http->curl->easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	if (answer.outcome == DP_HTTP_GARBAGE)
		answer.error =
			result == CURLE_WRITE_ERROR ? "an answer without end" : "an answer that is not HTTP";
	post.done(post.context, &answer);
	release(request);
}

/* ---- the loop's part ---- */

struct dp_http *dp_http_new(const struct dp_http_options *options, const char **message)
{
	static char wrong[100];
	struct dp_http *http = calloc(1, sizeof *http);
	*message = "no memory for the upload queue";
	if (!http)
		return NULL;
	http->options = *options;
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll_fd >= 0)
		return http;
	snprintf(wrong, sizeof wrong, "no descriptor for the upload queue: %s", strerror(errno));
	*message = wrong;
	free(http);
	return NULL;
}

int dp_http_fd(const struct dp_http *http)
{
	return http->epoll_fd;
}

uint64_t dp_http_due_ms(const struct dp_http *http)
{
	return http->due_ms;
}

static void work(struct dp_http *http)
{
	struct epoll_event events[16];
	int running, left;
	const int count = epoll_wait(http->epoll_fd, events, 16, 0);
	for (int i = 0; i < count; i++)
		http->curl->multi_socket_action(http->multi, events[i].data.fd,
			(events[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
				(events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
				(events[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0),
			&running);
	if (http->due_ms && dp_http_now_ms() >= http->due_ms) {
		http->due_ms = 0;
		http->curl->multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	for (CURLMsg *done; (done = http->curl->multi_info_read(http->multi, &left));) {
		struct dp_http_request *request = NULL;
		const int result = (int)done->data.result;
		http->curl->easy_getinfo(done->easy_handle, CURLINFO_PRIVATE, (char **)&request);
		finish(request, result);
	}
}

/* OpenSSL writes with write(): the SIGPIPE of a closed connection must end nobody, in whichever process we
 * are. */
void dp_http_run(struct dp_http *http)
{
	static const struct timespec at_once;
	sigset_t pipe, pending, before;
	if (!http->multi)
		return;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	work(http);
	if (!sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe, NULL, &at_once) == SIGPIPE)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void dp_http_free(struct dp_http *http)
{
	if (!http)
		return;
	while (http->requests)
		release(http->requests);
	if (http->multi)
		http->curl->multi_cleanup(http->multi);
	close(http->epoll_fd);
	free(http);
}
