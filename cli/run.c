/* SPDX-License-Identifier: Apache-2.0
 * deepprof run: a program and all its children, served by an agent of this run alone; at the end a summary and one
 * flame graph. */
#include "cli/cli.h"
#include "cli/installation.h"

#include "base/log.h"
#include "base/region.h"
#include "base/rendezvous.h"
#include "base/settings.h"
#include "export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { AGENT_START_MS = 5000, FINISH_MS = 120000, PROGRESS_AFTER_MS = 1000, PROGRESS_EVERY_MS = 500, TOP = 12 };

struct run {
	struct dp_settings settings;
	struct dp_installation files;
	char socket_name[64];
	char directory[64], profile[96]; /* where the agent writes the merged profile */
	pid_t agent_pid, command_pid;
	uint64_t start_ms;
	bool shows_progress, has_progress;
};

static volatile sig_atomic_t forward_to;

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void say(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "deepprof: %s\n", line);
}

static const struct dp_settings_listener listener = {say, NULL};

/* ---- the run's agent ---- */

static int start_agent(struct run *run)
{
	uint64_t random = 0;
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		return -EIO;
	snprintf(run->socket_name, sizeof run->socket_name, "deepprof/run/%d/%016llx", getpid(),
	        (unsigned long long)random);
	const char *tmp = getenv("TMPDIR");
	snprintf(run->directory, sizeof run->directory, "%.40s/deepprof-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(run->directory))
		return -errno;
	snprintf(run->profile, sizeof run->profile, "%s/run.pb.gz", run->directory);
	run->agent_pid = fork();
	if (run->agent_pid == 0) {
		const int null = open("/dev/null", O_RDWR);
		setsid();
		dup2(null, 0);
		dup2(null, 1);
		execl(run->files.agent, "deepprof-agent", "--run", run->socket_name, "--output", run->profile, (char *)NULL);
		_exit(127);
	}
	return run->agent_pid < 0 ? -errno : 0;
}

static int reach_agent(const struct run *run)
{
	struct sockaddr_un address;
	const uint32_t length = dp_rendezvous_named(&address, run->socket_name);
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, length) == 0)
		return fd;
	const int error = errno;
	if (fd >= 0)
		close(fd);
	return -error;
}

static int wait_for_agent(const struct run *run)
{
	const uint64_t from = now_ms();
	int fd;
	while ((fd = reach_agent(run)) < 0) {
		if (now_ms() - from > AGENT_START_MS || waitpid(run->agent_pid, NULL, WNOHANG) != 0)
			return fd;
		poll(NULL, 0, 5);
	}
	close(fd);
	return 0;
}

/* One question; size of the answer, or -errno. */
static ssize_t ask(const struct run *run, enum dp_message_kind kind, char *answer, size_t size, int timeout_ms)
{
	const struct dp_message message = {.kind = kind, .version = DP_REGION_VERSION, .pid = getpid()};
	const int fd = reach_agent(run);
	if (fd < 0)
		return fd;
	struct pollfd readable = {fd, POLLIN, 0};
	ssize_t got = -ETIME;
	if (send(fd, &message, sizeof message, MSG_NOSIGNAL) < 0)
		got = -errno;
	else if (poll(&readable, 1, timeout_ms) == 1)
		got = recv(fd, answer, size, 0);
	close(fd);
	return got;
}

/* ---- the command ---- */

static void set_key(const struct dp_settings_key *key, const char *value)
{
	char name[64] = "DEEPPROF_";
	size_t at = strlen(name);
	for (const char *from = key->name; *from && at < sizeof name - 1; from++)
		name[at++] = *from >= 'a' && *from <= 'z' ? (char)(*from - 32) : *from;
	setenv(name, value, 1);
}

/* The settings of the command line become the children's environment: the flat form, key by key. */
static void export_settings(const struct run *run)
{
	static char flat[DP_SETTINGS_FLAT_BYTES + 1];
	const int size = dp_settings_write(&run->settings, flat, sizeof flat - 1, true);
	if (size < 0)
		return;
	flat[size] = 0;
	for (char *line = strtok(flat, "\n"); line; line = strtok(NULL, "\n")) {
		char *equals = strchr(line, '=');
		if (!equals)
			continue;
		*equals = 0;
		for (int i = 0; i < DP_SETTINGS_KEYS; i++)
			if (!strcmp(dp_settings_key_table()[i].name, line) && strcmp(line, "output") != 0)
				set_key(&dp_settings_key_table()[i], equals + 1);
	}
}

