/* SPDX-License-Identifier: Apache-2.0
 * One table of keys, one setter; every source ends in it.
 *
 * A value that makes no sense leaves its key as if nobody had set it. That is not safe for all: who mistypes
 * a server must not find files in the working directory instead, who mistypes a tenant must not feed another
 * one. Those keys are marked MUST and a bad value refuses the whole profiling unless a nearer source sets it
 * right. */
#include "base/settings.h"

#include <errno.h>
#include <string.h>

enum kind {
	KIND_BOOL,
	KIND_TEXT,
	KIND_PATTERN,
	KIND_SERVER,
	KIND_LABELS,
	KIND_AUTH,
	KIND_PROFILES,
	KIND_RATE,
	KIND_COUNT,
	KIND_BYTES,
	KIND_MILLISECONDS,
	KIND_SECONDS,
	KIND_PERCENT,
	KIND_AGENT,
	KIND_LOG,
	KIND_PROXY,
};

enum flag {
	MUST = 1,   /* a bad value means: do not profile */
	SECRET = 2, /* the value appears in no message */
	LIST = 4,   /* grows when the same source sets it again */
};

enum key {
	KEY_ENABLED,
	KEY_OUTPUT,
	KEY_SERVER,
	KEY_SERVICE,
	KEY_LABELS,
	KEY_PROFILES,
	KEY_RATE,
	KEY_ALLOC_INTERVAL,
	KEY_LOCK_THRESHOLD,
	KEY_WINDOW,
	KEY_AUTH,
	KEY_TENANT,
	KEY_CA,
	KEY_CERT,
	KEY_KEY,
	KEY_SPOOL,
	KEY_CHILDREN,
	KEY_INTERNALS,
	KEY_AGENT,
	KEY_VERIFY,
	KEY_BUDGET,
	KEY_LOG,
	KEY_LOG_FILE,
	KEY_RESOURCE,
	KEY_HTTP_PROXY,
	KEY_HTTPS_PROXY,
	KEY_NO_PROXY,
	KEY_COUNT,
};

#define FIELD(name) offsetof(struct dp_settings, name), sizeof(((struct dp_settings *)0)->name)

