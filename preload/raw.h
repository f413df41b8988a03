/* SPDX-License-Identifier: Apache-2.0
 * What some calls need done before or after them, whether the program makes them by their libc functions or by
 * syscall(). Hook; errno is kept. */
#ifndef DEEPPROF_PRELOAD_RAW_H
#define DEEPPROF_PRELOAD_RAW_H

#include <stdbool.h>

void dp_before_seccomp(unsigned long operation, const void *arguments);
void dp_before_prctl(unsigned long option, unsigned long mode, const void *arguments);
void dp_after_prctl(unsigned long option, unsigned long value, long result);

/* Around ptrace(PTRACE_TRACEME). False: not our business (a vfork's child, or nothing is armed). */
bool dp_before_traceme(void);
void dp_after_traceme(long result); /* after true alone */

/* rt_sigaction() for SIGPROF in the kernel's structures: 0 or -errno; false: the kernel must answer. */
bool dp_sigprof_raw_action(const void *action, void *old, unsigned long mask_size, long *result);

#endif
