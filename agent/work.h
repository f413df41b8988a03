/* SPDX-License-Identifier: Apache-2.0
 * What the hands know of one host, and one window from samples to profile. Hands only. */
#ifndef DEEPPROF_AGENT_WORK_H
#define DEEPPROF_AGENT_WORK_H

#include "agent/agent.h"
#include "agent/identity.h"
#include "agent/labels.h"
#include "agent/modules.h"
#include "agent/places.h"
#include "agent/stacks.h"
#include "agent/stitch.h"
#include "agent/texts.h"
#include "base/profile.h"
#include "runtimes/names.h"

struct dp_task {
	uint32_t tid;
	bool is_fresh; /* named in this window */
	char name[32];
};

struct dp_work {
	struct dp_modules modules;
	struct dp_labels labels;
	struct dp_names names;
	struct dp_stitch_counts stitched; /* of this window */
	bool has_runtime[DP_NAME_RUNTIMES]; /* whose frames were met */
	struct dp_finisher *finisher;
	uint32_t finisher_generation;
	struct dp_work *next_finishing; /* in the list of those that have one */
	uint64_t finished_ms;           /* when it was last needed */
	struct dp_stacks stacks;
	struct dp_texts texts; /* of this window */
	struct dp_perf_map *perf_map;
	int64_t window_start_ns; /* CLOCK_REALTIME */
	uint64_t losses[DP_DROP_COUNT][2];      /* so far, as the region says */
	uint64_t losses_told[DP_DROP_COUNT][2]; /* in profiles already made */
	struct dp_loss own_losses[DP_DROP_COUNT]; /* ours, of this window */
	uint64_t verified, mismatched, short_copies; /* of this window */
	uint64_t samples, weight_ns;             /* of the whole life */
	uint64_t cpu_ns, missing_told_ns;        /* its CPU clock; what of it was said to be timer_missing */
	bool has_bare_threads;
	bool is_over; /* nothing is on its way any more */
	struct dp_task *tasks;
	uint32_t task_count, task_capacity;
	struct dp_job *held, **held_end; /* records that came before the modules they speak of */
	size_t held_bytes;
	struct dp_profile *total;        /* all windows, for files */
	struct dp_places places;         /* of the total */
	bool has_container;              /* the next three were looked for */
	char container_id[DP_CONTAINER_ID_BYTES], pod_uid[DP_POD_UID_BYTES], pod_namespace[72];
	uint32_t windows;                /* profiles made so far */
	bool has_written;                /* its files, at least once */
};

int dp_work_init(struct dp_process *process);
void dp_work_fini(struct dp_process *process);
/* Before a window is named: what finishing stacks needed is dropped where nobody has needed it for a while. true: memory
 * was given back. */
bool dp_work_rest(uint64_t now_ms);
/* Bytes of the module log: opens objects, offers tables to the host. */
void dp_work_take_modules(struct dp_process *process, const struct dp_job *job);
void dp_work_take_records(struct dp_process *process, const struct dp_job *job);
/* What the host counted, and the kernel of it, at the time of the job. */
void dp_work_take_account(struct dp_process *process, const struct dp_job *job);
/* The current window, symbolised: as a profile of its own (NULL: nothing in it, or no memory), or added to the total,
 * which costs the names of what is new alone. window.c */
struct dp_profile *dp_window_profile(struct dp_process *process, int64_t now_ns);
void dp_window_into_total(struct dp_process *process, int64_t now_ns);

/* The window's profile, and an empty window after it. NULL: nothing in it, no memory, or it is in the total. */
struct dp_profile *dp_work_close_window(struct dp_process *process);

#endif