static const struct dp_settings_key keys[] = {
	[KEY_ENABLED] = {"enabled", "true|false", "true", "profile at all",
		"PYROSCOPE_AGENT_ENABLED DD_PROFILING_ENABLED", FIELD(enabled), KIND_BOOL, MUST},
	[KEY_OUTPUT] = {"output", "PATTERN", "",
		"file to write: %p pid, %n program, %t start time, %% a per cent sign; the ending picks the "
		"format: "
		".pb.gz .collapsed .html .speedscope.json .otlp",
		"DD_PROFILING_OUTPUT_PPROF", FIELD(output), KIND_PATTERN, MUST},
	[KEY_SERVER] = {"server", "URL", "",
		"servers to push to, separated by spaces: http(s)://HOST:4040 is Pyroscope; parca+, otlp+ or "
		"datadog+ "
		"before it names the others",
		"PYROSCOPE_SERVER_ADDRESS OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT DD_TRACE_AGENT_URL",
		FIELD(server), KIND_SERVER, MUST | SECRET | LIST},
	[KEY_SERVICE] = {"service", "NAME", "", "name of the service; the program's name when unset",
		"PYROSCOPE_APPLICATION_NAME OTEL_SERVICE_NAME DD_SERVICE", FIELD(service), KIND_TEXT, 0},
	[KEY_LABELS] = {"labels", "K=V,K=V", "",
		"labels of every profile; ; separates too, %2C is a comma in a value",
		"PYROSCOPE_LABELS OTEL_RESOURCE_ATTRIBUTES DD_TAGS DD_ENV DD_VERSION", FIELD(labels),
		KIND_LABELS, LIST},
	[KEY_PROFILES] = {"profiles", "KIND,KIND", "cpu",
		"what to profile: any of cpu wall alloc heap lock gil",
		"PYROSCOPE_PROFILER_EVENT DD_PROFILING_*_ENABLED", FIELD(profiles), KIND_PROFILES, LIST},
	[KEY_RATE] = {"rate", "HERTZ", "100", "samples per CPU second, 1 to 1000",
		"PYROSCOPE_PROFILING_INTERVAL", FIELD(rate), KIND_RATE, 0},
	[KEY_ALLOC_INTERVAL] = {"alloc_interval", "BYTES", "512k",
		"mean bytes between two allocation samples", "PYROSCOPE_PROFILER_ALLOC",
		FIELD(alloc_interval), KIND_BYTES, 0},
	[KEY_LOCK_THRESHOLD] = {"lock_threshold", "MILLISECONDS", "1ms",
		"shortest wait for a lock that is always kept; shorter ones are sampled",
		"PYROSCOPE_PROFILER_LOCK", FIELD(lock_threshold_ns), KIND_MILLISECONDS, 0},
	[KEY_WINDOW] = {"window", "SECONDS", "10", "time that one profile spans, 0.1 to 3600",
		"PYROSCOPE_UPLOAD_INTERVAL DD_PROFILING_UPLOAD_PERIOD", FIELD(window_ns), KIND_SECONDS, 0},
	[KEY_AUTH] = {"auth", "KIND:…", "",
		"basic:USER:PASS, bearer:TOKEN or header:NAME:VALUE; FAMILY+ before it (datadog+header:…) "
		"sends it to "
		"that kind of server only",
		"PYROSCOPE_BASIC_AUTH_USER PYROSCOPE_BASIC_AUTH_PASSWORD PYROSCOPE_AUTH_TOKEN "
		"PYROSCOPE_HTTP_HEADERS "
		"OTEL_EXPORTER_OTLP_HEADERS DD_API_KEY",
		FIELD(auth), KIND_AUTH, MUST | SECRET | LIST},
	[KEY_TENANT] = {"tenant", "NAME", "", "tenant of the server, sent as X-Scope-OrgID",
		"PYROSCOPE_TENANT_ID", FIELD(tenant), KIND_TEXT, MUST},
	[KEY_CA] = {"ca", "FILE", "", "PEM file of the authorities to trust; the system's when unset",
		"OTEL_EXPORTER_OTLP_CERTIFICATE", FIELD(ca), KIND_TEXT, MUST},
	[KEY_CERT] = {"cert", "FILE", "", "PEM file of the client's certificate",
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", FIELD(cert), KIND_TEXT, MUST},
	[KEY_KEY] = {"key", "FILE", "", "PEM file of the client's key", "OTEL_EXPORTER_OTLP_CLIENT_KEY",
		FIELD(key), KIND_TEXT, MUST},
	[KEY_SPOOL] = {"spool", "FOLDER", "", "where profiles wait that could not be sent; off when unset",
		"", FIELD(spool), KIND_TEXT, 0},
	[KEY_CHILDREN] = {"children", "true|false", "true", "profile what the process forks and executes", "",
		FIELD(children), KIND_BOOL, MUST},
	[KEY_INTERNALS] = {"internals", "true|false", "false",
		"show what an interpreter does to run the program's functions, its loop and its calls", "",
		FIELD(internals), KIND_BOOL, 0},
	[KEY_AGENT] = {"agent", "process|thread", "process",
		"process: one deepprof-agent for all processes of the user in this container; thread: inside "
		"the host",
		"", FIELD(agent), KIND_AGENT, MUST},
	[KEY_VERIFY] = {"verify", "N", "0", "every Nth sample is walked by libunwind too; 0 is off", "",
		FIELD(verify), KIND_COUNT, 0},
	[KEY_BUDGET] = {"budget", "PERCENT", "1.0",
		"most CPU that the agent may use, per cent of the process's own", "", FIELD(budget_ppm),
		KIND_PERCENT, 0},
	[KEY_LOG] = {"log", "LEVEL", "warn", "error, warn, info or debug", "PYROSCOPE_LOG_LEVEL", FIELD(log),
		KIND_LOG, 0},
	[KEY_LOG_FILE] = {"log_file", "FILE", "", "where the log goes; stderr when unset", "",
		FIELD(log_file), KIND_TEXT, 0},
	[KEY_RESOURCE] = {"resource", "K=V,K=V", "",
		"what else the process is, by OpenTelemetry's names: told with each profile, but no label of "
		"its series",
		"K8S_POD_NAME POD_NAME MY_POD_NAME and their like", FIELD(resource), KIND_LABELS, LIST},
	[KEY_HTTP_PROXY] = {"http_proxy", "URL", "", "proxy on the way to http servers",
		"http_proxy HTTP_PROXY all_proxy ALL_PROXY", FIELD(http_proxy), KIND_PROXY, MUST | SECRET},
	[KEY_HTTPS_PROXY] = {"https_proxy", "URL", "", "proxy on the way to https servers",
		"https_proxy HTTPS_PROXY all_proxy ALL_PROXY", FIELD(https_proxy), KIND_PROXY, MUST | SECRET},
	[KEY_NO_PROXY] = {"no_proxy", "HOST,HOST", "", "hosts and domains that are reached without a proxy",
		"no_proxy NO_PROXY", FIELD(no_proxy), KIND_TEXT, MUST},
};

_Static_assert((int)KEY_COUNT == (int)DP_SETTINGS_KEYS, "settings.h counts the keys");
_Static_assert(sizeof(struct dp_settings) <= 16384, "settings live in the host's .bss");

const struct dp_settings_key *dp_settings_key_table(void)
{
	return keys;
}

/* ---- text without stdio and locale ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A piece of somebody's text. */
struct span {
	const char *at;
	size_t size;
};

static struct span span_of(const char *text)
{
	return (struct span){text, strlen(text)};
}

static struct span trimmed(struct span s)
{
	while (s.size && is_space(s.at[0]))
		s.at++, s.size--;
	while (s.size && (is_space(s.at[s.size - 1]) || s.at[s.size - 1] == '\r'))
		s.size--;
	return s;
}

static bool same(struct span s, const char *text)
{
	return s.size == strlen(text) && !memcmp(s.at, text, s.size);
}

/* Equal but for case. */
static bool alike(struct span s, const char *text)
{
	size_t i = 0;
	while (i < s.size && text[i] && lower(s.at[i]) == lower(text[i]))
		i++;
	return i == s.size && !text[i];
}

static bool starts(struct span s, const char *prefix)
{
	const size_t size = strlen(prefix);
	return s.size >= size && !memcmp(s.at, prefix, size);
}

static bool ends(struct span s, const char *suffix)
{
	const size_t size = strlen(suffix);
	return s.size > size && !memcmp(s.at + s.size - size, suffix, size);
}

/* Takes the text up to one of the separators off the front of rest. False when nothing is left. */
static bool next_piece(struct span *rest, const char *separators, struct span *piece)
{
	if (!rest->at)
		return false;
	size_t i = 0;
	while (i < rest->size && !strchr(separators, rest->at[i]))
		i++;
	*piece = trimmed((struct span){rest->at, i});
	if (i < rest->size)
		*rest = (struct span){rest->at + i + 1, rest->size - i - 1};
	else
		rest->at = NULL;
	return true;
}

/* Splits at the first c; false without one. */
static bool split(struct span s, char c, struct span *before, struct span *after)
{
	const char *found = s.size ? memchr(s.at, c, s.size) : NULL;
	if (!found)
		return false;
	*before = trimmed((struct span){s.at, (size_t)(found - s.at)});
	*after = trimmed((struct span){found + 1, s.size - (size_t)(found - s.at) - 1});
	return true;
}

/* A bounded text that is being built; size keeps counting beyond the end, so that too long is seen. */
struct text {
	char *at;
	size_t size, room;
};

static void put_char(struct text *t, char c)
{
	if (t->size < t->room)
		t->at[t->size] = c;
	t->size++;
}

static void put_span(struct text *t, struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		put_char(t, s.at[i]);
}

static void put(struct text *t, const char *text)
{
	put_span(t, span_of(text));
}

static void put_number(struct text *t, uint64_t number)
{
	char digits[20];
	int n = 0;
	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		put_char(t, digits[--n]);
}

/* Foreign text in a message: short and printable, and valid UTF-8 to the extent that it was before. */
static void put_shown(struct text *t, struct span s)
{
	const size_t most = 60;
	for (size_t i = 0; i < s.size && i < most; i++)
		put_char(t, (unsigned char)s.at[i] < ' ' || s.at[i] == 127 ? '?' : s.at[i]);
	if (s.size > most)
		put(t, "…");
}

/* ---- what is said ---- */

/* Where a value came from, for messages. */
struct origin {
	enum dp_settings_source source;
	const char *variable; /* of an alias */
	uint32_t line;        /* of a file */
	const struct dp_settings_listener *listener;
};

static void say(const struct origin *origin, struct text *t)
{
	if (!origin->listener || !origin->listener->say)
		return;
	t->at[t->size < t->room ? t->size : t->room - 1] = 0;
	origin->listener->say(origin->listener->context, t->at);
}

/* The key as this source's user typed it. */
static void put_origin(struct text *t, const struct origin *origin, struct span name)
{
	if (origin->source == DP_FROM_ALIAS) {
		put(t, origin->variable);
	} else if (origin->source == DP_FROM_ENVIRONMENT) {
		put(t, "DEEPPROF_");
		for (size_t i = 0; i < name.size && i < 60; i++)
			put_char(t, name.at[i] >= 'a' && name.at[i] <= 'z' ? (char)(name.at[i] - 32)
									   : name.at[i]);
	} else {
		put_shown(t, name);
	}
	if (origin->line) {
		put(t, " in line ");
		put_number(t, origin->line);
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, for names as long as ours. */
static size_t distance(struct span a, const char *b)
{
	enum { MOST = 24 };
	size_t row[MOST + 1];
	const size_t length = strlen(b);

	if (a.size > MOST || length > MOST)
		return MOST;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.size; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			const char c = lower(a.at[i - 1]) == '-' ? '_' : lower(a.at[i - 1]);
			const size_t replaced = diagonal + (c != b[j - 1]);
			diagonal = row[j];
			row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[length];
}

static void say_unknown(const struct origin *origin, struct span name)
{
	char line[400];
	struct text t = {line, 0, sizeof line};
	const struct dp_settings_key *nearest = NULL;
	size_t best = name.size / 3 + 1; /* farther away it is another word */

	for (int i = 0; i < KEY_COUNT; i++) {
		const size_t d = distance(name, keys[i].name);
		if (d <= best && (!nearest || d < best)) {
			best = d;
			nearest = &keys[i];
		}
	}
	put(&t, "unknown setting ");
	put_origin(&t, origin, name);
	if (nearest) {
		put(&t, "; the nearest is ");
		put_origin(&t, &(struct origin){.source = origin->source}, span_of(nearest->name));
	} else {
		put(&t, "; `deepprof run --help` lists them");
	}
	say(origin, &t);
}

static void say_bad(const struct origin *origin, const struct dp_settings_key *key, struct span value,
	const char *right, bool is_refused)
{
	char line[512];
	struct text t = {line, 0, sizeof line};

	put_origin(&t, origin, span_of(key->name));
	if (!(key->flags & SECRET)) {
		put(&t, "=");
		put_shown(&t, value);
	}
	put(&t, ": ");
	put(&t, right);
	if (is_refused && origin->source == DP_FROM_ALIAS && key == &keys[KEY_SERVER])
		put(&t, "; set DEEPPROF_SERVER or DEEPPROF_OUTPUT");
	else
		put(&t, is_refused ? "; the program runs unprofiled" : "; ignored");
	say(origin, &t);
}

/* ---- values: NULL, or what would have been right ---- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit byte_units[] = {{"b", 1}, {"k", 1 << 10}, {"kb", 1 << 10}, {"kib", 1 << 10},
	{"m", 1 << 20}, {"mb", 1 << 20}, {"mib", 1 << 20}, {"g", 1 << 30}, {"gb", 1 << 30}, {"gib", 1 << 30},
	{NULL, 0}};
static const struct unit time_units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000},
	{"m", 60000000000}, {"min", 60000000000}, {"h", 3600000000000}, {NULL, 0}};
static const struct unit percent_units[] = {{"%", 10000}, {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};

/* "1.5s" by the table of units; a number alone counts in bare. */
static bool parse_amount(struct span s, const struct unit *units, uint64_t bare, uint64_t *amount)
{
	uint64_t whole = 0, fraction = 0, scale = 1, factor = bare;
	size_t i = 0;

	for (; i < s.size && is_digit(s.at[i]); i++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
			__builtin_add_overflow(whole, (uint64_t)(s.at[i] - '0'), &whole))
			return false;
	if (!i)
		return false;
	if (i < s.size && s.at[i] == '.') {
		const size_t dot = i++;
		for (; i < s.size && is_digit(s.at[i]); i++)
			if (scale < 1000000) {
				fraction = fraction * 10 + (uint64_t)(s.at[i] - '0');
				scale *= 10;
			}
		if (i == dot + 1)
			return false;
	}
	const struct span rest = trimmed((struct span){s.at + i, s.size - i});
	if (rest.size) {
		while (units->name && !alike(rest, units->name))
			units++;
		if (!units->name)
			return false;
		factor = units->factor;
	}
	if (factor == 1 && scale > 1)
		return false; /* no half bytes, no half samples */
	uint64_t part;
	if (__builtin_mul_overflow(fraction, factor, &part) || __builtin_mul_overflow(whole, factor, &whole))
		return false;
	return !__builtin_add_overflow(whole, part / scale, amount);
}

static bool parse_bool(struct span s, bool *value)
{
	static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on", NULL};
	for (int i = 0; words[i]; i++)
		if (alike(s, words[i])) {
			*value = i & 1;
			return true;
		}
	return false;
}

static const char *set_text(char *field, size_t size, struct span value)
{
	if (value.size >= size)
		return "too long";
	memcpy(field, value.at, value.size);
	field[value.size] = 0;
	return NULL;
}

static const char *set_pattern(char *field, size_t size, struct span value)
{
	static const char *const endings[] = {".pb.gz", ".collapsed", ".html", ".speedscope.json", ".otlp"};
	size_t e = 0;

	for (size_t i = 0; i < value.size; i++)
		if (value.at[i] == '%' && (++i == value.size || !strchr("pnt%", value.at[i])))
			return "after % comes p (pid), n (program), t (start time) or %";
	while (e < sizeof endings / sizeof *endings && !ends(value, endings[e]))
		e++;
	if (e == sizeof endings / sizeof *endings)
		return "must end in .pb.gz, .collapsed, .html, .speedscope.json or .otlp";
	return set_text(field, size, value);
}

/* "http://…" behind an optional family. */
static bool is_url(struct span url)
{
	static const char *const families[] = {"pyroscope+", "parca+", "otlp+", "datadog+", ""};
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		if (!starts(url, families[i]))
			continue;
		url.at += strlen(families[i]);
		url.size -= strlen(families[i]);
		return (starts(url, "http://") && url.size > 7) || (starts(url, "https://") && url.size > 8);
	}
	return false;
}

static const char *set_server(char *field, size_t size, struct span value, bool grows)
{
	struct span rest = value, url;
	struct text t = {field, grows ? strlen(field) : 0, size - 1};
	const size_t before = t.size;

	for (struct span check = value; next_piece(&check, " \t", &url);)
		if (url.size && !is_url(url))
			return "a URL like http://HOST:4040 (Pyroscope), parca+http://HOST:7070, "
			       "otlp+http://HOST:4318 or "
			       "datadog+http://HOST:8126";
	while (next_piece(&rest, " \t", &url))
		if (url.size) {
			if (t.size)
				put_char(&t, ' ');
			put_span(&t, url);
		}
	field[t.size > t.room ? before : t.size] = 0;
	return t.size > t.room ? "too long" : NULL;
}

static int hex(char c)
{
	return is_digit(c) ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 'a' + 10 : -1;
}

/* %2C and its like become what they stand for; control characters stay encoded. */
static void put_decoded(struct text *t, struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] == '%' && i + 2 < s.size && hex(s.at[i + 1]) >= 0 && hex(s.at[i + 2]) >= 0) {
			const int c = hex(s.at[i + 1]) * 16 + hex(s.at[i + 2]);
			if (c >= ' ' && c != 127) {
				put_char(t, (char)c);
				i += 2;
				continue;
			}
		}
		put_char(t, s.at[i]);
	}
}

