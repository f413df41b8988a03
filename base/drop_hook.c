/* SPDX-License-Identifier: Apache-2.0
 * Names of the losses. */
#include "base/drop.h"

static const char *const names[DP_DROP_COUNT] = {
#define XX(name, text, why) [DP_DROP_##name] = text,
        DP_DROP_MAP(XX)
#undef XX
};

static const char *const texts[DP_DROP_COUNT] = {
#define XX(name, text, why) [DP_DROP_##name] = why,
        DP_DROP_MAP(XX)
#undef XX
};

const char *dp_drop_name(enum dp_drop reason)
{
	return (unsigned)reason < DP_DROP_COUNT ? names[reason] : "unknown";
}

const char *dp_drop_text(enum dp_drop reason)
{
	return (unsigned)reason < DP_DROP_COUNT ? texts[reason] : "unknown";
}
