/* SPDX-License-Identifier: Apache-2.0
 * Linked the ordinary way libcurl costs every agent 6.3 MiB of memory and 3.2 ms of its start (measured,
 * Debian 12); loaded on demand it costs only those that push. It is never unloaded: OpenSSL behind it cannot
 * be. */
#include "export/push_curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

static struct dp_curl curl;
static char wrong[200];
static enum { UNTRIED, LOADED, MISSING } state;

static void load(void)
{
	static const char *const files[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
	void *library = NULL;
	state = MISSING;
	for (size_t i = 0; i < sizeof files / sizeof *files && !library; i++)
		library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		const char *why = dlerror();
		snprintf(wrong, sizeof wrong, "sending needs libcurl: install the package libcurl4 (%s)",
			why ? why : "not found");
		return;
	}
#define XX(name)                                                                                            \
	if (!(curl.name = (__typeof__(curl.name))dlsym(library, "curl_" #name))) {                          \
		snprintf(wrong, sizeof wrong, "sending needs a newer libcurl: this one lacks curl_" #name); \
		return;                                                                                     \
	}
	DP_CURL_MAP(XX)
#undef XX
	if (curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
		state = LOADED;
	else
		snprintf(wrong, sizeof wrong, "libcurl could not be set up");
}

const struct dp_curl *dp_curl_load(const char **message)
{
	if (state == UNTRIED)
		load();
	*message = wrong;
	return state == LOADED ? &curl : NULL;
}
