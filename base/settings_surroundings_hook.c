/* SPDX-License-Identifier: Apache-2.0
 * What the environment tells of where the process lives: its pod and the proxies on its way out.
 *
 * Kubernetes' downward API gives values, not names: people call the variables POD_NAME, or MY_POD_NAME as in
 * its manual, or K8S_POD_NAME. The first two mean a pod only where there is one. */
#include "base/settings.h"

#include <stddef.h>
#include <string.h>

/* The first in the order of names counts. */
static const char *value_of(char *const *environment, const char *prefix, const char *name)
{
	const size_t prefix_size = strlen(prefix), size = strlen(name);
	for (; environment && *environment; environment++)
		if (!strncmp(*environment, prefix, prefix_size) &&
			!strncmp(*environment + prefix_size, name, size) &&
			(*environment)[prefix_size + size] == '=')
			return *environment + prefix_size + size + 1;
	return NULL;
}

/* ---- the pod ---- */

/* Names in Kubernetes are made of these; anything else is somebody's variable of another meaning. */
static bool is_name(const char *text)
{
	size_t size = 0;
	for (; text[size]; size++) {
		const char c = text[size];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			    c == '.' || c == '_'))
			return false;
	}
	return size && size <= 253;
}

static const struct {
	const char *attribute;
	const char *names[2];
} facts[] = {
	{"k8s.pod.name", {"POD_NAME"}},
	{"k8s.pod.uid", {"POD_UID"}},
	{"k8s.namespace.name", {"POD_NAMESPACE", "NAMESPACE_NAME"}},
	{"k8s.node.name", {"NODE_NAME"}},
	{"k8s.container.name", {"CONTAINER_NAME"}},
	{"k8s.deployment.name", {"DEPLOYMENT_NAME"}},
	{"k8s.cluster.name", {"CLUSTER_NAME"}},
};

static void read_fact(struct dp_settings *settings, char *const *environment, bool is_in_pod, size_t fact,
	const struct dp_settings_listener *listener)
{
	/* The OpenTelemetry operator's are OTEL_RESOURCE_ATTRIBUTES_POD_NAME and _NODE_NAME. */
	static const char *const prefixes[] = {"K8S_", "OTEL_RESOURCE_ATTRIBUTES_", "MY_", ""};
	char pair[300];
	for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
		if (i >= 2 && !is_in_pod)
			return;
		for (size_t n = 0; n < 2 && facts[fact].names[n]; n++) {
			const char *value = value_of(environment, prefixes[i], facts[fact].names[n]);
			if (!value || !is_name(value))
				continue;
			stpcpy(stpcpy(stpcpy(pair, facts[fact].attribute), "="), value);
			dp_settings_set(settings, "resource", pair, DP_FROM_ALIAS, listener);
			return;
		}
	}
}

/* ---- proxies ---- */

static bool is_plain(const char *value)
{
	size_t size = 0;
	while ((unsigned char)value[size] > ' ' && value[size] != 127)
		size++;
	return !value[size] && size < sizeof((struct dp_settings *)0)->http_proxy;
}

/* curl's rule: small letters first; HTTP_PROXY in capitals is what a CGI's caller may set. */
static void read_proxy(struct dp_settings *settings, char *const *environment, const char *key,
	const char *const *names, const struct dp_settings_listener *listener)
{
	const bool is_cgi = value_of(environment, "", "REQUEST_METHOD") != NULL;
	for (; *names; names++) {
		const char *value = is_cgi && !strcmp(*names, "HTTP_PROXY") ? NULL : value_of(environment, "", *names);
		if (!value || !*value)
			continue;
		/* Where nothing is sent, what is wrong with a way out is nobody's concern. */
		if (*settings->server || is_plain(value))
			dp_settings_set(settings, key, value, DP_FROM_ALIAS, listener);
		return;
	}
}

/* Of hundreds of variables the few that may matter: every program's start pays for this. */
static void keep_candidates(char *const *environment, char **kept, size_t most)
{
	static const char *const ends[] = {"_NAME", "_UID", "_NAMESPACE", "_PROXY", "_proxy", "KUBERNETES_SERVICE_HOST",
		"REQUEST_METHOD"};
	size_t count = 0;
	for (; environment && *environment && count < most; environment++) {
		const char *equals = strchr(*environment, '=');
		const size_t size = equals ? (size_t)(equals - *environment) : 0;
		for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
			const size_t end = strlen(ends[i]);
			if (size < end || memcmp(equals - end, ends[i], end) != 0)
				continue;
			kept[count++] = *environment;
			break;
		}
	}
	kept[count] = NULL;
}

void dp_settings_read_surroundings(
	struct dp_settings *settings, char *const *variables, const struct dp_settings_listener *listener)
{
	enum { KEPT_MOST = 64 };
	char *environment[KEPT_MOST + 1];
	static const char *const http[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", NULL};
	static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
	static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
	keep_candidates(variables, environment, KEPT_MOST);
	const bool is_in_pod = value_of(environment, "", "KUBERNETES_SERVICE_HOST") != NULL;
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
		read_fact(settings, environment, is_in_pod, i, listener);
	read_proxy(settings, environment, "http_proxy", http, listener);
	read_proxy(settings, environment, "https_proxy", https, listener);
	read_proxy(settings, environment, "no_proxy", none, listener);
}
