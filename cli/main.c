/* SPDX-License-Identifier: Apache-2.0
 * deepprof: where does this program spend its time? */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", dp_cli_run, "run a program and all its children, then show where the CPU time went"},
	{"report", dp_cli_report, "show, compare and convert profiles"},
	{"doctor", dp_cli_doctor, "what would work here, for a running process or for a command, and why"},
};

static void usage(FILE *to)
{
	fputs("usage: deepprof COMMAND ...\n\n", to);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\ndeepprof COMMAND --help says more; deepprof --version names the version.\n"
	      "A program can also be started by hand: LD_PRELOAD=/path/to/libdeepprof.so ./app\n",
		to);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
		puts("deepprof " DEEPPROF_VERSION);
		return 0;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (!strcmp(word, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (!*word)
		fputs("deepprof: no command was given (deepprof --help lists them)\n", stderr);
	else
		fprintf(stderr, "deepprof: there is no %s %s (deepprof --help lists them)\n",
			*word == '-' ? "option" : "command", word);
	return 2;
}
