/* SPDX-License-Identifier: Apache-2.0
 * The main thread: sockets, rings, the beginning and the end of hosts. Nothing here may take long. */
#include "agent/adopted.h"
#include "agent/agent.h"

#include "base/log.h"
#include "agent/tasks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	SWEEP_MS = 1000,
	WHOLE_SWEEP_MS = 5000,
	LAST_MS = 50,      /* for the first message of who knocked while we were leaving */
	DELIVER_MS = 5000, /* to deliver what is left when the last host is gone */
	BACKLOG_MOST = 32 * 1024 * 1024,
	PROCESSES_MOST = 4096,
};

static struct dp_process *processes;
static unsigned process_count;
static int epoll_fd = -1, listen_fd = -1;
static bool had_host, had_long_host;
static uint32_t agent_number; /* ours, in answers with tables */
static bool is_thread;        /* the host's CPU clock counts us too */
static volatile sig_atomic_t is_asked_to_leave, is_sent_away;

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void on_term(int signo)
{
	if (signo == SIGUSR1)
		is_sent_away = 1; /* the nanny: our host is another program now */
	is_asked_to_leave = 1;
}

/* ---- draining ---- */

/* The CPU clock of any process may be read, also of one that has ended and was not waited for yet (kernel:
 * include/linux/posix-timers.h, CPUCLOCK_SCHED). */
static void read_cpu_clock(struct dp_process *process)
{
	struct timespec now;
	if (clock_gettime((clockid_t)((~(uint32_t)process->pid << 3) | 2), &now) != 0)
		return;
	const uint64_t ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (ns > process->cpu_ns) /* less would be another's, who has its number now */
		process->cpu_ns = ns;
}

static void give(enum dp_job_kind kind, struct dp_process *process)
{
	struct dp_job *job = dp_job_new(kind, process, 0);
	if (job)
		dp_hands_give(job);
}

static struct dp_job *with_account(struct dp_job *job)
{
	const struct dp_process *process = job->process;
	const struct dp_region *region = process->region;
	job->cpu_ns = process->cpu_ns;
	job->has_bare_threads = process->has_bare_threads;
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		job->losses[i][0] = dp_load_relaxed(&region->losses[i].count);
		job->losses[i][1] = dp_load_relaxed(&region->losses[i].weight_ns);
	}
	return job;
}

static void drain_log(struct dp_process *process, const struct dp_ring_view *log, enum dp_job_kind kind)
{
	const uint32_t waiting = dp_ring_waiting(log);
	if (!waiting || waiting > log->size)
		return;
	struct dp_job *job = dp_job_new(kind, process, waiting);
	if (!job)
		return;
	dp_ring_peek(log, 0, job->bytes, waiting);
	dp_ring_release(log, waiting);
	dp_hands_give(job);
}

static void drain_logs(struct dp_process *process)
{
	struct dp_region *region = process->region;
	const struct dp_ring_view modules = {&region->module_log, region->module_log_bytes, DP_MODULE_LOG_SIZE};
	const struct dp_ring_view labels = {&region->label_log, region->label_log_bytes, DP_LABEL_LOG_SIZE};
	drain_log(process, &modules, DP_JOB_MODULES);
	drain_log(process, &labels, DP_JOB_LABELS);
}

static void lane_view(const struct dp_process *process, uint32_t lane, struct dp_ring_view *view)
{
	uint8_t *piece = process->pieces[dp_lane_piece(lane)];
	view->ring = piece ? &process->region->lanes[lane] : NULL;
	view->bytes = piece ? piece + dp_lane_offset(lane) : NULL;
	view->size = DP_LANE_RING_SIZE;
}

/* The threads with a timer: how many, and a sum that differs when one of them does. */
static unsigned count_threads(const struct dp_region *region, uint64_t *sum)
{
	unsigned count = 0;
	*sum = 0;
	for (uint32_t i = 0; i < DP_THREAD_MAX; i++) {
		const uint64_t tid = dp_load_relaxed(&region->threads[i].tid);
		count += tid != 0;
		*sum += tid * UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
	}
	return count;
}

