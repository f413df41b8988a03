/* SPDX-License-Identifier: Apache-2.0
 * The second thread: jobs in order, deliveries in between. */
#include "agent/agent.h"

#include "agent/deliver.h"
#include "agent/objects.h"
#include "agent/work.h"
#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MOST = 65, QUIT_FLUSH_MS = 3000, ANSWER_FLUSH_MS = 3000, LATER_MS = 1000, LATER_BYTES = 64 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct dp_job *first, **last = &first;
static size_t backlog;
static bool is_working;
static uint64_t later_since_ms; /* since when a job waits that woke nobody; 0: none */
static int wake_fd = -1;
static pthread_t thread;
static bool has_thread;
static _Atomic uint64_t all_samples, all_cpu_ns, all_losses;
static _Atomic bool is_delivering;
static bool is_in_host; /* malloc there is not ours to tune */

struct dp_job *dp_job_new(enum dp_job_kind kind, struct dp_process *process, size_t size)
{
	struct dp_job *job = malloc(sizeof *job + size);
	if (!job)
		return NULL;
	*job = (struct dp_job){.kind = kind, .process = process, .socket = -1, .size = size};
	return job;
}

size_t dp_hands_backlog(void)
{
	pthread_mutex_lock(&lock);
	const size_t bytes = backlog;
	pthread_mutex_unlock(&lock);
	return bytes;
}

void dp_hands_progress(uint64_t *samples, uint64_t *cpu_ns, uint64_t *losses)
{
	*samples = dp_load_relaxed(&all_samples);
	*cpu_ns = dp_load_relaxed(&all_cpu_ns);
	*losses = dp_load_relaxed(&all_losses);
}

bool dp_hands_are_idle(void)
{
	pthread_mutex_lock(&lock);
	const bool is_idle = !first && !is_working;
	pthread_mutex_unlock(&lock);
	return is_idle && !dp_load_relaxed(&is_delivering);
}