static size_t list_size(const char *list)
{
	size_t size = 0;
	while (list[size])
		size += strlen(list + size) + 1;
	return size;
}

/* Closes an entry that was put behind the list; takes it back when the list is full. */
static bool list_close(struct text *t, size_t before)
{
	put_char(t, 0);
	put_char(t, 0);
	if (t->size > t->room) {
		t->at[before] = 0;
		t->size = before;
		return false;
	}
	t->size--;
	return true;
}

static bool has_label(const char *labels, size_t size, const char *label)
{
	const size_t name = (size_t)(strchr(label, '=') - label) + 1;
	for (const char *end = labels + size; labels < end; labels += strlen(labels) + 1)
		if (!strncmp(labels, label, name))
			return true;
	return false;
}

/* The first value of a name stays. */
static bool add_label(char *labels, size_t size, struct span name, struct span value)
{
	struct text t = {labels, list_size(labels), size};
	const size_t before = t.size;

	put_decoded(&t, name);
	put_char(&t, '=');
	put_decoded(&t, value);
	if (!list_close(&t, before))
		return false;
	if (has_label(labels, before, labels + before))
		labels[before] = 0;
	return true;
}

static const char *set_labels(char *labels, size_t size, struct span value, bool grows)
{
	struct span rest = value, pair, name, text;
	const char *wrong = NULL;

	if (!grows)
		labels[0] = 0;
	while (next_piece(&rest, ",;", &pair)) {
		if (!pair.size)
			continue;
		if (!split(pair, '=', &name, &text) || !name.size)
			wrong = "labels are NAME=VALUE, separated by , or ;";
		else if (!add_label(labels, size, name, text))
			wrong = "too many labels";
	}
	return wrong;
}

