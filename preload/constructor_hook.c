/* SPDX-License-Identifier: Apache-2.0
 * LD_PRELOAD's way in: read the settings, arm one timer, start nothing. */
#include "capture/host.h"
#include "capture/module.h"
#include "capture/trial.h"
#include "preload/hooks.h"
#include "preload/real.h"
#include "preload/sigprof.h"

#include "base/settings.h"
#include "base/syscall.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

/* ---- what the user asked for ---- */

/* The one line on stderr that INTERFACE.md allows. */
static void say(void *context, const char *line)
{
	static const char head[] = "deepprof: ";
	char text[600];
	size_t size = strlen(line);
	(void)context;
	if (size > sizeof text - sizeof head)
		size = sizeof text - sizeof head;
	memcpy(text, head, sizeof head - 1);
	memcpy(text + sizeof head - 1, line, size);
	text[sizeof head - 1 + size] = '\n';
	DP_SYS3(SYS_write, 2, text, sizeof head + size);
}

/* context: an int, how many lines there were. */
static void count_and_say(void *context, const char *line)
{
	++*(int *)context;
	say(NULL, line);
}

static const char *variable(const char *name)
{
	const size_t size = strlen(name);
	for (char **at = environ; at && *at; at++)
		if (!strncmp(*at, name, size) && (*at)[size] == '=')
			return *at + size + 1;
	return NULL;
}

/* What is wrong with the settings is said by the first process that has them; by `deepprof run` for its own. */
static void say_once(void *context, const char *line)
{
	static int is_first; /* 0: not asked yet */
	if (!is_first)
		is_first = variable("DEEPPROF_RUN_SOCKET") || dp_parent_is_host() ? -1 : 1;
	if (is_first > 0)
		say(context, line);
}

void dp_say_refusal(void)
{
	char line[DP_REFUSAL_MAX];
	if (dp_runtimes_refusal(line))
		say_once(NULL, line);
}

static const struct dp_settings_listener listener = {say_once, NULL};

static char cwd[512]; /* when the program began */

/* The agent has nobody to tell that a file cannot be written: what can be known now is said now. */
static void check_output(const char *output)
{
	enum { FILE_NAME_MOST = 255, ROOM_FOR_NUMBERS = 32, OUTPUT_SHOWN = 300 };
	char folder[512] = ".", line[600] = "output=";
	const char *slash = strrchr(output, '/');
	const char *file = slash ? slash + 1 : output;
	if (slash) {
		const size_t size = slash == output ? 1 : (size_t)(slash - output);
		if (size >= sizeof folder || memchr(output, '%', size))
			return;
		memcpy(folder, output, size);
		folder[size] = 0;
	}
	const bool is_short = strlen(file) <= FILE_NAME_MOST - ROOM_FOR_NUMBERS;
	if (is_short && DP_SYS3(SYS_faccessat, AT_FDCWD, folder, W_OK | X_OK) == 0)
		return;
	const size_t shown = strlen(output) < OUTPUT_SHOWN ? strlen(output) : OUTPUT_SHOWN;
	memcpy(line + strlen("output="), output, shown); /* the rest of line is zero */
	strcat(line, is_short ? ": this folder is not there or cannot be written to: make it, or name another; the profile will "
	                        "be lost"
	                      : ": this file name is too long: name a shorter one; the profile will be lost");
	say_once(NULL, line);
}

/* For the agent: what is not default, where relative paths begin, and what this machine is called here. */
static void keep_for_agent(const struct dp_settings *settings)
{
	static char flat[DP_SETTINGS_FLAT_BYTES];
	static const char cwd_key[] = "\n#cwd=", host_key[] = "\n#host=";
	struct utsname names = {0};
	int size = dp_settings_write(settings, flat, sizeof flat, false);
	if (size < 0 || (size_t)size + sizeof cwd_key + sizeof cwd + sizeof host_key + sizeof names.nodename >
				sizeof dp_host.settings)
		return;
	memcpy(dp_host.settings, flat, (size_t)size);
	const long length = DP_SYS2(SYS_getcwd, cwd, sizeof cwd);
	if (length > 1) {
		memcpy(dp_host.settings + size, cwd_key, sizeof cwd_key - 1);
		size += (int)sizeof cwd_key - 1;
		memcpy(dp_host.settings + size, cwd, (size_t)length - 1);
		size += (int)length - 1;
		dp_host.settings[size++] = '\n';
	}
	if (DP_SYS1(SYS_uname, &names) == 0) {
		char *end = stpcpy(dp_host.settings + size, host_key);
		end = stpcpy(end, names.nodename);
		*end++ = '\n';
		size = (int)(end - dp_host.settings);
	}
	dp_host.settings_size = (uint32_t)size;
	const int open_size = dp_settings_write(settings, flat, sizeof flat, false);
	size = dp_settings_write(settings, flat, sizeof flat, true);
	if (size == open_size || size < 0)
		return; /* nothing secret */
	if ((size_t)size > sizeof dp_host.secrets) {
		say(NULL, "auth: too long together with the other settings; nothing will be sent");
		return;
	}
	memcpy(dp_host.secrets, flat, (size_t)size);
	dp_host.secrets_size = (uint32_t)size;
}

