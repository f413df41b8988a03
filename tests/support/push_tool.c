/* SPDX-License-Identifier: Apache-2.0
 * Pushes a profile made by hand, for the tests of delivery: what every server should hold afterwards is
 * written down here, once.
 *
 * push_tool SERVER [option or action ...]
 *   --service NAME --identity K=V --resource K=V --label K=V --loss REASON=N --odd NS --managed N --nameless
 * N
 *   --threads N
 * --samples N --pad N --ago S --bytes N --timeout MS --age S
 *   --backoff MS --auth TEXT --tenant T --ca F --cert F --key F --proxy URL --https-proxy URL --no-proxy HOSTS
 *   --spool FOLDER --spool-bytes N --kill
 *   --leave-child     fork a child that sleeps, and print its number
 *   --push            one profile (its cpu values: fib 30 ms, memcpy 50 ms, read_file 20 ms)
 *   --work MS         serve the queue that long, as the agent's loop does
 *   --until-sent N    the same until N uploads arrived, at most 20 s; else exit 3
 *   --flush MS
 *   --signal          print "ready" and wait for a line on standard input, serving the queue
 *   --stats           print the counters as one line of JSON
 *   --rss             print the resident memory in KiB
 * They are carried out in the order given; SERVER is one argument, with spaces between several URLs. */
#include "base/frame.h"
#include "export/push.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PERIOD_NS = 10000000 };

static struct dp_push_options options = {
	.auth = "", .tenant = "", .ca = "", .cert = "", .key = "", .http_proxy = "", .https_proxy = "", .no_proxy = ""};
static struct dp_push *push;
static const char *service = "demo";
static const char *identity[64], *resource[16], *labels_more[8], *losses[8];
static unsigned identity_count, resource_count, label_count, loss_count;
static unsigned threads = 1, samples, pad, odd, managed, nameless;
static double ago;
static unsigned pushed;

static int64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void must(int is_fine, const char *what)
{
	if (is_fine)
		return;
	fprintf(stderr, "push_tool: %s\n", what);
	exit(2);
}

/* ---- the profile ---- */

static int location(struct dp_profile *profile, int mapping, const char *name, unsigned line)
{
	static const char *const known[] = {"main", "work", "fib", "copy_buf", "memcpy", "read_file"};
	uint64_t address = 0x2000;
	for (unsigned i = 0; i < 6; i++)
		if (!strcmp(known[i], name))
			address = 0x1000 + 16 * i;
	if (address == 0x2000)
		address += strtoul(name + 5, NULL, 10) * 16;
	const struct dp_function function = {.name = dp_profile_text(profile, name),
		.system_name = dp_profile_text(profile, name),
		.file = dp_profile_text(profile, "demo.c")};
	const struct dp_line at = {dp_profile_function(profile, &function), line};
	must(at.function >= 0, "no function");
	const struct dp_location added = {
		.mapping = mapping, .address = address, .lines = &at, .line_count = 1};
	const int index = dp_profile_location(profile, &added);
	must(index >= 0, "no location");
	return index;
}

static void sample(
	struct dp_profile *profile, const int32_t *stack, unsigned depth, int64_t weight, unsigned thread)
{
	char name[32];
	snprintf(name, sizeof name, "worker-%u", thread);
	struct dp_label labels[2 + 8] = {
		{.key = dp_profile_text(profile, "thread"), .text = dp_profile_text(profile, name)},
		{.key = dp_profile_text(profile, "tid"),
			.number = 1000 + thread,
			.unit = dp_profile_text(profile, "")},
	};
	for (unsigned i = 0; i < label_count; i++) {
		const char *equals = strchr(labels_more[i], '=');
		labels[2 + i].key =
			dp_profile_string(profile, labels_more[i], (size_t)(equals - labels_more[i]));
		labels[2 + i].text = dp_profile_text(profile, equals + 1);
		labels[2 + i].unit = "";
	}
	const struct dp_profile_sample one = {.locations = stack,
		.location_count = depth,
		.labels = labels,
		.label_count = 2 + label_count,
		.values = {weight, weight * PERIOD_NS + odd}};
	must(dp_profile_sample(profile, &one) >= 0, "no sample");
}

/* One function of Python, at so many places of one line. */
static void add_managed(struct dp_profile *profile, int32_t main_)
{
	const struct dp_mapping python = {.path = dp_profile_text(profile, "[python]"),
		.build_id = dp_profile_text(profile, ""),
		.has_functions = true};
	const struct dp_function function = {.name = dp_profile_text(profile, "app.view"),
		.system_name = dp_profile_text(profile, "view"),
		.file = dp_profile_text(profile, "app.py")};
	const struct dp_line line = {dp_profile_function(profile, &function), 7};
	for (unsigned i = 0; i < managed; i++) {
		const struct dp_location at = {.mapping = dp_profile_mapping(profile, &python),
			.runtime = DP_FRAME_PYTHON,
			.address = 500 + i,
			.lines = &line,
			.line_count = 1};
		const int32_t stack[] = {dp_profile_location(profile, &at), main_};
		sample(profile, stack, 2, 1, 0);
	}
}

