/* SPDX-License-Identifier: Apache-2.0
 * The table of readers, agent side. */
#include "runtimes/names.h"

static const struct dp_runtime_names *const table[DP_NAME_RUNTIMES] = {
        [DP_FRAME_PYTHON] = &dp_python_names,
        [DP_FRAME_JVM] = &dp_hotspot_names,
};

bool dp_names_describe(struct dp_names *names, enum dp_frame_runtime runtime, uint64_t id, const struct dp_name_place *place,
        struct dp_managed_symbol *symbol)
{
	if ((unsigned)runtime >= DP_NAME_RUNTIMES || !table[runtime])
		return false;
	const uint32_t number = table[runtime]->number(id);
	struct dp_name *name = number < names->size[runtime] ? names->at[runtime][number] : NULL;
	if (!name)
		return false;
	table[runtime]->describe(name, id, place, symbol);
	return true;
}

bool dp_names_are_machinery(const char *function)
{
	for (unsigned i = 0; i < DP_NAME_RUNTIMES; i++)
		if (table[i] && table[i]->is_machinery && table[i]->is_machinery(function))
			return true;
	return false;
}

bool dp_names_are_of_switcher(const char *path)
{
	for (unsigned i = 0; i < DP_NAME_RUNTIMES; i++)
		if (table[i] && table[i]->is_switcher && table[i]->is_switcher(path))
			return true;
	return false;
}

const char *dp_runtime_name(enum dp_frame_runtime runtime)
{
	return (unsigned)runtime < DP_NAME_RUNTIMES && table[runtime] ? table[runtime]->name : "native";
}

const char *dp_names_runtime(
        const struct dp_names *names, enum dp_frame_runtime runtime, char *version, size_t size)
{
	const struct dp_runtime_names *one = (unsigned)runtime < DP_NAME_RUNTIMES ? table[runtime] : NULL;
	*version = 0;
	if (!one)
		return "native";
	if (one->version && names->version[runtime])
		one->version(names->version[runtime], version, size);
	return one->convention ? one->convention : one->name;
}
