/* SPDX-License-Identifier: Apache-2.0
 * An interpreter's library stays while its structures are read, whatever the program closes. */
#include "runtimes/python/python.h"

#include <dlfcn.h>

const struct dp_runtime dp_python = {
        .name = "python",
        .look = dp_python_look,
        .walk = dp_python_walk,
        .pin = dp_python_pin,
};

void dp_python_pin(void)
{
	for (unsigned i = 0; i < DP_PYTHON_LIBRARIES; i++) {
		struct dp_python_library *library = &dp_python_libraries[i];
		if (atomic_load(&library->is_ready) && library->path[0]) {
			dlopen(library->path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
			library->path[0] = 0;
		}
	}
}
