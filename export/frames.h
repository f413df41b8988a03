/* SPDX-License-Identifier: Apache-2.0
 * How a profile's locations read as frames: one per inlined function, named as people name them. */
#ifndef DEEPPROF_EXPORT_FRAMES_H
#define DEEPPROF_EXPORT_FRAMES_H

#include "base/profile.h"

#include <stdbool.h>
#include <stddef.h>

/* The last component of a path. */
const char *dp_base_name(const char *path);
/* What stands for a name where there is none, "libfoo.so+0x1234"; returns as snprintf() does. The agent calls
 * a function so by its start, an exporter what has no function by its address. */
int dp_frame_place(const char *object, uint64_t address, char *name, size_t size);
bool dp_frame_is_place(const struct dp_profile *profile, const struct dp_location *location);
/* Frames of a location: its lines, or one for an address without a name. */
uint32_t dp_frame_count(const struct dp_location *location);
/* The name of frame i of a location (0: innermost): the function, or "libfoo.so+0x1234". name is filled only
 * where the text has to be made up; the answer lives as long as both. */
const char *dp_frame_name(const struct dp_profile *profile, const struct dp_location *location, uint32_t i,
	char *name, size_t size);
/* Which value is the main one: the last type's. */
uint32_t dp_main_value(const struct dp_profile *profile);
/* The sample's thread label, "" when it has none. */
const char *dp_sample_thread(const struct dp_profile_sample *sample);
/* A value of that type as people read it: "1.23 s", "4.5 MiB", "17". */
void dp_human_value(const struct dp_value_type *type, double value, char *text, size_t size);

#endif
