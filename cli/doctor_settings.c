/* SPDX-License-Identifier: Apache-2.0
 * The settings, read as the library reads them, and what they lead to: folders, servers. No secret is shown.
 */
#include "cli/doctor.h"

#include "export/push_curl.h"
#include "export/push_request.h"
#include "export/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINES_MOST = 32, ANSWER_MS = 5000, CONFIG_MOST = 16 * 1024 };

/* ---- what the parser says ---- */

struct complaints {
	unsigned count;
	char lines[LINES_MOST][400];
};

static void hear(void *context, const char *line)
{
	struct complaints *complaints = context;
	if (complaints->count < LINES_MOST)
		snprintf(complaints->lines[complaints->count++], sizeof complaints->lines[0], "%s", line);
}

/* A path of the patient's as we can open it. */
static void place(const struct dp_patient *patient, const char *path, char *placed, size_t size)
{
	if (*path == '/')
		snprintf(placed, size, "%s%s", patient->root, path);
	else
		snprintf(placed, size, "%s/%s", patient->directory, path);
}

static void read_config(
	struct dp_patient *patient, const char *path, const struct dp_settings_listener *listener)
{
	char placed[1200], *bytes;
	struct stat status;
	size_t size;
	place(patient, path, placed, sizeof placed);
	bytes = stat(placed, &status) == 0 && !S_ISREG(status.st_mode) ? NULL
								       : dp_proc_read(0, placed, &size);
	if (!bytes) {
		dp_finding(DP_LESS, "settings",
			"DEEPPROF_CONFIG names %s, which cannot be read: name a readable file or unset it",
			path);
		return;
	}
	if (size >= CONFIG_MOST) {
		dp_finding(DP_LESS, "settings",
			"DEEPPROF_CONFIG names %s, which is larger than 16 KiB and so is not read: shorten "
			"it",
			path);
		free(bytes);
		return;
	}
	dp_settings_read_file(&patient->settings, bytes, size, listener);
	free(bytes);
}

static void read_settings(struct dp_patient *patient)
{
	static struct complaints bad, unbuilt;
	const struct dp_settings_listener listener = {hear, &bad}, second_listener = {hear, &unbuilt};
	struct dp_settings *settings = &patient->settings;
	const char *config = dp_settings_config_path(patient->environment);
	if (config)
		read_config(patient, config, &listener);
	dp_settings_read_environment(settings, patient->environment, &listener);
	const bool was_enabled = dp_settings_is_enabled(settings);
	dp_settings_keep_supported(settings, &second_listener);
	const bool is_enabled = dp_settings_is_enabled(settings);
	for (unsigned i = 0; i < bad.count; i++)
		dp_finding(strstr(bad.lines[i], "unprofiled") ? DP_NOT : DP_LESS, "settings", "%s",
			bad.lines[i]);
	for (unsigned i = 0; i < unbuilt.count; i++)
		dp_finding(was_enabled && !is_enabled && !strstr(unbuilt.lines[i], "has no effect") ? DP_NOT
												    : DP_LESS,
			"settings", "%s", unbuilt.lines[i]);
	if (!settings->enabled)
		dp_finding(DP_NOT, "settings",
			"enabled is false: set DEEPPROF_ENABLED=true, or unset what switches it off");
	else if (!is_enabled && !bad.count && !unbuilt.count)
		dp_finding(
			DP_NOT, "settings", "profiles names nothing to profile: set DEEPPROF_PROFILES=cpu");
	else if (is_enabled && !bad.count && !unbuilt.count)
		dp_finding(DP_FINE, "settings", "%s",
			dp_settings_is_configured(settings)
				? "all understood"
				: "no output and no server is set: files go to the working directory");
	if (patient->is_script && !settings->children)
		dp_finding(DP_LESS, "settings",
			"children is false: of a script only its interpreter is profiled, not what it "
			"starts; set DEEPPROF_CHILDREN=true");
}

