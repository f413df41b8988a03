/* SPDX-License-Identifier: Apache-2.0
 * deepprof's public C API: start, stop, flush, labels. C99 and C++11.
 *
 * Nothing needs to be linked. The functions are weak references: in a program that runs without libdeepprof.so each
 * does nothing, and each comes alive when the library is preloaded. Linking it works as well (pkg-config --libs
 * deepprof). Who wants a link error rather than a no-op defines DEEPPROF_LINKED before including this header.
 *
 * A preloaded library profiles by itself from the program's start, unless DEEPPROF_ENABLED=false. One that the program
 * was linked with, or that it opened by dlopen, waits for deepprof_start(), or starts by itself with
 * DEEPPROF_ENABLED=true.
 *
 * Every function may be called from any thread, also in a forked child; none from a signal handler, but
 * deepprof_get_labels() and deepprof_set_labels(). None changes errno, and what they return may be ignored. */
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
/* Without noplt gcc's code for fixed addresses (-no-pie) has no place where the loader could put the address. */
#define DEEPPROF_API __attribute__((visibility("default"), weak, noplt))
#endif
#endif
#ifndef DEEPPROF_API
#define DEEPPROF_API __attribute__((visibility("default"), weak))
#endif

/* The library's version, "0.1.0"; "" where there is none. */
DEEPPROF_API const char *deepprof_version(void);

/* ---- the profiler ---- */

/* Profiles from now on, all threads there are and will be. options: settings as "key=value,key=value" (deepprof(7)),
 * which go before environment and file; NULL for none. They count until a later start names others.
 * 0, also where it runs already; -EALREADY: it runs already, the options were not read; -EINVAL: an option is wrong,
 * one line on stderr says which, nothing was started; -EPERM: the environment, a setuid program or a seccomp filter
 * forbids it; -ENOSYS: there is no library; other -errno of the kernel. */
DEEPPROF_API int deepprof_start(const char *options);

/* Takes all timers away: nothing of the profiler runs in the program any more. What was sampled stays, and is delivered
 * as it would have been; a later start goes on in the same profile. 0 or -errno as above. */
DEEPPROF_API int deepprof_stop(void);

/* 1 while it profiles, else 0. */
DEEPPROF_API int deepprof_is_running(void);

/* All samples up to now are on their way: files are written, servers were asked. Waits for it, at most about timeout_ms,
 * in the calling thread alone. 0; -ETIME: not in time, it still goes on; -ENOTCONN: no agent could be reached;
 * -EBUSY: the profiler did other rare work all that time; -ENOSYS, -EPERM as above. */
DEEPPROF_API int deepprof_flush(unsigned timeout_ms);

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

#define deepprof_version    deepprof_version_if_there
#define deepprof_start      deepprof_start_if_there
#define deepprof_stop       deepprof_stop_if_there
#define deepprof_is_running deepprof_is_running_if_there
#define deepprof_flush      deepprof_flush_if_there

#endif

#endif
