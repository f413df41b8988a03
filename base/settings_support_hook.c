/* SPDX-License-Identifier: Apache-2.0
 * What can be set but is not built yet: said once and taken out, so that nothing is promised that is not done. */
#include "base/settings.h"

#include <stdbool.h>
#include <string.h>

enum { LINE_BYTES = 400 };

static int key_number(const char *name)
{
	int i = 0;
	while (strcmp(dp_settings_key_table()[i].name, name) != 0)
		i++;
	return i;
}

/* "server otlp+http://HOST: …" */
static void say(const struct dp_settings_listener *listener, const char *key, const char *value, size_t value_size,
	const char *what)
{
	char line[LINE_BYTES];
	char *at = stpcpy(line, key);
	if (!listener || !listener->say)
		return;
	if (value_size) {
		const size_t room = sizeof line - strlen(key) - strlen(what) - 4;
		value_size = value_size < room ? value_size : room;
		*at++ = ' ';
		at = mempcpy(at, value, value_size);
	}
	at = stpcpy(at, ": ");
	stpcpy(at, what);
	listener->say(listener->context, line);
}

/* ---- keys ---- */

static void say_keys(const struct dp_settings *settings, const struct dp_settings_listener *listener)
{
	static const char *const later[] = {"budget", "alloc_interval", "lock_threshold"};
	for (size_t i = 0; i < sizeof later / sizeof *later; i++)
		if (settings->source[key_number(later[i])] > DP_FROM_ALIAS)
			say(listener, later[i], "", 0, "has no effect in this version");
}

/* ---- profiles ---- */

static void keep_profiles(struct dp_settings *settings, const struct dp_settings_listener *listener)
{
	if (!(settings->profiles & ~(uint32_t)DP_PROFILES_CPU))
		return;
	settings->profiles &= DP_PROFILES_CPU;
	if (settings->profiles)
		say(listener, "profiles", "", 0, "this version has cpu alone; the others are left out");
	else
		say(listener, "profiles", "", 0, "this version has cpu alone; nothing is profiled");
}

void dp_settings_keep_supported(struct dp_settings *settings, const struct dp_settings_listener *listener)
{
	say_keys(settings, listener);
	keep_profiles(settings, listener);
}
