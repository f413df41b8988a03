/* SPDX-License-Identifier: Apache-2.0
 * Settings: what users type becomes what they meant, and what makes no sense is said in one line. */
#include "base/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

struct heard {
	int count;
	char last[600], all[4000];
};

static void hear(void *context, const char *line)
{
	struct heard *heard = context;
	heard->count++;
	snprintf(heard->last, sizeof heard->last, "%s", line);
	strncat(heard->all, line, sizeof heard->all - strlen(heard->all) - 2);
	strcat(heard->all, "\n");
}

/* Fresh settings and an ear. */
struct fixture {
	struct dp_settings settings;
	struct heard heard;
	struct dp_settings_listener listener;
};

static struct fixture *fresh(void **state)
{
	struct fixture *f = *state;
	memset(f, 0, sizeof *f);
	f->listener = (struct dp_settings_listener){hear, &f->heard};
	dp_settings_init(&f->settings);
	return f;
}

static int set_up(void **state)
{
	*state = malloc(sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void environment(struct fixture *f, const char *a, const char *b, const char *c)
{
	char *const variables[] = {(char *)a, (char *)b, (char *)c, NULL};
	dp_settings_read_environment(&f->settings, variables, &f->listener);
}

static void file(struct fixture *f, const char *text)
{
	dp_settings_read_file(&f->settings, text, strlen(text), &f->listener);
}

static int set(struct fixture *f, const char *key, const char *value)
{
	return dp_settings_set(&f->settings, key, value, DP_FROM_OPTION, &f->listener);
}

static void defaults_are_those_of_the_manual(void **state)
{
	struct fixture *f = fresh(state);
	assert_true(f->settings.enabled && f->settings.children);
	assert_int_equal(f->settings.rate, 100);
	assert_int_equal(f->settings.profiles, DP_PROFILES_CPU);
	assert_int_equal(f->settings.alloc_interval, 524288);
	assert_int_equal(f->settings.lock_threshold_ns, 1000000);
	assert_int_equal(f->settings.window_ns, 10000000000);
	assert_int_equal(f->settings.budget_ppm, 10000);
	assert_int_equal(f->settings.agent, DP_AGENT_PROCESS);
	assert_int_equal(f->settings.verify, 0);
	assert_false(dp_settings_is_configured(&f->settings));
	assert_true(dp_settings_is_enabled(&f->settings));
}

static void the_table_s_defaults_are_the_defaults(void **state)
{
	struct fixture *f = fresh(state);
	const struct dp_settings untouched = f->settings;
	const struct dp_settings_key *keys = dp_settings_key_table();
	for (int i = 0; i < DP_SETTINGS_KEYS; i++)
		assert_int_equal(set(f, keys[i].name, keys[i].fallback), 0);
	memset(f->settings.source, 0, sizeof f->settings.source);
	assert_memory_equal(&f->settings, &untouched, sizeof untouched);
	assert_int_equal(f->heard.count, 0);
}

static void a_nearer_source_wins_in_any_order(void **state)
{
	struct fixture *f = fresh(state);
	dp_settings_read_options(&f->settings, "rate=1", &f->listener);
	environment(f, "DEEPPROF_RATE=2", "DEEPPROF_VERIFY=20", NULL);
	file(f, "rate = 3\nverify = 30\nservice = three\n");
	assert_int_equal(f->settings.rate, 1);
	assert_int_equal(f->settings.verify, 20);
	assert_string_equal(f->settings.service, "three");

	f = fresh(state);
	file(f, "rate = 3\nverify = 30\nservice = three\n");
	environment(f, "DEEPPROF_RATE=2", "DEEPPROF_VERIFY=20", NULL);
	dp_settings_read_options(&f->settings, "rate=1", &f->listener);
	assert_int_equal(f->settings.rate, 1);
	assert_int_equal(f->settings.verify, 20);
	assert_string_equal(f->settings.service, "three");
	assert_int_equal(f->heard.count, 0);
}

static void aliases_count_only_where_the_key_is_unset(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "DD_SERVICE=dd", "PYROSCOPE_APPLICATION_NAME=pyro", "DD_VERSION=2");
	assert_string_equal(f->settings.service, "pyro");
	file(f, "service = mine\nlabels = a=b\n");
	assert_string_equal(f->settings.service, "mine");
	assert_string_equal(dp_settings_next_label(&f->settings, NULL), "a=b");
	assert_null(dp_settings_next_label(&f->settings, f->settings.labels));
}

static void amounts_take_units(void **state)
{
	static const struct {
		const char *key, *value;
		uint64_t expected;
	} cases[] = {{"alloc_interval", "512k", 524288}, {"alloc_interval", "1MiB", 1048576},
		{"alloc_interval", "1.5 kb", 1536}, {"alloc_interval", "77", 77},
		{"lock_threshold", "1ms", 1000000}, {"lock_threshold", "5", 5000000},
		{"lock_threshold", "250us", 250000}, {"lock_threshold", "0.5", 500000},
		{"window", "10s", 10000000000}, {"window", "0.5", 500000000}, {"window", "1m", 60000000000},
		{"budget", "2.5", 25000}, {"budget", "0.25%", 2500}};
	struct fixture *f = fresh(state);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(set(f, cases[i].key, cases[i].value), 0);
		const uint64_t got = cases[i].key[0] == 'a'   ? f->settings.alloc_interval
				     : cases[i].key[0] == 'l' ? f->settings.lock_threshold_ns
				     : cases[i].key[0] == 'w' ? f->settings.window_ns
							      : f->settings.budget_ppm;
		if (got != cases[i].expected)
			fail_msg("%s=%s gave %llu", cases[i].key, cases[i].value, (unsigned long long)got);
	}
}