/* failed: where errno goes when there is no such program; closed by exec. */
static void become_command(const struct run *run, char **command, int failed)
{
	char preload[2 * PATH_MAX];
	const char *others = getenv("LD_PRELOAD");
	snprintf(preload, sizeof preload, "%s%s%s", run->files.library, others && *others ? ":" : "", others ? others : "");
	setenv("LD_PRELOAD", preload, 1);
	setenv("DEEPPROF_RUN_SOCKET", run->socket_name, 1);
	export_settings(run);
	signal(SIGINT, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	execvp(command[0], command);
	const int error = errno;
	if (write(failed, &error, sizeof error) != sizeof error)
		fprintf(stderr, "deepprof: cannot run %s: %s\n", command[0], strerror(error));
	_exit(error == ENOENT ? 127 : 126);
}

static void on_signal(int signo)
{
	if (forward_to > 0)
		kill((pid_t)forward_to, signo);
}

static void on_alarm(int signo)
{
	(void)signo;
}

static void show_progress(struct run *run)
{
	char answer[128];
	unsigned long long samples, cpu_ns, losses;
	unsigned processes;
	const ssize_t size = ask(run, DP_MESSAGE_STATUS, answer, sizeof answer - 1, 200);
	if (size <= 0)
		return;
	answer[size] = 0;
	if (sscanf(answer, "%u %llu %llu %llu", &processes, &samples, &cpu_ns, &losses) != 4)
		return;
	run->has_progress = true;
	fprintf(stderr, "\r\033[Kdeepprof: %.0f s, %u process%s, %llu samples, %.1f s of CPU time",
	        (double)(now_ms() - run->start_ms) / 1000, processes, processes == 1 ? "" : "es", samples,
	        (double)cpu_ns / 1e9);
}

static int wait_for_command(struct run *run)
{
	int status = 0;
	for (;;) {
		const pid_t pid = waitpid(run->command_pid, &status, 0);
		if (pid == run->command_pid)
			break;
		if (pid < 0 && errno != EINTR)
			return 1;
		if (run->shows_progress && now_ms() - run->start_ms > PROGRESS_AFTER_MS)
			show_progress(run);
	}
	if (run->has_progress)
		fputs("\r\033[K", stderr);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* 0, or errno of what kept the command from being started. */
static int start_command(struct run *run, char **command)
{
	int ends[2], error = 0;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return errno;
	run->start_ms = now_ms();
	run->command_pid = fork();
	if (run->command_pid == 0)
		become_command(run, command, ends[1]);
	if (run->command_pid < 0)
		error = errno;
	close(ends[1]);
	if (!error && read(ends[0], &error, sizeof error) == sizeof error)
		waitpid(run->command_pid, NULL, 0);
	close(ends[0]);
	return error;
}

/* The command's exit status. */
static int wait_for_end(struct run *run)
{
	struct sigaction forward = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	forward_to = run->command_pid;
	signal(SIGINT, SIG_IGN); /* the terminal tells the command itself */
	signal(SIGQUIT, SIG_IGN);
	sigaction(SIGTERM, &forward, NULL);
	sigaction(SIGHUP, &forward, NULL);
	run->shows_progress = isatty(STDERR_FILENO);
	timer_t timer;
	if (run->shows_progress) {
		struct sigaction tick = {.sa_handler = on_alarm};
		const struct itimerspec every = {{0, PROGRESS_EVERY_MS * 1000000}, {PROGRESS_AFTER_MS / 1000, 0}};
		sigaction(SIGALRM, &tick, NULL);
		if (timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0)
			timer_settime(timer, 0, &every, NULL);
	}
	return wait_for_command(run);
}

/* ---- the end ---- */

static void write_output(const struct run *run, const char *pattern, const char *program, const struct dp_profile *profile)
{
	char path[PATH_MAX];
	int error = dp_output_path(pattern, run->command_pid, program, profile->time_ns, path, sizeof path);
	if (!error)
		error = dp_output_write(path, profile);
	if (error)
		fprintf(stderr, "deepprof: cannot write %s: %s\n", error == -EINVAL ? pattern : path, strerror(-error));
	else
		fprintf(stderr, "deepprof: wrote %s\n", path);
}

static void add_label(struct dp_profile *profile, const char *label)
{
	char key[256];
	const char *equals = strchr(label, '=');
	if (!equals)
		return;
	snprintf(key, sizeof key, "%.*s", (int)(equals - label), label);
	dp_profile_add_identity(profile, key, equals + 1);
}

static void summarise(const struct run *run, const char *command)
{
	struct dp_buffer text = {0};
	struct dp_profile *profile = NULL;
	const char *slash = strrchr(command, '/');
	const char *program = slash ? slash + 1 : command;
	const int error = dp_cli_read_profile(run->profile, &profile);
	if (error) {
		fprintf(stderr, "deepprof: the run's profile cannot be read: %s\n", strerror(-error));
		return;
	}
	dp_profile_add_identity(
	        profile, "service_name", *run->settings.service ? run->settings.service : program);
	for (const char *label = NULL; (label = dp_settings_next_label(&run->settings, label));)
		add_label(profile, label);
	if (!profile->samples.count) {
		fprintf(stderr,
		        "deepprof: no samples: %s used less CPU time than one sampling period, or is a program that "
		        "cannot be preloaded (deepprof doctor -- %s says which)\n",
		        program, command);
	} else {
		if (dp_top_encode(profile, NULL, TOP, &text) == 0)
			fprintf(stderr, "%.*s", (int)text.size, (const char *)text.bytes);
		if (*run->settings.output) {
			write_output(run, run->settings.output, program, profile);
		} else {
			write_output(run, "deepprof-%n-%p.pb.gz", program, profile);
			write_output(run, "deepprof-%n-%p.html", program, profile);
		}
	}
	dp_buffer_fini(&text);
	dp_profile_free(profile);
}

static void dismiss_agent(const struct run *run)
{
	kill(run->agent_pid, SIGKILL); /* it has nothing left to do */
	waitpid(run->agent_pid, NULL, 0);
	unlink(run->profile);
	rmdir(run->directory);
}

static void finish(struct run *run, const char *command)
{
	char answer[16];
	const ssize_t size = ask(run, DP_MESSAGE_FINISH, answer, sizeof answer, FINISH_MS);
	if (size <= 0)
		fprintf(stderr, "deepprof: the agent of this run is gone: no profile\n");
	else
		summarise(run, command);
	dismiss_agent(run);
}

/* ---- options ---- */

static void usage(FILE *to)
{
	fputs("usage: deepprof run [OPTIONS] [--] CMD ARG...\n\n"
	      "Runs a program and all its children, then shows where the CPU time went. The exit status is the\n"
	      "program's; 127: no such command, 126: it cannot be executed, 2: wrong usage.\n\n"
	      "OPTIONS (each also a variable DEEPPROF_KEY):\n",
	        to);
	for (int i = 0; i < DP_SETTINGS_KEYS; i++) {
		const struct dp_settings_key *key = &dp_settings_key_table()[i];
		fprintf(to, "  --%-15s %-10s %s%s%s%s\n", key->name, key->form, key->meaning,
		        *key->fallback ? " [" : "", key->fallback, *key->fallback ? "]" : "");
	}
	fputs("  -o PATTERN                   the same as --output\n"
	      "  -h, --help                   this text\n",
	        to);
}

/* The index of the command in argv; 0: help was asked for and given; -1: what is wrong has been said. */
static int read_options(struct run *run, int argc, char **argv)
{
	int i = 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		char key[64];
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
			usage(stdout);
			return 0;
		}
		const char *option = argv[i];
		const char *name = !strcmp(option, "-o") ? "output" : option + 2;
		if (option[1] != '-' && strcmp(option, "-o") != 0) {
			fprintf(stderr, "deepprof: run: unknown option %s (deepprof run --help lists them)\n", option);
			return -1;
		}
		const char *equals = strchr(name, '=');
		snprintf(key, sizeof key, "%.*s", equals ? (int)(equals - name) : (int)strlen(name), name);
		if (!equals && ++i == argc) {
			fprintf(stderr, "deepprof: run: option %s needs a value\n", option);
			return -1;
		}
		if (dp_settings_set(&run->settings, key, equals ? equals + 1 : argv[i], DP_FROM_OPTION, &listener) != 0)
			return -1;
	}
	if (i < argc)
		return i;
	fputs("deepprof: run: no command was given (deepprof run --help)\n", stderr);
	return -1;
}

