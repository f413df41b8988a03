/* SPDX-License-Identifier: Apache-2.0
 * All stacks of a profile, and of the one it is compared with, as one tree of frames.
 *
 * A frame is a function in an object. A node is a frame under one chain of callers. A cell is the value that
 * one thread spent in one node itself. Strings belong to the profiles, which must outlive the tree. */
#ifndef DEEPPROF_EXPORT_HTML_TREE_H
#define DEEPPROF_EXPORT_HTML_TREE_H

#include "base/profile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dp_html_kind {
	DP_HTML_NATIVE,
	DP_HTML_PYTHON,
	DP_HTML_JVM,
	DP_HTML_KERNEL,
	DP_HTML_UNNAMED,    /* an address: no symbol covers it */
	DP_HTML_INCOMPLETE, /* "[incomplete: ...]", "[overflow]": what is missing, not what ran */
};

struct dp_html_frame {
	char *name; /* malloc'd */
	const char *object, *file;
	uint32_t line; /* of the function's start, else of the first line seen */
	enum dp_html_kind kind;
};

struct dp_html_node {
	uint32_t parent, frame;
	uint32_t first_child,
		next;     /* heaviest first once the tree is ready; 0: none, the root is nobody's child */
	int64_t total[2]; /* of the profile, of the base */
	bool is_inlined;  /* wherever it was seen */
};

struct dp_html_cell {
	uint32_t node, thread;
	int64_t value;
};

struct dp_html_thread {
	const char *name; /* "" when the samples have no label */
	int64_t tid;      /* 0 when the samples have no label */
	int64_t total;
};

struct dp_html_index {
	uint32_t *slots; /* number + 1; 0 is free */
	uint32_t slot_count, used;
};

/* Column 0 is the profile, 1 the base. */
struct dp_html_tree {
	DP_TABLE(struct dp_html_frame) frames; /* 0 is "all", the root's */
	DP_TABLE(struct dp_html_node) nodes;   /* 0 is the root */
	DP_TABLE(struct dp_html_thread) threads[2];
	DP_TABLE(struct dp_html_cell) cells[2];
	struct dp_html_index frame_index, node_index, thread_index[2], cell_index[2];
};

/* base may be NULL. 0 or -ENOMEM; either way the caller ends it by dp_html_tree_fini(). */
int dp_html_tree_init(
	struct dp_html_tree *tree, const struct dp_profile *profile, const struct dp_profile *base);
void dp_html_tree_fini(struct dp_html_tree *tree);

#endif
