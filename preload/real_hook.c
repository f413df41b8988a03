/* SPDX-License-Identifier: Apache-2.0
 * Finds the real functions behind our own. */
#include "preload/real.h"

#include <dlfcn.h>

struct dp_real dp_real;

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

void dp_real_init(void)
{
	*(void **)&dp_real.pthread_create = next("pthread_create");
	*(void **)&dp_real.dlopen = next("dlopen");
	*(void **)&dp_real.dlclose = next("dlclose");
	*(void **)&dp_real.dlmopen = next("dlmopen");
	*(void **)&dp_real.sigaction = next("sigaction");
}