/* ---- output ---- */

static void examine_output(const struct dp_patient *patient)
{
	const struct dp_settings *settings = &patient->settings;
	char folder[1200], path[1024];
	if (!dp_settings_is_enabled(settings) || (!*settings->output && *settings->server))
		return;
	snprintf(path, sizeof path, "%s", *settings->output ? settings->output : "./deepprof-%n-%p.html");
	char *slash = strrchr(path, '/');
	if (slash)
		slash[slash == path] = 0;
	else
		strcpy(path, ".");
	if (strchr(path, '%'))
		return; /* known only when it is written */
	place(patient, path, folder, sizeof folder);
	const char *shown = strcmp(path, ".") != 0 ? path : "the working directory";
	if (access(folder, F_OK) != 0)
		dp_finding(DP_NOT, "output",
			"the folder %s: %s; make it, or name another one in DEEPPROF_OUTPUT", shown,
			strerror(errno));
	else if (access(folder, W_OK | X_OK) != 0)
		dp_finding(DP_NOT, "output",
			"nothing may be written to %s: %s; name another place in DEEPPROF_OUTPUT", shown,
			strerror(errno));
	else
		dp_finding(DP_FINE, "output", "%s may be written to", shown);
}

/* ---- spool ---- */

static void tell_waiting(const char *shown, const struct dp_spool_survey *waiting)
{
	char since[32];
	const int64_t minutes = waiting->oldest_s / 60;
	if (minutes < 120)
		snprintf(since, sizeof since, "%lld min", (long long)minutes);
	else
		snprintf(since, sizeof since, "%lld h", (long long)(minutes / 60));
	if (waiting->count)
		dp_finding(DP_FINE, "spool",
			"%s may be written to; %llu profile%s of %.1f KiB waiting, for up to %s: the next process of the same service and "
			"server sends what waits", shown, (unsigned long long)waiting->count, waiting->count > 1 ? "s" : "",
			(double)waiting->bytes / 1024, since);
	else
		dp_finding(DP_FINE, "spool", "%s may be written to; nothing waits there", shown);
}

static void examine_spool(const struct dp_patient *patient)
{
	const char *shown = patient->settings.spool;
	char folder[1200];
	struct dp_spool_survey waiting;
	struct stat status;
	if (!dp_settings_is_enabled(&patient->settings) || !*shown)
		return;
	if (!*patient->settings.server) {
		dp_finding(DP_LESS, "spool", "%s is of no use without a server: set DEEPPROF_SERVER, or unset DEEPPROF_SPOOL", shown);
		return;
	}
	place(patient, shown, folder, sizeof folder);
	const bool is_there = stat(folder, &status) == 0;
	if (!is_there && errno == ENOENT) { /* the last folder of the path is made */
		char *slash = strrchr(folder, '/');
		*slash = 0;
		if (access(*folder ? folder : "/", W_OK | X_OK) == 0)
			dp_finding(DP_FINE, "spool", "%s will be made", shown);
		else
			dp_finding(DP_LESS, "spool", "%s cannot be made: %s; what cannot be sent is lost: name another folder in DEEPPROF_SPOOL",
				shown, strerror(errno));
		return;
	}
	const int error = is_there && !S_ISDIR(status.st_mode)            ? -ENOTDIR
		    : access(folder, R_OK | W_OK | X_OK) != 0 ? -errno
							      : dp_spool_survey(folder, &waiting);
	if (error)
		dp_finding(DP_LESS, "spool", "%s: %s; what cannot be sent is lost: name a folder that can be read and written in "
			"DEEPPROF_SPOOL", shown, strerror(-error));
	else
		tell_waiting(shown, &waiting);
}

/* ---- servers ---- */

struct answer {
	bool is_there;
	enum dp_http_outcome outcome;
	enum dp_verdict verdict;
	long status;
	char text[160];
};

