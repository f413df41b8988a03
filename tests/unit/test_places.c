/* SPDX-License-Identifier: Apache-2.0
 * Names of code that stays are looked for once, those of code that may change once a window. */
#include "agent/places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void put(struct dp_places *places, uint64_t word, uint32_t generation, int32_t location, bool is_lasting)
{
	struct dp_place *place = dp_places_find(places, word, generation);
	assert_non_null(place);
	assert_true(place->location < 0);
	place->location = location;
	place->is_lasting = is_lasting;
}

static int32_t location(struct dp_places *places, uint64_t word, uint32_t generation)
{
	const struct dp_place *place = dp_places_find(places, word, generation);
	assert_non_null(place);
	return place->location;
}

static void what_lasts_is_known_in_the_next_window_and_the_rest_is_not(void **state)
{
	struct dp_places places = {0};
	(void)state;
	dp_places_begin(&places, 0);
	put(&places, 0x1000, 1, 7, true);
	put(&places, 0x2000, 1, 8, false);
	assert_int_equal(location(&places, 0x1000, 1), 7);
	assert_int_equal(location(&places, 0x2000, 1), 8);
	dp_places_begin(&places, 0);
	assert_int_equal(location(&places, 0x1000, 1), 7);
	put(&places, 0x2000, 1, 9, false);
	assert_int_equal(location(&places, 0x2000, 1), 9);
	dp_places_fini(&places);
}

static void code_of_another_generation_is_another_word(void **state)
{
	struct dp_places places = {0};
	(void)state;
	dp_places_begin(&places, 0);
	put(&places, 0x1000, 1, 7, true);
	put(&places, 0x1000, 2, 8, true);
	assert_int_equal(location(&places, 0x1000, 1), 7);
	assert_int_equal(location(&places, 0x1000, 2), 8);
	dp_places_fini(&places);
}

static void a_word_that_could_not_be_named_is_asked_for_again(void **state)
{
	struct dp_places places = {0};
	(void)state;
	dp_places_begin(&places, 0);
	assert_int_equal(location(&places, 0x1000, 1), -1);
	put(&places, 0x1000, 1, 7, true);
	assert_int_equal(location(&places, 0x1000, 1), 7);
	dp_places_fini(&places);
}

static void a_runtime_that_comes_later_changes_what_is_machinery(void **state)
{
	struct dp_places places = {0};
	(void)state;
	dp_places_begin(&places, 0);
	put(&places, 0x1000, 1, 7, true);
	dp_places_begin(&places, 2);
	assert_int_equal(location(&places, 0x1000, 1), -1);
	dp_places_fini(&places);
}

static void as_many_as_come_are_right_and_memory_has_an_end(void **state)
{
	struct dp_places places = {0};
	(void)state;
	dp_places_begin(&places, 0);
	for (int32_t i = 0; i < 1000000; i++) {
		put(&places, (uint64_t)(i + 1) * 64, 1, i, i % 3 != 0);
		const int32_t earlier = i - i % 1000;
		const int32_t found = location(&places, (uint64_t)(earlier + 1) * 64, 1);
		assert_true(found == earlier || found == -1); /* forgotten, never another's */
	}
	assert_true(places.size * sizeof *places.at <= 4 << 20);
	dp_places_fini(&places);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lasts_is_known_in_the_next_window_and_the_rest_is_not),
		cmocka_unit_test(code_of_another_generation_is_another_word),
		cmocka_unit_test(a_word_that_could_not_be_named_is_asked_for_again),
		cmocka_unit_test(a_runtime_that_comes_later_changes_what_is_machinery),
		cmocka_unit_test(as_many_as_come_are_right_and_memory_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
