/* SPDX-License-Identifier: Apache-2.0
 * libcurl, loaded when the first profile is to be sent: an agent that only writes files neither waits for its
 * thirty libraries nor carries their pages. Agent only. */
#ifndef DEEPPROF_EXPORT_PUSH_CURL_H
#define DEEPPROF_EXPORT_PUSH_CURL_H

#include <curl/curl.h>

#define DP_CURL_MAP(XX)         \
	XX(global_init)         \
	XX(slist_append)        \
	XX(slist_free_all)      \
	XX(easy_init)           \
	XX(easy_setopt)         \
	XX(easy_getinfo)        \
	XX(easy_strerror)       \
	XX(easy_cleanup)        \
	XX(multi_init)          \
	XX(multi_setopt)        \
	XX(multi_assign)        \
	XX(multi_add_handle)    \
	XX(multi_remove_handle) \
	XX(multi_socket_action) \
	XX(multi_info_read)     \
	XX(multi_cleanup)

/* curl->easy_init() is curl_easy_init(). */
struct dp_curl {
#define XX(name) __typeof__(&curl_##name) name;
	DP_CURL_MAP(XX)
#undef XX
};

/* Loads it the first time (4 ms, and 2 ms of set-up). NULL where there is none; *message says why. */
const struct dp_curl *dp_curl_load(const char **message);

#endif
