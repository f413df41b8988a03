/* SPDX-License-Identifier: Apache-2.0
 * Finds the real functions behind our own. */
#include "preload/real.h"

#include <dlfcn.h>

struct dp_real dp_real;

void dp_real_init(void)
{
#define XX(type, name, arguments) *(void **)&dp_real.name = dlsym(RTLD_NEXT, #name);
	DP_REAL_MAP(XX)
#undef XX
}
