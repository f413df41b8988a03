/* SPDX-License-Identifier: Apache-2.0
 * What the user asked for.
 *
 * A key is one setting; its names, forms and defaults are one table. A source is where a value came from; the
 * nearer source wins, in whatever order they are read: agent option, environment, file, and last the alias: a
 * variable of another profiler, read where the key itself is unset. A listener hears what is wrong, one line
 * each, without "deepprof: " and newline. No line ever holds a secret.
 *
 * Host (usable in a constructor: no allocation, no stdio, no locale) and agent. Not thread-safe. */
#ifndef DEEPPROF_BASE_SETTINGS_H
#define DEEPPROF_BASE_SETTINGS_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dp_settings_source {
	DP_FROM_DEFAULT,
	DP_FROM_ALIAS,
	DP_FROM_FILE,
	DP_FROM_ENVIRONMENT,
	DP_FROM_OPTION,
};

enum dp_profiles {
	DP_PROFILES_CPU = 1,
	DP_PROFILES_WALL = 2,
	DP_PROFILES_ALLOC = 4,
	DP_PROFILES_HEAP = 8,
	DP_PROFILES_LOCK = 16,
	DP_PROFILES_GIL = 32,
};

enum dp_agent_kind { DP_AGENT_PROCESS, DP_AGENT_THREAD };

enum { DP_SETTINGS_KEYS = 27, DP_SETTINGS_FLAT_BYTES = 24576 };

/* Fields first that every host reads; a text that is unset touches no more than its first byte. */
struct dp_settings {
	bool enabled, children;
	bool internals;          /* an interpreter's machinery is shown */
	uint8_t agent;           /* enum dp_agent_kind */
	uint8_t log;             /* enum dp_log_level */
	uint32_t profiles;       /* enum dp_profiles; 0: the user asked for none */
	uint32_t rate;           /* samples per CPU second */
	uint32_t verify;         /* every Nth sample, 0 is off */
	uint32_t budget_ppm;     /* of the host's own CPU time; 10000 is 1 % */
	uint64_t alloc_interval; /* bytes */
	uint64_t lock_threshold_ns;
	uint64_t window_ns;
	uint32_t refused; /* bit per key: its value could not be honoured and nothing else would be safe */
	uint8_t source[DP_SETTINGS_KEYS]; /* enum dp_settings_source of each key */
	/* Texts are NUL-terminated, without control characters; "" is unset. */
	char service[256];
	char tenant[128];
	char output[1024];
	char server[2048]; /* URLs separated by one space */
	char ca[512], cert[512], key[512];
	char spool[512];
	char log_file[512];
	char http_proxy[256], https_proxy[256], no_proxy[1024];
	/* Lists: NUL-terminated entries one after the other, ended by an empty one. */
	char labels[2048]; /* "name=value" */
	char resource[1024]; /* the same, what is told with a profile but makes no series */
	char auth[4096]; /* "basic:…", "bearer:…", "header:NAME:VALUE", each with "FAMILY+" before it or not
			  */
};

struct dp_settings_listener {
	void (*say)(void *context, const char *line);
	void *context;
};

/* One key, for the command line, --help and the manual. */
struct dp_settings_key {
	const char *name;      /* "alloc_interval" */
	const char *form;      /* "BYTES" */
	const char *fallback;  /* the default as people write it, "" for none */
	const char *meaning;   /* one sentence */
	const char *aliases;   /* variables read when it is unset, separated by spaces; "" for none */
	uint16_t offset, size; /* of the field in struct dp_settings */
	uint8_t kind;
	uint8_t flags;
};

/* settings: zeroed storage. */
void dp_settings_init(struct dp_settings *settings);
/* The file that DEEPPROF_CONFIG names and the environment, onto what dp_settings_init() made or options set. Not two
 * at a time: the file is read into static storage, by raw system calls. */
void dp_settings_load(
	struct dp_settings *settings, char *const *environment, const struct dp_settings_listener *listener);
/* After all sources: takes out what this version cannot do, each said to the listener. */
void dp_settings_keep_supported(struct dp_settings *settings, const struct dp_settings_listener *listener);
/* The file that DEEPPROF_CONFIG names, NULL for none. The caller reads it. */
const char *dp_settings_config_path(char *const *environment);
/* DEEPPROF_*, the aliases, and what the environment tells of the pod and of proxies. */
void dp_settings_read_environment(
	struct dp_settings *settings, char *const *environment, const struct dp_settings_listener *listener);
/* "key = value" lines; a # at the start of a line or after white space begins a comment. */
void dp_settings_read_file(struct dp_settings *settings, const char *bytes, size_t size,
	const struct dp_settings_listener *listener);
/* "key=value,key=value", as behind -agentpath. */
void dp_settings_read_options(
	struct dp_settings *settings, const char *text, const struct dp_settings_listener *listener);
/* One value, as --key VALUE of the command: key in either case, - for _. 0; -ENOENT: no such key; -EINVAL: no
 * such value; both said to the listener. A list (server, labels, auth, profiles) that is set again by the
 * same source grows. */
int dp_settings_set(struct dp_settings *settings, const char *key, const char *value,
	enum dp_settings_source source, const struct dp_settings_listener *listener);

/* Was an output or a server named? Otherwise we behave like a guest whom somebody just tries out. */
bool dp_settings_is_configured(const struct dp_settings *settings);
/* Is there something to profile, and may we? False when switched off, and when a setting was refused because
 * running without it would do what the user did not want. */
bool dp_settings_is_enabled(const struct dp_settings *settings);

/* Variables that name the pod by the downward API, and proxies; part of dp_settings_read_environment(). */
void dp_settings_read_surroundings(
	struct dp_settings *settings, char *const *environment, const struct dp_settings_listener *listener);

/* The label after that one, NULL for the first; NULL after the last. */
const char *dp_settings_next_label(const struct dp_settings *settings, const char *label);
const char *dp_settings_next_resource(const struct dp_settings *settings, const char *attribute);
/* The same for auth: entries meant for that family of server ("pyroscope", "parca", "otlp", "datadog"),
 * without the family before them. */
const char *dp_settings_next_auth(const struct dp_settings *settings, const char *family, const char *entry);

/* Every key that is not at its default as "key=value\n". Returns the size, or -ENOSPC; DP_SETTINGS_FLAT_BYTES
 * always suffices. Without secrets auth is left out and a URL loses its USER:PASSWORD@. */
int dp_settings_write(const struct dp_settings *settings, char *buffer, size_t size, bool with_secrets);
/* Takes what dp_settings_write() wrote, onto fresh settings. Foreign bytes: anything else is passed over. */
void dp_settings_read_back(struct dp_settings *settings, const char *bytes, size_t size);

/* All keys, DP_SETTINGS_KEYS of them. */
const struct dp_settings_key *dp_settings_key_table(void);

#endif