/* ---- where our own files are ---- */

static void set_agent_paths(void)
{
	static const char *const beside[2] = {"deepprof/deepprof-agent", "deepprof-agent"};
	const char *self = dp_modules_self_path();
	const char *slash = self ? strrchr(self, '/') : NULL;
	const size_t directory = slash ? (size_t)(slash - self) + 1 : 0;
	for (unsigned i = 0; i < 2; i++)
		if (directory && directory + strlen(beside[i]) < sizeof dp_host.agent_path[i]) {
			memcpy(dp_host.agent_path[i], self, directory);
			strcpy(dp_host.agent_path[i] + directory, beside[i]);
		}
}

/* agent=thread: the agent's code beside us, opened so that the program does not see its names. False: said why. */
static bool start_thread(void)
{
	static const char *const beside[2] = {"deepprof/libdeepprof-agent.so", "libdeepprof-agent.so"};
	const char *self = dp_modules_self_path();
	const char *slash = self ? strrchr(self, '/') : NULL;
	char path[512], *at = dp_host.run_socket;
	void *handle = NULL;
	for (unsigned i = 0; slash && i < 2 && !handle; i++) {
		const size_t directory = (size_t)(slash - self) + 1;
		if (directory + strlen(beside[i]) >= sizeof path)
			continue;
		memcpy(path, self, directory);
		strcpy(path + directory, beside[i]);
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	int (*start)(const char *) = NULL;
	if (handle)
		*(void **)&start = dlsym(handle, "deepprof_agent_start");
	if (!start) {
		say(NULL, "agent=thread: libdeepprof-agent.so cannot be opened beside libdeepprof.so; an agent process is "
		          "used instead");
		return false;
	}
	at = stpcpy(at, "deepprof/thread/");
	for (int shift = 60; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[(dp_host.start_ns * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)dp_host.pid) >> shift & 15];
	*at = 0;
	if (start(dp_host.run_socket) == 0)
		return true;
	dp_host.run_socket[0] = 0;
	say(NULL, "agent=thread: no thread could be started; an agent process is used instead");
	return false;
}

/* ---- the beginning and the end ---- */

static struct dp_settings settings;

void dp_options_apply(void)
{
	dp_host.verify_every = settings.verify;
	dp_host.use_thread = settings.agent == DP_AGENT_THREAD;
	dp_host.period_ns = 1000000000 / settings.rate;
	dp_fork_follow(settings.children);
	keep_for_agent(&settings);
	if (*settings.output && !dp_host.run_socket[0])
		check_output(settings.output);
	if (dp_host.use_thread && !dp_host.run_socket[0])
		dp_host.use_thread = start_thread();
	if (DP_SYS3(SYS_faccessat, AT_FDCWD, "/proc/self", F_OK) == -ENOENT)
		say_once(NULL, "there is no /proc here, which finding the agent needs: mount it; the program runs unprofiled");
}

/* Each start's options stand alone on what environment and file say. */
int dp_options_set(const char *options)
{
	static struct dp_settings before_options, wanted;
	static char flat[2][DP_SETTINGS_FLAT_BYTES];
	static bool has_before;
	if (!options || !*options)
		return 0;
	if (!has_before)
		before_options = settings;
	has_before = true;
	wanted = before_options;
	int errors = 0;
	const struct dp_settings_listener counting = {count_and_say, &errors};
	dp_settings_read_options(&wanted, options, &counting);
	if (errors)
		return -EINVAL;
	dp_settings_keep_supported(&wanted, &listener);
	if (!dp_settings_is_enabled(&wanted))
		return -EINVAL;
	const int old_size = dp_settings_write(&settings, flat[0], sizeof flat[0], true);
	const int new_size = dp_settings_write(&wanted, flat[1], sizeof flat[1], true);
	if (old_size == new_size && (old_size < 0 || !memcmp(flat[0], flat[1], (size_t)old_size)))
		return 0;
	settings = wanted;
	return 1;
}

/* A program that asked for us itself also says when. */
static bool starts_by_itself(void)
{
	const char *self = dp_modules_self_path();
	for (int i = 0; i < DP_SETTINGS_KEYS; i++)
		if (!strcmp(dp_settings_key_table()[i].name, "enabled") && settings.source[i] != DP_FROM_DEFAULT)
			return true;
	return !self || dp_is_preloaded(self);
}

/* Valgrind preloads a library of its own, and ends a program that calls clone() as the helper must. */
static bool is_under_valgrind(void)
{
	const char *preloaded = variable("LD_PRELOAD");
	return preloaded && strstr(preloaded, "/vgpreload_core");
}

__attribute__((constructor)) static void on_load(void)
{
	if (getauxval(AT_SECURE))
		return; /* a setuid program is nobody's to look into */
	if (dp_is_second_copy())
		return; /* one of us is enough */
	dp_real_init();
	dp_settings_init(&settings);
	dp_settings_load(&settings, environ, &listener);
	dp_settings_keep_supported(&settings, &listener);
	if (!dp_settings_is_enabled(&settings) || (!settings.children && dp_parent_is_host()))
		return;
	if (is_under_valgrind()) {
		say_once(NULL, "this program runs under valgrind, which does not support what profiling needs: it runs unprofiled");
		return;
	}
	if (!dp_trial_is_survived()) {
		say(NULL, "a seccomp filter forbids what profiling needs (timer_create, timer_settime, prctl, readlinkat ...); "
		          "this program runs unprofiled");
		return;
	}
	const char *run = variable("DEEPPROF_RUN_SOCKET");
	if (run)
		strncpy(dp_host.run_socket, run, sizeof dp_host.run_socket - 1);
	dp_host_init(1000000000 / settings.rate);
	set_agent_paths();
	dp_threads_init();
	dp_fork_init(settings.children);
	if (starts_by_itself()) {
		dp_options_apply();
		dp_say_refusal();
	} else {
		dp_store_relaxed(&dp_host.off, DP_OFF_STOPPED);
	}
	if (dp_sigprof_install(dp_on_tick) == 0) {
		if (dp_host_arm() != 0)
			say_once(NULL, "the kernel refuses a timer (a seccomp filter without timer_create, or RLIMIT_SIGPENDING "
			               "is used up): the program runs unprofiled");
		dp_sigprof_thread_start(false);
	}
}

static char *put(char *at, const char *text)
{
	return stpcpy(at, text);
}

/* "wrote deepprof-NAME-PID.html": somebody is trying us out and wants to know. */
static void say_where(void)
{
	char path[700], line[800], digits[12], name[17] = "";
	int count = 0;
	DP_SYS2(SYS_prctl, PR_GET_NAME, name);
	for (char *c = name; *c; c++)
		if (*c == '/' || (unsigned char)*c <= ' ')
			*c = '_';
	for (int32_t rest = dp_host.pid; rest; rest /= 10)
		digits[count++] = (char)('0' + rest % 10);
	char *at = put(put(path, cwd), "/");
	const char *file = at;
	at = put(put(put(at, "deepprof-"), name), "-");
	while (count)
		*at++ = digits[--count];
	put(at, ".html");
	/* The agent has said that it is through with it, not that it could. */
	if (DP_SYS3(SYS_faccessat, AT_FDCWD, path, F_OK) == 0)
		put(put(put(line, "wrote "), file), " and .pb.gz");
	else
		put(put(put(line, "cannot write "), path),
		        ": is there room, and may you write there? DEEPPROF_OUTPUT names another place");
	say(NULL, line);
}

__attribute__((destructor)) static void on_unload(void)
{
	enum { PERSON_MS = 15000, INIT_MS = 3000 };
	if (!dp_load_acquire(&dp_host.is_armed) || dp_load_relaxed(&dp_owner.pid) != dp_host.pid)
		return;
	dp_say_refusal();
	const bool is_tried = !dp_settings_is_configured(&settings) && (!dp_host.run_socket[0] || dp_host.use_thread);
	/* A name space's init takes the agent with it, and so does every host of a thread: worth a bounded wait. */
	const uint32_t wait_ms = is_tried ? PERSON_MS : dp_host.pid == 1 || dp_host.use_thread ? INIT_MS : 0;
	if (dp_host_end(wait_ms) && is_tried)
		say_where();
}