/* "datadog+header:…": the family before the +, empty when there is none. */
static struct span auth_family(struct span entry)
{
	static const char *const families[] = {"pyroscope+", "parca+", "otlp+", "datadog+"};
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (starts(entry, families[i]))
			return (struct span){entry.at, strlen(families[i])};
	return (struct span){entry.at, 0};
}

static bool is_auth(struct span entry)
{
	struct span name, value;
	const size_t family = auth_family(entry).size;

	entry.at += family;
	entry.size -= family;
	if (starts(entry, "bearer:"))
		return entry.size > 7;
	if (starts(entry, "basic:"))
		return split((struct span){entry.at + 6, entry.size - 6}, ':', &name, &value) && name.size;
	if (!starts(entry, "header:") ||
		!split((struct span){entry.at + 7, entry.size - 7}, ':', &name, &value))
		return false;
	for (size_t i = 0; i < name.size; i++) /* RFC 9110, 5.6.2: a token */
		if ((unsigned char)name.at[i] <= ' ' || strchr("\"(),/:;<=>?@[\\]{}\x7f", name.at[i]))
			return false;
	return name.size > 0;
}

static const char *set_auth(char *list, size_t size, struct span value, bool grows)
{
	struct text t = {list, grows ? list_size(list) : 0, size};
	const size_t before = t.size;

	if (!is_auth(value))
		return "must be basic:USER:PASS, bearer:TOKEN or header:NAME:VALUE";
	put_span(&t, value);
	return list_close(&t, before) ? NULL : "too long";
}

static const struct {
	const char *name;
	uint32_t bit;
} profile_words[] = {{"cpu", DP_PROFILES_CPU}, {"wall", DP_PROFILES_WALL}, {"alloc", DP_PROFILES_ALLOC},
	{"heap", DP_PROFILES_HEAP}, {"lock", DP_PROFILES_LOCK}, {"gil", DP_PROFILES_GIL}, {"none", 0}};

static const char *set_profiles(uint32_t *profiles, struct span value, bool grows)
{
	struct span rest = value, word;
	uint32_t found = 0;

	while (next_piece(&rest, " \t,;|+", &word)) {
		size_t i = 0;
		if (!word.size)
			continue;
		while (i < sizeof profile_words / sizeof *profile_words &&
			!alike(word, profile_words[i].name))
			i++;
		if (i == sizeof profile_words / sizeof *profile_words)
			return "any of cpu wall alloc heap lock gil";
		found |= profile_words[i].bit;
	}
	*profiles = grows ? *profiles | found : found;
	return NULL;
}

static const char *set_amount(struct dp_settings *settings, enum key key, struct span value)
{
	uint64_t amount;

	switch (keys[key].kind) {
	case KIND_RATE:
		if (!parse_amount(value, no_units, 1, &amount) || amount < 1 || amount > 1000)
			return "samples per CPU second, 1 to 1000";
		settings->rate = (uint32_t)amount;
		return NULL;
	case KIND_COUNT:
		if (!parse_amount(value, no_units, 1, &amount) || amount > UINT32_MAX)
			return "a whole number, 0 is off";
		settings->verify = (uint32_t)amount;
		return NULL;
	case KIND_BYTES:
		if (!parse_amount(value, byte_units, 1, &amount) || amount > INT64_MAX)
			return "bytes, or a size like 512k";
		settings->alloc_interval = amount;
		return NULL;
	case KIND_MILLISECONDS:
		if (!parse_amount(value, time_units, 1000000, &amount) || amount > INT64_MAX)
			return "milliseconds, or a time like 500us";
		settings->lock_threshold_ns = amount;
		return NULL;
	case KIND_SECONDS:
		if (!parse_amount(value, time_units, 1000000000, &amount) || amount < 100000000 ||
			amount > 3600000000000)
			return "seconds, 0.1 to 3600, or a time like 10s";
		settings->window_ns = amount;
		return NULL;
	default:
		if (!parse_amount(value, percent_units, 10000, &amount) || amount > 100 * 10000)
			return "per cent of the process's own CPU, 0 to 100";
		settings->budget_ppm = (uint32_t)amount;
		return NULL;
	}
}

static const char *set_log(uint8_t *level, struct span value)
{
	static const char *const words[] = {"error", "warn", "info", "debug"};
	for (uint8_t i = 0; i < 4; i++)
		if (alike(value, words[i])) {
			*level = i;
			return NULL;
		}
	return "one of error, warn, info, debug";
}

static const char *set_value(struct dp_settings *settings, enum key key, struct span value, bool grows)
{
	char *field = (char *)settings + keys[key].offset;
	const size_t size = keys[key].size;
	bool is_true;

	for (size_t i = 0; i < value.size; i++)
		if ((unsigned char)value.at[i] < ' ' || value.at[i] == 127)
			return "control characters are not allowed";
	switch (keys[key].kind) {
	case KIND_BOOL:
		if (!parse_bool(value, &is_true))
			return "true or false";
		*(bool *)field = is_true;
		return NULL;
	case KIND_TEXT:
	case KIND_PROXY:
		return set_text(field, size, value);
	case KIND_PATTERN:
		return set_pattern(field, size, value);
	case KIND_SERVER:
		return set_server(field, size, value, grows);
	case KIND_LABELS:
		return set_labels(field, size, value, grows);
	case KIND_AUTH:
		return set_auth(field, size, value, grows);
	case KIND_PROFILES:
		return set_profiles(&settings->profiles, value, grows);
	case KIND_AGENT:
		if (!alike(value, "process") && !alike(value, "thread"))
			return "process or thread";
		settings->agent = alike(value, "thread") ? DP_AGENT_THREAD : DP_AGENT_PROCESS;
		return NULL;
	case KIND_LOG:
		return set_log(&settings->log, value);
	default:
		return set_amount(settings, key, value);
	}
}

/* The one way into a key. Passes over what a nearer source has set already. An empty value is no value: that
 * is how people switch off a variable they cannot unset. */
static int assign(struct dp_settings *settings, enum key key, struct span value, const struct origin *origin)
{
	const struct dp_settings_key *k = &keys[key];
	const bool is_again = settings->source[key] == origin->source;

	value = trimmed(value);
	if (!value.size || settings->source[key] > origin->source)
		return 0;
	if (is_again && origin->source == DP_FROM_ALIAS && !(k->flags & LIST))
		return 0; /* the first alias counts */
	const char *wrong = set_value(settings, key, value, is_again && !(settings->refused & 1u << key));
	const bool is_refused = wrong && (k->flags & MUST);
	if (wrong) {
		say_bad(origin, k, value, wrong, is_refused);
		if (is_refused) {
			settings->refused |= 1u << key;
			settings->source[key] = origin->source;
		} else if (k->kind == KIND_LABELS) {
			settings->source[key] = origin->source; /* those that were right */
		}
		return -EINVAL;
	}
	settings->refused &= ~(1u << key);
	settings->source[key] = origin->source;
	return 0;
}

static int find_key(struct span name)
{
	for (int i = 0; i < KEY_COUNT; i++) {
		size_t c = 0;
		while (c < name.size && keys[i].name[c] &&
			(name.at[c] == '-' ? '_' : lower(name.at[c])) == keys[i].name[c])
			c++;
		if (c == name.size && !keys[i].name[c])
			return i;
	}
	return -ENOENT;
}

