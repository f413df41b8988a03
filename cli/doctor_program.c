/* SPDX-License-Identifier: Apache-2.0
 * Can this program be preloaded into, and what of it will be seen? Told from its file. */
#include "cli/doctor.h"

#include "symbols/elf_file.h"
#include "symbols/elf_inspect.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define OUTSIDE "profile it from outside: an eBPF profiler (Parca Agent), or perf"

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* ---- can it be loaded into? ---- */

/* Another machine's, or ours but damaged. */
static void examine_foreign(const struct dp_subject *subject)
{
	uint8_t start[20] = {0};
	const int fd = open(subject->opened, O_RDONLY | O_CLOEXEC);
	const ssize_t size = fd < 0 ? 0 : read(fd, start, sizeof start);
	if (fd >= 0)
		close(fd);
#if defined(__x86_64__)
	const uint16_t machine = EM_X86_64;
#else
	const uint16_t machine = EM_AARCH64;
#endif
	const uint16_t its = (uint16_t)(start[18] | start[19] << 8);
	if (size < (ssize_t)sizeof start)
		dp_finding(DP_NOT, "program", "%s is a damaged ELF file; build or install it again",
			subject->shown);
	else if (start[EI_CLASS] == ELFCLASS32)
		dp_finding(DP_NOT, "program",
			"%s is a 32-bit program and libdeepprof.so is of 64 bits: build it for 64 bits, "
			"or " OUTSIDE,
			subject->shown);
	else if (its != machine)
		dp_finding(DP_NOT, "program", "%s is for another machine (ELF machine %u, this one is %u)",
			subject->shown, its, machine);
	else
		dp_finding(DP_NOT, "program", "%s is a damaged ELF file; build or install it again",
			subject->shown);
}

/* Are there segments to load, and are they within the file? An object file has none. */
static bool is_whole(const char *path)
{
	struct dp_elf_file file;
	Elf64_Phdr segment;
	bool is_cut = false;
	if (dp_elf_open(&file, path) != 0)
		return false;
	bool has_code = file.header.e_type == ET_REL;
	for (size_t i = 0; dp_elf_segment(&file, i, &segment); i++) {
		has_code |= segment.p_type == PT_LOAD && segment.p_flags & PF_X;
		is_cut |= segment.p_type == PT_LOAD &&
			  (segment.p_offset > file.size || segment.p_filesz > file.size - segment.p_offset);
	}
	dp_elf_close(&file);
	return has_code && !is_cut;
}

/* False: LD_PRELOAD does not reach it, and why was said. */
static bool examine_link(const struct dp_subject *subject, const struct dp_program *program)
{
	if (!is_whole(subject->opened)) {
		dp_finding(DP_NOT, "program",
			"%s is a damaged ELF file: its code is not all there; build or install it again",
			subject->shown);
	} else if (program->link == DP_LINK_STATIC && program->is_go) {
		dp_finding(DP_NOT, "program",
			"%s is a static Go program, which LD_PRELOAD cannot reach: use Go's own pprof "
			"(net/http/pprof, Pyroscope's Go client), or " OUTSIDE,
			subject->shown);
	} else if (program->link == DP_LINK_STATIC) {
		dp_finding(DP_NOT, "program",
			"%s is statically linked, so LD_PRELOAD cannot reach it: link it dynamically "
			"(without -static; it may then be linked with -ldeepprof too), or " OUTSIDE,
			subject->shown);
	} else if (program->link != DP_LINK_DYNAMIC) {
		dp_finding(DP_NOT, "program", "%s is %s, not a program; name the program that uses it",
			subject->shown, program->link == DP_LINK_LIBRARY ? "a library" : "an object file");
	} else if (program->libc == DP_LIBC_MUSL) {
		dp_finding(DP_FINE, "program",
			"%s is dynamically linked with musl: the library loads there too; stacks end at "
			"musl's start code, which has no unwind information",
			subject->shown);
		return true;
	} else if (program->libc == DP_LIBC_UNKNOWN) {
		dp_finding(DP_LESS, "program", "%s uses the loader %s, which may not know LD_PRELOAD",
			subject->shown, program->loader);
		return true;
	} else {
		dp_finding(DP_FINE, "program", "%s is dynamically linked: LD_PRELOAD reaches it",
			subject->shown);
		return true;
	}
	return false;
}

/* ---- secure execution ---- */

