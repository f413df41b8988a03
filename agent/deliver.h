/* SPDX-License-Identifier: Apache-2.0
 * Where profiles go: servers by windows, files by lives, a run's merged profile to its command. Hands only. */
#ifndef DEEPPROF_AGENT_DELIVER_H
#define DEEPPROF_AGENT_DELIVER_H

#include "agent/agent.h"
#include "base/profile.h"

#include <poll.h>

void dp_deliver_init(const struct dp_agent_options *options);
/* Do all processes' windows become one profile? */
bool dp_deliver_is_merged(void);
/* Do this host's windows become one file and nothing else? */
bool dp_deliver_is_one_file(const struct dp_process *process);
/* One window of a host, which may be NULL (nothing in it). Takes the profile over. */
void dp_deliver_window(struct dp_process *process, struct dp_profile *profile);
/* The host is over: writes its files. */
void dp_deliver_end(struct dp_process *process);
/* The run is over: writes its merged profile. 0 or -errno. */
int dp_deliver_run(void);

/* For the hands' loop: descriptors to poll (at most max), the time-out, and the work when either is due. */
unsigned dp_deliver_poll(struct pollfd *fds, unsigned max, int *timeout_ms);
void dp_deliver_work(void);
bool dp_deliver_is_busy(void);
/* Works until all is delivered or the time is over. */
void dp_deliver_flush(unsigned timeout_ms);
/* What is left goes to the spool, where there is one. */
void dp_deliver_fini(void);

#endif
