/* SPDX-License-Identifier: Apache-2.0 */
#include "base/profile.h"
#include "export/export.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct dp_profile *cpu_profile(size_t cap)
{
	struct dp_profile *profile = dp_profile_new(DP_PROFILE_CPU, cap);
	assert_non_null(profile);
	dp_profile_add_type(profile, "samples", "count");
	dp_profile_add_type(profile, "cpu", "nanoseconds");
	profile->period_type = (struct dp_value_type){dp_profile_text(profile, "cpu"), dp_profile_text(profile, "nanoseconds")};
	profile->period = 10000000;
	profile->time_ns = 1000;
	profile->duration_ns = 500;
	return profile;
}

static int location(struct dp_profile *profile, const char *name, uint64_t address)
{
	const struct dp_mapping mapping = {.path = "/usr/lib/libfoo.so", .build_id = "abcd", .has_functions = true};
	const struct dp_function function = {name, name, "foo.c", 7};
	const struct dp_line line = {dp_profile_function(profile, &function), 9};
	const struct dp_location wanted = {
	        .mapping = dp_profile_mapping(profile, &mapping), .address = address, .lines = &line, .line_count = *name != 0};
	return dp_profile_location(profile, &wanted);
}

static int add(struct dp_profile *profile, int leaf, int root, const char *thread, int64_t count)
{
	const int32_t locations[] = {leaf, root};
	const struct dp_label label = {.key = "thread", .text = thread, .unit = ""};
	const struct dp_profile_sample sample = {.locations = locations,
	        .location_count = 2,
	        .labels = &label,
	        .label_count = 1,
	        .values = {count, count * 10000000}};
	return dp_profile_sample(profile, &sample);
}

static int64_t sum(const struct dp_profile *profile)
{
	int64_t total = 0;
	for (uint32_t i = 0; i < profile->samples.count; i++)
		total += profile->samples.at[i].values[0];
	return total;
}

static void equal_things_are_one_thing(void **state)
{
	(void)state;
	struct dp_profile *profile = cpu_profile(0);
	const int leaf = location(profile, "leaf", 1), root = location(profile, "root", 2);
	assert_int_equal(location(profile, "leaf", 1), leaf);
	const uint32_t functions = profile->functions.count;
	assert_ptr_equal(dp_profile_text(profile, "leaf"), dp_profile_text(profile, "leaf"));
	add(profile, leaf, root, "main", 3);
	add(profile, leaf, root, "main", 4);
	add(profile, leaf, root, "other", 5);
	assert_int_equal(profile->samples.count, 2);
	assert_int_equal(profile->samples.at[0].values[0], 7);
	location(profile, "leaf", 99);
	assert_int_equal(profile->functions.count, functions);
	dp_profile_free(profile);
}

static void bad_utf8_becomes_a_replacement_character(void **state)
{
	(void)state;
	struct dp_profile *profile = cpu_profile(0);
	assert_string_equal(dp_profile_text(profile, "caf\xe9!"), "caf\xef\xbf\xbd!");
	assert_string_equal(dp_profile_text(profile, "caf\xc3\xa9!"), "caf\xc3\xa9!");
	assert_string_equal(dp_profile_text(profile, "\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_string_equal(dp_profile_text(profile, "\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
	dp_profile_free(profile);
}

static void a_full_profile_keeps_the_weight_in_the_overflow_sample(void **state)
{
	(void)state;
	struct dp_profile *profile = cpu_profile(64 * 1024);
	char name[32];
	int64_t given = 0;
	const int root = location(profile, "root", 1);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof name, "thread-%d", i);
		assert_int_equal(add(profile, root, root, name, 2), 0);
		given += 2;
	}
	assert_int_equal(sum(profile), given);
	assert_true(profile->losses[DP_DROP_TABLE_FULL].count > 0);
	assert_true(profile->arena.used_bytes <= 64 * 1024);
	dp_profile_free(profile);
}

static void merging_adds_values_and_joins_times(void **state)
{
	(void)state;
	struct dp_profile *one = cpu_profile(0), *other = cpu_profile(0);
	add(one, location(one, "leaf", 1), location(one, "root", 2), "main", 3);
	location(other, "padding", 77); /* other indices */
	add(other, location(other, "leaf", 1), location(other, "root", 2), "main", 4);
	add(other, location(other, "new", 3), location(other, "root", 2), "main", 5);
	other->time_ns = 5000;
	other->losses[DP_DROP_RING_FULL] = (struct dp_loss){2, 20};
	assert_int_equal(dp_profile_merge(one, other), 0);
	assert_int_equal(one->samples.count, 2);
	assert_int_equal(sum(one), 12);
	assert_int_equal(one->time_ns, 1000);
	assert_int_equal(one->duration_ns, 4500);
	assert_int_equal(one->losses[DP_DROP_RING_FULL].count, 2);
	struct dp_profile *stranger = dp_profile_new(DP_PROFILE_OTHER, 0);
	dp_profile_add_type(stranger, "alloc_space", "bytes");
	assert_int_equal(dp_profile_merge(one, stranger), -EINVAL);
	dp_profile_free(one);
	dp_profile_free(other);
	dp_profile_free(stranger);
}

