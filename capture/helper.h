/* SPDX-License-Identifier: Apache-2.0
 * The helper: a short-lived child that shares the host's memory and nothing else.
 *
 * Made by a raw clone(CLONE_VM|CLONE_VFORK|CLONE_FILES|CLONE_UNTRACED) whose first act is to unshare an emptied
 * descriptor table: what it maps stays in the host, what it opens nobody sees. The host's thread waits meanwhile,
 * all its signals blocked. One at a time: the caller holds dp_host.is_keeping. */
#ifndef DEEPPROF_CAPTURE_HELPER_H
#define DEEPPROF_CAPTURE_HELPER_H

#include "base/region.h"

#include <stdbool.h>
#include <stdint.h>

enum dp_errand_kind {
	DP_ERRAND_GREET,  /* find a running agent, make a region, hand it over */
	DP_ERRAND_START,  /* start the agent; a later tick greets it */
	DP_ERRAND_TABLES, /* fetch the tables that wait, map them, note them in the module list */
	DP_ERRAND_PIECE,  /* one more piece with lanes */
	DP_ERRAND_FLUSH,  /* ask the agent to deliver all, wait for its answer */
};

struct dp_errand {
	enum dp_errand_kind kind;
	uint32_t timeout_ms; /* FLUSH */
	bool goes_on;        /* FLUSH: the host does; false: it ends */
	uint32_t piece;      /* PIECE: which */
	bool needs_nanny;    /* START: the host would inherit an orphan */
	/* Answers. */
	volatile long result; /* 0 or -errno */
	volatile bool needs_copy; /* the descriptor table cannot be unshared here */
	uint8_t *memory;      /* GREET, PIECE: what was mapped */
	uint32_t lanes;       /* GREET: for how many there is memory */
	uint32_t name;        /* GREET: which name it was */
	uint32_t ready;       /* TABLES: the mailbox value that was satisfied */
};

/* The helper that lives, and those that somebody else has waited for; 0: none. The kernel writes one before its helper
 * runs; whoever has waited for it takes it out. */
enum { DP_HELPERS = 8 };
extern _Atomic int32_t dp_helpers[DP_HELPERS];

/* Signal (all signals blocked). Runs the errand in a helper; 0 or -errno (also in errand->result). */
long dp_helper_run(struct dp_errand *errand);

#endif
