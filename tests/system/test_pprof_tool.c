/* SPDX-License-Identifier: Apache-2.0
 * What `go tool pprof` reads in our files: an independent reader that refuses what is not valid. */
#include "base/profile.h"
#include "export/export.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { SKIPPED = 77 };

static const char *go;
static char folder[] = "/tmp/deepprof-pprof-XXXXXX";

/* Everything the command says, stderr too; the caller frees it. */
static char *output_of(const char *arguments, const char *file)
{
	char command[512], chunk[4096];
	struct dp_buffer text = {0};
	snprintf(command, sizeof command, "PPROF_TMPDIR=%s %s tool pprof %s %s/%s 2>&1", folder, go, arguments,
		folder, file);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	for (size_t got; (got = fread(chunk, 1, sizeof chunk, pipe)) > 0;)
		assert_int_equal(dp_buffer_append(&text, chunk, got), 0);
	const int status = pclose(pipe);
	assert_int_equal(dp_buffer_append(&text, "", 1), 0);
	if (status)
		print_error("%s: status %d\n%s\n", command, status, (char *)text.bytes);
	assert_int_equal(status, 0);
	return (char *)text.bytes;
}

static void assert_says(const char *arguments, const char *file, const char *const *wanted)
{
	char *text = output_of(arguments, file);
	for (; *wanted; wanted++)
		if (!strstr(text, *wanted))
			fail_msg("pprof %s %s does not say \"%s\" but:\n%s", arguments, file, *wanted, text);
	free(text);
}

static int location(struct dp_profile *profile, const char *name, const char *file, uint64_t address)
{
	const int mapping = dp_profile_mapping(profile,
		&(struct dp_mapping){
			.path = "/nonexistent/libshop.so", .build_id = "cafe01", .has_functions = true});
	const struct dp_line line = {
		dp_profile_function(profile, &(struct dp_function){name, name, file, 10}), 12};
	return dp_profile_location(profile,
		&(struct dp_location){
			.mapping = mapping, .address = address, .lines = &line, .line_count = *name != 0});
}

static void write_profile(const char *file, int64_t leaf_samples)
{
	char path[128];
	struct dp_profile *profile = dp_profile_new(DP_PROFILE_CPU, 0);
	dp_profile_add_type(profile, "samples", "count");
	dp_profile_add_type(profile, "cpu", "nanoseconds");
	profile->period_type = (struct dp_value_type){"cpu", "nanoseconds"};
	profile->period = 10000000;
	profile->time_ns = 1795716000000000000;
	profile->duration_ns = 10000000000;
	const int32_t stack[] = {location(profile, "caf\xe9::pay<int>", "/src/pay.cc", 0x1010),
		location(profile, "", "", 0x2020), location(profile, "main", "/src/main.c", 0x3030)};
	const struct dp_label labels[] = {
		{.key = "thread", .text = "till", .unit = ""}, {.key = "tid", .number = 4711, .unit = ""}};
	dp_profile_sample(profile,
		&(struct dp_profile_sample){stack, 3, 2, labels, {leaf_samples, leaf_samples * 10000000}});
	dp_profile_sample(profile, &(struct dp_profile_sample){stack + 2, 1, 0, NULL, {1, 10000000}});
	dp_profile_add_identity(profile, "service_name", "shop");
	profile->losses[DP_DROP_RING_FULL] = (struct dp_loss){12, 120000000};
	snprintf(path, sizeof path, "%s/%s", folder, file);
	assert_int_equal(dp_output_write(path, profile), 0);
	dp_profile_free(profile);
}

static void raw_shows_every_field(void **state)
{
	(void)state;
	static const char *const wanted[] = {"PeriodType: cpu nanoseconds", "Period: 10000000",
		"Duration: 10s", "samples/count cpu/nanoseconds[dflt]", "3   30000000: 1 2 3",
		"thread:[till]", "tid:[4711]", "0x1010 M=1 caf\xef\xbf\xbd::pay<int> /src/pay.cc:12", "s=10",
		"2: 0x2020 M=1", "3: 0x3030 M=1 main /src/main.c:12",
		"1: 0x0/0xffffffffffffffff/0x0 /nonexistent/libshop.so cafe01 [FN]", NULL};
	assert_says("-raw -symbolize=none", "a.pb.gz", wanted);
}

