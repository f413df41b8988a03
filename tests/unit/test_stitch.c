/* SPDX-License-Identifier: Apache-2.0
 * Managed frames stand where their marker says. */
#include "agent/stitch.h"

#include "base/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct dp_frame native(uint64_t id, uint32_t place)
{
	return (struct dp_frame){.id = id, .place = place};
}

static struct dp_frame switcher(uint64_t id, uint32_t place)
{
	return (struct dp_frame){.id = id, .place = place, .flags = DP_FRAME_SWITCHER};
}

static struct dp_frame python(uint64_t id, uint32_t place)
{
	return (struct dp_frame){.id = id, .place = place, .runtime = DP_FRAME_PYTHON};
}

static void expect(const struct dp_frame *out, unsigned count, const uint64_t *ids, unsigned expected)
{
	assert_int_equal(count, expected);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(out[i].id, ids[i]);
}

static void a_marker_belongs_to_the_native_frame_around_it(void **state)
{
	(void)state;
	/* malloc 0-4, loop 5-19, call 20-29, loop 30-49, main 50-59; CFAs at the ends. */
	const struct dp_frame stack[] = {native(1, 5), native(2, 20), native(3, 30), native(4, 50), native(5, 60)};
	struct dp_frame managed[] = {python(101, 10), python(102, 10), python(103, 49)};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	const unsigned count = dp_stitch(stack, 5, &(bool){true}, managed, 3, false, out, &counts);
	expect(out, count, (const uint64_t[]){1, 101, 102, 3, 103, 5}, 6);
	assert_int_equal(counts.aligned, 2);
	assert_int_equal(counts.misaligned + counts.unknown, 0);
	const unsigned all = dp_stitch(stack, 5, &(bool){true}, managed, 3, true, out, &counts);
	expect(out, all, (const uint64_t[]){1, 101, 102, 2, 3, 103, 4, 5}, 8);
}

static void a_marker_at_a_cfa_belongs_to_the_caller(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1, 5), native(2, 20)};
	struct dp_frame managed[] = {python(101, 5)};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	expect(out, dp_stitch(stack, 2, &(bool){true}, managed, 1, true, out, &counts), (const uint64_t[]){1, 101, 2}, 3);
}

static void what_no_native_frame_holds_is_told_and_kept(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1, 5), native(2, 20)};
	struct dp_frame managed[] = {python(101, 10), python(102, 30), python(103, 30), python(104, UINT32_MAX)};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	expect(out, dp_stitch(stack, 2, &(bool){true}, managed, 4, false, out, &counts), (const uint64_t[]){1, 101, 102, 103, 104}, 5);
	assert_int_equal(counts.aligned, 1);
	assert_int_equal(counts.unknown, 2);
}

static void two_markers_in_one_native_frame_are_told(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1, 50)};
	struct dp_frame managed[] = {python(101, 10), python(102, 30)};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	dp_stitch(stack, 1, &(bool){true}, managed, 2, false, out, &counts);
	assert_int_equal(counts.aligned, 0);
	assert_int_equal(counts.misaligned, 2);
}

/* 3.8: the loop is at 1000-1099; its newest frame is not yet in the chain. */
static void without_markers_they_are_paired_from_the_root(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1010, 5), native(2, 10), native(1050, 20), native(3, 30), native(1020, 40), native(4, 50)};
	struct dp_frame managed[] = {python(101, UINT32_MAX), python(102, UINT32_MAX),
	        {.id = 1000, .place = 100, .runtime = DP_FRAME_PYTHON, .flags = DP_FRAME_LOOP}};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	expect(out, dp_stitch(stack, 6, &(bool){true}, managed, 3, false, out, &counts), (const uint64_t[]){1010, 2, 101, 3, 102, 4}, 6);
	assert_int_equal(counts.aligned, 2);
}

