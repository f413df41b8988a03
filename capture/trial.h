/* SPDX-License-Identifier: Apache-2.0
 * A seccomp filter that was there before us: what would it do to our calls? */
#ifndef DEEPPROF_CAPTURE_TRIAL_H
#define DEEPPROF_CAPTURE_TRIAL_H

#include <stdbool.h>

/* Hook, in the constructor. False: a filter would kill this process for a call that a host makes itself (what the
 * helper calls kills the helper alone). Costs a read of /proc/self/status, and a child where there is a filter. */
bool dp_trial_is_survived(void);

#endif
