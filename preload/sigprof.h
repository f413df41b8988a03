/* SPDX-License-Identifier: Apache-2.0
 * SIGPROF as the application would see it without us. */
#ifndef DEEPPROF_PRELOAD_SIGPROF_H
#define DEEPPROF_PRELOAD_SIGPROF_H

#include <signal.h>

/* Hook. Installs our handler; what was there is the application's. 0 or -errno. */
int dp_sigprof_install(void (*handler)(int, siginfo_t *, void *));
/* Signal. A SIGPROF that is not one of our timers': do what the application asked for. */
void dp_sigprof_foreign(int signo, siginfo_t *info, void *ucontext);

#endif
