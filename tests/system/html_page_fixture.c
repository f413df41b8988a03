/* SPDX-License-Identifier: Apache-2.0
 * Writes flame graph pages whose numbers html_page.sh knows: html_page_fixture
 * plain|compare|hostile|large|empty. */
#include "export/export.h"
#include "base/frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FRAMES = 64 };
static const int64_t MS = 1000000;

static int32_t location(
	struct dp_profile *profile, const char *path, const char *const *names, uint32_t count)
{
	struct dp_line lines[4];
	const struct dp_mapping mapping = {
		.path = dp_profile_text(profile, path), .build_id = dp_profile_text(profile, "")};
	static uint64_t address;
	for (uint32_t i = 0; i < count; i++) {
		const char *name = dp_profile_text(profile, names[i]);
		const struct dp_function function = {
			name, name, dp_profile_text(profile, "/src/mill/mill.c"), 40 + i};
		lines[i] = (struct dp_line){dp_profile_function(profile, &function), 50 + i};
	}
	const struct dp_location one = {.mapping = dp_profile_mapping(profile, &mapping),
		.runtime = DP_FRAME_NATIVE,
		.address = count ? ++address : 0x1234,
		.lines = count ? lines : NULL,
		.line_count = count};
	return dp_profile_location(profile, &one);
}

/* stack: "object function object function", root first, "+" before a function that is inlined in the one
 * before it; "-" in place of a function: no name. */
static void add(
	struct dp_profile *profile, const char *thread, int64_t tid, int64_t ms, const char *const *stack)
{
	int32_t locations[MOST_FRAMES];
	uint32_t count = 0, length = 0;
	while (stack[length])
		length += 2;
	for (uint32_t i = length; i >= 2; i -= 2) {
		const char *names[4];
		uint32_t inlined = 0;
		for (; stack[i - 1][0] == '+'; i -= 2)
			names[inlined++] = stack[i - 1] + 1;
		const uint32_t lines = strcmp(stack[i - 1], "-") ? inlined + 1 : 0;
		names[inlined] = stack[i - 1];
		locations[count++] = location(profile, stack[i - 2], names, lines);
	}
	const struct dp_label labels[] = {{.key = dp_profile_text(profile, "thread"),
						  .text = dp_profile_text(profile, thread),
						  .unit = ""},
		{.key = dp_profile_text(profile, "tid"),
			.number = tid,
			.unit = dp_profile_text(profile, "")}};
	const struct dp_profile_sample sample = {.locations = locations,
		.location_count = count,
		.labels = labels,
		.label_count = 2,
		.values = {ms / 10, ms * MS}};
	assert(dp_profile_sample(profile, &sample) == 0);
}
#define ADD(thread, tid, ms, ...) add(profile, thread, tid, ms, (const char *const[]){__VA_ARGS__, NULL})

static struct dp_profile *new_profile(void)
{
	struct dp_profile *profile = dp_profile_new(DP_PROFILE_CPU, 0);
	assert(profile);
	dp_profile_add_type(profile, "samples", "count");
	dp_profile_add_type(profile, "cpu", "nanoseconds");
	profile->period_type = profile->types.at[1];
	profile->period = 10 * MS;
	profile->time_ns = INT64_C(1790000000) * 1000 * MS;
	profile->duration_ns = 2000 * MS;
	dp_profile_add_identity(profile, "service_name", "mill");
	return profile;
}

/* 1000 ms: 600 on main, 400 on two workers; fib calls itself. */
static struct dp_profile *plain(void)
{
	struct dp_profile *profile = new_profile();
	ADD("main", 100, 300, "/bin/mill", "main", "/bin/mill", "parse", "/bin/mill", "lex");
	ADD("main", 100, 100, "/bin/mill", "main", "/bin/mill", "parse");
	ADD("main", 100, 80, "/bin/mill", "main", "/lib/libc.so.6", "write", "[kernel]", "sys_write");
	ADD("main", 100, 120, "/bin/mill", "main", "/bin/mill", "fib", "/bin/mill", "fib", "/bin/mill",
		"fib");
	ADD("worker", 101, 250, "/bin/mill", "run", "/bin/mill", "compute", "/bin/mill", "+square");
	ADD("worker", 102, 110, "/bin/mill", "run", "/bin/mill", "compute", "/bin/mill", "+square");
	ADD("worker", 102, 30, "/bin/mill", "run", "/lib/libz.so.1", "-");
	ADD("worker", 102, 10, "/bin/mill", "[incomplete: no unwind information]");
	profile->losses[DP_DROP_RING_FULL] = (struct dp_loss){5, 50 * (uint64_t)MS};
	dp_profile_add_comment(profile, "made by hand");
	return profile;
}

/* 500 ms: parse had 20 % (now 40 %), compute 40 % (now 36 %), and nothing of it was lex. */
static struct dp_profile *before(void)
{
	struct dp_profile *profile = new_profile();
	ADD("main", 7, 100, "/bin/mill", "main", "/bin/mill", "parse");
	ADD("main", 7, 200, "/bin/mill", "main", "/bin/mill", "gone");
	ADD("worker", 8, 200, "/bin/mill", "run", "/bin/mill", "compute", "/bin/mill", "+square");
	return profile;
}

static struct dp_profile *hostile(void)
{
	struct dp_profile *profile = new_profile();
	ADD("</script><script>document.title='broken'</script>", 1, 100, "/bin/<!--",
		"</script><img src=x onerror=alert(1)>");
	ADD("quote\"'\\", 2, 200, "/bin/\"'&amp;", "a\"b'c\\d\n\te<!--<script>");
	ADD("\xe2\x80\xae"
	    "evil",
		3, 300, "/bin/\xe2\x80\xa8x",
		"x\xe2\x80\xa8y\xe2\x80\xa9z \xe2\x80\xaertl \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d");
	ADD("\xff\xfe", 4, 400, "/bin/mill", "bad\xff\xc0\x80utf");
	dp_profile_add_identity(profile, "</style>", "</script>");
	dp_profile_add_comment(profile, "--></script><script>document.title='broken'</script>");
	return profile;
}

/* About 100 000 nodes: every path of length 1 .. 5 over ten functions, each of its own weight. */
static struct dp_profile *large(void)
{
	struct dp_profile *profile = new_profile();
	char names[5][32];
	for (int i = 0; i < 100000; i++) {
		int digits = i;
		for (int j = 0; j < 5; j++, digits /= 10)
			snprintf(names[j], sizeof names[j], "level%d_function%d", j, digits % 10);
		char thread[16];
		snprintf(thread, sizeof thread, "thread%d", i % 8);
		ADD(thread, 1000 + i % 64, 1 + i % 7, "/bin/large", names[4], "/bin/large", names[3],
			"/lib/a.so", names[2], "/lib/b.so", names[1], "/lib/c.so", names[0]);
	}
	return profile;
}

int main(int count, char **arguments)
{
	assert(count == 2);
	const char *what = arguments[1];
	const char *title =
		strcmp(what, "hostile") ? "mill" : "</title><script>document.title='broken'</script>\"&'";
	struct dp_profile *base = strcmp(what, "compare") ? NULL : before();
	struct dp_profile *profile = !strcmp(what, "hostile") ? hostile()
				     : !strcmp(what, "large") ? large()
				     : !strcmp(what, "empty") ? new_profile()
							      : plain();
	struct dp_buffer page = {0};
	assert(dp_html_encode(profile, base, title, &page) == 0);
	assert(fwrite(page.bytes, 1, page.size, stdout) == page.size);
	dp_buffer_fini(&page);
	dp_profile_free(profile);
	dp_profile_free(base);
	return 0;
}
