/* SPDX-License-Identifier: Apache-2.0
 * The ears sleep long where little comes, and never so long that a ring could fill. */
#include "agent/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { CAPACITY = 6 * 32 * 1024 };

/* What a host that writes so many bytes a second makes of the pace in the end; *most: the fullest the rings were. */
static uint32_t settled(uint64_t bytes_per_s, uint64_t *most)
{
	struct dp_pace pace;
	uint64_t now = 1000;
	dp_pace_init(&pace, now);
	*most = 0;
	for (int i = 0; i < 2000; i++) {
		const uint32_t pause = dp_pace_pause(&pace, now);
		const uint64_t bytes = bytes_per_s * pause / 1000;
		now += pause;
		if (bytes > *most)
			*most = bytes;
		dp_pace_found(&pace, now, bytes, CAPACITY);
	}
	return dp_pace_pause(&pace, now);
}

static void an_idle_host_is_looked_at_four_times_a_second(void **state)
{
	uint64_t most;
	(void)state;
	assert_int_equal(settled(0, &most), 250);
}

static void an_ordinary_host_costs_no_more_than_an_idle_one(void **state)
{
	uint64_t most;
	(void)state;
	assert_int_equal(settled(200 * 700, &most), 250); /* two CPUs at 100 Hz, 40 frames a sample */
}

static void rings_are_never_more_than_half_full_at_a_steady_pace(void **state)
{
	(void)state;
	for (uint64_t bytes_per_s = 1000; bytes_per_s < 20 * 1000 * 1000; bytes_per_s += bytes_per_s / 3) {
		uint64_t most;
		settled(bytes_per_s, &most);
		assert_true(most <= CAPACITY / 2 || bytes_per_s * DP_PACE_LEAST_MS / 1000 > CAPACITY / 2);
	}
}

static void a_burst_shortens_the_next_pause_at_once(void **state)
{
	struct dp_pace pace;
	uint64_t now = 1000;
	(void)state;
	dp_pace_init(&pace, now);
	for (int i = 0; i < 10; i++)
		dp_pace_found(&pace, now += 250, 0, CAPACITY);
	assert_int_equal(dp_pace_pause(&pace, now), 250);
	dp_pace_found(&pace, now += 250, CAPACITY, CAPACITY);
	assert_int_equal(dp_pace_pause(&pace, now), 62);
	dp_pace_found(&pace, now += 62, 0, CAPACITY);
	assert_int_equal(dp_pace_pause(&pace, now), 124); /* and peace comes slowly */
}

static void whole_stacks_are_fetched_soon(void **state)
{
	struct dp_pace pace;
	(void)state;
	dp_pace_init(&pace, 1000);
	assert_int_equal(dp_pace_pause(&pace, 1000), 5);
	assert_int_equal(dp_pace_pause(&pace, 1299), 5);
	assert_int_equal(dp_pace_pause(&pace, 1300), 50);
	dp_pace_hurry(&pace, 2000);
	assert_int_equal(dp_pace_pause(&pace, 2299), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_host_is_looked_at_four_times_a_second),
		cmocka_unit_test(an_ordinary_host_costs_no_more_than_an_idle_one),
		cmocka_unit_test(rings_are_never_more_than_half_full_at_a_steady_pace),
		cmocka_unit_test(a_burst_shortens_the_next_pause_at_once),
		cmocka_unit_test(whole_stacks_are_fetched_soon),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