static void a_merged_profile_says_of_itself_what_each_part_said(void **state)
{
	(void)state;
	struct dp_profile *one = cpu_profile(0), *other = cpu_profile(0);
	dp_profile_add_identity(one, "service_name", "shop");
	dp_profile_add_identity(one, "team", "a");
	dp_profile_add_identity(other, "service_name", "shopping");
	dp_profile_add_identity(other, "team", "a");
	dp_profile_add_identity(other, "zone", "b");
	for (int i = 0; i < 3; i++)
		assert_int_equal(dp_profile_merge(one, other), 0);
	assert_int_equal(one->identity.count, 3);
	assert_string_equal(one->identity.at[0].value, "shop, shopping");
	assert_string_equal(one->identity.at[1].value, "a");
	assert_string_equal(one->identity.at[2].value, "b");
	dp_profile_free(one);
	dp_profile_free(other);
}

static void a_tree_says_what_it_leaves_out(void **state)
{
	(void)state;
	struct dp_buffer out = {0};
	struct dp_profile *profile = cpu_profile(0);
	char name[16];
	add(profile, location(profile, "hot", 1), location(profile, "root", 1), "main", 700);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "cold%u", i);
		add(profile, location(profile, name, 1), location(profile, "root", 1), "main", 3);
	}
	assert_int_equal(dp_tree_encode(profile, NULL, &out), 0);
	assert_int_equal(dp_buffer_format(&out, "%c", 0), 0);
	assert_non_null(strstr((const char *)out.bytes, "70.0%   70.0%    hot\n"));
	assert_non_null(strstr((const char *)out.bytes, "30.0%            (100 more)\n"));
	assert_null(strstr((const char *)out.bytes, "cold"));
	dp_buffer_fini(&out);
	dp_profile_free(profile);
}

static void pprof_gives_back_what_it_was_given(void **state)
{
	(void)state;
	struct dp_buffer plain = {0}, packed = {0};
	struct dp_profile *profile = cpu_profile(0), *back = NULL;
	add(profile, location(profile, "leaf<int>", 1), location(profile, "", 0x1234), "main", 3);
	dp_profile_add_identity(profile, "service_name", "shop");
	dp_profile_add_comment(profile, "pid=7");
	profile->losses[DP_DROP_NO_CFI] = (struct dp_loss){5, 0};
	assert_int_equal(dp_pprof_encode(profile, &plain), 0);
	assert_int_equal(dp_gzip(plain.bytes, plain.size, &packed), 0);
	assert_int_equal(dp_pprof_decode(packed.bytes, packed.size, &back), 0);
	assert_int_equal(back->kind, DP_PROFILE_CPU);
	assert_int_equal(back->samples.count, 1);
	assert_int_equal(back->samples.at[0].values[1], 30000000);
	assert_int_equal(back->period, 10000000);
	assert_int_equal(back->duration_ns, 500);
	assert_int_equal(back->losses[DP_DROP_NO_CFI].count, 5);
	assert_string_equal(back->identity.at[0].value, "shop");
	assert_string_equal(back->comments.at[0], "pid=7");
	const struct dp_location *root = &back->locations.at[back->samples.at[0].locations[1]];
	assert_int_equal(root->line_count, 0);
	assert_int_equal(root->address, 0x1234);
	assert_string_equal(back->mappings.at[root->mapping].build_id, "abcd");
	/* Cut anywhere, it is refused, never believed and never fatal. */
	for (size_t size = 0; size < packed.size; size++) {
		struct dp_profile *cut = NULL;
		assert_int_not_equal(dp_pprof_decode(packed.bytes, size, &cut), 0);
	}
	dp_profile_free(profile);
	dp_profile_free(back);
	dp_buffer_fini(&plain);
	dp_buffer_fini(&packed);
}

static void collapsed_counts_periods_and_names_the_nameless_by_object(void **state)
{
	(void)state;
	struct dp_buffer out = {0};
	struct dp_profile *profile = cpu_profile(0);
	add(profile, location(profile, "a;b", 1), location(profile, "", 0x1234), "main", 3);
	add(profile, location(profile, "a;b", 2), location(profile, "", 0x1234), "other", 4);
	assert_int_equal(dp_collapsed_encode(profile, &out), 0);
	assert_int_equal(out.size, strlen("libfoo.so+0x1234;a:b 7\n"));
	assert_memory_equal(out.bytes, "libfoo.so+0x1234;a:b 7\n", out.size);
	dp_buffer_fini(&out);
	dp_profile_free(profile);
}

static void output_patterns_are_filled_in(void **state)
{
	char path[64];
	(void)state;
	assert_int_equal(dp_output_path("/d/%n-%p-%t%%.pb.gz", 42, "a/b c", 1795716000000000000, path, sizeof path), 0);
	assert_string_equal(path, "/d/a_b_c-42-20261126T180000%.pb.gz");
	assert_int_equal(dp_output_path("%q", 1, "x", 0, path, sizeof path), -EINVAL);
	assert_int_equal(dp_format_of("x.pb.gz"), DP_FORMAT_PPROF);
	assert_int_equal(dp_format_of("x.speedscope.json"), DP_FORMAT_SPEEDSCOPE);
	assert_int_equal(dp_format_of("x.svg"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(equal_things_are_one_thing),
	        cmocka_unit_test(bad_utf8_becomes_a_replacement_character),
	        cmocka_unit_test(a_full_profile_keeps_the_weight_in_the_overflow_sample),
	        cmocka_unit_test(merging_adds_values_and_joins_times),
	        cmocka_unit_test(a_merged_profile_says_of_itself_what_each_part_said),
	        cmocka_unit_test(a_tree_says_what_it_leaves_out),
	        cmocka_unit_test(pprof_gives_back_what_it_was_given),
	        cmocka_unit_test(collapsed_counts_periods_and_names_the_nameless_by_object),
	        cmocka_unit_test(output_patterns_are_filled_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
