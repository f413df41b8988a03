/* SPDX-License-Identifier: Apache-2.0
 * A forked child is a process of its own: re-armed, with a new identity. */
#include "preload/hooks.h"
#include "preload/sigprof.h"

#include <pthread.h>

/* glibc's own name: its pthread_atfork is in a static part of libc that would pin the caller's object; musl has
 * pthread_atfork alone. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *) __attribute__((weak));
extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void)) __attribute__((weak));

static bool has_children;

static void in_child(void)
{
	if (!dp_load_relaxed(&dp_host.is_armed))
		return;
	dp_api_after_fork();
	if (!has_children)
		dp_store_relaxed(&dp_host.off, dp_load_relaxed(&dp_host.off) | DP_OFF_DISABLED);
	dp_sigprof_aims_after_fork();
	dp_host_after_fork();
	dp_sigprof_thread_start(dp_sigprof_is_apart);
}

void dp_fork_follow(bool follows_children)
{
	has_children = follows_children;
}

void dp_fork_init(bool follows_children)
{
	dp_fork_follow(follows_children);
	if (__register_atfork)
		__register_atfork(NULL, NULL, in_child, NULL);
}
