/* SPDX-License-Identifier: Apache-2.0
 * deepprof report: profiles for people. */
#include "cli/cli.h"

#include "export/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOP = 40 };

static int read_file(const char *path, struct dp_buffer *bytes)
{
	char chunk[64 * 1024];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t got;
	int error = 0;
	while (!error && (got = read(fd, chunk, sizeof chunk)) != 0) {
		if (got > 0)
			error = dp_buffer_append(bytes, chunk, (size_t)got);
		else if (errno != EINTR)
			error = -errno;
	}
	close(fd);
	return error;
}

int dp_cli_read_profile(const char *path, struct dp_profile **profile)
{
	struct dp_buffer bytes = {0};
	int error = read_file(path, &bytes);
	if (!error)
		error = dp_pprof_decode(bytes.bytes, bytes.size, profile);
	dp_buffer_fini(&bytes);
	return error;
}

static void usage(FILE *to)
{
	fputs("usage: deepprof report FILE... [--top|--tree|--collapsed] [--diff BASE] [-o OUT]\n\n"
	      "  FILE       pprof files, merged\n"
	      "  --top      the hottest functions (default)\n"
	      "  --tree     the call tree\n"
	      "  --collapsed  one line a stack\n"
	      "  --diff BASE  compare with another profile\n"
	      "  -o OUT     write OUT.html, .pb.gz, .collapsed or .speedscope.json instead\n"
	      "  -h, --help  this text\n",
		to);
}

static int refuse(const char *what, const char *option)
{
	fprintf(stderr, "deepprof: report: %s%s (deepprof report --help)\n", what, option);
	return 2;
}

static int load(const char *path, struct dp_profile **into)
{
	struct dp_profile *profile = NULL;
	const int error = dp_cli_read_profile(path, &profile);
	if (error) {
		fprintf(stderr, "deepprof: %s: %s\n", path,
			error == -EBADMSG ? "not a pprof profile (.pb.gz)" : strerror(-error));
		return error;
	}
	if (!*into) {
		*into = profile;
		return 0;
	}
	const int merged = dp_profile_merge(*into, profile);
	if (merged)
		fprintf(stderr, "deepprof: %s: %s\n", path,
			merged == -EINVAL ? "counts other things than the files before it"
					  : strerror(-merged));
	dp_profile_free(profile);
	return merged;
}

static int write_out(const char *path, const struct dp_profile *profile, const struct dp_profile *base)
{
	int error;
	if (dp_format_of(path) < 0) {
		fprintf(stderr,
			"deepprof: %s: the name must end in .html, .pb.gz, .collapsed, .speedscope.json or "
			".otlp\n",
			path);
		return 2;
	}
	if (dp_format_of(path) == DP_FORMAT_HTML) {
		struct dp_buffer page = {0};
		error = dp_html_encode(profile, base, path, &page);
		if (!error)
			error = dp_output_write_bytes(path, page.bytes, page.size);
		dp_buffer_fini(&page);
	} else {
		error = dp_output_write(path, profile);
	}
	if (error)
		fprintf(stderr, "deepprof: cannot write %s: %s\n", path, strerror(-error));
	return error ? 1 : 0;
}

struct report {
	struct dp_profile *profile, *base;
	const char *out, *kind;
	bool is_help;
};

/* 0, or the exit status after having said what is wrong. */
static int read_arguments(struct report *report, int argc, char **argv)
{
	bool is_file = false; /* behind -- */
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];
		const bool is_diff = !strcmp(word, "--diff"), is_out = !strcmp(word, "-o");
		if (is_file || word[0] != '-') {
			if (load(word, &report->profile) != 0)
				return 1;
		} else if (!strcmp(word, "--")) {
			is_file = true;
		} else if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
			report->is_help = true;
			return 0;
		} else if (!strcmp(word, "--top") || !strcmp(word, "--tree") ||
			   !strcmp(word, "--collapsed")) {
			report->kind = word;
		} else if (!is_diff && !is_out) {
			return refuse("unknown option ", word);
		} else if (++i == argc) {
			return refuse("a file is missing behind ", word);
		} else if (is_out) {
			report->out = argv[i];
		} else if (load(argv[i], &report->base) != 0) {
			return 1;
		}
	}
	return report->profile ? 0 : refuse("no FILE was given", "");
}

static int show(const struct report *report)
{
	struct dp_buffer text = {0};
	int error;
	if (report->out)
		return write_out(report->out, report->profile, report->base);
	if (!strcmp(report->kind, "--top"))
		error = dp_top_encode(report->profile, report->base, TOP, &text);
	else if (!strcmp(report->kind, "--tree"))
		error = dp_tree_encode(report->profile, report->base, &text);
	else
		error = dp_collapsed_encode(report->profile, &text);
	if (error)
		fprintf(stderr, "deepprof: %s\n", strerror(-error));
	fwrite(text.bytes, 1, text.size, stdout);
	dp_buffer_fini(&text);
	return error ? 1 : 0;
}

int dp_cli_report(int argc, char **argv)
{
	struct report report = {.kind = "--top"};
	int status = read_arguments(&report, argc, argv);
	if (!status && report.is_help)
		usage(stdout);
	else if (!status)
		status = show(&report);
	dp_profile_free(report.profile);
	dp_profile_free(report.base);
	return status;
}