static int assign_named(
	struct dp_settings *settings, struct span name, struct span value, const struct origin *origin)
{
	const int key = find_key(name);
	if (key < 0) {
		say_unknown(origin, name);
		return key;
	}
	return assign(settings, (enum key)key, value, origin);
}

void dp_settings_init(struct dp_settings *settings)
{
	settings->enabled = true;
	settings->children = true;
	settings->agent = DP_AGENT_PROCESS;
	settings->log = DP_LOG_WARN;
	settings->profiles = DP_PROFILES_CPU;
	settings->rate = 100;
	settings->budget_ppm = 10000;
	settings->alloc_interval = 512 << 10;
	settings->lock_threshold_ns = 1000000;
	settings->window_ns = 10000000000;
}

int dp_settings_set(struct dp_settings *settings, const char *key, const char *value,
	enum dp_settings_source source, const struct dp_settings_listener *listener)
{
	return assign_named(settings, span_of(key), span_of(value),
		&(struct origin){.source = source, .variable = key, .listener = listener});
}

/* ---- the environment ---- */

/* Variables of other profilers, in the order in which they count. */
enum alias {
	ALIAS_PYROSCOPE_AGENT_ENABLED,
	ALIAS_DD_PROFILING_ENABLED,
	ALIAS_DD_PROFILING_OUTPUT_PPROF,
	ALIAS_PYROSCOPE_SERVER_ADDRESS,
	ALIAS_OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT,
	ALIAS_DD_TRACE_AGENT_URL,
	ALIAS_PYROSCOPE_APPLICATION_NAME,
	ALIAS_OTEL_SERVICE_NAME,
	ALIAS_DD_SERVICE,
	ALIAS_PYROSCOPE_LABELS,
	ALIAS_OTEL_RESOURCE_ATTRIBUTES,
	ALIAS_DD_ENV,
	ALIAS_DD_VERSION,
	ALIAS_DD_TAGS,
	ALIAS_PYROSCOPE_PROFILER_EVENT,
	ALIAS_PYROSCOPE_PROFILER_ALLOC,
	ALIAS_PYROSCOPE_PROFILER_LOCK,
	ALIAS_DD_PROFILING_CPU_ENABLED,
	ALIAS_DD_PROFILING_WALLTIME_ENABLED,
	ALIAS_DD_PROFILING_WALL_ENABLED,
	ALIAS_DD_PROFILING_ALLOCATION_ENABLED,
	ALIAS_DD_PROFILING_ALLOC_ENABLED,
	ALIAS_DD_PROFILING_MEMORY_ENABLED,
	ALIAS_DD_PROFILING_HEAP_ENABLED,
	ALIAS_DD_PROFILING_LOCK_ENABLED,
	ALIAS_PYROSCOPE_PROFILING_INTERVAL,
	ALIAS_PYROSCOPE_UPLOAD_INTERVAL,
	ALIAS_DD_PROFILING_UPLOAD_PERIOD,
	ALIAS_PYROSCOPE_BASIC_AUTH_USER,
	ALIAS_PYROSCOPE_BASIC_AUTH_PASSWORD,
	ALIAS_PYROSCOPE_AUTH_TOKEN,
	ALIAS_PYROSCOPE_HTTP_HEADERS,
	ALIAS_OTEL_EXPORTER_OTLP_HEADERS,
	ALIAS_DD_API_KEY,
	ALIAS_PYROSCOPE_TENANT_ID,
	ALIAS_OTEL_EXPORTER_OTLP_CERTIFICATE,
	ALIAS_OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE,
	ALIAS_OTEL_EXPORTER_OTLP_CLIENT_KEY,
	ALIAS_PYROSCOPE_LOG_LEVEL,
	ALIAS_COUNT,
};

#define PLAIN(variable, target)      [ALIAS_##variable] = {#variable, KEY_##target, NULL}
#define BENT(variable, target, bend) [ALIAS_##variable] = {#variable, KEY_##target, bend}