/* The name of a thread can be asked for while it lives alone: samples of new ones do not wait. */
static bool has_new_threads(struct dp_process *process)
{
	const uint64_t seen = process->threads_seen;
	return count_threads(process->region, &process->threads_seen) == DP_THREAD_MAX || process->threads_seen != seen;
}

/* Empties the rings; the logs after them, so that they tell of every module and label a record can mean. */
static void drain(struct dp_process *process)
{
	struct dp_region *region = process->region;
	uint32_t waiting[DP_LANE_MAX], total = 0;
	uint32_t lanes = dp_load_acquire(&region->lane_count);
	if (lanes > DP_LANE_MAX)
		lanes = DP_LANE_MAX;
	dp_store_relaxed(&region->heartbeat, dp_load_relaxed(&region->heartbeat) + 1);
	read_cpu_clock(process);
	const bool is_full = dp_hands_backlog() > BACKLOG_MOST;
	for (uint32_t i = 0; i < lanes; i++) {
		struct dp_ring_view view;
		lane_view(process, i, &view);
		waiting[i] = view.ring && !is_full ? dp_ring_waiting(&view) : 0;
		if (waiting[i] > DP_LANE_RING_SIZE)
			waiting[i] = 0; /* a writer gone mad: nothing of it can be believed */
		total += waiting[i];
	}
	struct dp_job *job = total ? dp_job_new(DP_JOB_RECORDS, process, total) : NULL;
	size_t at = 0;
	for (uint32_t i = 0; job && i < lanes; i++) {
		struct dp_ring_view view;
		if (!waiting[i])
			continue;
		lane_view(process, i, &view);
		dp_ring_peek(&view, 0, job->bytes + at, waiting[i]);
		dp_ring_release(&view, waiting[i]);
		at += waiting[i];
	}
	const uint64_t now = now_ms();
	dp_pace_found(&process->pace, now, total, (uint64_t)lanes * DP_LANE_RING_SIZE);
	if (region->module_log.head != region->module_log.tail || process->settings->verify ||
	        region->label_log.head - region->label_log.tail > DP_LABEL_LOG_SIZE / 4)
		dp_pace_hurry(&process->pace, now);
	drain_logs(process);
	if (job && !has_new_threads(process) && dp_pace_pause(&process->pace, now) > DP_PACE_LEAST_MS)
		dp_hands_give_later(with_account(job), now);
	else if (job)
		dp_hands_give(with_account(job));
}

/* ---- hosts ---- */

static void read_name(struct dp_process *process)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/comm", process->pid);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd >= 0 ? read(fd, process->name, sizeof process->name - 1) : 0;
	if (fd >= 0)
		close(fd);
	while (size > 0 && process->name[size - 1] == '\n')
		size--;
	process->name[size > 0 ? size : 0] = 0;
}

/* "" where the host's root is ours: that name outlives the host. */
static void find_root(struct dp_process *process)
{
	struct stat ours, other;
	snprintf(process->root, sizeof process->root, "/proc/%d/root", process->pid);
	if (stat(process->root, &other) != 0 || (stat("/", &ours) == 0 && ours.st_dev == other.st_dev && ours.st_ino == other.st_ino))
		process->root[0] = 0;
}

static struct dp_process *find_process(uint64_t identity)
{
	for (struct dp_process *process = processes; process; process = process->next)
		if (process->identity == identity)
			return process;
	return NULL;
}

static uint8_t *map_piece(int fd)
{
	struct stat status;
	const int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &status) != 0 || status.st_size < DP_PIECE_SIZE)
		return NULL;
	void *piece = mmap(NULL, DP_PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return piece == MAP_FAILED ? NULL : piece;
}

