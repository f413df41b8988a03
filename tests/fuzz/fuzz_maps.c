/* SPDX-License-Identifier: Apache-2.0
 * Text that claims to be /proc/PID/maps: what it adds is code with a beginning before its end, and what is found at an
 * address holds it. */
#include "agent/modules.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dp_modules modules = {0};
	if (!size)
		return 0;
	FILE *maps = fmemopen((void *)(uintptr_t)data, size, "r");
	check(maps);
	const bool has_added = dp_modules_take_maps(&modules, 0, maps);
	fclose(maps);
	check(has_added == (modules.count > 0));
	for (uint32_t i = 0; i < modules.count; i++) {
		const struct dp_agent_module *module = modules.at[i];
		check(module->finish.start < module->finish.end && module->path);
		check(!strchr(module->path, '\n') && (!*module->path || *module->path == '/' || *module->path == '['));
		const struct dp_agent_module *found = dp_modules_find(&modules, module->finish.start, 1);
		check(found && found->finish.start <= module->finish.start && found->finish.end > module->finish.start);
		dp_modules_find(&modules, module->finish.end, 1);
		dp_modules_find(&modules, module->finish.end - 1, 0);
	}
	/* The same text again tells nothing new. */
	maps = fmemopen((void *)(uintptr_t)data, size, "r");
	check(maps);
	const uint32_t before = modules.count;
	dp_modules_take_maps(&modules, 0, maps);
	fclose(maps);
	check(modules.count == before);
	dp_modules_fini(&modules);
	return 0;
}