static void bad_amounts_are_named_and_change_nothing(void **state)
{
	static const char *const cases[][2] = {{"rate", "0"}, {"rate", "1001"}, {"rate", "fast"},
		{"rate", "10.5"}, {"rate", "-1"}, {"rate", "99999999999999999999999"}, {"rate", "1e2"},
		{"window", "0.01"}, {"window", "2h"}, {"window", "10 parsecs"}, {"alloc_interval", "1.5"},
		{"alloc_interval", "12q"}, {"alloc_interval", "18446744073709551615k"},
		{"lock_threshold", "."}, {"lock_threshold", "1."}, {"budget", "101"}, {"verify", "-3"},
		{"log", "loud"}};
	struct fixture *f = fresh(state);
	const struct dp_settings before = f->settings;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(set(f, cases[i][0], cases[i][1]), -EINVAL);
		assert_int_equal(f->heard.count, (int)i + 1);
		assert_non_null(strstr(f->heard.last, cases[i][0]));
		assert_non_null(strstr(f->heard.last, cases[i][1]));
		assert_non_null(strstr(f->heard.last, "ignored"));
	}
	assert_memory_equal(&f->settings, &before, sizeof before);
	assert_true(dp_settings_is_enabled(&f->settings));
}

static void a_mistyped_server_refuses_but_a_nearer_right_one_heals(void **state)
{
	struct fixture *f = fresh(state);
	file(f, "server = pyroscope.local:4040\n");
	assert_string_equal(f->settings.server, "");
	assert_false(dp_settings_is_enabled(&f->settings));
	assert_non_null(strstr(f->heard.last, "server in line 1"));
	assert_non_null(strstr(f->heard.last, "unprofiled"));
	environment(f, "DEEPPROF_SERVER=http://pyroscope.local:4040", NULL, NULL);
	assert_true(dp_settings_is_enabled(&f->settings));
	assert_true(dp_settings_is_configured(&f->settings));
}

static void each_must_refuses(void **state)
{
	static const char *const cases[][2] = {{"enabled", "flase"}, {"children", "2"}, {"agent", "thred"},
		{"output", "x.txt"}, {"output", "%q.html"}, {"output", ".html"}, {"server", "ftp://x"},
		{"server", "http://"}, {"auth", "token"}, {"auth", "header:bad name:x"},
		{"auth", "basic:user"}, {"auth", "bearer:"}, {"tenant", "a\nb"}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct fixture *f = fresh(state);
		assert_int_equal(set(f, cases[i][0], cases[i][1]), -EINVAL);
		assert_false(dp_settings_is_enabled(&f->settings));
		assert_int_equal(f->heard.count, 1);
	}
}

