/* SPDX-License-Identifier: Apache-2.0
 * What all hooks share. */
#ifndef DEEPPROF_PRELOAD_HOOKS_H
#define DEEPPROF_PRELOAD_HOOKS_H

#include "capture/host.h"

#define DP_EXPORT __attribute__((visibility("default")))

/* Is this process profiled, and is this the process that was set up (not a raw fork's child)? */
static inline bool dp_hooks_are_on(void)
{
	return dp_load_acquire(&dp_host.is_armed) && dp_load_relaxed(&dp_owner.pid) == dp_host.pid &&
	       !(dp_load_relaxed(&dp_host.off) & (DP_OFF_DISABLED | DP_OFF_SECCOMP | DP_OFF_ENDED));
}

/* Hook. The module list and the code map as the loader has them now; errno is kept. */
void dp_loader_refresh(void);
/* Hook. Says what an interpreter's reader has to say, if it has not been said. */
void dp_say_refusal(void);
void dp_threads_init(void); /* constructor */
void dp_fork_init(bool follows_children); /* constructor */
void dp_fork_follow(bool follows_children); /* from the next fork on */
/* Constructor. Has the parent process this library mapped? False where its maps cannot be read. */
bool dp_parent_is_host(void);

/* Was it a user who brought us (LD_PRELOAD, /etc/ld.so.preload), and not the program (linked, dlopen)? */
bool dp_is_preloaded(const char *self_path);
/* Was another copy of this library, of another file, there first? */
bool dp_is_second_copy(void);
/* Options of deepprof_start(), before environment and file; NULL: as before. 1: settings changed; 0: they did not;
 * -EINVAL, said on stderr. */
int dp_options_set(const char *options);
/* Stopped, no housekeeping under way: settings go to where ticks and agent read them. */
void dp_options_apply(void);
/* In a forked child. */
void dp_api_after_fork(void);

#endif