/* So many addresses of which nothing is known. */
static void add_nameless(struct dp_profile *profile, int mapping, int32_t main_)
{
	for (unsigned i = 0; i < nameless; i++) {
		const struct dp_location at = {.mapping = mapping, .address = 0x9000 + i};
		const int32_t stack[] = {dp_profile_location(profile, &at), main_};
		sample(profile, stack, 2, 1, 0);
	}
}

/* "NAME=VALUE" of an argument, given to add(). */
static void add_pair(struct dp_profile *profile, const char *pair,
	int (*add)(struct dp_profile *profile, const char *key, const char *value))
{
	char key[4096];
	const char *equals = strchr(pair, '=');
	snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
	add(profile, key, equals + 1);
}

static int add_loss(struct dp_profile *profile, const char *reason, const char *count)
{
	for (int i = 0; i < DP_DROP_COUNT; i++)
		if (!strcmp(dp_drop_name(i), reason)) {
			profile->losses[i].count = strtoull(count, NULL, 10);
			profile->losses[i].weight_ns = profile->losses[i].count * PERIOD_NS;
			return 0;
		}
	must(0, reason);
	return 0;
}

static struct dp_profile *make_profile(void)
{
	struct dp_profile *profile = dp_profile_new(DP_PROFILE_CPU, 0);
	struct timespec now;
	must(profile != NULL, "no profile");
	clock_gettime(CLOCK_REALTIME, &now);
	profile->time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - (int64_t)(ago * 1e9);
	profile->duration_ns = INT64_C(10000000000);
	profile->period = PERIOD_NS;
	profile->period_type = (struct dp_value_type){
		dp_profile_text(profile, "cpu"), dp_profile_text(profile, "nanoseconds")};
	dp_profile_add_type(profile, "samples", "count");
	dp_profile_add_type(profile, "cpu", "nanoseconds");
	if (*service)
		dp_profile_add_identity(profile, "service_name", service);
	for (unsigned i = 0; i < identity_count; i++)
		add_pair(profile, identity[i], dp_profile_add_identity);
	for (unsigned i = 0; i < resource_count; i++)
		add_pair(profile, resource[i], dp_profile_add_resource);
	for (unsigned i = 0; i < loss_count; i++)
		add_pair(profile, losses[i], add_loss);
	const struct dp_mapping exe = {.path = dp_profile_text(profile, "/usr/bin/demo"),
		.build_id = dp_profile_text(profile, "0123456789abcdef0123456789abcdef01234567"),
		.has_functions = true,
		.has_files = true,
		.has_lines = true};
	const int mapping = dp_profile_mapping(profile, &exe);
	const int main_ = location(profile, mapping, "main", 10),
		  work = location(profile, mapping, "work", 20);
	for (unsigned thread = 0; thread < threads; thread++) {
		const int32_t fib[] = {location(profile, mapping, "fib", 30), work, main_};
		const int32_t copy[] = {location(profile, mapping, "memcpy", 50),
			location(profile, mapping, "copy_buf", 40), work, main_};
		const int32_t reading[] = {location(profile, mapping, "read_file", 60), main_};
		sample(profile, fib, 3, 3, thread);
		sample(profile, copy, 4, 5, thread);
		sample(profile, reading, 2, 2, thread);
	}
	add_managed(profile, main_);
	add_nameless(profile, mapping, main_);
	char *name = malloc(pad + 32);
	must(name != NULL, "no memory");
	for (unsigned i = 0; i < samples; i++) {
		int size = sprintf(name, "leaf_%u_", i);
		memset(name + size, 'x', pad);
		name[size + (int)pad] = 0;
		const int32_t leaf[] = {location(profile, mapping, name, 70), work, main_};
		sample(profile, leaf, 3, 1, 0);
	}
	free(name);
	return profile;
}

/* ---- actions ---- */

static void serve(int64_t until_ms, uint64_t sent, int in)
{
	struct dp_push_stats stats;
	for (int64_t now; (now = monotonic_ms()) < until_ms;) {
		dp_push_stats(push, &stats);
		if (sent && stats.sent >= sent)
			return;
		struct pollfd ready[] = {{dp_push_fd(push), POLLIN, 0}, {in, POLLIN, 0}};
		int wait = dp_push_timeout_ms(push);
		if (wait < 0 || wait > until_ms - now)
			wait = (int)(until_ms - now);
		poll(ready, 2, wait);
		dp_push_run(push);
		char line[64];
		if (in >= 0 && ready[1].revents && read(in, line, sizeof line) >= 0)
			return;
	}
	dp_push_stats(push, &stats);
	if (sent && stats.sent < sent) {
		fprintf(stderr, "push_tool: %" PRIu64 " of %" PRIu64 " uploads arrived\n", stats.sent, sent);
		exit(3);
	}
}

