/* SPDX-License-Identifier: Apache-2.0
 * The VM's library stays while it is read, whatever the program closes. */
#include "runtimes/hotspot/hotspot.h"

#include <dlfcn.h>

const struct dp_runtime dp_hotspot = {
        .name = "java",
        .look = dp_jvm_look,
        .owns = dp_jvm_owns,
        .step = dp_jvm_step,
        .resume = dp_jvm_resume,
        .stack = dp_jvm_stack,
        .pin = dp_jvm_pin,
};

void dp_jvm_pin(void)
{
	if (!dp_jvm.path[0])
		return;
	dlopen(dp_jvm.path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
	dp_jvm.path[0] = 0;
}