/* Two more loops than frames: which belong together is not known, and nothing is guessed. */
static void where_the_numbers_differ_nothing_is_paired(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1010, 5), native(1050, 20), native(1020, 40)};
	struct dp_frame managed[] = {python(101, UINT32_MAX),
	        {.id = 1000, .place = 100, .runtime = DP_FRAME_PYTHON, .flags = DP_FRAME_LOOP}};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	expect(out, dp_stitch(stack, 3, &(bool){true}, managed, 2, false, out, &counts), (const uint64_t[]){1010, 1050, 1020, 101}, 4);
	assert_int_equal(counts.aligned, 0);
	assert_int_equal(counts.unknown, 1);
}

/* The root is missing: the outermost loop that is there is not the root's. */
static void a_cut_native_stack_is_not_paired_from_its_end(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1010, 5), native(1050, 20)};
	struct dp_frame managed[] = {python(101, UINT32_MAX), python(102, UINT32_MAX),
	        {.id = 1000, .place = 100, .runtime = DP_FRAME_PYTHON, .flags = DP_FRAME_LOOP}};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	expect(out, dp_stitch(stack, 2, &(bool){false}, managed, 3, false, out, &counts), (const uint64_t[]){1010, 1050, 101, 102}, 4);
	assert_int_equal(counts.aligned, 0);
}

/* leaf, loop with 101, greenlet's code twice; above it somebody else's, its loop too. */
static void above_a_greenlets_start_nothing_is_its_own(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {switcher(2050, 5), native(1010, 20), switcher(2010, 30), switcher(2020, 40), native(1020, 50), native(3, 60)};
	struct dp_frame managed[] = {python(101, 10)};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	bool is_whole = false;
	expect(out, dp_stitch(stack, 6, &is_whole, managed, 1, false, out, &counts), (const uint64_t[]){2050, 101, 2010, 2020}, 4);
	assert_true(is_whole);
	assert_int_equal(counts.aligned, 1);
}

static void without_markers_a_greenlets_loops_are_counted(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {native(1010, 5), native(2, 10), native(1050, 20), switcher(2010, 30), native(1020, 40), native(4, 50)};
	struct dp_frame managed[] = {python(101, UINT32_MAX), python(102, UINT32_MAX),
	        {.id = 1000, .place = 100, .runtime = DP_FRAME_PYTHON, .flags = DP_FRAME_LOOP}};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	bool is_whole = false;
	expect(out, dp_stitch(stack, 6, &is_whole, managed, 3, false, out, &counts), (const uint64_t[]){101, 2, 102, 2010}, 4);
	assert_true(is_whole);
	assert_int_equal(counts.aligned, 2);
}

static void a_switch_that_goes_on_is_no_start(void **state)
{
	(void)state;
	const struct dp_frame stack[] = {switcher(2050, 5), native(1010, 20), native(3, 60)};
	struct dp_frame managed[] = {python(101, 10)};
	struct dp_frame out[DP_STITCHED_MAX];
	struct dp_stitch_counts counts = {0};
	bool is_whole = false;
	expect(out, dp_stitch(stack, 3, &is_whole, managed, 1, false, out, &counts), (const uint64_t[]){2050, 101, 3}, 3);
	assert_false(is_whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_marker_belongs_to_the_native_frame_around_it),
	        cmocka_unit_test(a_marker_at_a_cfa_belongs_to_the_caller),
	        cmocka_unit_test(what_no_native_frame_holds_is_told_and_kept),
	        cmocka_unit_test(two_markers_in_one_native_frame_are_told),
	        cmocka_unit_test(without_markers_they_are_paired_from_the_root),
	        cmocka_unit_test(where_the_numbers_differ_nothing_is_paired),
	        cmocka_unit_test(a_cut_native_stack_is_not_paired_from_its_end),
	        cmocka_unit_test(above_a_greenlets_start_nothing_is_its_own),
	        cmocka_unit_test(without_markers_a_greenlets_loops_are_counted),
	        cmocka_unit_test(a_switch_that_goes_on_is_no_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
