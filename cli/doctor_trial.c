/* SPDX-License-Identifier: Apache-2.0
 * The proof: a program of ours, preloaded like any other, whose profile must come. */
#include "cli/cli.h"
#include "cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROFILE_MS = 15000, DOUBTFUL_MS = 3000, TRIAL_MS = 200, TRIAL_MOST_S = 20 };

extern char **environ;

/* ---- inside the trial program ---- */

int dp_trial_program(void)
{
	struct timespec now = {0};
	alarm(TRIAL_MOST_S);
	while (now.tv_sec == 0 && now.tv_nsec < TRIAL_MS * 1000000L)
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return 0;
}

/* ---- outside ---- */

/* As preload/constructor_hook.c looks for it. */
static bool has_thread_agent(const char *library)
{
	static const char *const beside[] = {"deepprof/libdeepprof-agent.so", "libdeepprof-agent.so"};
	char path[PATH_MAX + 64];
	for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
		snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(library, '/') - library), library,
			beside[i]);
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

void dp_examine_installation(const struct dp_patient *patient)
{
	const struct dp_installation *files = &patient->files;
	if (!*files->library) {
		dp_finding(DP_NOT, "files",
			"libdeepprof.so is not beside %s nor in ../lib of it: install deepprof whole",
			files->command);
		return;
	}
	if (strpbrk(files->library, " :"))
		dp_finding(DP_NOT, "files",
			"%s: the loader splits LD_PRELOAD at spaces and colons; install it under a path "
			"without them",
			files->library);
	if (!*files->agent)
		dp_finding(DP_NOT, "files",
			"deepprof-agent is not beside %s nor in deepprof/ beside it: install deepprof whole",
			files->library);
	else if (access(files->agent, X_OK) != 0)
		dp_finding(DP_NOT, "files",
			"%s cannot be executed: %s; chmod +x it, or mount its file system without noexec",
			files->agent, strerror(errno));
	else
		dp_finding(DP_FINE, "files", "%s and its agent", files->library);
	if (patient->settings.agent == DP_AGENT_THREAD && !has_thread_agent(files->library))
		dp_finding(DP_LESS, "files",
			"agent=thread: libdeepprof-agent.so is not beside %s; an agent process is used "
			"instead",
			files->library);
	if (*patient->root) {
		char inside[PATH_MAX + 64];
		snprintf(inside, sizeof inside, "%s%s", patient->root, files->library);
		if (access(inside, R_OK) != 0)
			dp_finding(DP_LESS, "files",
				"the process sees another root directory, in which %s is not there: install "
				"deepprof there too",
				files->library);
	}
}

/* Settings of ours and of other profilers are for the user's programs. */
static void clear_settings(void)
{
	static const char *const families[] = {"DEEPPROF_", "PYROSCOPE_", "OTEL_", "DD_", "LD_PRELOAD="};
	for (char **at = environ; *at;) {
		bool is_setting = false;
		for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
			is_setting |= !strncmp(*at, families[i], strlen(families[i]));
		char name[128];
		snprintf(name, sizeof name, "%.*s", (int)strcspn(*at, "="), *at);
		if (!is_setting || unsetenv(name) != 0)
			at++;
	}
}

static void become_trial(const struct dp_patient *patient, const char *profile)
{
	const int null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	clear_settings();
	setenv("LD_PRELOAD", patient->files.library, 1);
	setenv("DEEPPROF_OUTPUT", profile, 1);
	execl(patient->files.command, "deepprof", "doctor", "--trial", (char *)NULL);
	_exit(127);
}

static bool wait_for_file(const char *path, int most_ms)
{
	for (int waited = 0; waited < most_ms; waited += 10) {
		if (access(path, R_OK) == 0)
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

static void judge(const struct dp_profile *profile, uint64_t used_ns)
{
	uint64_t found_ns = 0, ended = 0;
	if (profile->types.count)
		for (uint32_t i = 0; i < profile->samples.count; i++)
			found_ns += (uint64_t)profile->samples.at[i].values[profile->types.count - 1];
	for (uint32_t i = 0; i < profile->samples.count; i++)
		ended += profile->samples.at[i].location_count > 1;
	if (!found_ns)
		dp_finding(DP_NOT, "trial", "a program of ours used %.1f s of CPU time and got no sample",
			(double)used_ns / 1e9);
	else if (found_ns < used_ns / 2)
		dp_finding(DP_LESS, "trial",
			"a program of ours used %.2f s of CPU time, of which its profile shows %.2f s",
			(double)used_ns / 1e9, (double)found_ns / 1e9);
	else if (!ended)
		dp_finding(DP_LESS, "trial",
			"a program of ours was profiled, but its stacks have one frame each");
	else
		dp_finding(DP_FINE, "trial",
			"a program of ours was preloaded: its profile shows %.2f s of %.2f s of CPU time",
			(double)found_ns / 1e9, (double)used_ns / 1e9);
}

static void read_profile(const char *path, uint64_t used_ns, int most_ms)
{
	struct dp_profile *profile = NULL;
	if (!wait_for_file(path, most_ms)) {
		dp_finding(DP_NOT, "trial",
			"a program of ours was preloaded and left no profile in %d s: a line above says why, "
			"or else this is a defect to report",
			most_ms / 1000);
		return;
	}
	const int error = dp_cli_read_profile(path, &profile);
	if (error)
		dp_finding(DP_NOT, "trial", "the profile of a program of ours cannot be read: %s",
			strerror(-error));
	else
		judge(profile, used_ns);
	dp_profile_free(profile);
	unlink(path);
}

void dp_examine_trial(const struct dp_patient *patient, bool is_expected)
{
	char folder[256], path[300];
	struct rusage usage = {0};
	int status = 0;
	if (!*patient->files.library || !*patient->files.agent)
		return;
	const char *tmp = getenv("TMPDIR");
	snprintf(folder, sizeof folder, "%.200s/deepprof-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(folder)) {
		dp_finding(DP_LESS, "trial", "not made: %s: %s", folder, strerror(errno));
		return;
	}
	snprintf(path, sizeof path, "%s/trial.pb.gz", folder);
	const pid_t child = fork();
	if (child == 0)
		become_trial(patient, path);
	if (child < 0 || wait4(child, &status, 0, &usage) != child)
		dp_finding(DP_NOT, "trial", "a program of ours cannot be started: %s", strerror(errno));
	else if (WIFSIGNALED(status))
		dp_finding(DP_NOT, "trial", "a program of ours that was preloaded died of %s",
			strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		dp_finding(DP_NOT, "trial", "a program of ours that was preloaded ended with %d",
			WEXITSTATUS(status));
	else
		read_profile(path,
			(uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
				(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000,
			is_expected ? PROFILE_MS : DOUBTFUL_MS);
	rmdir(folder);
}
