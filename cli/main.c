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
};

static int usage(FILE *to)
{
	fputs("usage: deepprof COMMAND ...\n\n", to);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\nA program can also be started by hand: LD_PRELOAD=/path/to/libdeepprof.so ./app\n", to);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		puts("deepprof " DEEPPROF_VERSION);
		return 0;
	}
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "deepprof: no command %s\n", argv[1]);
	return usage(stderr);
}