struct question {
	const struct dp_server_address *address;
	const struct dp_push_options *options;
	struct answer answer;
};

static void on_answer(void *context, const struct dp_http_answer *got)
{
	struct question *question = context;
	struct answer *answer = &question->answer;
	const char *text = got->outcome == DP_HTTP_ANSWERED ? got->body : got->error;
	answer->is_there = true;
	answer->outcome = got->outcome;
	answer->status = got->status;
	if (got->outcome == DP_HTTP_ANSWERED)
		answer->verdict = question->address->kind->judge(got);
	if (!dp_server_address_is_secret(question->options, text))
		snprintf(answer->text, sizeof answer->text, "%s", text);
	/* "Invalid argument", in the words of Connect or of gRPC: such a server refuses a request because no
	 * profile is in it, and only after it has accepted who asks. */
	if (got->outcome == DP_HTTP_ANSWERED && got->status == 400 &&
		(strstr(got->body, "\"code\":\"invalid_argument\"") || strstr(got->body, "\"code\":3")))
		answer->verdict = DP_DELIVERED;
	/* Datadog's agent passes all on to its intake, which wants an event. */
	if (got->outcome == DP_HTTP_ANSWERED && got->status == 400 && question->address->kind == &dp_datadog)
		answer->verdict = DP_DELIVERED;
}

static void ask(struct dp_http *http, struct question *question)
{
	struct dp_buffer empty = {0}; /* as this kind of server wants it */
	if (question->address->kind->content_encoding && dp_gzip("", 0, &empty) != 0)
		return;
	const struct dp_http_post post = {
		.url = question->address->url,
		.socket = question->address->socket,
		.headers = (const char *const *)question->address->headers,
		.body = empty.bytes ? (const char *)empty.bytes : "",
		.size = empty.size,
		.done = on_answer,
		.context = question,
	};
	const char *message = NULL;
	struct dp_http_request *request = dp_http_start(http, &post, &message);
	const uint64_t end = dp_http_now_ms() + ANSWER_MS + 500;
	if (!request) {
		question->answer = (struct answer){.is_there = true, .outcome = DP_HTTP_UNREACHABLE};
		snprintf(question->answer.text, sizeof question->answer.text, "%s",
			message ? message : "no memory");
		dp_buffer_fini(&empty);
		return;
	}
	while (!question->answer.is_there && dp_http_now_ms() < end) {
		struct pollfd readable = {dp_http_fd(http), POLLIN, 0};
		poll(&readable, 1, 50);
		dp_http_run(http);
	}
	if (!question->answer.is_there)
		dp_http_cancel(request);
	dp_buffer_fini(&empty);
}

/* bad: how a server that takes nothing stands. */
static void tell_answer(const struct question *question, enum dp_standing bad)
{
	const struct answer *answer = &question->answer;
	const char *shown = question->address->shown, *title = question->address->kind->title;
	const char *colon = *answer->text ? ": " : "";
	if (!answer->is_there || answer->outcome == DP_HTTP_BROKEN)
		dp_finding(bad, "server",
			"%s takes the connection but does not answer%s%s; is it %s, and what is between?",
			shown, colon, answer->text, title);
	else if (answer->outcome == DP_HTTP_UNTRUSTED)
		dp_finding(bad, "server",
			"%s: TLS fails%s%s; if it is https at all, name its authority's PEM file in "
			"DEEPPROF_CA",
			shown, colon, answer->text);
	else if (answer->outcome == DP_HTTP_UNREACHABLE)
		dp_finding(bad, "server",
			"%s cannot be reached%s%s; is the server up, and host and port right?", shown, colon,
			answer->text);
	else if (answer->outcome == DP_HTTP_GARBAGE)
		dp_finding(bad, "server",
			"%s: what answers there is no %s%s%s; is the port right, and http or https?", shown,
			title, colon, answer->text);
	else if (answer->verdict == DP_DELIVERED)
		dp_finding(DP_FINE, "server", "%s answers as %s does", shown, title);
	else if (answer->status == 401 || answer->status == 403)
		dp_finding(bad, "server",
			"%s answers %ld%s%s; set DEEPPROF_AUTH (and DEEPPROF_TENANT) to what it asks for",
			shown, answer->status, colon, answer->text);
	else if (answer->verdict == DP_BUSY || answer->verdict == DP_LIMITED)
		dp_finding(DP_LESS, "server", "%s answers %ld%s%s; the agent will try again", shown,
			answer->status, colon, answer->text);
	else
		dp_finding(bad, "server",
			"%s answers %ld%s%s, not as %s does; is it the right server, port and path?", shown,
			answer->status, colon, answer->text, title);
}