static void read_agent_enabled(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_output_prefix(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_pyroscope_url(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_otlp_url(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_datadog_url(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_application(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_resource(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_tags(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_env_tag(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_version_tag(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_event(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_alloc(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_lock(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_kind_enabled(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_interval(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_bearer(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_json_headers(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_otlp_headers(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_api_key(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_level(struct dp_settings *settings, struct span value, const struct origin *origin);
static void read_nothing(struct dp_settings *settings, struct span value, const struct origin *origin);

/* bend: NULL where the value means what ours would. */
static const struct {
	const char *name;
	enum key key;
	void (*bend)(struct dp_settings *settings, struct span value, const struct origin *origin);
} aliases[ALIAS_COUNT] = {
	BENT(PYROSCOPE_AGENT_ENABLED, ENABLED, read_agent_enabled),
	BENT(DD_PROFILING_ENABLED, ENABLED, read_agent_enabled),
	BENT(DD_PROFILING_OUTPUT_PPROF, OUTPUT, read_output_prefix),
	BENT(PYROSCOPE_SERVER_ADDRESS, SERVER, read_pyroscope_url),
	BENT(OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT, SERVER, read_otlp_url),
	BENT(DD_TRACE_AGENT_URL, SERVER, read_datadog_url),
	BENT(PYROSCOPE_APPLICATION_NAME, SERVICE, read_application),
	PLAIN(OTEL_SERVICE_NAME, SERVICE),
	PLAIN(DD_SERVICE, SERVICE),
	PLAIN(PYROSCOPE_LABELS, LABELS),
	BENT(OTEL_RESOURCE_ATTRIBUTES, LABELS, read_resource),
	BENT(DD_ENV, LABELS, read_env_tag),
	BENT(DD_VERSION, LABELS, read_version_tag),
	BENT(DD_TAGS, LABELS, read_tags),
	BENT(PYROSCOPE_PROFILER_EVENT, PROFILES, read_event),
	BENT(PYROSCOPE_PROFILER_ALLOC, ALLOC_INTERVAL, read_alloc),
	BENT(PYROSCOPE_PROFILER_LOCK, LOCK_THRESHOLD, read_lock),
	BENT(DD_PROFILING_CPU_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_WALLTIME_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_WALL_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_ALLOCATION_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_ALLOC_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_MEMORY_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_HEAP_ENABLED, PROFILES, read_kind_enabled),
	BENT(DD_PROFILING_LOCK_ENABLED, PROFILES, read_kind_enabled),
	BENT(PYROSCOPE_PROFILING_INTERVAL, RATE, read_interval),
	PLAIN(PYROSCOPE_UPLOAD_INTERVAL, WINDOW),
	PLAIN(DD_PROFILING_UPLOAD_PERIOD, WINDOW),
	BENT(PYROSCOPE_BASIC_AUTH_USER, AUTH, read_nothing), /* with the password, see read_basic() */
	BENT(PYROSCOPE_BASIC_AUTH_PASSWORD, AUTH, read_nothing),
	BENT(PYROSCOPE_AUTH_TOKEN, AUTH, read_bearer),
	BENT(PYROSCOPE_HTTP_HEADERS, AUTH, read_json_headers),
	BENT(OTEL_EXPORTER_OTLP_HEADERS, AUTH, read_otlp_headers),
	BENT(DD_API_KEY, AUTH, read_api_key),
	PLAIN(PYROSCOPE_TENANT_ID, TENANT),
	PLAIN(OTEL_EXPORTER_OTLP_CERTIFICATE, CA),
	PLAIN(OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, CERT),
	PLAIN(OTEL_EXPORTER_OTLP_CLIENT_KEY, KEY),
	BENT(PYROSCOPE_LOG_LEVEL, LOG, read_level),
};

/* Assigns text put together from a prefix and a value. */
static void assign_joined(struct dp_settings *settings, enum key key, const char *prefix, struct span value,
	const char *suffix, const struct origin *origin)
{
	char joined[4096];
	struct text t = {joined, 0, sizeof joined};
	put(&t, prefix);
	put_span(&t, value);
	put(&t, suffix);
	if (t.size > t.room) {
		say_bad(origin, &keys[key], value, "too long", false);
		return;
	}
	assign(settings, key, (struct span){joined, t.size}, origin);
}

static void read_nothing(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	(void)settings, (void)value, (void)origin;
}

static void read_agent_enabled(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	assign(settings, KEY_ENABLED, alike(value, "auto") ? span_of("true") : value, origin);
}

/* A prefix: ddtrace puts pid and number behind it. */
static void read_output_prefix(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	char doubled[1024];
	struct text t = {doubled, 0, sizeof doubled};
	for (size_t i = 0; i < value.size; i++) {
		if (value.at[i] == '%')
			put_char(&t, '%');
		put_char(&t, value.at[i]);
	}
	if (t.size > t.room)
		t.size = t.room; /* too long for the key anyway: said there */
	assign_joined(settings, KEY_OUTPUT, "", (struct span){doubled, t.size}, ".%p.pb.gz", origin);
}

static void read_pyroscope_url(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	const bool has_scheme = starts(value, "http://") || starts(value, "https://");
	assign_joined(settings, KEY_SERVER, has_scheme ? "" : "http://", value, "", origin);
}

static void read_otlp_url(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	assign_joined(settings, KEY_SERVER, "otlp+", value, "", origin);
}

static void read_datadog_url(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	assign_joined(settings, KEY_SERVER, "datadog+", value, "", origin);
}

/* "name{k=v,k=v}": the older form carries labels. */
static void read_application(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	struct span name, labels;
	if (!split(value, '{', &name, &labels)) {
		assign(settings, KEY_SERVICE, value, origin);
		return;
	}
	if (labels.size && labels.at[labels.size - 1] == '}')
		labels.size--;
	assign(settings, KEY_SERVICE, name, origin);
	assign(settings, KEY_LABELS, labels, origin);
}

static void assign_label(
	struct dp_settings *settings, struct span name, struct span value, const struct origin *origin)
{
	char pair[1024];
	struct text t = {pair, 0, sizeof pair};

	put_span(&t, name);
	put_char(&t, '=');
	for (size_t i = 0; i < value.size; i++)
		if (value.at[i] == ',')
			put(&t, "%2C");
		else if (value.at[i] == ';')
			put(&t, "%3B");
		else
			put_char(&t, value.at[i]);
	if (t.size > t.room)
		say_bad(origin, &keys[KEY_LABELS], value, "too long", false);
	else
		assign(settings, KEY_LABELS, (struct span){pair, t.size}, origin);
}

static void read_env_tag(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	assign_label(settings, span_of("env"), value, origin);
}

static void read_version_tag(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	assign_label(settings, span_of("version"), value, origin);
}

/* "k=v,k=v", values percent-encoded (OpenTelemetry, Resource SDK). service.name is the service. */
static void read_resource(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	struct span rest = value, pair, name, text;
	while (next_piece(&rest, ",", &pair)) {
		if (!pair.size)
			continue;
		if (!split(pair, '=', &name, &text) || !name.size)
			say_bad(origin, &keys[KEY_LABELS], pair, "attributes are NAME=VALUE, separated by ,",
				false);
		else if (same(name, "service.name"))
			assign(settings, KEY_SERVICE, text, origin);
		else
			assign_label(settings, name, text, origin);
	}
}

/* "k:v,k:v" or "k:v k:v". */
static void read_tags(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	struct span rest = value, pair, name, text;
	const char *separators = value.size && memchr(value.at, ',', value.size) ? "," : " ";
	while (next_piece(&rest, separators, &pair)) {
		if (!pair.size || !split(pair, ':', &name, &text) || !name.size)
			continue; /* a tag without a value is no label */
		if (same(name, "service"))
			assign(settings, KEY_SERVICE, text, origin);
		else
			assign_label(settings, name, text, origin);
	}
}

/* async-profiler's names of events. */
static void read_event(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	if (alike(value, "itimer") || alike(value, "ctimer"))
		value = span_of("cpu");
	assign(settings, KEY_PROFILES, value, origin);
}

/* An interval switches the profile on beside the others. */
static void read_alloc(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	if (!value.size)
		return;
	assign(settings, KEY_ALLOC_INTERVAL, value, origin);
	if (settings->source[KEY_ALLOC_INTERVAL] == DP_FROM_ALIAS &&
		settings->source[KEY_PROFILES] <= DP_FROM_ALIAS)
		settings->profiles |= DP_PROFILES_ALLOC;
}

/* async-profiler counts a plain number in nanoseconds. */
static void read_lock(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	if (!value.size)
		return;
	assign_joined(settings, KEY_LOCK_THRESHOLD, "", value, is_digit(value.at[value.size - 1]) ? "ns" : "",
		origin);
	if (settings->source[KEY_LOCK_THRESHOLD] == DP_FROM_ALIAS &&
		settings->source[KEY_PROFILES] <= DP_FROM_ALIAS)
		settings->profiles |= DP_PROFILES_LOCK;
}

/* DD_PROFILING_KIND_ENABLED: a kind more, or less, than there would be. */
static void read_kind_enabled(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} kinds[] = {{"CPU_", DP_PROFILES_CPU}, {"WALL", DP_PROFILES_WALL}, {"ALLOC", DP_PROFILES_ALLOC},
		{"MEMORY_", DP_PROFILES_ALLOC | DP_PROFILES_HEAP}, {"HEAP_", DP_PROFILES_HEAP},
		{"LOCK_", DP_PROFILES_LOCK}};
	const struct span kind = span_of(origin->variable + strlen("DD_PROFILING_"));
	bool is_on;

	if (!value.size || settings->source[KEY_PROFILES] > DP_FROM_ALIAS)
		return;
	if (!parse_bool(value, &is_on)) {
		say_bad(origin, &keys[KEY_PROFILES], value, "true or false", false);
		return;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (starts(kind, kinds[i].name))
			settings->profiles = is_on ? settings->profiles | kinds[i].bits
						   : settings->profiles & ~kinds[i].bits;
}

/* A period ("10ms"), where ours is a rate. */
static void read_interval(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	char digits[20];
	struct text t = {digits, 0, sizeof digits};
	uint64_t ns;

	if (!value.size || settings->source[KEY_RATE] >= DP_FROM_ALIAS)
		return;
	if (!parse_amount(value, time_units, 1, &ns) || !ns || ns > 1000000000) {
		say_bad(origin, &keys[KEY_RATE], value, "a time like 10ms, 1ms to 1s", false);
		return;
	}
	const uint64_t rate = (1000000000 + ns / 2) / ns;
	put_number(&t, rate > 1000 ? 1000 : rate);
	assign(settings, KEY_RATE, (struct span){digits, t.size}, origin);
}

static void read_basic(struct dp_settings *settings, const char *user, const char *password,
	const struct dp_settings_listener *listener)
{
	char joined[1024];
	struct text t = {joined, 0, sizeof joined};
	const struct origin origin = {
		.source = DP_FROM_ALIAS, .variable = "PYROSCOPE_BASIC_AUTH_USER", .listener = listener};

	if (!user || !*user)
		return;
	put(&t, "pyroscope+basic:");
	put(&t, user);
	put_char(&t, ':');
	put(&t, password ? password : "");
	if (t.size > t.room)
		say_bad(&origin, &keys[KEY_AUTH], span_of(""), "too long", false);
	else
		assign(settings, KEY_AUTH, (struct span){joined, t.size}, &origin);
}

static void read_bearer(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	if (value.size)
		assign_joined(settings, KEY_AUTH, "pyroscope+bearer:", value, "", origin);
}

static void read_api_key(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	if (value.size)
		assign_joined(settings, KEY_AUTH, "datadog+header:DD-API-KEY:", value, "", origin);
}

/* "k=v,k=v", values percent-encoded (OpenTelemetry Protocol Exporter). */
static void read_otlp_headers(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	struct span rest = value, pair, name, text;
	while (next_piece(&rest, ",", &pair)) {
		char header[4096];
		struct text t = {header, 0, sizeof header};
		if (!pair.size)
			continue;
		put(&t, "otlp+header:");
		if (split(pair, '=', &name, &text)) {
			put_span(&t, name);
			put_char(&t, ':');
			put_decoded(&t, text);
		}
		if (t.size > t.room)
			say_bad(origin, &keys[KEY_AUTH], pair, "too long", false);
		else
			assign(settings, KEY_AUTH, (struct span){header, t.size}, origin);
	}
}

/* Takes one JSON string off the front, without \u escapes. */
static bool json_string(struct span *rest, struct text *t)
{
	size_t i = 0;
	*rest = trimmed(*rest);
	if (!rest->size || rest->at[i++] != '"')
		return false;
	for (; i < rest->size && rest->at[i] != '"'; i++) {
		if (rest->at[i] == '\\' && (++i == rest->size || !strchr("\"\\/", rest->at[i])))
			return false;
		put_char(t, rest->at[i]);
	}
	if (i == rest->size)
		return false;
	*rest = trimmed((struct span){rest->at + i + 1, rest->size - i - 1});
	return true;
}

static bool json_mark(struct span *rest, char mark)
{
	if (!rest->size || rest->at[0] != mark)
		return false;
	*rest = trimmed((struct span){rest->at + 1, rest->size - 1});
	return true;
}

/* {"NAME": "VALUE", ...} */
static void read_json_headers(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	struct span rest = value;
	if (!value.size || same(value, "{}"))
		return;
	bool is_right = json_mark(&rest, '{');
	while (is_right) {
		char header[4096];
		struct text t = {header, 0, sizeof header};
		put(&t, "pyroscope+header:");
		is_right = json_string(&rest, &t) && json_mark(&rest, ':');
		put_char(&t, ':');
		is_right = is_right && json_string(&rest, &t) && t.size <= t.room;
		if (is_right)
			assign(settings, KEY_AUTH, (struct span){header, t.size}, origin);
		if (is_right && !json_mark(&rest, ','))
			break;
	}
	if (!is_right || !json_mark(&rest, '}'))
		say_bad(origin, &keys[KEY_AUTH], value,
			"must be a JSON object of texts, {\"NAME\": \"VALUE\"}", false);
}

static void read_level(struct dp_settings *settings, struct span value, const struct origin *origin)
{
	if (alike(value, "trace"))
		value = span_of("debug");
	if (alike(value, "off"))
		value = span_of("error");
	if (alike(value, "warning"))
		value = span_of("warn");
	assign(settings, KEY_LOG, value, origin);
}

/* Ours, but no settings. */
static bool is_internal(struct span name)
{
	return same(name, "CONFIG") || same(name, "RUN_SOCKET") || same(name, "HOME") ||
	       same(name, "LIBRARY"); /* the Python package's: what it opens */
}

const char *dp_settings_config_path(char *const *environment)
{
	static const char name[] = "DEEPPROF_CONFIG=";
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, name, sizeof name - 1))
			return (*environment)[sizeof name - 1] ? *environment + sizeof name - 1 : NULL;
	return NULL;
}

static void read_own(struct dp_settings *settings, const char *variable, uint32_t *seen,
	const struct dp_settings_listener *listener)
{
	const struct origin origin = {.source = DP_FROM_ENVIRONMENT, .listener = listener};
	struct span name, value;

	if (!split(span_of(variable), '=', &name, &value) || is_internal(name))
		return;
	const int key = find_key(name);
	if (key < 0) {
		say_unknown(&origin, name);
	} else if (!(*seen & 1u << key)) { /* of two equal names the first counts, as for getenv() */
		*seen |= 1u << key;
		assign(settings, (enum key)key, value, &origin);
	}
}

static void note_alias(const char *variable, const char **values)
{
	for (int i = 0; i < ALIAS_COUNT; i++) {
		const size_t size = strlen(aliases[i].name);
		if (!strncmp(variable, aliases[i].name, size) && variable[size] == '=') {
			if (!values[i])
				values[i] = variable + size + 1;
			return;
		}
	}
}

void dp_settings_read_environment(
	struct dp_settings *settings, char *const *environment, const struct dp_settings_listener *listener)
{
	const char *values[ALIAS_COUNT] = {0};
	uint32_t seen = 0;

	for (char *const *at = environment; at && *at; at++) {
		const char *variable = *at;
		if (variable[0] != 'D' && variable[0] != 'O' && variable[0] != 'P')
			continue;
		if (!strncmp(variable, "DEEPPROF_", 9))
			read_own(settings, variable + 9, &seen, listener);
		else if (!strncmp(variable, "DD_", 3) || !strncmp(variable, "OTEL_", 5) ||
			 !strncmp(variable, "PYROSCOPE_", 10))
			note_alias(variable, values);
	}
	read_basic(settings, values[ALIAS_PYROSCOPE_BASIC_AUTH_USER],
		values[ALIAS_PYROSCOPE_BASIC_AUTH_PASSWORD], listener);
	for (int i = 0; i < ALIAS_COUNT; i++) {
		const struct origin origin = {
			.source = DP_FROM_ALIAS, .variable = aliases[i].name, .listener = listener};
		if (!values[i])
			continue;
		const struct span value = trimmed(span_of(values[i]));
		if (!value.size)
			continue;
		if (aliases[i].bend)
			aliases[i].bend(settings, value, &origin);
		else
			assign(settings, aliases[i].key, value, &origin);
	}
	dp_settings_read_surroundings(settings, environment, listener);
}

/* ---- files and options ---- */

/* Up to a # behind white space. */
static struct span without_comment(struct span line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.at[i] == '#' && (!i || is_space(line.at[i - 1])))
			return trimmed((struct span){line.at, i});
	return line;
}

static struct span unquoted(struct span s)
{
	if (s.size >= 2 && s.at[0] == '"' && s.at[s.size - 1] == '"')
		return (struct span){s.at + 1, s.size - 2};
	return s;
}

void dp_settings_read_file(struct dp_settings *settings, const char *bytes, size_t size,
	const struct dp_settings_listener *listener)
{
	struct origin origin = {.source = DP_FROM_FILE, .listener = listener};
	struct span rest = {bytes, size}, line, name, value;

	while (next_piece(&rest, "\n", &line)) {
		origin.line++;
		line = without_comment(line);
		if (!line.size)
			continue;
		if (split(line, '=', &name, &value)) {
			assign_named(settings, name, unquoted(value), &origin);
		} else {
			char said[200];
			struct text t = {said, 0, sizeof said};
			put(&t, "line ");
			put_number(&t, origin.line);
			put(&t, " of the settings file is not \"key = value\"");
			say(&origin, &t);
		}
	}
}

void dp_settings_read_options(
	struct dp_settings *settings, const char *text, const struct dp_settings_listener *listener)
{
	const struct origin origin = {.source = DP_FROM_OPTION, .listener = listener};
	struct span rest = span_of(text), piece, name, value;

	while (next_piece(&rest, ",", &piece)) {
		if (!piece.size)
			continue;
		if (split(piece, '=', &name, &value)) {
			assign_named(settings, name, value, &origin);
		} else {
			char said[300];
			struct text t = {said, 0, sizeof said};
			put(&t, "agent option \"");
			put_shown(&t, piece);
			put(&t, "\" is not key=value; inside a value ; separates");
			say(&origin, &t);
		}
	}
}

/* ---- asking ---- */

bool dp_settings_is_configured(const struct dp_settings *settings)
{
	return settings->output[0] || settings->server[0];
}

bool dp_settings_is_enabled(const struct dp_settings *settings)
{
	uint32_t refused = settings->refused;

	/* Another profiler's server that we cannot reach stands in nobody's way who told us where else to go.
	 */
	if (settings->source[KEY_SERVER] == DP_FROM_ALIAS && settings->output[0])
		refused &= ~(1u << KEY_SERVER);
	return settings->enabled && settings->profiles && !refused;
}

static const char *next_entry(const char *list, const char *entry)
{
	const char *next = entry ? entry + strlen(entry) + 1 : list;
	return *next ? next : NULL;
}

const char *dp_settings_next_label(const struct dp_settings *settings, const char *label)
{
	return next_entry(settings->labels, label);
}

const char *dp_settings_next_resource(const struct dp_settings *settings, const char *attribute)
{
	return next_entry(settings->resource, attribute);
}

const char *dp_settings_next_auth(const struct dp_settings *settings, const char *family, const char *entry)
{
	for (const char *next = next_entry(settings->auth, entry); next;
		next = next_entry(settings->auth, next)) {
		struct span prefix = auth_family(span_of(next));
		if (!prefix.size)
			return next;
		prefix.size--; /* the + */
		if (same(prefix, family))
			return next + prefix.size + 1;
	}
	return NULL;
}

/* ---- flat form ---- */

static void put_encoded(struct text *t, const char *text)
{
	for (; *text; text++)
		if (strchr(",;% ", *text)) { /* spaces: the reader trims */
			static const char digits[] = "0123456789ABCDEF";
			put_char(t, '%');
			put_char(t, digits[(unsigned char)*text >> 4]);
			put_char(t, digits[*text & 15]);
		} else {
			put_char(t, *text);
		}
}

/* URLs without USER:PASSWORD@. */
static void put_public_urls(struct text *t, const char *urls)
{
	struct span rest = span_of(urls), url;
	bool is_first = true;

	while (next_piece(&rest, " ", &url)) {
		const char *authority = strstr(url.at, "://");
		size_t end = authority ? (size_t)(authority + 3 - url.at) : 0, at = 0;
		if (!is_first)
			put_char(t, ' ');
		is_first = false;
		const size_t start = end;
		for (; end < url.size && !strchr("/?#", url.at[end]); end++)
			if (url.at[end] == '@')
				at = end + 1;
		put_span(t, (struct span){url.at, start});
		put_span(t, (struct span){url.at + (at ? at : start), url.size - (at ? at : start)});
	}
}

static void put_value(struct text *t, const struct dp_settings *settings, enum key key, bool with_secrets)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	const char *field = (const char *)settings + keys[key].offset;
	bool is_first = true;

	switch (keys[key].kind) {
	case KIND_BOOL:
		put(t, *(const bool *)field ? "true" : "false");
		return;
	case KIND_SERVER:
	case KIND_PROXY:
		if (with_secrets)
			put(t, field);
		else
			put_public_urls(t, field);
		return;
	case KIND_LABELS:
		for (const char *label = NULL; (label = next_entry(field, label));) {
			if (!is_first)
				put_char(t, ',');
			is_first = false;
			put_encoded(t, label);
		}
		return;
	case KIND_PROFILES:
		for (size_t i = 0; i < sizeof profile_words / sizeof *profile_words; i++)
			if (settings->profiles & profile_words[i].bit ||
				(!settings->profiles && !profile_words[i].bit)) {
				if (!is_first)
					put_char(t, ',');
				is_first = false;
				put(t, profile_words[i].name);
			}
		return;
	case KIND_RATE:
	case KIND_COUNT:
		put_number(t, *(const uint32_t *)field);
		return;
	case KIND_BYTES:
		put_number(t, *(const uint64_t *)field);
		return;
	case KIND_MILLISECONDS:
	case KIND_SECONDS:
		put_number(t, *(const uint64_t *)field);
		put(t, "ns");
		return;
	case KIND_PERCENT: {
		const uint32_t ppm = settings->budget_ppm, fraction = ppm % 10000;
		put_number(t, ppm / 10000);
		put_char(t, '.');
		for (uint32_t place = 1000; place; place /= 10)
			put_char(t, (char)('0' + fraction / place % 10));
		return;
	}
	case KIND_AGENT:
		put(t, settings->agent == DP_AGENT_THREAD ? "thread" : "process");
		return;
	case KIND_LOG:
		put(t, levels[settings->log & 3]);
		return;
	default:
		put(t, field);
	}
}

/* The profiles may differ from their default without being set: an alias of another key adds to them. */
static bool is_default(const struct dp_settings *settings, enum key key)
{
	if (key == KEY_LABELS)
		return !settings->labels[0]; /* none of them may have been right */
	return !settings->source[key] && !(key == KEY_PROFILES && settings->profiles != DP_PROFILES_CPU);
}

int dp_settings_write(const struct dp_settings *settings, char *buffer, size_t size, bool with_secrets)
{
	struct text t = {buffer, 0, size};

	for (int key = 0; key < KEY_COUNT; key++) {
		if (is_default(settings, (enum key)key) || settings->refused & 1u << key)
			continue;
		if (key == KEY_AUTH) {
			for (const char *entry = NULL;
				with_secrets && (entry = next_entry(settings->auth, entry));) {
				put(&t, "auth=");
				put(&t, entry);
				put_char(&t, '\n');
			}
			continue;
		}
		put(&t, keys[key].name);
		put_char(&t, '=');
		put_value(&t, settings, (enum key)key, with_secrets);
		put_char(&t, '\n');
	}
	return t.size > t.room ? -ENOSPC : (int)t.size;
}

void dp_settings_read_back(struct dp_settings *settings, const char *bytes, size_t size)
{
	const struct origin origin = {.source = DP_FROM_OPTION};
	struct span rest = {bytes, size}, line, name, value;

	while (next_piece(&rest, "\n", &line))
		if (split(line, '=', &name, &value) && find_key(name) >= 0)
			assign(settings, (enum key)find_key(name), value, &origin);
}
