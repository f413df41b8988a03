/* SPDX-License-Identifier: Apache-2.0
 * Which deepprof this is. */
#define DEEPPROF_IMPLEMENTATION
#include "deepprof.h"

const char *deepprof_version(void)
{
	return DEEPPROF_VERSION;
}
