/* SPDX-License-Identifier: Apache-2.0
 * What the user said about a server, checked before anything is sent: a wrong value is one sentence now, not
 * a refusal every ten seconds. */
#include "export/push_request.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static char message[600];

/* ---- auth ---- */

enum auth_kind { AUTH_WRONG, AUTH_BASIC, AUTH_BEARER, AUTH_HEADER };

struct auth {
	enum auth_kind kind;
	const char *family; /* NULL: for all */
	const char *text;   /* behind "basic:" and the like */
	size_t size;
};

static bool is_printable(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return true;
}

/* RFC 9110, 5.6.2: a token. */
static bool is_token(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
			return false;
	return size > 0;
}

/* One line; *at moves behind it. False at the end. */
static bool next_auth(const char **at, struct auth *auth)
{
	static const char *const families[] = {"pyroscope+", "parca+", "otlp+", "datadog+"};
	static const struct {
		const char *word;
		enum auth_kind kind;
	} kinds[] = {{"basic:", AUTH_BASIC}, {"bearer:", AUTH_BEARER}, {"header:", AUTH_HEADER}};
	while (**at == '\n')
		++*at;
	if (!**at)
		return false;
	*auth = (struct auth){.text = *at, .size = strcspn(*at, "\n")};
	*at += auth->size;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		if (strncmp(auth->text, families[i], strlen(families[i])) != 0)
			continue;
		auth->family = families[i];
		auth->text += strlen(families[i]);
		auth->size -= strlen(families[i]);
		break;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const size_t length = strlen(kinds[i].word);
		if (auth->size <= length || strncmp(auth->text, kinds[i].word, length) != 0)
			continue;
		auth->text += length;
		auth->size -= length;
		const char *colon = memchr(auth->text, ':', auth->size);
		const size_t name = colon ? (size_t)(colon - auth->text) : 0;
		if (!is_printable(auth->text, auth->size) || (kinds[i].kind != AUTH_BEARER && !name) ||
			(kinds[i].kind == AUTH_HEADER && !is_token(auth->text, name)))
			break;
		auth->kind = kinds[i].kind;
		break;
	}
	return true;
}

static bool is_for(const struct auth *auth, const struct dp_server_kind *kind)
{
	return !auth->family || !strncmp(auth->family, kind->family, strlen(kind->family));
}

static char *basic_header(const char *text, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static const char start[] = "Authorization: Basic ";
	char *header = malloc(sizeof start + (size + 2) / 3 * 4);
	if (!header)
		return NULL;
	char *to = stpcpy(header, start);
	for (size_t i = 0; i < size; i += 3) {
		const unsigned char *b = (const unsigned char *)text + i;
		const unsigned word = (unsigned)b[0] << 16 | (i + 1 < size ? (unsigned)b[1] << 8 : 0) |
				      (i + 2 < size ? b[2] : 0);
		*to++ = digits[word >> 18 & 63];
		*to++ = digits[word >> 12 & 63];
		*to++ = i + 1 < size ? digits[word >> 6 & 63] : '=';
		*to++ = i + 2 < size ? digits[word & 63] : '=';
	}
	*to = 0;
	return header;
}

static char *auth_header(const struct auth *auth)
{
	char *header = NULL;
	if (auth->kind == AUTH_BASIC)
		return basic_header(auth->text, auth->size);
	if (auth->kind == AUTH_BEARER)
		return asprintf(&header, "Authorization: Bearer %.*s", (int)auth->size, auth->text) < 0
			       ? NULL
			       : header;
	const char *colon = memchr(auth->text, ':', auth->size);
	const size_t name = (size_t)(colon - auth->text);
	/* "Name;" is libcurl's way to send a header without a value. */
	if (name + 1 == auth->size)
		return asprintf(&header, "%.*s;", (int)name, auth->text) < 0 ? NULL : header;
	return asprintf(&header, "%.*s: %.*s", (int)name, auth->text, (int)(auth->size - name - 1),
		       colon + 1) < 0
		       ? NULL
		       : header;
}