static void secrets_never_reach_a_message(void **state)
{
	static const char *const lines[] = {"DEEPPROF_AUTH=sesame", "DEEPPROF_SERVER=htp://me:sesame@host",
		"DEEPPROF_AUTH=header:a b:sesame", "PYROSCOPE_HTTP_HEADERS={\"A\": sesame}",
		"PYROSCOPE_AUTH_TOKEN=ses\x01"
		"ame",
		"OTEL_EXPORTER_OTLP_HEADERS=x y=sesame", "PYROSCOPE_SERVER_ADDRESS=https://",
		"DD_TRACE_AGENT_URL=unix:///sesame"};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct fixture *f = fresh(state);
		environment(f, lines[i], NULL, NULL);
		assert_int_equal(f->heard.count, 1);
		assert_null(strstr(f->heard.all, "ame"));
	}
}

static void written_without_secrets_a_setting_has_none(void **state)
{
	struct fixture *f = fresh(state);
	char flat[DP_SETTINGS_FLAT_BYTES];
	set(f, "server", "https://me:sesame@host:4040/x parca+http://u@other");
	set(f, "auth", "bearer:sesame");
	const int size = dp_settings_write(&f->settings, flat, sizeof flat, false);
	assert_true(size > 0);
	flat[size] = 0;
	assert_string_equal(flat, "server=https://host:4040/x parca+http://other\n");
}

static void an_unknown_key_is_named_with_the_nearest(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "DEEPPROF_SERVR=http://x:1", "DEEPPROF_HOME=/x", "DEEPPROF_RUN_SOCKET=7");
	assert_int_equal(f->heard.count, 1);
	assert_string_equal(f->heard.last, "unknown setting DEEPPROF_SERVR; the nearest is DEEPPROF_SERVER");
	assert_int_equal(set(f, "alloc-intervall", "1"), -ENOENT);
	assert_string_equal(f->heard.last, "unknown setting alloc-intervall; the nearest is alloc_interval");
	assert_int_equal(set(f, "quux", "1"), -ENOENT);
	assert_string_equal(f->heard.last, "unknown setting quux; `deepprof run --help` lists them");
	assert_true(dp_settings_is_enabled(&f->settings));
}

static void keys_are_known_in_every_spelling(void **state)
{
	struct fixture *f = fresh(state);
	assert_int_equal(set(f, "alloc-interval", "1"), 0);
	assert_int_equal(set(f, "ALLOC_INTERVAL", "2"), 0);
	assert_int_equal(f->settings.alloc_interval, 2);
}

static void options_are_split_at_commas(void **state)
{
	struct fixture *f = fresh(state);
	dp_settings_read_options(&f->settings,
		"rate=7, labels=a=1;b=2,profiles=cpu;wall,output=/tmp/%n.html,oops", &f->listener);
	assert_int_equal(f->settings.rate, 7);
	const char *label = dp_settings_next_label(&f->settings, NULL);
	assert_string_equal(label, "a=1");
	label = dp_settings_next_label(&f->settings, label);
	assert_string_equal(label, "b=2");
	assert_int_equal(f->settings.profiles, DP_PROFILES_CPU | DP_PROFILES_WALL);
	assert_string_equal(f->settings.output, "/tmp/%n.html");
	assert_int_equal(f->heard.count, 1);
	assert_non_null(strstr(f->heard.last, "\"oops\""));
}

static void files_have_comments_quotes_and_crlf(void **state)
{
	struct fixture *f = fresh(state);
	file(f, "# all of it\r\n\r\n  rate = 50  # per second\r\nservice = \"my # "
		"app\"\r\nserver=http://h:1/#x\n"
		"no assignment here\nrate");
	assert_int_equal(f->settings.rate, 50);
	assert_string_equal(f->settings.server, "http://h:1/#x");
	assert_int_equal(f->heard.count, 2);
	assert_non_null(strstr(f->heard.all, "line 6 "));
	assert_non_null(strstr(f->heard.all, "line 7 "));
}