static void watch(int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void end_process(struct dp_process *process);

/* A line behind the settings: where they were made. */
static void read_note(const char *text, size_t size, const char *key, char *to, size_t room)
{
	const char *found = memmem(text, size, key, strlen(key));
	if (!found)
		return;
	found += strlen(key);
	const char *end = memchr(found, '\n', size - (size_t)(found - text));
	const size_t length = end ? (size_t)(end - found) : 0;
	if (length < room)
		memcpy(to, found, length);
}

static void greet(const struct dp_message *message, const char *secrets, size_t secrets_size, int fd)
{
	if (fd < 0 || find_process(message->identity) || process_count >= PROCESSES_MOST)
		return;
	uint8_t *piece = map_piece(fd);
	struct dp_region *region = (struct dp_region *)piece;
	if (!piece)
		return;
	if (region->magic != DP_REGION_MAGIC || region->version != DP_REGION_VERSION ||
	        region->header_size != sizeof *region || region->identity != message->identity || region->pid <= 0) {
		dp_warn("a region of another version (%u): restart the program so that it loads this deepprof",
		        region->version);
		munmap(piece, DP_PIECE_SIZE);
		return;
	}
	/* The image that was there before an exec is over. */
	for (struct dp_process *old = processes, *next; old; old = next) {
		next = old->next;
		if (old->pid == region->pid)
			end_process(old);
	}
	struct dp_process *process = calloc(1, sizeof *process);
	struct dp_settings *settings = calloc(1, sizeof *settings);
	if (!process || !settings) {
		free(process);
		free(settings);
		munmap(piece, DP_PIECE_SIZE);
		return;
	}
	process->region = region;
	process->pieces[0] = piece;
	process->pid = region->pid;
	process->identity = region->identity;
	process->period_ns = region->period_ns ? region->period_ns : 10000000;
	process->start_ns = region->start_ns;
	process->image_start_ns = region->image_start_ns;
	process->greeted_ms = now_ms();
	dp_pace_init(&process->pace, process->greeted_ms);
	pthread_mutex_init(&process->lock, NULL);
	char text[DP_SETTINGS_SIZE];
	uint32_t size = region->settings_size;
	if (size > DP_SETTINGS_SIZE)
		size = DP_SETTINGS_SIZE;
	memcpy(text, region->settings, size);
	dp_settings_init(settings);
	/* With secrets the message holds all settings, else the region does. */
	if (secrets_size)
		dp_settings_read_back(settings, secrets, secrets_size);
	else
		dp_settings_read_back(settings, text, size);
	read_note(text, size, "\n#cwd=", process->cwd, sizeof process->cwd);
	read_note(text, size, "\n#host=", process->host_name, sizeof process->host_name);
	process->settings = settings;
	process->window_end_ms = process->greeted_ms + settings->window_ns / 1000000;
	read_name(process);
	find_root(process);
	process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	if (process->pidfd >= 0) {
		fcntl(process->pidfd, F_SETFD, FD_CLOEXEC);
		watch(process->pidfd, process);
	}
	process->next = processes;
	processes = process;
	process_count++;
	had_host = true;
	give(DP_JOB_GREET, process);
	dp_store_relaxed(&region->agent_pid, (uint32_t)getpid());
	dp_store_release(&region->agent_state, DP_AGENT_SERVING);
	dp_debug("host %d %s greeted", process->pid, process->name);
}

static void add_piece(const struct dp_message *message, int fd)
{
	struct dp_process *process = find_process(message->identity);
	if (process && fd >= 0 && message->argument > 0 && message->argument < DP_PIECE_MAX &&
	        !process->pieces[message->argument])
		process->pieces[message->argument] = map_piece(fd);
}

static void end_process(struct dp_process *process)
{
	for (struct dp_process **at = &processes; *at; at = &(*at)->next)
		if (*at == process) {
			*at = process->next;
			break;
		}
	process_count--;
	const bool is_void = dp_load_acquire(&process->region->is_given_up);
	if (!is_void)
		drain(process);
	struct dp_job *job = dp_job_new(DP_JOB_END, process, 0);
	if (process->region->end_cpu_ns > process->cpu_ns)
		process->cpu_ns = process->region->end_cpu_ns;
	dp_store_relaxed(&process->region->safe_cpu_ns, process->cpu_ns);
	dp_store_release(&process->region->agent_state, DP_AGENT_LEAVING);
	if (job) {
		job->is_void = is_void;
		with_account(job);
	}
	for (unsigned i = 0; i < DP_PIECE_MAX; i++)
		if (process->pieces[i])
			munmap(process->pieces[i], DP_PIECE_SIZE);
	process->region = NULL;
	if (process->pidfd >= 0)
		close(process->pidfd);
	if (now_ms() - process->greeted_ms > 1000)
		had_long_host = true;
	dp_debug("host %d %s ended", process->pid, process->name);
	if (job)
		dp_hands_give(job);
}

static void flush(struct dp_process *process, uint32_t how)
{
	if (how == DP_FLUSH_END) {
		end_process(process);
		return;
	}
	drain(process);
	give(DP_JOB_FLUSH, process);
}

/* ---- messages ---- */

/* The host says how far it has come: an answer that never reached it (it waits 2 ms, then goes on with its work) is
 * given again. */
static void answer_tables(int socket, const struct dp_message *message)
{
	struct dp_process *process = find_process(message->identity);
	struct dp_tables_answer answer = {.agent = agent_number};
	int fds[DP_TABLES_PER_ANSWER];
	unsigned fd_count = 0;
	if (process) {
		pthread_mutex_lock(&process->lock);
		uint32_t at = message->argument;
		while (at < process->waiting_count && answer.count < DP_TABLES_PER_ANSWER) {
			const struct dp_waiting_table waiting = process->waiting[at++];
			struct dp_table_entry *entry = &answer.entries[answer.count++];
			struct dp_agent_table table;
			*entry = (struct dp_table_entry){.module = waiting.module,
			        .table = waiting.table,
			        .origin = waiting.origin,
			        .descriptor = UINT32_MAX};
			if (waiting.table == DP_TABLE_NONE || !dp_tables_get(waiting.table, &table))
				continue;
			entry->size = table.size;
			if (waiting.is_first) {
				entry->descriptor = fd_count;
				fds[fd_count++] = table.fd;
			}
		}
		answer.more = at < process->waiting_count;
		if (at <= process->waiting_count && at > process->tables_answered)
			process->tables_answered = at;
		pthread_mutex_unlock(&process->lock);
		answer.ready = dp_load_relaxed(&process->region->tables_ready);
	}
	struct iovec part = {&answer, offsetof(struct dp_tables_answer, entries) +
	                                      answer.count * sizeof answer.entries[0]};
	char control[CMSG_SPACE(sizeof fds)];
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd_count) {
		memset(control, 0, sizeof control);
		header.msg_control = control;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	}
	if (sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		dp_debug("tables: %s", strerror(errno));
}

static void tell_status(int socket)
{
	uint64_t samples, cpu_ns, losses;
	char line[128];
	dp_hands_progress(&samples, &cpu_ns, &losses);
	const int size = snprintf(line, sizeof line, "%u %llu %llu %llu", process_count, (unsigned long long)samples,
	        (unsigned long long)cpu_ns, (unsigned long long)losses);
	send(socket, line, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Everything before is drained and given; the hands answer when they are through with it. */
static void give_answer(enum dp_job_kind kind, int socket)
{
	struct dp_job *job = dp_job_new(kind, NULL, 0);
	const int copy = fcntl(socket, F_DUPFD_CLOEXEC, 3);
	if (!job || copy < 0) {
		free(job);
		if (copy >= 0)
			close(copy);
		return;
	}
	job->socket = copy;
	dp_hands_give(job);
}

static void on_message(int socket, const struct dp_message *message, const char *text, size_t text_size, int fd)
{
	struct dp_process *process;
	if (message->version != DP_REGION_VERSION)
		return;
	switch (message->kind) {
	case DP_MESSAGE_HELLO:
		greet(message, text, text_size, fd);
		break;
	case DP_MESSAGE_PIECE:
		add_piece(message, fd);
		break;
	case DP_MESSAGE_TABLES:
		answer_tables(socket, message);
		break;
	case DP_MESSAGE_FLUSH:
		process = find_process(message->identity);
		if (process)
			flush(process, message->argument);
		give_answer(DP_JOB_ANSWER, socket);
		break;
	case DP_MESSAGE_STATUS:
		tell_status(socket);
		break;
	case DP_MESSAGE_FINISH:
		while (processes)
			end_process(processes);
		give_answer(DP_JOB_FINISH, socket);
		break;
	}
}

static bool receive(int socket)
{
	struct {
		struct dp_message message;
		char text[DP_SETTINGS_SIZE];
	} in;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct iovec part = {&in, sizeof in};
	struct msghdr header = {
	        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	const ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	int fd = -1;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&header); at; at = CMSG_NXTHDR(&header, at)) {
		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		const size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int one;
			memcpy(&one, CMSG_DATA(at) + i * sizeof one, sizeof one);
			if (fd < 0)
				fd = one;
			else
				close(one);
		}
	}
	if ((size_t)got >= sizeof in.message)
		on_message(socket, &in.message, in.text, (size_t)got - sizeof in.message, fd);
	if (fd >= 0)
		close(fd);
	return got > 0;
}

/* A host connects, then makes the region that its first message brings: up to patience_ms later, where we wait for it
 * at all. Returns how many have knocked. */
static unsigned accept_all(int patience_ms)
{
	for (unsigned count = 0;; count++) {
		const int socket = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (socket < 0)
			return count;
		struct ucred peer;
		socklen_t length = sizeof peer;
		if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
		        (peer.uid != geteuid() && geteuid() != 0)) {
			close(socket);
			continue;
		}
		struct pollfd message = {socket, POLLIN, 0};
		if (patience_ms)
			poll(&message, 1, patience_ms);
		if (receive(socket))
			watch(socket, (void *)((uintptr_t)socket << 1 | 1));
		else
			close(socket);
	}
}