bool dp_server_address_is_secret(const struct dp_push_options *options, const char *text)
{
	struct auth auth;
	char secret[512];
	for (const char *at = options->auth; next_auth(&at, &auth);) {
		const char *colon = auth.kind == AUTH_BEARER ? NULL : memchr(auth.text, ':', auth.size);
		const char *from = colon ? colon + 1 : auth.text;
		const int size = (int)(auth.size - (size_t)(from - auth.text));
		snprintf(secret, sizeof secret, "%.*s", size, from);
		char *header = auth.kind == AUTH_BASIC ? auth_header(&auth) : NULL;
		const bool is_there =
			(*secret && strstr(text, secret)) || (header && strstr(text, header + 21));
		free(header);
		if (is_there)
			return true;
	}
	return false;
}

/* ---- files and words ---- */

static const char *check_file(const char *setting, const char *path)
{
	if (!*path || access(path, R_OK) == 0)
		return NULL;
	snprintf(message, sizeof message, "%s %.300s: cannot be read: %s; it must be a PEM file", setting,
		path, strerror(errno));
	return message;
}

static const char *check_proxy(const char *setting, const char *proxy)
{
	static const char *const schemes[] = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
	const char *colon = strstr(proxy, "://");
	for (size_t i = 0; colon && i < sizeof schemes / sizeof *schemes; i++)
		if (strlen(schemes[i]) == (size_t)(colon - proxy) &&
			!strncasecmp(proxy, schemes[i], (size_t)(colon - proxy)))
			colon = NULL;
	if (!colon)
		return NULL;
	snprintf(message, sizeof message,
		"%s %.*s://…: must be http, https, socks4, socks4a, socks5 or socks5h", setting,
		(int)(colon - proxy > 40 ? 40 : colon - proxy), proxy);
	return message;
}

const char *dp_push_options_check(const struct dp_push_options *options)
{
	struct auth auth;
	for (const char *at = options->auth; next_auth(&at, &auth);)
		if (auth.kind == AUTH_WRONG)
			return "auth: must be basic:USER:PASS, bearer:TOKEN or header:NAME:VALUE (the value "
			       "is not shown)";
	if (!is_printable(options->tenant, strlen(options->tenant))) {
		snprintf(message, sizeof message, "tenant: must be one line of printable characters");
		return message;
	}
	const char *wrong = check_file("ca", options->ca);
	if (!wrong)
		wrong = check_file("cert", options->cert);
	if (!wrong)
		wrong = check_file("key", options->key);
	if (!wrong && *options->key && !*options->cert) {
		snprintf(message, sizeof message, "key %.300s: needs the setting cert too", options->key);
		wrong = message;
	}
	if (!wrong)
		wrong = check_proxy("http_proxy", options->http_proxy);
	return wrong ? wrong : check_proxy("https_proxy", options->https_proxy);
}

/* ---- the URL ---- */

/* http://user:secret@host -> http://host */
static char *without_secret(const char *url, size_t size)
{
	char *shown = strndup(url, size);
	char *scheme = shown ? strstr(shown, "://") : NULL;
	if (!scheme)
		return shown;
	char *host = scheme + 3;
	char *at = memrchr(host, '@', strcspn(host, "/?#"));
	if (at)
		memmove(host, at + 1, strlen(at + 1) + 1);
	return shown;
}

/* What is wrong with HOST[:PORT][/PATH], or NULL. */
static const char *check_authority(const char *rest)
{
	const size_t size = strcspn(rest, "/?#");
	const char *at = memrchr(rest, '@', size);
	const char *host = at ? at + 1 : rest;
	const char *end = rest + size;
	const char *colon = memrchr(host, ':', (size_t)(end - host));
	if (*host == '[') {
		const char *closing = memchr(host, ']', (size_t)(end - host));
		if (!closing || (closing + 1 != end && closing[1] != ':'))
			return "its IPv6 address must stand in [ ]";
		colon = closing + 1 == end ? NULL : closing + 1;
	}
	const char *host_end = colon ? colon : end;
	if (host == host_end)
		return "it names no host";
	if (*host != '[' && memchr(host, ':', (size_t)(host_end - host)))
		return "its IPv6 address must stand in [ ]";
	char *port_end = NULL;
	const long port = colon ? strtol(colon + 1, &port_end, 10) : 1;
	if (colon && (!isdigit((unsigned char)colon[1]) || port_end != end || port < 1 || port > 65535))
		return "its port must be 1 to 65535";
	if (end[0] == '?' || strpbrk(end, "?#"))
		return "it must not have a ? or # part";
	return NULL;
}

const struct dp_server_kind *const dp_server_kinds[] = {&dp_pyroscope, &dp_parca, &dp_otlp, NULL};

