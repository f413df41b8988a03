/* SPDX-License-Identifier: Apache-2.0
 * One queue per distinct server setting, shared by all hosts that have it. */
#include "agent/deliver.h"

#include "agent/work.h"
#include "base/log.h"
#include "export/export.h"
#include "export/push.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PUSHES_MOST = 64 };

static struct target {
	struct dp_settings *settings; /* a copy: what the queue was made of */
	struct dp_push *push;         /* NULL: the setting was bad, said once */
	struct dp_push_stats told;    /* losses that are in a profile already */
} targets[PUSHES_MOST];
static unsigned target_count;
static const struct dp_agent_options *options;
static struct dp_profile *run;

void dp_deliver_init(const struct dp_agent_options *agent_options)
{
	options = agent_options;
}

bool dp_deliver_is_merged(void)
{
	return options->run_output != NULL;
}

/* ---- servers ---- */

static bool is_same_target(const struct dp_settings *one, const struct dp_settings *other)
{
	return !strcmp(one->server, other->server) && !memcmp(one->auth, other->auth, sizeof one->auth) &&
	       !strcmp(one->tenant, other->tenant) && !strcmp(one->ca, other->ca) &&
	       !strcmp(one->cert, other->cert) && !strcmp(one->key, other->key) &&
	       !strcmp(one->http_proxy, other->http_proxy) && !strcmp(one->https_proxy, other->https_proxy) &&
	       !strcmp(one->no_proxy, other->no_proxy);
}

/* A list of texts, ended by an empty one, as lines of one. */
static void join_lines(const char *list, char *text)
{
	*text = 0;
	for (; *list; list += strlen(list) + 1) {
		text = stpcpy(text, list);
		if (list[strlen(list) + 1])
			text = stpcpy(text, "\n");
	}
}

static struct target *target_of(const struct dp_process *process)
{
	const struct dp_settings *settings = process->settings;
	for (unsigned i = 0; i < target_count; i++)
		if (is_same_target(targets[i].settings, settings))
			return &targets[i];
	if (target_count == PUSHES_MOST)
		return NULL;
	struct target *target = &targets[target_count];
	target->settings = malloc(sizeof *settings);
	if (!target->settings)
		return NULL;
	*target->settings = *settings;
	char auth[sizeof settings->auth];
	join_lines(settings->auth, auth);
	const struct dp_push_options push_options = {
	        .server = target->settings->server,
	        .auth = auth,
	        .tenant = target->settings->tenant,
	        .ca = target->settings->ca,
	        .cert = target->settings->cert,
	        .key = target->settings->key,
	        .http_proxy = target->settings->http_proxy,
	        .https_proxy = target->settings->https_proxy,
	        .no_proxy = target->settings->no_proxy,
	};
	const char *message = NULL;
	target->push = dp_push_new(&push_options, &message);
	if (!target->push)
		dp_error("%s", message ? message : "server: no memory");
	target_count++;
	return target;
}

/* What earlier windows lost on their way to these servers travels with this one. */
static void add_upload_losses(struct target *target, struct dp_profile *profile)
{
	struct dp_push_stats now;
	dp_push_stats(target->push, &now);
	profile->losses[DP_DROP_UPLOAD_FAILED].count += now.upload_failed - target->told.upload_failed;
	profile->losses[DP_DROP_UPLOAD_FAILED].weight_ns += now.upload_failed_ns - target->told.upload_failed_ns;
	profile->losses[DP_DROP_QUEUE_FULL].count += now.queue_full - target->told.queue_full;
	profile->losses[DP_DROP_QUEUE_FULL].weight_ns += now.queue_full_ns - target->told.queue_full_ns;
	target->told = now;
}

static void send_window(struct dp_process *process, struct dp_profile *profile)
{
	struct target *target = target_of(process);
	if (!target || !target->push) {
		process->work->own_losses[DP_DROP_UPLOAD_FAILED].count++;
		return;
	}
	add_upload_losses(target, profile);
	const int error = dp_push_profile(target->push, profile);
	if (error && error != -ENOSPC) /* that is in the queue's own figures */
		process->work->own_losses[DP_DROP_UPLOAD_FAILED].count++;
}

/* ---- files ---- */

static bool wants_file(const struct dp_process *process)
{
	return *process->settings->output || !dp_settings_is_configured(process->settings);
}

/* A pattern with a start time in it is one file a window; otherwise one file a life. */
static bool is_file_per_window(const struct dp_process *process)
{
	return strstr(process->settings->output, "%t") != NULL;
}

bool dp_deliver_is_one_file(const struct dp_process *process)
{
	return !*process->settings->server && !options->run_output && wants_file(process) && !is_file_per_window(process);
}

/* An agent before us left while this host lived and wrote what it had: the same file, younger than the host. It
 * becomes the first part, NAME.1.pb.gz. */