/* ---- the loop ---- */

/* As many threads as are listed, by one question; looking at each costs the more the more there are. Who came when
 * another left that is still listed is found by the next whole look. */
static bool is_all_listed(const struct dp_process *process)
{
	char path[32];
	struct stat status;
	uint64_t sum;
	snprintf(path, sizeof path, "/proc/%d/task", process->pid);
	return stat(path, &status) == 0 && status.st_nlink == 2 + (nlink_t)count_threads(process->region, &sum);
}

static void sweep(struct dp_process *process, uint64_t now)
{
	if (now < process->next_sweep_ms)
		return;
	process->next_sweep_ms = now + SWEEP_MS;
	if (now < process->next_whole_sweep_ms && !process->bare_tids[0] && is_all_listed(process))
		return;
	process->next_whole_sweep_ms = now + WHOLE_SWEEP_MS;
	uint32_t wanted[16];
	const unsigned count = dp_tasks_without_timer(process->pid, process->region, wanted, 16);
	if (!count)
		return;
	/* Twice in a row: not one that was just beginning. */
	for (unsigned i = 0; i < count && !is_thread; i++)
		for (unsigned j = 0; j < 16; j++)
			process->has_bare_threads |= wanted[i] == process->bare_tids[j];
	memset(process->bare_tids, 0, sizeof process->bare_tids);
	memcpy(process->bare_tids, wanted, count * sizeof wanted[0]);
	for (unsigned i = 0; i < 16; i++)
		dp_store_relaxed(&process->region->arm_tids[i], i < count ? wanted[i] : 0);
	dp_store_release(&process->region->arm_request, ++process->arm_told);
}