static void answer(int socket)
{
	static const char done = 1;
	if (send(socket, &done, sizeof done, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		dp_debug("answer: %s", strerror(errno));
	close(socket);
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void close_window(struct dp_process *process)
{
	if (dp_work_rest(monotonic_ms()) && !is_in_host)
		malloc_trim(0);
	dp_deliver_window(process, dp_work_close_window(process));
	if (dp_objects_rest(monotonic_ms()) && !is_in_host)
		malloc_trim(0);
}

static void end(struct dp_process *process, const struct dp_job *job)
{
	if (!job->is_void) {
		dp_work_take_account(process, job);
		process->work->is_over = true;
		close_window(process);
		dp_deliver_end(process);
	}
	dp_work_fini(process);
	pthread_mutex_destroy(&process->lock);
	free(process->waiting);
	free(process->settings);
	free(process);
}

static void take_records(struct dp_process *process, const struct dp_job *job)
{
	const uint64_t samples = process->work->samples, weight_ns = process->work->weight_ns;
	dp_work_take_records(process, job);
	dp_add_relaxed(&all_samples, process->work->samples - samples);
	dp_add_relaxed(&all_cpu_ns, process->work->weight_ns - weight_ns);
}

/* False: the last job. */
static bool do_job(struct dp_job *job)
{
	struct dp_process *process = job->process;
	bool goes_on = true;
	switch (job->kind) {
	case DP_JOB_GREET:
		if (dp_work_init(process) != 0)
			dp_error("no memory for host %d", process->pid);
		break;
	case DP_JOB_MODULES:
		if (process->work)
			dp_work_take_modules(process, job);
		break;
	case DP_JOB_LABELS:
		if (process->work)
			process->work->own_losses[DP_DROP_BAD_RECORD].count +=
			        dp_labels_take_log(&process->work->labels, job->bytes, job->size);
		break;
	case DP_JOB_RECORDS:
		if (process->work)
			take_records(process, job);
		break;
	case DP_JOB_WINDOW:
		if (process->work) {
			dp_work_take_account(process, job);
			close_window(process);
		}
		break;
	case DP_JOB_FLUSH:
		if (process->work) {
			close_window(process);
			dp_deliver_end(process);
		}
		break;
	case DP_JOB_END:
		if (process->work)
			end(process, job);
		break;
	case DP_JOB_ANSWER:
		dp_deliver_flush(ANSWER_FLUSH_MS);
		answer(job->socket);
		break;
	case DP_JOB_FINISH:
		dp_deliver_flush(ANSWER_FLUSH_MS);
		if (dp_deliver_run() != 0)
			dp_error("the run's profile could not be written");
		answer(job->socket);
		break;
	case DP_JOB_QUIT:
		dp_deliver_flush(QUIT_FLUSH_MS);
		dp_deliver_fini();
		goes_on = false;
		break;
	}
	free(job);
	return goes_on;
}

static struct dp_job *take_job(void)
{
	pthread_mutex_lock(&lock);
	struct dp_job *job = first;
	is_working = job != NULL;
	if (job) {
		first = job->next;
		if (!first) {
			last = &first;
			later_since_ms = 0;
		}
		backlog -= sizeof *job + job->size;
	}
	pthread_mutex_unlock(&lock);
	return job;
}

static void wait_for_work(void)
{
	struct pollfd fds[FDS_MOST] = {{wake_fd, POLLIN, 0}};
	int timeout_ms = -1;
	uint64_t count;
	const unsigned others = dp_deliver_poll(fds + 1, FDS_MOST - 1, &timeout_ms);
	dp_store_relaxed(&is_delivering, dp_deliver_is_busy());
	poll(fds, 1 + others, timeout_ms);
	if (fds[0].revents && read(wake_fd, &count, sizeof count) < 0)
		dp_debug("wake: %s", strerror(errno));
	dp_deliver_work();
	dp_store_relaxed(&is_delivering, dp_deliver_is_busy());
}

static void *work(void *unused)
{
	(void)unused;
	for (;;) {
		struct dp_job *job = take_job();
		if (!job)
			wait_for_work();
		else if (!do_job(job))
			return NULL;
	}
}

static void append(struct dp_job *job)
{
	job->next = NULL;
	*last = job;
	last = &job->next;
	backlog += sizeof *job + job->size;
}

static void wake(void)
{
	const uint64_t one = 1;
	if (write(wake_fd, &one, sizeof one) < 0)
		dp_debug("wake: %s", strerror(errno));
}

void dp_hands_give(struct dp_job *job)
{
	if (!has_thread) {
		do_job(job);
		return;
	}
	pthread_mutex_lock(&lock);
	append(job);
	later_since_ms = 0;
	pthread_mutex_unlock(&lock);
	wake();
}

static bool is_late(uint64_t now_ms)
{
	return later_since_ms && (backlog >= LATER_BYTES || now_ms - later_since_ms >= LATER_MS);
}

void dp_hands_give_later(struct dp_job *job, uint64_t now_ms)
{
	if (!has_thread) {
		do_job(job);
		return;
	}
	pthread_mutex_lock(&lock);
	append(job);
	if (!later_since_ms)
		later_since_ms = now_ms;
	pthread_mutex_unlock(&lock);
	dp_hands_nudge(now_ms);
}

void dp_hands_nudge(uint64_t now_ms)
{
	pthread_mutex_lock(&lock);
	const bool is_due = is_late(now_ms);
	if (is_due)
		later_since_ms = 0;
	pthread_mutex_unlock(&lock);
	if (is_due)
		wake();
}

int dp_hands_start(const struct dp_agent_options *options, bool own_thread)
{
	dp_deliver_init(options);
	is_in_host = options->is_thread;
	if (!own_thread)
		return 0;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	const int error = pthread_create(&thread, NULL, work, NULL);
	has_thread = !error;
	return -error;
}

void dp_hands_stop(void)
{
	struct dp_job *job = dp_job_new(DP_JOB_QUIT, NULL, 0);
	if (job)
		dp_hands_give(job);
	if (has_thread && job)
		pthread_join(thread, NULL);
}
