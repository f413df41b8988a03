/* SPDX-License-Identifier: Apache-2.0
 * A pprof file made of any bytes: refused, or whole enough for every report, and the same again after a round
 * trip. */
#include "export/export.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct dp_profile *profile = NULL, *back = NULL, *sum = NULL;
	struct dp_buffer out = {0}, text = {0};

	if (dp_pprof_decode(bytes, size, &profile) != 0) {
		check(!profile);
		return 0;
	}
	check(dp_pprof_encode(profile, &out) == 0);
	check(dp_pprof_decode(out.bytes, out.size, &back) == 0);
	check(back->samples.count == profile->samples.count && back->types.count == profile->types.count);
	for (uint32_t i = 0; i < back->samples.count; i++)
		for (uint32_t j = 0; j < back->types.count; j++)
			check(back->samples.at[i].values[j] == profile->samples.at[i].values[j]);
	check(dp_top_encode(profile, back, 20, &text) == 0);
	check(dp_tree_encode(profile, back, &text) == 0);
	check(dp_collapsed_encode(profile, &text) == 0);
	check(dp_speedscope_encode(profile, "fuzz", &text) == 0);
	check(dp_otlp_encode(profile, &text) == 0);
	sum = dp_profile_new(DP_PROFILE_OTHER, 64 * 1024);
	check(sum && dp_profile_merge(sum, profile) == 0 && dp_profile_merge(sum, back) == 0);
	dp_profile_free(sum);
	dp_profile_free(profile);
	dp_profile_free(back);
	dp_buffer_fini(&out);
	dp_buffer_fini(&text);
	return 0;
}
