/* SPDX-License-Identifier: Apache-2.0
 * A program that prints all it can see of itself, before, while and after it computes. */
#include "torture.h"

#include <dirent.h>
#include <locale.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

extern char **environ;
extern char __libc_single_threaded;

static int entries(const char *path, bool shows)
{
	DIR *folder = opendir(path);
	int n = 0;
	must(folder != NULL, path);
	for (struct dirent *entry; (entry = readdir(folder));)
		if (entry->d_name[0] != '.') {
			n++;
			if (shows)
				say("  %s", entry->d_name);
		}
	closedir(folder);
	return n;
}

static void show_status(void)
{
	static const char *const wanted[] = {"Umask", "TracerPid", "FDSize", "Threads", "SigPnd", "ShdPnd",
		"SigBlk", "CapEff", "NoNewPrivs", "Seccomp:", NULL};
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");
	must(file != NULL, "status");
	while (fgets(line, sizeof line, file))
		for (int i = 0; wanted[i]; i++)
			if (!strncmp(line, wanted[i], strlen(wanted[i]))) {
				line[strcspn(line, "\n")] = 0;
				say("%s", line);
			}
	fclose(file);
}

static void show_limits(void)
{
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit limit;
		getrlimit(i, &limit);
		say("limit %d: %llu %llu", i, (unsigned long long)limit.rlim_cur,
			(unsigned long long)limit.rlim_max);
	}
}

static void show(void)
{
	sigset_t set;
	stack_t stack;
	char cwd[512];
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, NULL, &set);
	uint64_t bits;
	memcpy(&bits, &set, sizeof bits);
	sigaltstack(NULL, &stack);
	say("mask %#llx, altstack %p %d", (unsigned long long)bits, stack.ss_sp, stack.ss_flags);
	for (int signo = 1; signo < 65; signo++) {
		struct sigaction action;
		if (signo != 32 && signo != 33 && sigaction(signo, NULL, &action) == 0 && action.sa_handler)
			say("signal %d is %s, flags %#x", signo,
				action.sa_handler == SIG_IGN ? "ignored" : "handled", action.sa_flags);
	}
	const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	say("open gives %d", fd);
	close(fd);
	say("descriptors %d", entries("/proc/self/fd", true));
	say("threads %d, single %d", entries("/proc/self/task", false), __libc_single_threaded);
	int status;
	errno = 0;
	const pid_t child = waitpid(-1, &status, __WALL | WNOHANG);
	say("children %d %d", child, errno);
	say("cwd %d, umask %o, locale %s", getcwd(cwd, sizeof cwd) != NULL, umask(022),
		setlocale(LC_ALL, NULL));
	umask(022);
	say("pending alarm %u, dumpable %d, subreaper %d, nice %d", alarm(0), prctl(PR_GET_DUMPABLE), 0,
		getpriority(PRIO_PROCESS, 0));
	struct rusage usage;
	getrusage(RUSAGE_CHILDREN, &usage);
	say("children's time %ld", (long)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec));
	show_status();
}

static void whole(void)
{
	show();
	show_limits();
	burn(250);
	show();
	for (int i = 0; i < 20; i++) {
		burn(20);
		const int fd = open("/dev/null", O_RDONLY);
		if (fd != 3)
			say("open gives %d", fd);
		close(fd);
		if (entries("/proc/self/task", false) != 1)
			say("a thread more");
		if (waitpid(-1, NULL, __WALL | WNOHANG) != -1)
			say("a child");
	}
	show();
}

static void environment(void)
{
	burn(100);
	/* What the runner itself sets is not the library's doing. */
	for (char **at = environ; *at; at++)
		if (strncmp(*at, "LD_PRELOAD=", 11) && strncmp(*at, "DEEPPROF_", 9) && strncmp(*at, "_=", 2))
			say("%s", *at);
	setenv("TORTURE", "yes", 1);
	clearenv();
	burn(50);
	say("environ %d", environ ? environ[0] != NULL : 0);
}

static void kept_errno(void)
{
	for (int i = 0; i < 4000; i++) {
		errno = 1000 + i;
		work(40000);
		if (errno != 1000 + i)
			say("errno %d instead of %d", errno, 1000 + i);
	}
	say("done");
}

/* Floating point state and flags are the program's own. */
static void kept_numbers(void)
{
	double x = 1;
	for (int i = 1; i < 60000000; i++)
		x += 1.0 / i * (i % 2 ? 1 : -1);
	say("%.17g", x);
}

