/* SPDX-License-Identifier: Apache-2.0
 * Frames as people read them. */
#include "export/frames.h"

#include <stdio.h>
#include <string.h>

const char *dp_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

int dp_frame_place(const char *object, uint64_t address, char *name, size_t size)
{
	return snprintf(name, size, "%s+0x%llx", dp_base_name(object), (unsigned long long)address);
}

bool dp_frame_is_place(const struct dp_profile *profile, const struct dp_location *location)
{
	if (!location->line_count)
		return true;
	if (location->line_count > 1 || location->mapping < 0)
		return false;
	const char *object = dp_base_name(profile->mappings.at[location->mapping].path);
	const char *name = profile->functions.at[location->lines[0].function].name;
	const size_t length = strlen(object);
	return length && !strncmp(name, object, length) && !strncmp(name + length, "+0x", 3);
}

uint32_t dp_frame_count(const struct dp_location *location)
{
	return location->line_count ? location->line_count : 1;
}

const char *dp_frame_name(const struct dp_profile *profile, const struct dp_location *location, uint32_t i,
	char *name, size_t size)
{
	if (i < location->line_count) {
		const char *function = profile->functions.at[location->lines[i].function].name;
		if (*function)
			return function;
	}
	const char *object = location->mapping >= 0 ? profile->mappings.at[location->mapping].path : "";
	if (*object)
		dp_frame_place(object, location->address, name, size);
	else
		snprintf(name, size, "0x%llx", (unsigned long long)location->address);
	return name;
}

uint32_t dp_main_value(const struct dp_profile *profile)
{
	return profile->types.count ? profile->types.count - 1 : 0;
}

const char *dp_sample_thread(const struct dp_profile_sample *sample)
{
	for (uint32_t i = 0; i < sample->label_count; i++)
		if (sample->labels[i].text && !strcmp(sample->labels[i].key, "thread"))
			return sample->labels[i].text;
	return "";
}

void dp_human_value(const struct dp_value_type *type, double value, char *text, size_t size)
{
	const double amount = value < 0 ? -value : value;
	if (!strcmp(type->unit, "nanoseconds")) {
		if (amount >= 1e9)
			snprintf(text, size, "%.2f s", value / 1e9);
		else if (amount >= 1e6)
			snprintf(text, size, "%.1f ms", value / 1e6);
		else
			snprintf(text, size, "%.0f us", value / 1e3);
	} else if (!strcmp(type->unit, "bytes")) {
		if (amount >= 1024. * 1024 * 1024)
			snprintf(text, size, "%.2f GiB", value / (1024. * 1024 * 1024));
		else if (amount >= 1024. * 1024)
			snprintf(text, size, "%.2f MiB", value / (1024. * 1024));
		else
			snprintf(text, size, "%.1f KiB", value / 1024.);
	} else {
		snprintf(text, size, "%.0f", value);
	}
}
