/* SPDX-License-Identifier: Apache-2.0
 * deepprof's public C API: start, stop, flush, labels. C99 and C++11.
 *
 * Nothing needs to be linked. The functions are weak references: in a program that runs without
 * libdeepprof.so each does nothing, and each comes alive when the library is preloaded. Linking it works as
 * well (pkg-config --libs deepprof). Who wants a link error rather than a no-op defines DEEPPROF_LINKED
 * before including this header.
 *
 * A preloaded library profiles by itself from the program's start, unless DEEPPROF_ENABLED=false. One that
 * the program was linked with, or that it opened by dlopen, waits for deepprof_start(), or starts by itself
 * with DEEPPROF_ENABLED=true.
 *
 * Every function may be called from any thread, also in a forked child; none from a signal handler, but
 * deepprof_get_labels() and deepprof_set_labels(). None changes errno, and what they return may be ignored.
 */
#ifndef DEEPPROF_H
#define DEEPPROF_H

#include <errno.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(DEEPPROF_LINKED) || defined(DEEPPROF_IMPLEMENTATION)
#define DEEPPROF_API __attribute__((visibility("default")))
#elif defined(__has_attribute) && !defined(__clang__)
#if __has_attribute(noplt)
/* Without noplt gcc's code for fixed addresses (-no-pie) has no place where the loader could put the address.
 */
#define DEEPPROF_API __attribute__((visibility("default"), weak, noplt))
#endif
#endif
#ifndef DEEPPROF_API
#define DEEPPROF_API __attribute__((visibility("default"), weak))
#endif

/* The library's version, "0.1.0"; "" where there is none. */
DEEPPROF_API const char *deepprof_version(void);

/* ---- the profiler ---- */

/* Profiles from now on, all threads there are and will be. options: settings as "key=value,key=value"
 * (deepprof(7)), which go before environment and file; NULL for none. They count until a later start names
 * others. 0, also where it runs already; -EALREADY: it runs already, the options were not read; -EINVAL: an
 * option is wrong, one line on stderr says which, nothing was started; -EPERM: the environment, a setuid
 * program or a seccomp filter forbids it; -ENOSYS: there is no library; other -errno of the kernel. */
DEEPPROF_API int deepprof_start(const char *options);

/* Takes all timers away: nothing of the profiler runs in the program any more. What was sampled stays, and is
 * delivered as it would have been; a later start goes on in the same profile. 0 or -errno as above. */
DEEPPROF_API int deepprof_stop(void);

/* 1 while it profiles, else 0. */
DEEPPROF_API int deepprof_is_running(void);

/* All samples up to now are on their way: files are written, servers were asked. Waits for it, at most about
 * timeout_ms, in the calling thread alone. 0; -ETIME: not in time, it still goes on; -ENOTCONN: no agent
 * could be reached; -EBUSY: the profiler did other rare work all that time; -ENOSYS, -EPERM as above. */
DEEPPROF_API int deepprof_flush(unsigned timeout_ms);

/* ---- labels ----
 *
 * Key/value pairs of the calling thread, which each of its samples carries until they change. They hold while
 * the profiler is stopped too. A new thread begins without labels, whoever creates it; a forked child keeps
 * those of the thread that forked. Their cost does not depend on how many there are: a tick copies one
 * number.
 *
 * A thread has at most 8 labels. A key has 1 to 63 bytes, no control characters, and is not "thread", "tid",
 * "process", "pid" or one that begins with "__" or "pprof::"; a longer value than 127 bytes is cut. Text is
 * UTF-8. A process remembers about 4000 different sets of labels; what would be a new set after that gets the
 * value "other" instead, and the profile tells how often (labels). So labels are for what has few values: an
 * endpoint, a tenant, a phase; not for a request's number. Servers make a series of each set, and deepprof
 * sends them only keys with at most 16 values; files hold all. */

/* The calling thread's label. value: NULL or "" takes it away. 0; -EINVAL: no such key is possible; -ENOSPC:
 * it has 8 others; -ENOMEM; -EPERM: switched off; -ENOSYS: there is no library. */
DEEPPROF_API int deepprof_set_label(const char *key, const char *value);
DEEPPROF_API int deepprof_unset_label(const char *key);

/* All labels of a thread as one number: cheap to take, keep and put back, in whatever thread of this process
 * or in its forked children, for as long as they live. 0 is no labels. For coroutines, thread pools and
 * language bindings. */
typedef uint32_t deepprof_labels;

DEEPPROF_API deepprof_labels deepprof_get_labels(void);
/* Returns what was there before. A number that no call returned changes nothing. */
DEEPPROF_API deepprof_labels deepprof_set_labels(deepprof_labels labels);
/* Those labels with this one changed, no thread's yet. On an error as above, the labels as they were. */
DEEPPROF_API deepprof_labels deepprof_make_labels(deepprof_labels labels, const char *key, const char *value);

#ifdef __cplusplus
}
#endif

/* ---- where the library is absent ---- */

#if !defined(DEEPPROF_LINKED) && !defined(DEEPPROF_IMPLEMENTATION)

static inline const char *deepprof_version_if_there(void)
{
	return deepprof_version ? deepprof_version() : "";
}

static inline int deepprof_start_if_there(const char *options)
{
	return deepprof_start ? deepprof_start(options) : -ENOSYS;
}

static inline int deepprof_stop_if_there(void)
{
	return deepprof_stop ? deepprof_stop() : -ENOSYS;
}

static inline int deepprof_is_running_if_there(void)
{
	return deepprof_is_running ? deepprof_is_running() : 0;
}

static inline int deepprof_flush_if_there(unsigned timeout_ms)
{
	return deepprof_flush ? deepprof_flush(timeout_ms) : -ENOSYS;
}

static inline int deepprof_set_label_if_there(const char *key, const char *value)
{
	return deepprof_set_label ? deepprof_set_label(key, value) : -ENOSYS;
}

static inline int deepprof_unset_label_if_there(const char *key)
{
	return deepprof_unset_label ? deepprof_unset_label(key) : -ENOSYS;
}

static inline deepprof_labels deepprof_get_labels_if_there(void)
{
	return deepprof_get_labels ? deepprof_get_labels() : 0;
}

static inline deepprof_labels deepprof_set_labels_if_there(deepprof_labels labels)
{
	return deepprof_set_labels ? deepprof_set_labels(labels) : 0;
}

static inline deepprof_labels deepprof_make_labels_if_there(
	deepprof_labels labels, const char *key, const char *value)
{
	return deepprof_make_labels ? deepprof_make_labels(labels, key, value) : labels;
}

#define deepprof_version     deepprof_version_if_there
#define deepprof_start       deepprof_start_if_there
#define deepprof_stop        deepprof_stop_if_there
#define deepprof_is_running  deepprof_is_running_if_there
#define deepprof_flush       deepprof_flush_if_there
#define deepprof_set_label   deepprof_set_label_if_there
#define deepprof_unset_label deepprof_unset_label_if_there
#define deepprof_get_labels  deepprof_get_labels_if_there
#define deepprof_set_labels  deepprof_set_labels_if_there
#define deepprof_make_labels deepprof_make_labels_if_there

#endif

#endif