static const struct dp_server_kind *kind_of(const char *url, const char **rest)
{
	for (const struct dp_server_kind *const *kind = dp_server_kinds; *kind; kind++) {
		const char *after = url + strlen((*kind)->prefix);
		if (strncasecmp(url, (*kind)->prefix, strlen((*kind)->prefix)) != 0)
			continue;
		const size_t scheme = !strncasecmp(after, "http://", 7)    ? 7
				      : !strncasecmp(after, "https://", 8) ? 8
									   : 0;
		if (!scheme)
			continue;
		*rest = after + scheme;
		return *kind;
	}
	return NULL;
}

static const char *explain(const char *shown, const char *why)
{
	snprintf(message, sizeof message,
		"server %.200s: %s; right is http(s)://HOST:PORT for Pyroscope, parca+http(s)://HOST:PORT "
		"for Parca, otlp+http(s)://HOST:PORT for OpenTelemetry",
		shown, why);
	return message;
}

/* OpenTelemetry's own variable names the whole path, and some servers have one of their own; all end alike.
 */
static bool is_whole_path(const struct dp_server_kind *kind, const char *url, size_t size)
{
	const char *last = strrchr(kind->path, '/');
	const size_t length = strlen(last);
	return kind == &dp_otlp && size > length && !strncmp(url + size - length, last, length);
}

static int add_header(struct dp_server_address *address, char *header)
{
	unsigned at = 0;
	while (address->headers[at])
		at++;
	if (!header || at == DP_HEADERS_MOST - 1) {
		free(header);
		return -ENOMEM;
	}
	address->headers[at] = header;
	return 0;
}

static int add_headers(struct dp_server_address *address, const struct dp_push_options *options)
{
	struct auth auth;
	char *header = NULL;
	int error = asprintf(&header, "Content-Type: %s", address->kind->content_type) < 0 ? -ENOMEM : 0;
	if (!error)
		error = add_header(address, header);
	if (!error && address->kind->content_encoding)
		error = asprintf(&header, "Content-Encoding: %s", address->kind->content_encoding) < 0
				? -ENOMEM
				: add_header(address, header);
	if (!error) /* a server that does not know it would cost a second of waiting */
		error = add_header(address, strdup("Expect:"));
	if (!error && *options->tenant)
		error = asprintf(&header, "X-Scope-OrgID: %s", options->tenant) < 0
				? -ENOMEM
				: add_header(address, header);
	for (const char *at = options->auth; !error && next_auth(&at, &auth);)
		if (is_for(&auth, address->kind))
			error = add_header(address, auth_header(&auth));
	return error;
}

const char *dp_server_address_init(struct dp_server_address *address, const struct dp_push_options *options,
	const char *url, size_t size)
{
	*address = (struct dp_server_address){0};
	char *whole = strndup(url, size);
	address->shown = without_secret(url, size);
	const char *wrong = "server: no memory";
	if (!whole || !address->shown)
		goto out;
	const char *rest = NULL;
	address->kind = kind_of(whole, &rest);
	if (!address->kind && !strncasecmp(whole, "datadog+", 8))
		wrong = explain(address->shown, "this version cannot send to this kind of server yet");
	else if (!address->kind)
		wrong = explain(address->shown, "this is no URL of a server");
	else if (!is_printable(whole, size) || strchr(whole, ' '))
		wrong = explain("", "it holds a character that no URL has");
	else
		wrong = check_authority(rest);
	if (address->kind && wrong && wrong != message)
		wrong = explain(address->shown, wrong);
	if (wrong)
		goto out;
	const char *start = whole + strlen(address->kind->prefix);
	size_t length = strlen(start);
	while (length && start[length - 1] == '/')
		length--;
	const char *path = is_whole_path(address->kind, start, length) ? "" : address->kind->path;
	if (asprintf(&address->url, "%.*s%s", (int)length, start, path) < 0) {
		address->url = NULL;
		wrong = "server: no memory";
		goto out;
	}
	if (add_headers(address, options) != 0)
		wrong = "auth: too many entries, or no memory";
out:
	free(whole);
	if (wrong)
		dp_server_address_fini(address);
	return wrong;
}

void dp_server_address_fini(struct dp_server_address *address)
{
	free(address->url);
	free(address->shown);
	for (unsigned i = 0; i < DP_HEADERS_MOST && address->headers[i]; i++)
		free(address->headers[i]);
	*address = (struct dp_server_address){0};
}