/* enabled=false, or a setting that could not be honoured and was said. */
static int run_unprofiled(char **command)
{
	fputs("deepprof: not profiled\n", stderr);
	execvp(command[0], command);
	fprintf(stderr, "deepprof: cannot run %s: %s\n", command[0], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

int dp_cli_run(int argc, char **argv)
{
	static struct run run;
	dp_settings_init(&run.settings);
	const int command = read_options(&run, argc, argv);
	if (command <= 0)
		return command ? 2 : 0;
	dp_settings_load(&run.settings, environ, &listener);
	dp_settings_keep_supported(&run.settings, &listener);
	if (!dp_settings_is_enabled(&run.settings))
		return run_unprofiled(argv + command);
	if (dp_installation_find(&run.files) != 0) {
		fprintf(stderr,
		        "deepprof: libdeepprof.so and deepprof-agent were not found beside %s or in ../lib of it\n",
		        run.files.command);
		return 1;
	}
	int error = start_agent(&run);
	if (!error)
		error = wait_for_agent(&run);
	if (error) {
		fprintf(stderr, "deepprof: the agent %s did not start: %s\n", run.files.agent, strerror(-error));
		return 1;
	}
	error = start_command(&run, argv + command);
	if (error) {
		fprintf(stderr, "deepprof: cannot run %s: %s\n", argv[command], strerror(error));
		dismiss_agent(&run);
		return error == ENOENT ? 127 : 126;
	}
	const int status = wait_for_end(&run);
	finish(&run, argv[command]);
	return status;
}