static void lists_grow_within_a_source_and_start_anew_in_a_nearer_one(void **state)
{
	struct fixture *f = fresh(state);
	file(f, "server = http://a:1\nserver = parca+http://b:2   otlp+https://c\nauth = bearer:x\n");
	assert_string_equal(f->settings.server, "http://a:1 parca+http://b:2 otlp+https://c");
	environment(f, "DEEPPROF_SERVER=http://d:4", "DEEPPROF_AUTH=basic:me:pa:ss", NULL);
	assert_string_equal(f->settings.server, "http://d:4");
	const char *auth = dp_settings_next_auth(&f->settings, "parca", NULL);
	assert_string_equal(auth, "basic:me:pa:ss");
	assert_null(dp_settings_next_auth(&f->settings, "parca", auth));
}

static void credentials_of_aliases_go_to_their_own_servers_only(void **state)
{
	struct fixture *f = fresh(state);
	environment(
		f, "DD_API_KEY=k1", "PYROSCOPE_AUTH_TOKEN=k2", "OTEL_EXPORTER_OTLP_HEADERS=x-a=1%202,x-b=3");
	assert_string_equal(dp_settings_next_auth(&f->settings, "datadog", NULL), "header:DD-API-KEY:k1");
	assert_string_equal(dp_settings_next_auth(&f->settings, "pyroscope", NULL), "bearer:k2");
	const char *auth = dp_settings_next_auth(&f->settings, "otlp", NULL);
	assert_string_equal(auth, "header:x-a:1 2");
	auth = dp_settings_next_auth(&f->settings, "otlp", auth);
	assert_string_equal(auth, "header:x-b:3");
	assert_null(dp_settings_next_auth(&f->settings, "parca", NULL));
	assert_int_equal(f->heard.count, 0);
}

static void pyroscope_s_variables_mean_what_they_mean_there(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "PYROSCOPE_PROFILING_INTERVAL=10ms", "PYROSCOPE_UPLOAD_INTERVAL=15s",
		"PYROSCOPE_PROFILER_EVENT=itimer");
	environment(f, "PYROSCOPE_SERVER_ADDRESS=pyro:4040", "PYROSCOPE_PROFILER_ALLOC=1m",
		"PYROSCOPE_PROFILER_LOCK=20000");
	environment(f, "PYROSCOPE_APPLICATION_NAME=shop{region=eu,zone=a}", "PYROSCOPE_AGENT_ENABLED=true",
		"PYROSCOPE_LOG_LEVEL=trace");
	environment(f, "PYROSCOPE_BASIC_AUTH_USER=me", "PYROSCOPE_BASIC_AUTH_PASSWORD=p:w",
		"PYROSCOPE_HTTP_HEADERS={\"X-One\": \"a\\\"b\", \"X-Two\":\"c\"}");
	assert_string_equal(f->heard.all, "");
	assert_int_equal(f->settings.rate, 100);
	assert_int_equal(f->settings.window_ns, 15000000000);
	assert_int_equal(f->settings.profiles, DP_PROFILES_CPU | DP_PROFILES_ALLOC | DP_PROFILES_LOCK);
	assert_string_equal(f->settings.server, "http://pyro:4040");
	assert_int_equal(f->settings.alloc_interval, 1048576);
	assert_int_equal(f->settings.lock_threshold_ns, 20000);
	assert_string_equal(f->settings.service, "shop");
	assert_string_equal(dp_settings_next_label(&f->settings, NULL), "region=eu");
	assert_int_equal(f->settings.log, DP_LOG_DEBUG);
	const char *auth = dp_settings_next_auth(&f->settings, "pyroscope", NULL);
	assert_string_equal(auth, "basic:me:p:w");
	auth = dp_settings_next_auth(&f->settings, "pyroscope", auth);
	assert_string_equal(auth, "header:X-One:a\"b");
	auth = dp_settings_next_auth(&f->settings, "pyroscope", auth);
	assert_string_equal(auth, "header:X-Two:c");
}