static void top_adds_up(void **state)
{
	(void)state;
	static const char *const wanted[] = {
		"Type: cpu", "Total samples = 40ms", "30ms 75.00% 75.00%       30ms 75.00%", "main", NULL};
	static const char *const counted[] = {"Type: samples", "Total samples = 4", NULL};
	assert_says("-top -symbolize=none", "a.pb.gz", wanted);
	assert_says("-top -symbolize=none -sample_index=samples", "a.pb.gz", counted);
}

static void losses_and_identity_are_comments(void **state)
{
	(void)state;
	static const char *const wanted[] = {
		"deepprof_loss ring_full=12 weight_ns=120000000", "service_name=shop", NULL};
	assert_says("-comments", "a.pb.gz", wanted);
}

static void labels_can_be_asked_for(void **state)
{
	(void)state;
	static const char *const wanted[] = {"30ms", "focus=till", NULL};
	static const char *const tags[] = {"thread: Total 30ms of 40ms", "till", NULL};
	assert_says("-top -symbolize=none -tagfocus=till", "a.pb.gz", wanted);
	assert_says("-tags -symbolize=none", "a.pb.gz", tags);
}

static void two_of_ours_can_be_compared(void **state)
{
	char arguments[128];
	(void)state;
	static const char *const wanted[] = {"20ms", "caf\xef\xbf\xbd::pay<int>", NULL};
	snprintf(arguments, sizeof arguments, "-top -symbolize=none -diff_base=%s/a.pb.gz", folder);
	assert_says(arguments, "b.pb.gz", wanted);
}

static void what_pprof_writes_comes_back(void **state)
{
	char arguments[128], path[128];
	uint8_t bytes[65536];
	struct dp_profile *profile = NULL;
	(void)state;
	snprintf(arguments, sizeof arguments, "-proto -symbolize=none -output=%s/again.pb.gz", folder);
	free(output_of(arguments, "a.pb.gz"));
	snprintf(path, sizeof path, "%s/again.pb.gz", folder);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	const size_t size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	assert_int_equal(dp_pprof_decode(bytes, size, &profile), 0);
	int64_t sum = 0;
	for (uint32_t i = 0; i < profile->samples.count; i++)
		sum += profile->samples.at[i].values[1];
	assert_int_equal(sum, 40000000);
	assert_int_equal(profile->losses[DP_DROP_RING_FULL].weight_ns, 120000000);
	dp_profile_free(profile);
}

/* As the set-up script finds or brings it. */
static const char *find_go(void)
{
	static char path[512];
	char command[600];
	snprintf(command, sizeof command, "%s/packaging/setup-go.sh --find 2>/dev/null", getenv("DEEPPROF_SOURCE"));
	FILE *pipe = popen(command, "r");
	if (!pipe)
		return NULL;
	const bool is_found = fgets(path, sizeof path, pipe) != NULL;
	path[strcspn(path, "\n")] = 0;
	return pclose(pipe) == 0 && is_found ? path : NULL;
}

int main(void)
{
	char remove[128];
	go = find_go();
	if (!go) {
		puts("skipped: there is no go, so no `go tool pprof`");
		return SKIPPED;
	}
	if (!mkdtemp(folder))
		return 1;
	write_profile("a.pb.gz", 3);
	write_profile("b.pb.gz", 5);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raw_shows_every_field),
		cmocka_unit_test(top_adds_up),
		cmocka_unit_test(losses_and_identity_are_comments),
		cmocka_unit_test(labels_can_be_asked_for),
		cmocka_unit_test(two_of_ours_can_be_compared),
		cmocka_unit_test(what_pprof_writes_comes_back),
	};
	const int failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(remove, sizeof remove, "chmod -R u+w %s; rm -rf %s", folder, folder);
	return system(remove) != 0 || failed;
}