/* Of a running process: the kernel's own word. -1: not to be read. */
static int is_secure_process(pid_t pid)
{
	size_t size;
	uint64_t *vector = (uint64_t *)dp_proc_read(pid, "auxv", &size);
	int secure = -1;
	for (size_t i = 0; vector && i + 1 < size / sizeof *vector; i += 2)
		if (vector[i] == AT_SECURE)
			secure = vector[i + 1] != 0;
	free(vector);
	return secure;
}

/* Of a file that this user would execute: as the kernel decides (security/commoncap.c). NULL: not. */
static const char *secure_reason(const struct dp_program *program, const char *path)
{
	struct stat status;
	struct statvfs mount;
	if (stat(path, &status) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return NULL;
	if (statvfs(path, &mount) == 0 && mount.f_flag & ST_NOSUID)
		return NULL;
	if (program->is_setuid && status.st_uid != getuid())
		return "setuid";
	if (program->is_setgid && status.st_gid != getgid())
		return "setgid";
	return program->has_capabilities && getuid() ? "given capabilities" : NULL;
}

static void examine_secure(
	const struct dp_patient *patient, const struct dp_subject *subject, const struct dp_program *program)
{
	const char *reason = secure_reason(program, subject->opened);
	if (patient->pid ? is_secure_process(patient->pid) == 1 : reason != NULL)
		dp_finding(DP_NOT, "privileges",
			"%s %s%s, so the loader ignores LD_PRELOAD for it: start what it starts as the user "
			"that it becomes, or " OUTSIDE,
			subject->shown,
			patient->pid ? "was started with other privileges than its user's" : "is ",
			patient->pid ? "" : reason);
	else if (!patient->pid && (program->is_setuid || program->is_setgid || program->has_capabilities))
		dp_finding(DP_FINE, "privileges",
			"%s is %s, but gives this user nothing that it has not: it is preloaded like others",
			subject->shown,
			program->is_setuid   ? "setuid"
			: program->is_setgid ? "setgid"
					     : "given capabilities");
}

/* ---- languages ---- */

static bool has_argument(const struct dp_subject *subject, const char *word)
{
	for (char **at = subject->arguments; at && *at; at++)
		if (!strncmp(*at, word, strlen(word)))
			return true;
	return false;
}

/* "3.11" of python3.11 or libpython3.11.so.1.0; "" when the name tells none. */
static const char *python_version(const struct dp_subject *subject, const struct dp_program *program)
{
	static char version[16];
	char *path = realpath(subject->opened, NULL);
	const char *name = path ? strstr(base_name(path), "python") : NULL;
	const char *library = strstr(program->needed, "libpython");
	*version = 0;
	if (library)
		name = library + 3;
	if (name && isdigit((unsigned char)name[6]))
		snprintf(version, sizeof version, " %.*s", (int)strspn(name + 6, "0123456789."), name + 6);
	size_t size = strlen(version);
	while (size && version[size - 1] == '.')
		version[--size] = 0;
	free(path);
	return version;
}

static bool is_node(const struct dp_subject *subject, const struct dp_program *program)
{
	const char *name = base_name(subject->shown);
	return !strcmp(name, "node") || !strcmp(name, "nodejs") || strstr(program->needed, "libnode.so");
}

static void examine_node(const struct dp_patient *patient, const struct dp_subject *subject)
{
	const char *options = dp_variable(patient->environment, "NODE_OPTIONS");
	if (has_argument(subject, "--perf-basic-prof") || (options && strstr(options, "--perf-basic-prof")) ||
		has_argument(subject, "--perf-prof"))
		dp_finding(DP_FINE, "node",
			"JavaScript functions are named by the perf map that --perf-basic-prof writes");
	else
		dp_finding(DP_LESS, "node",
			"JavaScript functions will have no names: start it as node --perf-basic-prof, or "
			"with NODE_OPTIONS=--perf-basic-prof");
}

static void examine_language(
	const struct dp_patient *patient, const struct dp_subject *subject, const struct dp_program *program)
{
	if (program->is_go)
		dp_finding(DP_FINE, "go",
			"a Go program: goroutines are walked by their frame pointers; Go's own pprof knows "
			"their labels, memory and locks besides");
	if (program->is_python)
		dp_finding(DP_LESS, "python",
			"Python%s: its C code is seen and named, Python's own functions are not read by this "
			"version; py-spy names them meanwhile",
			python_version(subject, program));
	if (program->is_jvm)
		dp_finding(DP_LESS, "java",
			"Java methods have no names in this version, the JVM's own code has; async-profiler "
			"names them meanwhile");
	if (is_node(subject, program))
		examine_node(patient, subject);
}

/* ---- company ---- */

static void examine_sanitizer(
	const struct dp_patient *patient, const struct dp_subject *subject, const struct dp_program *program)
{
	const char *options = dp_variable(patient->environment, "ASAN_OPTIONS");
	const char *preload = dp_variable(patient->environment, "LD_PRELOAD");
	if (strstr(program->needed, "libtsan.so"))
		dp_finding(DP_LESS, "sanitizer",
			"%s is built with -fsanitize=thread, which holds signals back while code computes: "
			"hardly a sample comes; profile a build without it",
			base_name(subject->shown));
	if (!strstr(program->needed, "libasan.so") || subject->is_running)
		return;
	if (options && strstr(options, "verify_asan_link_order=0"))
		dp_finding(DP_FINE, "sanitizer",
			"AddressSanitizer is told not to insist on being the first library");
	else if (preload && !strncmp(base_name(preload), "libasan", 7) && !strchr(preload, ':'))
		dp_finding(DP_LESS, "sanitizer",
			"AddressSanitizer must stay first: LD_PRELOAD=%s:%s (deepprof run puts itself first: "
			"there set ASAN_OPTIONS=verify_asan_link_order=0)",
			preload, patient->files.library);
	else
		dp_finding(DP_NOT, "sanitizer",
			"%s is built with -fsanitize=address, which ends a program whose first library is "
			"another: set ASAN_OPTIONS=verify_asan_link_order=0, or put libasan.so first in "
			"LD_PRELOAD",
			base_name(subject->shown));
}

/* What else is preloaded; the loader splits at spaces and colons. */
static void examine_preload(const struct dp_patient *patient)
{
	const char *preload = dp_variable(patient->environment, "LD_PRELOAD");
	char name[PATH_MAX], placed[PATH_MAX + 64];
	for (const char *at = preload; at && *at; at += strspn(at, " :")) {
		const int size = (int)strcspn(at, " :");
		snprintf(name, sizeof name, "%.*s", size, at);
		at += size;
		snprintf(placed, sizeof placed, "%s%s", patient->root, name);
		if (strstr(name, "libdeepprof.so"))
			continue;
		if (*name == '/' && access(placed, R_OK) != 0)
			dp_finding(DP_LESS, "preload",
				"LD_PRELOAD names %s too: %s; the loader complains of it at each start", name,
				strerror(errno));
		else if (*name)
			dp_finding(DP_FINE, "preload", "LD_PRELOAD names %s too; both are loaded", name);
	}
	snprintf(placed, sizeof placed, "%s/etc/ld.so.preload", patient->root);
	char *file = dp_proc_read(0, placed, NULL);
	if (file && file[strspn(file, " \t\n")])
		dp_finding(DP_FINE, "preload", "/etc/ld.so.preload names libraries too; all are loaded");
	free(file);
}

static void examine_needed(const struct dp_program *program)
{
	static const char *const profilers[] = {
		"libprofiler.so", "libtcmalloc_and_profiler.so", "libdd_profiling", "libddprof"};
	if (strstr(program->needed, "libdeepprof.so"))
		dp_finding(DP_FINE, "linked", "it is linked with libdeepprof.so and needs no LD_PRELOAD");
	for (size_t i = 0; i < sizeof profilers / sizeof profilers[0]; i++)
		if (strstr(program->needed, profilers[i]))
			dp_finding(DP_LESS, "profilers",
				"it is linked with %s, a CPU profiler too: use one at a time, each sees the "
				"other's cost",
				profilers[i]);
}

bool dp_examine_program(const struct dp_patient *patient, const struct dp_subject *subject)
{
	struct dp_program program;
	const int error = dp_program_inspect(&program, subject->opened);
	if (error) {
		dp_finding(DP_NOT, "program", "%s: %s", subject->shown, strerror(-error));
		return false;
	}
	if (program.kind == DP_PROGRAM_FOREIGN) {
		examine_foreign(subject);
		return false;
	}
	if (!examine_link(subject, &program))
		return false;
	examine_secure(patient, subject, &program);
	examine_language(patient, subject, &program);
	examine_sanitizer(patient, subject, &program);
	examine_preload(patient);
	examine_needed(&program);
	dp_examine_names(patient, subject);
	return true;
}
