/* SPDX-License-Identifier: Apache-2.0
 * Profiles through pprof and back, other people's files, hostile ones, and the builder at its limits. */
#include "base/profile.h"
#include "base/frame.h"
#include "export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static uint32_t state_of_chance = 1;

static uint32_t chance(uint32_t below)
{
	state_of_chance = state_of_chance * 1664525 + 1013904223;
	return (state_of_chance >> 8) % below;
}

static struct dp_profile *cpu_profile(size_t cap)
{
	struct dp_profile *profile = dp_profile_new(DP_PROFILE_CPU, cap);
	assert_non_null(profile);
	assert_int_equal(dp_profile_add_type(profile, "samples", "count"), 0);
	assert_int_equal(dp_profile_add_type(profile, "cpu", "nanoseconds"), 0);
	profile->period_type.type = "cpu";
	profile->period_type.unit = "nanoseconds";
	profile->period = 10000000;
	return profile;
}

static int location(struct dp_profile *profile, const char *name)
{
	const struct dp_function function = {name, name, "", 0};
	const struct dp_line line = {dp_profile_function(profile, &function), 1};
	const struct dp_location wanted = {.mapping = DP_NO_INDEX, .lines = &line, .line_count = 1};
	return line.function < 0 ? line.function : dp_profile_location(profile, &wanted);
}

static int64_t sum(const struct dp_profile *profile, int value)
{
	int64_t total = 0;
	for (uint32_t i = 0; i < profile->samples.count; i++)
		total += profile->samples.at[i].values[value];
	return total;
}

static const char *chance_text(struct dp_profile *profile, char *text, size_t size)
{
	static const char *const pieces[] = {"a", "<T>", "\xc3\xa9", "\xe2\x80\xae", "</script>", "\n", ";",
		"\xff", "\xed\xa0\x80", "\"", "0"};
	size_t at = 0;
	text[0] = 0;
	for (uint32_t n = chance(6); n && at + 8 < size; n--)
		at += (size_t)snprintf(
			text + at, size - at, "%s", pieces[chance(sizeof pieces / sizeof *pieces)]);
	return dp_profile_text(profile, text);
}

static struct dp_profile *chance_profile(void)
{
	char a[64], b[64], c[64];
	struct dp_profile *profile = cpu_profile(0);
	profile->time_ns = (int64_t)chance(1 << 20) * 1000000007;
	profile->duration_ns = chance(1 << 20);
	for (int i = 0; i < 5; i++)
		dp_profile_mapping(profile, &(struct dp_mapping){chance_text(profile, a, sizeof a),
						    chance_text(profile, b, sizeof b), chance(2), chance(2),
						    chance(2), chance(2)});
	for (int i = 0; i < 40; i++)
		dp_profile_function(profile, &(struct dp_function){chance_text(profile, a, sizeof a),
						     chance_text(profile, b, sizeof b),
						     chance_text(profile, c, sizeof c), chance(100)});
	for (int i = 0; i < 60; i++) {
		struct dp_line lines[4];
		const uint32_t count = chance(5);
		for (uint32_t j = 0; j < count; j++)
			lines[j] = (struct dp_line){(int32_t)chance(profile->functions.count), chance(1000)};
		dp_profile_location(profile,
			&(struct dp_location){.mapping = (int32_t)chance(profile->mappings.count + 1) - 1,
				.address = (uint64_t)chance(1 << 20) << chance(40),
				.lines = lines,
				.line_count = count});
	}
	for (int i = 0; i < 200; i++) {
		int32_t locations[32];
		struct dp_label labels[24];
		struct dp_profile_sample sample = {.locations = locations,
			.labels = labels,
			.location_count = chance(32),
			.label_count = chance(16),
			.values = {chance(100), (int64_t)chance(100) * 10000000}};
		for (uint32_t j = 0; j < sample.location_count; j++)
			locations[j] = (int32_t)chance(profile->locations.count);
		for (uint32_t j = 0; j < sample.label_count; j++) {
			snprintf(a, sizeof a, "key%02u", j);
			labels[j].key = dp_profile_text(profile, a);
			labels[j].text = chance(2) ? dp_profile_text(profile, chance(2) ? "x" : "y") : NULL;
			labels[j].number = labels[j].text ? 0 : (int64_t)chance(1000) - 500;
			labels[j].unit = labels[j].text ? "" : chance(2) ? "bytes" : "";
		}
		assert_int_equal(dp_profile_sample(profile, &sample), 0);
	}
	chance_text(profile, a, sizeof a);
	dp_profile_add_comment(profile, "a comment");
	dp_profile_add_identity(profile, "service_name", "a=b c");
	for (int i = 0; i < DP_DROP_COUNT; i++)
		profile->losses[i] = (struct dp_loss){chance(3), (uint64_t)chance(3) << 40};
	return profile;
}