static void all_closed(void)
{
	for (int i = 0; i < 50; i++) {
		closefrom(3);
		burn(5);
		const int a = open("/dev/null", O_RDONLY), b = open("/dev/zero", O_RDONLY);
		char byte = 1;
		if (a != 3 || b != 4 || read(b, &byte, 1) != 1 || byte)
			say("descriptors %d %d", a, b);
		burn(2);
		if (fcntl(a, F_GETFD) < 0 || fcntl(b, F_GETFD) < 0)
			say("somebody closed ours");
	}
	say("done");
}

static void none_standard(void)
{
	const int out = fcntl(1, F_DUPFD_CLOEXEC, 100);
	close(0);
	close(1);
	close(2);
	burn(200);
	const int fd = open("/dev/null", O_RDWR);
	dup2(out, 1);
	say("first descriptor %d", fd);
	burn(100);
}

static void few_descriptors(void)
{
	const struct rlimit few = {8, 8};
	int fds[8], n = 0;
	must(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
	for (int i = 0; i < 30; i++) {
		burn(10);
		while ((fds[n] = open("/dev/null", O_RDONLY)) >= 0)
			n++;
		if (i == 0 || n != 5)
			say("opened %d, errno %d", n, errno);
		burn(5);
		while (n)
			close(fds[--n]);
	}
	say("done");
}

static void no_files(void)
{
	const struct rlimit none = {0, 0};
	must(setrlimit(RLIMIT_FSIZE, &none) == 0, "setrlimit");
	burn(300);
	say("alive");
}

static void soft_no_files(void)
{
	const struct rlimit none = {4096, RLIM_INFINITY};
	must(setrlimit(RLIMIT_FSIZE, &none) == 0, "setrlimit");
	burn(300);
	struct rlimit now;
	getrlimit(RLIMIT_FSIZE, &now);
	say("limit %llu", (unsigned long long)now.rlim_cur);
}

static void *count_up(void *unused)
{
	burn(30);
	return unused;
}

static void no_pending_signals(void)
{
	const struct rlimit none = {0, 0};
	pthread_t threads[8];
	must(setrlimit(RLIMIT_SIGPENDING, &none) == 0, "setrlimit");
	burn(100);
	for (int i = 0; i < 8; i++)
		must(pthread_create(&threads[i], NULL, count_up, NULL) == 0, "pthread_create");
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	say("done");
}

static void little_memory(void)
{
	char line[256];
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");
	must(file && fgets(line, sizeof line, file), "statm");
	pages = strtoul(line, NULL, 10);
	fclose(file);
	const struct rlimit little = {pages * 4096 + 4 * 1024 * 1024, pages * 4096 + 4 * 1024 * 1024};
	must(setrlimit(RLIMIT_AS, &little) == 0, "setrlimit");
	int got = 0;
	for (int i = 0; i < 100; i++) {
		void *p = malloc(256 * 1024);
		burn(3);
		got += p != NULL;
		free(p);
	}
	say("allocations %d", got);
}

static void user_name_space(void)
{
	for (int i = 0; i < 3; i++) {
		burn(100);
		const int result = unshare(CLONE_NEWUSER);
		say("unshare %d %d", result, result ? errno : 0);
	}
	burn(100);
	say("done");
}

static void pid_name_space(void)
{
	int status;
	errno = 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0) {
		say("no name spaces here");
		_exit(77);
	}
	burn(300);
	const pid_t first = fork();
	if (!first) {
		burn(100);
		_exit(getpid() == 1 ? 11 : 12);
	}
	must(first > 0, "fork");
	waitpid(first, &status, 0);
	say("first: %s", ending(status));
}

static void other_root(void)
{
	if (chroot("/proc/self/fdinfo") < 0) {
		say("not root");
		_exit(77);
	}
	must(chdir("/") == 0, "chdir");
	burn(300);
	say("done");
}

static void other_user(void)
{
	if (setgid(65534) < 0 || setuid(65534) < 0) {
		say("not root");
		_exit(77);
	}
	burn(300);
	say("uid %d gid %d", getuid(), getgid());
}

int main(int argc, char **argv)
{
	static const struct torture cases[] = {{"whole", whole}, {"environment", environment},
		{"kept_errno", kept_errno}, {"kept_numbers", kept_numbers}, {"all_closed", all_closed},
		{"none_standard", none_standard}, {"few_descriptors", few_descriptors},
		{"no_files", no_files}, {"soft_no_files", soft_no_files},
		{"no_pending_signals", no_pending_signals}, {"little_memory", little_memory},
		{"user_name_space", user_name_space}, {"pid_name_space", pid_name_space},
		{"other_root", other_root}, {"other_user", other_user}, {0}};
	return run_torture(cases, argc, argv);
}
