/* SPDX-License-Identifier: Apache-2.0
 * Our place in SIGPROF. */
#include "preload/sigprof.h"
#include "preload/real.h"

#include <errno.h>
#include <string.h>

int dp_sigprof_install(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
	memset(&action.sa_mask, 0xff, sizeof action.sa_mask); /* glibc's own 32 and 33 included */
	return DP_REAL(sigaction)(SIGPROF, &action, NULL) == 0 ? 0 : -errno;
}
