/* SPDX-License-Identifier: Apache-2.0
 * For tests and benches: libunwind in this process, as its users call it. */
#ifndef DEEPPROF_TESTS_UNWIND_LOCAL_H
#define DEEPPROF_TESTS_UNWIND_LOCAL_H

#include <stdint.h>

/* From a signal's ucontext, leaf first; returns how many. */
int unwind_local_step(void *ucontext, uint64_t *addresses, int max);
/* From the caller. */
int unwind_local_backtrace(void **addresses, int max);

#endif