static void datadog_s_variables_mean_what_they_mean_there(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "DD_PROFILING_OUTPUT_PPROF=/tmp/50%/x", "DD_TAGS=team:core,service:cart,lone",
		"DD_ENV=prod");
	environment(f, "DD_PROFILING_LOCK_ENABLED=true", "DD_PROFILING_CPU_ENABLED=false",
		"DD_PROFILING_ENABLED=auto");
	environment(f, "DD_TRACE_AGENT_URL=http://dd:8126", "DD_PROFILING_UPLOAD_PERIOD=60", NULL);
	assert_string_equal(f->heard.all, "");
	assert_string_equal(f->settings.output, "/tmp/50%%/x.%p.pb.gz");
	assert_string_equal(f->settings.server, "datadog+http://dd:8126");
	assert_string_equal(f->settings.service, "cart");
	assert_int_equal(f->settings.profiles, DP_PROFILES_LOCK);
	assert_int_equal(f->settings.window_ns, 60000000000);
	const char *label = dp_settings_next_label(&f->settings, NULL);
	assert_string_equal(label, "env=prod"); /* DD_ENV stands before an env tag */
	assert_string_equal(dp_settings_next_label(&f->settings, label), "team=core");
}

static void opentelemetry_s_variables_mean_what_they_mean_there(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "OTEL_RESOURCE_ATTRIBUTES=service.name=b,host.name=h,note=a%2Cb%3Bc",
		"OTEL_SERVICE_NAME=a", "OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT=https://o:4318/v1");
	assert_string_equal(f->settings.service, "a");
	assert_string_equal(f->settings.server, "otlp+https://o:4318/v1");
	const char *label = dp_settings_next_label(&f->settings, NULL);
	assert_string_equal(label, "host.name=h");
	assert_string_equal(dp_settings_next_label(&f->settings, label), "note=a,b;c");

	f = fresh(state);
	environment(f, "OTEL_RESOURCE_ATTRIBUTES=service.name=b", NULL, NULL);
	assert_string_equal(f->settings.service, "b");
}

static void an_unreachable_alias_server_is_no_matter_beside_an_output(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "DD_TRACE_AGENT_URL=unix:///var/run/dd.sock", NULL, NULL);
	assert_false(dp_settings_is_enabled(&f->settings));
	assert_int_equal(f->heard.count, 1);
	environment(f, "DEEPPROF_OUTPUT=x.html", NULL, NULL);
	assert_true(dp_settings_is_enabled(&f->settings));
}

static void an_empty_variable_is_unset(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "DEEPPROF_RATE=", "DEEPPROF_SERVER=", "PYROSCOPE_PROFILER_ALLOC=");
	assert_int_equal(f->heard.count, 0);
	assert_int_equal(f->settings.rate, 100);
	assert_int_equal(f->settings.profiles, DP_PROFILES_CPU);
	assert_true(dp_settings_is_enabled(&f->settings));
}

static void of_two_equal_variables_the_first_counts(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "DEEPPROF_RATE=5", "DEEPPROF_RATE=6", NULL);
	assert_int_equal(f->settings.rate, 5);
	environment(f, "DEEPPROF_LABELS=a=1", "DEEPPROF_LABELS=b=1", NULL);
	assert_string_equal(f->settings.labels, "a=1");
}

static void what_is_written_reads_back_the_same(void **state)
{
	struct fixture *f = fresh(state);
	static struct dp_settings back;
	char flat[DP_SETTINGS_FLAT_BYTES], again[DP_SETTINGS_FLAT_BYTES];
	file(f, "rate=17\nwindow=1.5\nlock_threshold=3us\nalloc_interval=3k\nbudget=0.5\nverify=9\nagent="
		"thread\n"
		"log=debug\nlog_file=/tmp/l og\nchildren=no\nprofiles=cpu,heap\nservice=a=b # "
		"c\nspool=/s\nca=/1\n"
		"cert=/2\nkey=/3\ntenant=t\noutput=%n-%p.html\nserver=http://u:p@x:1 parca+http://y\n"
		"labels=one=1%2C2;two=a=b%3B%25;three=\nauth=bearer:s3\nauth=otlp+header:X-Y:z "
		"z\nenabled=off\n");
	assert_string_equal(f->heard.all, "");
	const int size = dp_settings_write(&f->settings, flat, sizeof flat, true);
	assert_true(size > 0);
	memset(&back, 0, sizeof back);
	dp_settings_init(&back);
	dp_settings_read_back(&back, flat, (size_t)size);
	memcpy(back.source, f->settings.source, sizeof back.source);
	assert_memory_equal(&back, &f->settings, sizeof back);
	assert_int_equal(dp_settings_write(&back, again, sizeof again, true), size);
	assert_memory_equal(flat, again, (size_t)size);
	assert_string_equal(dp_settings_next_label(&back, NULL), "one=1,2");
	assert_int_equal(dp_settings_write(&f->settings, flat, 40, true), -ENOSPC);
}