/* Else the windows of a life are one file, and go with us. */
static bool is_delivered_by_window(const struct dp_settings *settings)
{
	return *settings->server || strstr(settings->output, "%t");
}

static void tend(struct dp_process *process, uint64_t now)
{
	if (dp_load_acquire(&process->region->is_given_up)) {
		process->has_ended = true;
		return;
	}
	drain(process);
	pthread_mutex_lock(&process->lock);
	const bool is_waiting = process->waiting_count > process->tables_answered;
	pthread_mutex_unlock(&process->lock);
	if (is_waiting)
		dp_pace_hurry(&process->pace, now);
	if (is_waiting && dp_load_relaxed(&process->region->tables_seen) == process->ready_told)
		dp_store_release(&process->region->tables_ready, ++process->ready_told);
	sweep(process, now);
	if (now >= process->window_end_ms) {
		process->window_end_ms = now + process->settings->window_ns / 1000000;
		struct dp_job *job = dp_job_new(DP_JOB_WINDOW, process, 0);
		if (job)
			dp_hands_give(with_account(job));
		if (is_delivered_by_window(process->settings))
			dp_store_release(&process->region->safe_cpu_ns, process->cpu_ns);
	}
	if (process->pidfd < 0 && kill(process->pid, 0) != 0 && errno == ESRCH)
		process->has_ended = true;
}

