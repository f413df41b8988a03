/* SPDX-License-Identifier: Apache-2.0
 * The doctor's round: who is the patient, which examinations, what follows from the findings. */
#include "cli/cli.h"
#include "cli/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static enum dp_standing worst;

void dp_finding(enum dp_standing standing, const char *subject, const char *format, ...)
{
	static const char *const words[] = {"ok", "warn", "no"};
	char text[2048];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	printf("%-4s  %-11s %s\n", words[standing], subject, text);
	fflush(stdout);
	if (standing > worst)
		worst = standing;
}

static void usage(FILE *to)
{
	fputs("usage: deepprof doctor              this machine\n"
	      "       deepprof doctor PID          a running process\n"
	      "       deepprof doctor -- CMD ARG...  a command; it is looked at, not run\n\n"
	      "Says what would work, what would not, why, and what to do, one line each:\n"
	      "  ok    as it should be\n"
	      "  warn  profiled, but something is missing or needs a hand\n"
	      "  no    not profiled\n\n"
	      "Settings are read from the environment as the library reads them (a process: from its own); a "
	      "server\n"
	      "that they name is sent one empty request. Exit status: 0 all is ok, 1 something is not, 2 "
	      "wrong usage.\n",
		to);
}

static int refuse(const char *format, const char *what)
{
	fputs("deepprof: doctor: ", stderr);
	fprintf(stderr, format, what);
	fputs(" (deepprof doctor --help)\n", stderr);
	return 2;
}

static pid_t read_pid(const char *text)
{
	char *end;
	errno = 0;
	const long pid = strtol(text, &end, 10);
	return !errno && isdigit((unsigned char)*text) && !*end && pid > 0 && pid <= INT32_MAX ? (pid_t)pid
											       : 0;
}

static int conclude(const struct dp_patient *patient, bool has_command)
{
	if (worst == DP_NOT)
		dp_finding(worst, "result", "no profile %s: the lines with \"no\" say why",
			patient->pid ? "comes of it" : "would come");
	else if (worst == DP_LESS && patient->is_hidden)
		dp_finding(worst, "result", "%s cannot be seen by this user",
			patient->pid ? "whether it is profiled" : "what it is");
	else if (worst == DP_LESS)
		dp_finding(worst, "result",
			"profiles %s, with less than could be: the lines with \"warn\" say what",
			patient->pid ? "come" : "would come");
	else
		dp_finding(worst, "result", "%s profiled fully%s",
			patient->pid  ? "it is"
			: has_command ? "it would be"
				      : "programs are",
			patient->pid || has_command ? "" : " here");
	return worst == DP_FINE ? 0 : 1;
}

/* Where something here stands in the way, the trial need not wait long to prove it. */
static void examine_here(const struct dp_patient *patient)
{
	const enum dp_standing before = worst;
	worst = DP_FINE;
	dp_examine_limits(patient);
	dp_examine_installation(patient);
	if (dp_examine_machine(patient))
		dp_examine_trial(patient, worst != DP_NOT);
	worst = before > worst ? before : worst;
}

static int examine(pid_t pid, char **command)
{
	static struct dp_patient patient;
	patient = (struct dp_patient){.pid = pid, .environment = environ, .directory = ".", .root = ""};
	dp_installation_find(&patient.files);
	dp_settings_init(&patient.settings);
	const bool is_open = pid       ? dp_examine_process(&patient)
			     : command ? dp_examine_command(&patient, command)
				       : true;
	if (is_open && patient.environment)
		dp_examine_settings(&patient);
	if (is_open)
		examine_here(&patient);
	return conclude(&patient, command != NULL);
}

int dp_cli_doctor(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	if (!word)
		return examine(0, NULL);
	if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(word, "--trial") && argc == 2)
		return dp_trial_program(); /* ourselves, started by dp_examine_trial() */
	if (!strcmp(word, "--"))
		return argc > 2 ? examine(0, argv + 2) : refuse("no command was given behind %s", word);
	if (*word == '-')
		return refuse("unknown option %s", word);
	const pid_t pid = read_pid(word);
	if (!pid)
		return refuse("%s is not a PID; a command stands behind --", word);
	if (argc > 2)
		return refuse("one PID at a time, not %s too", argv[2]);
	return examine(pid, NULL);
}