static void a_pod_s_variables_become_attributes_by_convention(void **state)
{
	struct fixture *f = fresh(state);
	environment(f, "KUBERNETES_SERVICE_HOST=10.0.0.1", "POD_NAME=shop-7d4", "MY_NODE_NAME=node-3");
	assert_string_equal(dp_settings_next_resource(&f->settings, NULL), "k8s.pod.name=shop-7d4");
	const char *next = dp_settings_next_resource(&f->settings, f->settings.resource);
	assert_string_equal(next, "k8s.node.name=node-3");
	assert_null(dp_settings_next_resource(&f->settings, next));
	assert_null(dp_settings_next_label(&f->settings, NULL));

	f = fresh(state); /* outside of a pod POD_NAME may be anything */
	environment(f, "POD_NAME=shop", "K8S_NAMESPACE_NAME=eu", "K8S_POD_UID=not a uid");
	assert_string_equal(dp_settings_next_resource(&f->settings, NULL), "k8s.namespace.name=eu");
	assert_null(dp_settings_next_resource(&f->settings, f->settings.resource));
	assert_int_equal(f->heard.count, 0);

	f = fresh(state); /* who says it himself is right */
	environment(f, "DEEPPROF_RESOURCE=k8s.pod.name=mine", "K8S_POD_NAME=theirs", NULL);
	assert_string_equal(dp_settings_next_resource(&f->settings, NULL), "k8s.pod.name=mine");
	assert_null(dp_settings_next_resource(&f->settings, f->settings.resource));
}

static void proxies_are_the_environment_s(void **state)
{
	struct fixture *f = fresh(state);
	char flat[DP_SETTINGS_FLAT_BYTES];
	environment(f, "http_proxy=http://me:hunter2@p:1", "HTTP_PROXY=http://q:2", "https_proxy=me:hunter2@r:3");
	environment(f, "NO_PROXY=.internal,10.0.0.0/8", NULL, NULL);
	assert_string_equal(f->settings.http_proxy, "http://me:hunter2@p:1");
	assert_string_equal(f->settings.https_proxy, "me:hunter2@r:3");
	assert_string_equal(f->settings.no_proxy, ".internal,10.0.0.0/8");
	const int size = dp_settings_write(&f->settings, flat, sizeof flat, false);
	assert_true(size > 0);
	flat[size] = 0;
	assert_non_null(strstr(flat, "http_proxy=http://p:1\n"));
	assert_non_null(strstr(flat, "https_proxy=r:3\n"));
	assert_null(strstr(flat, "hunter2"));

	f = fresh(state);
	environment(f, "HTTP_PROXY=http://q:2", "REQUEST_METHOD=GET", "ALL_PROXY=http://s:4");
	assert_string_equal(f->settings.http_proxy, "http://s:4");
	assert_string_equal(f->settings.https_proxy, "http://s:4");

	f = fresh(state); /* with nothing to send, a bad one is nobody's concern */
	environment(f, "http_proxy=http://\x01", NULL, NULL);
	assert_string_equal(f->settings.http_proxy, "");
	assert_int_equal(f->heard.count, 0);
	environment(f, "http_proxy=http://hunter2\x01", "DEEPPROF_SERVER=http://h:1", NULL);
	assert_int_equal(f->heard.count, 1);
	assert_null(strstr(f->heard.all, "hunter2"));
	assert_false(dp_settings_is_enabled(&f->settings));
}

