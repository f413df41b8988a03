/* SPDX-License-Identifier: Apache-2.0
 * deepprof doctor: what would work, and why not.
 *
 * A finding is one line: how it stands, what it is about, why, and what to do. A patient is what the user
 * asks about: the machine alone, a command that is to be run, or a process. An examination looks at one side
 * of the patient and reports findings; nothing of the user's is ever started. */
#ifndef DEEPPROF_CLI_DOCTOR_H
#define DEEPPROF_CLI_DOCTOR_H

#include "base/settings.h"
#include "cli/installation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum dp_standing {
	DP_FINE,
	DP_LESS, /* "warn": profiled, but something will be missing or needs a hand */
	DP_NOT,  /* "no": not profiled at all */
};

struct dp_patient {
	pid_t pid;             /* 0: no process */
	bool is_hidden;        /* what it is, or whether it is profiled, cannot be seen by this user */
	bool is_script;        /* what runs is a shell or another interpreter of #! lines */
	char **environment;    /* its own, or the one that it would be given; NULL: not to be read */
	const char *directory; /* where its relative paths begin: "/proc/PID/cwd", or "." */
	const char *root;      /* "/proc/PID/root", or "" where it is our own */
	struct dp_installation files;
	struct dp_settings settings;
};

/* One finding. Control characters of foreign text are shown as "?". */
void dp_finding(enum dp_standing standing, const char *subject, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- examinations ---- */

/* doctor_machine.c: the kernel's services, each tried for real in a child of ours. False: there can be no
 * child. */
bool dp_examine_machine(const struct dp_patient *patient);
/* doctor_limits.c: limits, cgroup, filters; of the process, or of this one, which a command would inherit. */
void dp_examine_limits(const struct dp_patient *patient);
/* doctor_settings.c: reads the settings as the library would, then looks at the files and servers they name.
 */
void dp_examine_settings(struct dp_patient *patient);
/* doctor_trial.c: our own files, and a program of ours profiled with them. */
void dp_examine_installation(const struct dp_patient *patient);
void dp_examine_trial(const struct dp_patient *patient, bool is_expected); /* to succeed */
int dp_trial_program(void); /* the program: uses CPU time for a moment; its exit status */
/* The next three: false where there is nothing that could be preloaded into, so that nothing else matters. */
/* doctor_command.c: finds the command as a shell would, through #! lines, and examines its program. */
bool dp_examine_command(struct dp_patient *patient, char **command);
/* doctor_process.c: a running process. */
bool dp_examine_process(struct dp_patient *patient);

/* doctor_program.c: one ELF program. */
struct dp_subject {
	const char *shown;  /* its path, as the user knows it */
	const char *opened; /* the same as we can open it: "/proc/PID/exe", or the path */
	char **arguments;   /* the command line, NULL at the end */
	bool is_running;    /* too late for whatever must be said before the start */
};
bool dp_examine_program(const struct dp_patient *patient, const struct dp_subject *subject);
/* doctor_names.c: will its functions have names and its stacks an end? */
void dp_examine_names(const struct dp_patient *patient, const struct dp_subject *subject);

/* ---- doctor_proc.c: reading /proc ---- */

/* The whole file, at most 64 MiB, NUL-terminated; the caller frees it. A name that begins with / or . is any
 * file's. NULL: not to be read, errno says why. */
char *dp_proc_read(pid_t pid, const char *name, size_t *size);
/* The words of a file that separates them by NUL (cmdline, environ), NULL at the end; the caller frees it
 * with dp_proc_free_list(). NULL as above. */
char **dp_proc_read_list(pid_t pid, const char *name);
void dp_proc_free_list(char **list);
/* The text behind "NAME:" in a status file's bytes, up to the line's end; "" when it is not there. Valid
 * until the next call. */
const char *dp_proc_field(const char *status, const char *name);
/* The target of a link in /proc/PID; false: errno says why. */
bool dp_proc_link(pid_t pid, const char *name, char *target, size_t size);
/* The value of a variable, NULL without it. */
const char *dp_variable(char *const *environment, const char *name);

#endif