static void keep_earlier_part(const struct dp_process *process, const char *path)
{
	struct stat status;
	char earlier[2700];
	const char *slash = strrchr(path, '/'), *dot = strchr(slash ? slash : path, '.');
	if (!dot || stat(path, &status) != 0 ||
	        (uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec < process->start_ns)
		return;
	for (int part = 1; part < 100; part++) {
		snprintf(earlier, sizeof earlier, "%.*s.%d%s", (int)(dot - path), path, part, dot);
		if (access(earlier, F_OK) != 0) {
			if (rename(path, earlier) != 0)
				dp_error("%s: an earlier part of it is overwritten: %s", path, strerror(errno));
			return;
		}
	}
}

static void write_file(struct dp_process *process, const char *pattern, const struct dp_profile *profile)
{
	char path[2048], full[2600];
	int error = dp_output_path(pattern, process->pid, process->name, profile->time_ns, path, sizeof path);
	if (!error) {
		if (*path == '/' || !*process->cwd)
			snprintf(full, sizeof full, "%s", path);
		else
			snprintf(full, sizeof full, "%s/%s", process->cwd, path);
		if (strstr(pattern, "%p") && !strstr(pattern, "%t") && !process->work->has_written)
			keep_earlier_part(process, full);
		error = dp_output_write(full, profile);
	}
	process->work->has_written = true;
	if (error) {
		dp_error("cannot write the profile of %s (pid %d) to %s: %s", process->name, process->pid,
		        pattern, strerror(-error));
		process->work->own_losses[DP_DROP_WRITE_FAILED].count++;
	}
}

/* In a run's merged profile a process is a label of its samples; the run is who it is about. */
static void forget_process(struct dp_profile *profile)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < profile->comments.count; i++)
		if (strncmp(profile->comments.at[i], "pid=", 4) != 0)
			profile->comments.at[kept++] = profile->comments.at[i];
	profile->comments.count = kept;
	profile->identity.count = 0;
	profile->resource.count = 0;
}

static void merge(struct dp_profile **into, struct dp_profile *profile)
{
	if (!*into) {
		*into = profile;
		return;
	}
	const int error = dp_profile_merge(*into, profile);
	if (error)
		dp_warn("merging a window: %s", strerror(-error));
	dp_profile_free(profile);
}

void dp_deliver_window(struct dp_process *process, struct dp_profile *profile)
{
	if (!profile)
		return;
	if (*process->settings->server)
		send_window(process, profile);
	if (options->run_output) {
		forget_process(profile);
		merge(&run, profile);
	} else if (wants_file(process) && is_file_per_window(process)) {
		write_file(process, process->settings->output, profile);
		dp_profile_free(profile);
	} else if (wants_file(process)) {
		merge(&process->work->total, profile);
	} else {
		dp_profile_free(profile);
	}
}

void dp_deliver_end(struct dp_process *process)
{
	const struct dp_profile *total = process->work->total;
	if (!total)
		return;
	if (*process->settings->output) {
		write_file(process, process->settings->output, total);
	} else {
		write_file(process, "deepprof-%n-%p.pb.gz", total);
		write_file(process, "deepprof-%n-%p.html", total);
	}
}

int dp_deliver_run(void)
{
	if (!run)
		run = dp_profile_new(DP_PROFILE_CPU, 0);
	if (!run)
		return -ENOMEM;
	if (!run->types.count) {
		dp_profile_add_type(run, "samples", "count");
		dp_profile_add_type(run, "cpu", "nanoseconds");
	}
	return options->run_output ? dp_output_write(options->run_output, run) : 0;
}

/* ---- the loop's part ---- */

unsigned dp_deliver_poll(struct pollfd *fds, unsigned max, int *timeout_ms)
{
	unsigned count = 0;
	for (unsigned i = 0; i < target_count; i++) {
		if (!targets[i].push)
			continue;
		const int timeout = dp_push_timeout_ms(targets[i].push);
		if (timeout >= 0 && (*timeout_ms < 0 || timeout < *timeout_ms))
			*timeout_ms = timeout;
		if (count < max)
			fds[count++] = (struct pollfd){dp_push_fd(targets[i].push), POLLIN, 0};
	}
	return count;
}

void dp_deliver_work(void)
{
	for (unsigned i = 0; i < target_count; i++)
		if (targets[i].push)
			dp_push_run(targets[i].push);
}

bool dp_deliver_is_busy(void)
{
	for (unsigned i = 0; i < target_count; i++)
		if (targets[i].push && dp_push_is_busy(targets[i].push))
			return true;
	return false;
}

void dp_deliver_flush(unsigned timeout_ms)
{
	for (unsigned i = 0; i < target_count; i++)
		if (targets[i].push && dp_push_flush(targets[i].push, timeout_ms) > 0)
			dp_warn("a server has not taken everything within %u ms; it will be tried again", timeout_ms);
}
