/* SPDX-License-Identifier: Apache-2.0
 * deepprof's public C API. Every call is cheap and harmless when the profiler is absent or off. */
#ifndef DEEPPROF_H
#define DEEPPROF_H

#ifdef __cplusplus
extern "C" {
#endif

#define DEEPPROF_API __attribute__((visibility("default")))

/* The library's version, "0.1.0". Any thread. */
DEEPPROF_API const char *deepprof_version(void);

#ifdef __cplusplus
}
#endif

#endif