static void the_fullest_settings_fit_the_flat_form(void **state)
{
	struct fixture *f = fresh(state);
	static char text[4096], flat[DP_SETTINGS_FLAT_BYTES];
	const struct dp_settings_key *keys = dp_settings_key_table();
	for (int i = 0; i < DP_SETTINGS_KEYS; i++) {
		const char *key = keys[i].name;
		if (keys[i].size < 100)
			continue;
		memset(text, '%', sizeof text); /* the label's worst case: three bytes for one */
		text[keys[i].size - 2] = 0;
		if (!strcmp(key, "server"))
			memcpy(text, "http://", 7);
		if (!strcmp(key, "labels") || !strcmp(key, "resource"))
			text[1] = '=';
		if (!strcmp(key, "auth"))
			memcpy(text, "bearer:", 7);
		if (!strcmp(key, "output"))
			strcpy(text + keys[i].size - 8 - keys[i].size % 2, ".html");
		assert_int_equal(set(f, key, text), 0);
	}
	assert_true(dp_settings_write(&f->settings, flat, sizeof flat, true) > 12000);
}

static void too_long_is_said_and_leaves_no_half(void **state)
{
	struct fixture *f = fresh(state);
	static char text[9000];
	memset(text, 'x', sizeof text - 1);
	assert_int_equal(set(f, "service", text), -EINVAL);
	assert_string_equal(f->settings.service, "");
	memcpy(text, "http://", 7);
	assert_int_equal(set(f, "server", text), -EINVAL);
	assert_string_equal(f->settings.server, "");
	memcpy(text, "bearer:", 7);
	assert_int_equal(set(f, "auth", text), -EINVAL);
	assert_null(dp_settings_next_auth(&f->settings, "parca", NULL));
	memcpy(text, "a=1;b=2", 7);
	text[7] = ';';
	text[8] = '=';
	assert_int_equal(set(f, "labels", "a=1"), 0);
	text[3] = ';';
	memcpy(text, "a=2;c=yyyy", 10);
	assert_int_equal(set(f, "labels", text), -EINVAL);
	assert_string_equal(f->settings.labels, "a=1");
	assert_null(dp_settings_next_label(&f->settings, f->settings.labels));
}

static void the_config_path_is_found(void **state)
{
	char *const some[] = {"A=b", "DEEPPROF_CONFIG=/etc/dp", NULL}, *const empty[] = {
									       "DEEPPROF_CONFIG=", NULL};
	(void)state;
	assert_string_equal(dp_settings_config_path(some), "/etc/dp");
	assert_null(dp_settings_config_path(empty));
	assert_null(dp_settings_config_path(some + 2));
	assert_null(dp_settings_config_path(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(the_table_s_defaults_are_the_defaults),
		cmocka_unit_test(a_nearer_source_wins_in_any_order),
		cmocka_unit_test(aliases_count_only_where_the_key_is_unset),
		cmocka_unit_test(amounts_take_units),
		cmocka_unit_test(bad_amounts_are_named_and_change_nothing),
		cmocka_unit_test(a_mistyped_server_refuses_but_a_nearer_right_one_heals),
		cmocka_unit_test(each_must_refuses),
		cmocka_unit_test(secrets_never_reach_a_message),
		cmocka_unit_test(written_without_secrets_a_setting_has_none),
		cmocka_unit_test(an_unknown_key_is_named_with_the_nearest),
		cmocka_unit_test(keys_are_known_in_every_spelling),
		cmocka_unit_test(options_are_split_at_commas),
		cmocka_unit_test(files_have_comments_quotes_and_crlf),
		cmocka_unit_test(lists_grow_within_a_source_and_start_anew_in_a_nearer_one),
		cmocka_unit_test(credentials_of_aliases_go_to_their_own_servers_only),
		cmocka_unit_test(a_pod_s_variables_become_attributes_by_convention),
		cmocka_unit_test(proxies_are_the_environment_s),
		cmocka_unit_test(pyroscope_s_variables_mean_what_they_mean_there),
		cmocka_unit_test(datadog_s_variables_mean_what_they_mean_there),
		cmocka_unit_test(opentelemetry_s_variables_mean_what_they_mean_there),
		cmocka_unit_test(an_unreachable_alias_server_is_no_matter_beside_an_output),
		cmocka_unit_test(an_empty_variable_is_unset),
		cmocka_unit_test(of_two_equal_variables_the_first_counts),
		cmocka_unit_test(what_is_written_reads_back_the_same),
		cmocka_unit_test(the_fullest_settings_fit_the_flat_form),
		cmocka_unit_test(too_long_is_said_and_leaves_no_half),
		cmocka_unit_test(the_config_path_is_found),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