static void assert_same_sample(const struct dp_profile *a, const struct dp_profile *b, uint32_t i)
{
	const struct dp_profile_sample *x = &a->samples.at[i], *y = &b->samples.at[i];
	assert_memory_equal(x->values, y->values, sizeof x->values);
	assert_int_equal(x->label_count, y->label_count);
	for (uint32_t j = 0; j < x->label_count; j++) {
		assert_string_equal(x->labels[j].key, y->labels[j].key);
		assert_string_equal(x->labels[j].unit, y->labels[j].unit);
		assert_int_equal(x->labels[j].number, y->labels[j].number);
		assert_int_equal(!x->labels[j].text, !y->labels[j].text);
		if (x->labels[j].text)
			assert_string_equal(x->labels[j].text, y->labels[j].text);
	}
	assert_int_equal(x->location_count, y->location_count);
	for (uint32_t j = 0; j < x->location_count; j++) {
		const struct dp_location *l = &a->locations.at[x->locations[j]],
					 *m = &b->locations.at[y->locations[j]];
		assert_true(l->address == m->address);
		assert_int_equal(l->mapping < 0, m->mapping < 0);
		if (l->mapping >= 0) {
			const struct dp_mapping *p = &a->mappings.at[l->mapping],
						*q = &b->mappings.at[m->mapping];
			assert_string_equal(p->path, q->path);
			assert_string_equal(p->build_id, q->build_id);
			assert_int_equal(p->has_functions, q->has_functions);
			assert_int_equal(p->has_files, q->has_files);
			assert_int_equal(p->has_lines, q->has_lines);
			assert_int_equal(p->has_inlines, q->has_inlines);
		}
		assert_int_equal(l->line_count, m->line_count);
		for (uint32_t k = 0; k < l->line_count; k++) {
			const struct dp_function *f = &a->functions.at[l->lines[k].function];
			const struct dp_function *g = &b->functions.at[m->lines[k].function];
			assert_int_equal(l->lines[k].line, m->lines[k].line);
			assert_string_equal(f->name, g->name);
			assert_string_equal(f->system_name, g->system_name);
			assert_string_equal(f->file, g->file);
			assert_int_equal(f->start_line, g->start_line);
		}
	}
}

static void any_profile_comes_back_whole(void **state)
{
	(void)state;
	for (int round = 0; round < 200; round++) {
		struct dp_buffer bytes = {0}, again = {0};
		struct dp_profile *profile = chance_profile(), *back = NULL;
		assert_int_equal(dp_pprof_encode(profile, &bytes), 0);
		assert_int_equal(dp_pprof_decode(bytes.bytes, bytes.size, &back), 0);
		assert_int_equal(profile->samples.count, back->samples.count);
		for (uint32_t i = 0; i < profile->samples.count; i++)
			assert_same_sample(profile, back, i);
		assert_memory_equal(profile->losses, back->losses, sizeof profile->losses);
		assert_int_equal(profile->period, back->period);
		assert_true(profile->time_ns == back->time_ns && profile->duration_ns == back->duration_ns);
		assert_string_equal(back->identity.at[0].value, "a=b c");
		assert_int_equal(back->comments.count, 1);
		assert_int_equal(dp_pprof_encode(back, &again), 0);
		dp_buffer_fini(&bytes);
		dp_buffer_fini(&again);
		dp_profile_free(profile);
		dp_profile_free(back);
	}
}

/* What the format says, by hand: tag, length, bytes. */
static const uint8_t foreign[] = {
	0x0a, 4, 0x08, 1, 0x10, 2, /* sample_type: main/bytes */
	0x0a, 4, 0x08, 3, 0x10, 4, /* sample_type: other/count */
	0x12, 9, 0x0a, 1, 77, 0x12, 2, 40, 2, 0x1a,
	0, /* sample: location 77, values 40 and 2, an empty label */
	0x1a, 13, 0x08, 9, 0x10, 0x80, 0x20, 0x18, 0x80, 0x40, 0x20, 0x80, 0x02, 0x28, 5, /* mapping 9 */
	0x22, 11, 0x08, 77, 0x10, 9, 0x18, 0x90, 0x20, 0x22, 2, 0x08, 100, /* location 77 at 0x1010 */
	0x2a, 4, 0x08, 100, 0x10, 6,                                       /* function 100 */
	0x32, 0, 0x32, 4, 'm', 'a', 'i', 'n', 0x32, 5, 'b', 'y', 't', 'e', 's', 0x32, 5, 'o', 't', 'h', 'e',
	'r', 0x32, 5, 'c', 'o', 'u', 'n', 't', 0x32, 2, '/', 'x', 0x32, 2, 'f', 'n', 0x70,
	1, /* default_sample_type: main */
};

