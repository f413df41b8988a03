/* SPDX-License-Identifier: Apache-2.0
 * How an agent comes to be: the executed child, and the nanny between it and a host that would inherit it.
 *
 * A nanny shares the host's memory and never executes anything (an executed child is an ordinary one again, which a
 * plain wait() would meet). So it must not outlive the host's image: the exec hook tells it. */
#ifndef DEEPPROF_CAPTURE_STARTER_H
#define DEEPPROF_CAPTURE_STARTER_H

#include <stdbool.h>
#include <stdint.h>

/* Signal, in the helper. Starts the agent; 0 or -errno, that of execve() included. -EDQUOT: the limit on processes
 * leaves no room for it. */
long dp_start_agent(void);

/* Signal, in the host. Starts a nanny that starts the agent; 0 or -errno. -EBUSY: there is a nanny still. */
long dp_start_nanny(void);
/* Signal, in the host. Takes a nanny that has left out of the table of processes; true while there is one. */
bool dp_has_nanny(void);

/* Hook. An exec is tried, an exec has failed: a nanny lets go of the old image. */
void dp_nanny_before_exec(void);
void dp_nanny_after_exec(void);
/* Hook, in a forked child: the nanny is the parent's. */
void dp_nanny_forget(void);

#endif