/* A list of texts, ended by an empty one, as lines of one. */
static void join_lines(const char *list, char *text)
{
	for (*text = 0; *list; list += strlen(list) + 1) {
		text = stpcpy(text, list);
		if (list[strlen(list) + 1])
			text = stpcpy(text, "\n");
	}
}

static void examine_server(struct dp_http *http, const struct dp_push_options *options, const char *url,
	size_t size, enum dp_standing bad)
{
	struct dp_server_address address;
	const char *wrong = dp_server_address_init(&address, options, url, size);
	if (wrong) {
		dp_finding(bad, "server", "%s", wrong);
		return;
	}
	struct question question = {.address = &address, .options = options};
	ask(http, &question);
	tell_answer(&question, bad);
	dp_server_address_fini(&address);
}

static void examine_servers(const struct dp_settings *settings)
{
	char auth[sizeof settings->auth];
	const char *message = NULL;
	if (!*settings->server)
		return;
	if (!dp_curl_load(&message)) {
		dp_finding(DP_NOT, "server", "%s", message);
		return;
	}
	join_lines(settings->auth, auth);
	const struct dp_push_options options = {.server = settings->server,
		.auth = auth,
		.tenant = settings->tenant,
		.ca = settings->ca,
		.cert = settings->cert,
		.key = settings->key,
		.http_proxy = settings->http_proxy,
		.https_proxy = settings->https_proxy,
		.no_proxy = settings->no_proxy};
	const struct dp_http_options http_options = {.ca = settings->ca,
		.cert = settings->cert,
		.key = settings->key,
		.http_proxy = settings->http_proxy,
		.https_proxy = settings->https_proxy,
		.no_proxy = settings->no_proxy,
		.timeout_ms = ANSWER_MS};
	const char *wrong = dp_push_options_check(&options);
	struct dp_http *http = wrong ? NULL : dp_http_new(&http_options, &message);
	if (!http) {
		dp_finding(DP_NOT, "server", "%s", wrong ? wrong : message);
		return;
	}
	/* One of several ways out. */
	const enum dp_standing bad = *settings->output || strchr(settings->server, ' ') ? DP_LESS : DP_NOT;
	for (const char *url = settings->server; *url; url += strspn(url, " ")) {
		const size_t size = strcspn(url, " ");
		examine_server(http, &options, url, size, bad);
		url += size;
	}
	dp_http_free(http);
}

/* Servers are asked from here: what a process in another network name space reaches is its own. */
static bool is_same_network(pid_t pid)
{
	char mine[64], its[64];
	return !pid || !dp_proc_link(pid, "ns/net", its, sizeof its) ||
	       (dp_proc_link(0, "ns/net", mine, sizeof mine) && !strcmp(mine, its));
}

void dp_examine_settings(struct dp_patient *patient)
{
	read_settings(patient);
	examine_output(patient);
	examine_spool(patient);
	if (is_same_network(patient->pid))
		examine_servers(&patient->settings);
	else if (*patient->settings.server)
		dp_finding(DP_LESS, "server",
			"the process lives in another network name space: ask again from inside its "
			"container");
}