static void another_tools_file_is_understood(void **state)
{
	struct dp_profile *profile = NULL;
	(void)state;
	assert_int_equal(dp_pprof_decode(foreign, sizeof foreign, &profile), 0);
	assert_int_equal(profile->kind, DP_PROFILE_OTHER);
	assert_string_equal(profile->types.at[1].type, "main"); /* the main one last */
	assert_string_equal(profile->types.at[0].type, "other");
	assert_int_equal(profile->samples.at[0].values[1], 40);
	assert_int_equal(profile->samples.at[0].values[0], 2);
	const struct dp_location *found = &profile->locations.at[profile->samples.at[0].locations[0]];
	assert_int_equal(
		found->address, 0x1010 - 0x1000 + 0x100); /* run-time address to offset in the object */
	assert_string_equal(profile->mappings.at[found->mapping].path, "/x");
	assert_string_equal(profile->functions.at[found->lines[0].function].name, "fn");
	dp_profile_free(profile);
}

static void nonsense_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "x", "deepprof", "\x1f\x8b", "\x1f\x8b\x08", "\x0a\x04\x08\x01\x10\x02"};
	struct dp_profile *profile = NULL;
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(dp_pprof_decode(bad[i], strlen(bad[i]), &profile), -EBADMSG);
}

static void a_file_that_unpacks_to_fifty_times_its_size_is_refused(void **state)
{
	enum { COUNT = 1 << 20, HEAD = 4 };
	struct dp_profile *profile = NULL;
	uint8_t *bytes = malloc(HEAD + 2 * COUNT);
	(void)state;
	memcpy(bytes, "\x0a\x00\x32\x00", HEAD); /* a sample type and a string: all that a profile needs */
	assert_int_equal(dp_pprof_decode(bytes, HEAD, &profile), 0);
	dp_profile_free(profile);
	for (size_t i = 0; i < COUNT; i++)
		memcpy(bytes + HEAD + 2 * i, "\x2a\x00", 2); /* an empty function */
	assert_int_equal(dp_pprof_decode(bytes, HEAD + 2 * COUNT, &profile), -EBADMSG);
	free(bytes);
}

static void gunzip_takes_one_member_up_to_a_limit(void **state)
{
	struct dp_buffer packed = {0}, plain = {0};
	char zeros[200000] = {0};
	(void)state;
	assert_int_equal(dp_gzip(zeros, sizeof zeros, &packed), 0);
	assert_int_equal(dp_gunzip(packed.bytes, packed.size, sizeof zeros, &plain), 0);
	assert_int_equal(plain.size, sizeof zeros);
	plain.size = 0;
	assert_int_equal(dp_gunzip(packed.bytes, packed.size, sizeof zeros - 1, &plain), -EFBIG);
	plain.size = 0;
	assert_int_equal(dp_gunzip(packed.bytes, packed.size - 1, sizeof zeros, &plain), -EBADMSG);
	plain.size = 0;
	const size_t once = packed.size;
	assert_int_equal(dp_gzip(zeros, 10, &packed), 0);
	assert_true(packed.size > once);
	assert_int_equal(dp_gunzip(packed.bytes, packed.size, 1 << 20, &plain), -EBADMSG);
	dp_buffer_fini(&packed);
	dp_buffer_fini(&plain);
}

static void a_bad_name_asked_for_again_costs_nothing(void **state)
{
	struct dp_profile *profile = cpu_profile(0);
	(void)state;
	const char *first = dp_profile_text(profile, "caf\xe9");
	const size_t used = profile->arena.used_bytes;
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(dp_profile_text(profile, "caf\xe9"), first);
	assert_int_equal(profile->arena.used_bytes, used);
	dp_profile_free(profile);
}