static void print_stats(void)
{
	struct dp_push_stats s;
	dp_push_stats(push, &s);
	printf("{\"sent\":%" PRIu64 ",\"sent_bytes\":%" PRIu64 ",\"retried\":%" PRIu64
	       ",\"queue_full\":%" PRIu64 ",\"upload_failed\":%" PRIu64 ",\"queued\":%" PRIu64
	       ",\"queued_bytes\":%" PRIu64 ",\"breaker_opened\":%" PRIu64 ",\"spooled\":%" PRIu64
	       ",\"spool_lost\":%" PRIu64 ",\"pushed\":%u}\n",
		s.sent, s.sent_bytes, s.retried, s.queue_full, s.upload_failed, s.queued, s.queued_bytes,
		s.breaker_opened, s.spooled, s.spool_lost, pushed);
	fflush(stdout);
}

static void print_rss(void)
{
	long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	must(file && fscanf(file, "%ld %ld", &size, &resident) == 2, "no /proc");
	fclose(file);
	printf("%ld\n", resident * (sysconf(_SC_PAGESIZE) / 1024));
	fflush(stdout);
}

static void ensure_push(const char *server)
{
	const char *message = NULL;
	options.server = server;
	if (!push)
		push = dp_push_new(&options, &message);
	if (push)
		return;
	printf("%s\n", message);
	exit(4);
}

static void send_profile(void)
{
	struct dp_profile *profile = make_profile();
	const int64_t start = monotonic_ms();
	const int error = dp_push_profile(push, profile);
	pushed += !error;
	must(monotonic_ms() - start < 2000, "dp_push_profile() took two seconds");
	must(!error || error == -28, "dp_push_profile() failed"); /* -ENOSPC: counted */
	dp_profile_free(profile);
}

/* 1: took an argument. */
static int act(const char *word, const char *value, const char *server)
{
	static const struct {
		const char *word;
		const char **text;
	} texts[] = {{"--service", &service}, {"--auth", &options.auth}, {"--tenant", &options.tenant},
		{"--ca", &options.ca}, {"--cert", &options.cert}, {"--key", &options.key},
		{"--proxy", &options.http_proxy}, {"--https-proxy", &options.https_proxy}, {"--no-proxy", &options.no_proxy},
		{"--spool", &options.spool}};
	const struct {
		const char *word;
		unsigned *number;
	} numbers[] = {{"--threads", &threads}, {"--samples", &samples}, {"--pad", &pad}, {"--odd", &odd},
		{"--managed", &managed}, {"--nameless", &nameless}, {"--timeout", &options.timeout_ms},
		{"--age", &options.age_most_s}, {"--backoff-most", &options.backoff_most_ms},
		{"--backoff", &options.backoff_ms}};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!strcmp(word, texts[i].word) && value)
			return *texts[i].text = value, 1;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (!strcmp(word, numbers[i].word) && value)
			return *numbers[i].number = (unsigned)strtoul(value, NULL, 10), 1;
	if (!strcmp(word, "--identity") && value && identity_count < 64)
		return identity[identity_count++] = value, 1;
	if (!strcmp(word, "--resource") && value && resource_count < 16)
		return resource[resource_count++] = value, 1;
	if (!strcmp(word, "--label") && value && label_count < 8)
		return labels_more[label_count++] = value, 1;
	if (!strcmp(word, "--loss") && value && loss_count < 8)
		return losses[loss_count++] = value, 1;
	if (!strcmp(word, "--ago") && value)
		return ago = strtod(value, NULL), 1;
	if (!strcmp(word, "--bytes") && value)
		return options.queue_bytes = strtoul(value, NULL, 10), 1;
	if (!strcmp(word, "--spool-bytes") && value)
		return options.spool_bytes = strtoul(value, NULL, 10), 1;
	if (!strcmp(word, "--rss"))
		return print_rss(), 0;
	ensure_push(server);
	if (!strcmp(word, "--leave-child")) {
		const pid_t child = fork();
		while (!child)
			pause();
		return printf("%d\n", (int)child), fflush(stdout), 0;
	}
	if (!strcmp(word, "--kill"))
		return raise(SIGKILL);
	if (!strcmp(word, "--push"))
		return send_profile(), 0;
	if (!strcmp(word, "--stats"))
		return print_stats(), 0;
	if (!strcmp(word, "--signal"))
		return puts("ready"), fflush(stdout), serve(monotonic_ms() + 60000, 0, 0), 0;
	must(value != NULL, word);
	if (!strcmp(word, "--work"))
		return serve(monotonic_ms() + strtol(value, NULL, 10), 0, -1), 1;
	if (!strcmp(word, "--until-sent"))
		return serve(monotonic_ms() + 20000, strtoul(value, NULL, 10), -1), 1;
	must(!strcmp(word, "--flush"), word);
	const int64_t start = monotonic_ms();
	const int left = dp_push_flush(push, (unsigned)strtoul(value, NULL, 10));
	printf("{\"left\":%d,\"ms\":%" PRId64 "}\n", left, monotonic_ms() - start);
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	must(argc >= 2, "usage: push_tool SERVER [option or action ...]");
	options.backoff_ms = 20; /* tests have less patience */
	options.backoff_most_ms = 400;
	for (int i = 2; i < argc; i++)
		i += act(argv[i], argv[i + 1], argv[1]);
	ensure_push(argv[1]);
	dp_push_free(push);
	return 0;
}