static int pause_ms(uint64_t now)
{
	uint32_t least = DP_PACE_MOST_MS;
	for (struct dp_process *process = processes; process; process = process->next) {
		if (now - dp_load_relaxed(&process->slices_ms) < DP_PACE_RESTLESS_MS)
			return DP_PACE_LEAST_MS;
		const uint32_t pause = dp_pace_pause(&process->pace, now);
		least = pause < least ? pause : least;
	}
	return (int)least;
}

/* A host that has waited for us alone for that long would do so for ever. It meets a new agent at its next tick, one
 * that has a nanny. */
static bool keeps_a_host_waiting(uint64_t now)
{
	enum { LOOK_EVERY_MS = 100, PATIENCE_MS = 200 };
	static uint64_t looked_ms, waiting_ms;
	const pid_t parent = getppid();
	struct dp_process *host = processes;
	if (is_thread || now - looked_ms < LOOK_EVERY_MS)
		return false;
	looked_ms = now;
	while (host && host->pid != parent)
		host = host->next;
	if (!host || !dp_is_waited_for_by(parent))
		waiting_ms = 0;
	else if (!waiting_ms)
		waiting_ms = now;
	return waiting_ms && now - waiting_ms >= PATIENCE_MS;
}

int dp_ears_run(const struct dp_agent_options *options)
{
	is_thread = options->is_thread;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listen_fd = dp_door_open(options);
	if (getrandom(&agent_number, sizeof agent_number, GRND_NONBLOCK) < 0)
		agent_number = (uint32_t)getpid();
	if (listen_fd < 0)
		return listen_fd;
	struct sigaction leave = {.sa_handler = on_term};
	if (!options->is_thread) {
		sigaction(SIGTERM, &leave, NULL);
		sigaction(SIGUSR1, &leave, NULL);
	}
	watch(listen_fd, NULL);
	const int error = dp_hands_start(options, true);
	if (error)
		return error;

	uint64_t lonely_since = now_ms(), last = 0;
	for (;;) {
		struct epoll_event events[64];
		uint64_t now = now_ms();
		int pause = processes ? pause_ms(now) : 100;
		const int count = epoll_wait(epoll_fd, events, 64, pause);
		for (int i = 0; i < count; i++) {
			const uintptr_t what = (uintptr_t)events[i].data.ptr;
			if (!what) {
				/* Who has just knocked will greet: no time to leave. */
				if (accept_all(0))
					lonely_since = now_ms();
			} else if (what & 1) {
				const int socket = (int)(what >> 1);
				if (!receive(socket))
					close(socket);
			} else {
				struct dp_process *process = (struct dp_process *)what;
				for (struct dp_process *at = processes; at; at = at->next)
					if (at == process)
						at->has_ended = true;
			}
		}
		now = now_ms();
		const bool is_due = now - last >= (uint64_t)pause;
		for (struct dp_process *process = processes, *next; process; process = next) {
			next = process->next;
			if (is_due && !process->has_ended)
				tend(process, now);
			if (process->has_ended)
				end_process(process);
		}
		if (is_due) {
			last = now;
			dp_hands_nudge(now);
		}
		if (processes || options->run_socket) {
			lonely_since = now;
		} else {
			/* Nobody yet: whoever started us may be slow to come. */
			const unsigned linger = had_long_host || !had_host ? options->linger_ms : 300;
			/* What a server does not take by then it will not get: whoever waits for us waits in vain. */
			const bool is_through = dp_hands_are_idle() || now - lonely_since >= linger + DELIVER_MS;
			if ((now - lonely_since >= linger || is_asked_to_leave) && is_through)
				break;
		}
		if (is_sent_away || keeps_a_host_waiting(now))
			break;
		if (options->run_socket && !options->is_thread && getppid() == 1 && !processes)
			break; /* the command is gone */
	}
	/* Nobody new; whoever already knocked is still heard. */
	shutdown(listen_fd, SHUT_RD);
	accept_all(LAST_MS);
	for (struct dp_process *process = processes; process; process = process->next)
		tend(process, now_ms());
	while (processes)
		end_process(processes);
	close(listen_fd);
	dp_hands_stop();
	return 0;
}