static void a_sample_with_many_labels_is_kept(void **state)
{
	struct dp_label labels[40];
	char keys[40][8];
	struct dp_profile *profile = cpu_profile(0);
	const int32_t at = location(profile, "f");
	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(keys[i], sizeof keys[i], "k%02d", 39 - i);
		labels[i] = (struct dp_label){.key = keys[i], .text = "v", .unit = ""};
	}
	const struct dp_profile_sample sample = {&at, 1, 40, labels, {1, 10000000}};
	assert_int_equal(dp_profile_sample(profile, &sample), 0);
	assert_int_equal(sum(profile, 1), 10000000);
	assert_int_equal(profile->samples.at[0].label_count, 40);
	assert_string_equal(profile->samples.at[0].labels[0].key, "k00");
	dp_profile_free(profile);
}

static void sums_stay_at_the_edge(void **state)
{
	struct dp_profile *profile = cpu_profile(0);
	const int32_t at = location(profile, "f");
	const struct dp_profile_sample sample = {&at, 1, 0, NULL, {1, INT64_MAX - 1}};
	(void)state;
	dp_profile_sample(profile, &sample);
	dp_profile_sample(profile, &sample);
	assert_true(profile->samples.at[0].values[1] == INT64_MAX);
	dp_profile_free(profile);
}

static void what_a_mapping_can_name_adds_up(void **state)
{
	struct dp_profile *profile = cpu_profile(0);
	(void)state;
	const int index = dp_profile_mapping(profile, &(struct dp_mapping){"/x", "ab", .has_files = true});
	assert_int_equal(
		dp_profile_mapping(profile, &(struct dp_mapping){"/x", "ab", .has_functions = true}), index);
	assert_true(profile->mappings.at[index].has_functions && profile->mappings.at[index].has_files);
	dp_profile_free(profile);
}

static void a_profile_with_room_has_no_overflow(void **state)
{
	struct dp_profile *profile = cpu_profile(0);
	(void)state;
	assert_int_equal(profile->functions.count + profile->locations.count + profile->samples.count, 0);
	dp_profile_free(profile);
}

static void merging_into_a_full_profile_keeps_stacks_whole_and_the_weight(void **state)
{
	struct dp_profile *into = cpu_profile(24 * 1024), *from = cpu_profile(0);
	char name[32];
	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof name, "function_%d", i);
		const int32_t stack[] = {location(from, name), location(from, "root")};
		dp_profile_sample(from, &(struct dp_profile_sample){stack, 2, 0, NULL, {1, 10}});
	}
	assert_int_equal(dp_profile_merge(into, from), 0);
	assert_int_equal(sum(into, 0), 5000);
	assert_int_equal(sum(into, 1), 50000);
	assert_true(into->arena.used_bytes <= 24 * 1024);
	const uint64_t lost = into->losses[DP_DROP_TABLE_FULL].count;
	assert_true(lost > 0 && lost < 5000);
	assert_int_equal(into->samples.count, 5000 - lost + 1);
	int overflowed = 0;
	for (uint32_t i = 0; i < into->samples.count; i++) {
		const struct dp_profile_sample *sample = &into->samples.at[i];
		if (sample->location_count == 1) {
			overflowed++;
			assert_int_equal(sample->values[0], lost);
			const struct dp_location *at = &into->locations.at[sample->locations[0]];
			assert_string_equal(into->functions.at[at->lines[0].function].name, "[overflow]");
		} else {
			assert_int_equal(sample->location_count, 2);
			const struct dp_location *at = &into->locations.at[sample->locations[1]];
			assert_string_equal(into->functions.at[at->lines[0].function].name, "root");
		}
	}
	assert_int_equal(overflowed, 1);
	dp_profile_free(into);
	dp_profile_free(from);
}

static void a_full_profile_still_learns_who_it_is(void **state)
{
	struct dp_profile *profile = cpu_profile(8 * 1024);
	char name[32];
	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "filler %d", i);
		dp_profile_text(profile, name);
	}
	assert_null(dp_profile_text(profile, "one more"));
	assert_int_equal(dp_profile_add_identity(profile, "service_name", "shop"), 0);
	assert_int_equal(dp_profile_add_comment(profile, "pid=7"), 0);
	assert_null(dp_profile_text(profile, "and another"));
	dp_profile_free(profile);
}

static void merged_rates_share_a_period(void **state)
{
	struct dp_profile *slow = cpu_profile(0), *fast = cpu_profile(0);
	struct dp_buffer out = {0};
	(void)state;
	fast->period = 4000000;
	const int32_t a = location(slow, "slow"), b = location(fast, "fast");
	dp_profile_sample(slow, &(struct dp_profile_sample){&a, 1, 0, NULL, {3, 30000000}});
	dp_profile_sample(fast, &(struct dp_profile_sample){&b, 1, 0, NULL, {1, 4000000}});
	assert_int_equal(dp_profile_merge(slow, fast), 0);
	assert_int_equal(slow->period, 2000000);
	assert_int_equal(dp_collapsed_encode(slow, &out), 0);
	assert_int_equal(dp_buffer_append(&out, "", 1), 0);
	assert_string_equal((char *)out.bytes, "fast 2\nslow 15\n");
	dp_buffer_fini(&out);
	dp_profile_free(slow);
	dp_profile_free(fast);
}

static void a_long_identity_is_never_cut(void **state)
{
	struct dp_profile *profile = cpu_profile(0), *back = NULL;
	struct dp_buffer bytes = {0};
	char *value = malloc(9001);
	(void)state;
	for (int i = 0; i < 3000; i++)
		memcpy(value + 3 * i, "\xe2\x82\xac", 3);
	value[9000] = 0;
	dp_profile_add_identity(profile, "service_name", value);
	assert_int_equal(dp_pprof_encode(profile, &bytes), 0);
	assert_int_equal(dp_pprof_decode(bytes.bytes, bytes.size, &back), 0);
	assert_string_equal(back->identity.at[0].value, value);
	free(value);
	dp_buffer_fini(&bytes);
	dp_profile_free(profile);
	dp_profile_free(back);
}

static void a_report_gives_a_terminal_no_orders(void **state)
{
	struct dp_profile *profile = cpu_profile(0);
	struct dp_buffer out = {0};
	(void)state;
	const int32_t at = location(profile, "evil\x1b[31m\xc2\x9bname\n\xc3\xa9");
	dp_profile_sample(profile, &(struct dp_profile_sample){&at, 1, 0, NULL, {1, 10000000}});
	assert_int_equal(dp_top_encode(profile, NULL, 10, &out), 0);
	assert_int_equal(dp_tree_encode(profile, NULL, &out), 0);
	assert_int_equal(dp_buffer_append(&out, "", 1), 0);
	assert_null(strchr((char *)out.bytes, 0x1b));
	assert_null(strstr((char *)out.bytes, "\xc2\x9b"));
	assert_non_null(strstr((char *)out.bytes, "evil?[31m??name?\xc3\xa9"));
	dp_buffer_fini(&out);
	dp_profile_free(profile);
}

static void a_file_is_written_whole_and_never_over_a_device(void **state)
{
	char folder[] = "/tmp/deepprof-test-XXXXXX", path[64], link[64];
	struct stat known;
	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/x.html", folder);
	snprintf(link, sizeof link, "%s/null.html", folder);
	const mode_t old = umask(027);
	assert_int_equal(dp_output_write_bytes(path, "one", 3), 0);
	assert_int_equal(dp_output_write_bytes(path, "second", 6), 0);
	umask(old);
	assert_int_equal(stat(path, &known), 0);
	assert_int_equal(known.st_size, 6);
	assert_int_equal(known.st_mode & 07777, 0640);
	assert_int_equal(mkfifo(link, 0600), 0);
	assert_int_equal(dp_output_write_bytes(link, "x", 1), -EINVAL);
	assert_int_equal(lstat(link, &known), 0);
	assert_true(S_ISFIFO(known.st_mode));
	assert_int_equal(dp_output_write_bytes(folder, "x", 1), -EISDIR);
	unlink(link);
	unlink(path);
	assert_int_equal(rmdir(folder), 0); /* no temporary file is left */
	assert_int_equal(dp_output_write_bytes("/nonexistent/x.html", "x", 1), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_profile_comes_back_whole),
		cmocka_unit_test(another_tools_file_is_understood),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_file_that_unpacks_to_fifty_times_its_size_is_refused),
		cmocka_unit_test(gunzip_takes_one_member_up_to_a_limit),
		cmocka_unit_test(a_bad_name_asked_for_again_costs_nothing),
		cmocka_unit_test(a_sample_with_many_labels_is_kept),
		cmocka_unit_test(sums_stay_at_the_edge),
		cmocka_unit_test(what_a_mapping_can_name_adds_up),
		cmocka_unit_test(a_profile_with_room_has_no_overflow),
		cmocka_unit_test(merging_into_a_full_profile_keeps_stacks_whole_and_the_weight),
		cmocka_unit_test(a_full_profile_still_learns_who_it_is),
		cmocka_unit_test(merged_rates_share_a_period),
		cmocka_unit_test(a_long_identity_is_never_cut),
		cmocka_unit_test(a_report_gives_a_terminal_no_orders),
		cmocka_unit_test(a_file_is_written_whole_and_never_over_a_device),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
