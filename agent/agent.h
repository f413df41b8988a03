/* SPDX-License-Identifier: Apache-2.0
 * Our own process.
 *
 * A process (struct dp_process) is one profiled host as the agent sees it: its region, its modules, its window. The
 * ears are the main thread: they answer sockets and empty rings, and never do anything slow. The hands are the other
 * thread: they compile tables, finish and count stacks, name, encode, deliver. A job is what the ears ask of the
 * hands; jobs are done in order. */
#ifndef DEEPPROF_AGENT_AGENT_H
#define DEEPPROF_AGENT_AGENT_H

#include "agent/pace.h"
#include "base/region.h"
#include "base/settings.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_agent_options {
	const char *name;        /* of the rendezvous, as the host that starts us tells it; NULL with run_socket */
	const char *run_socket;  /* serve one `deepprof run` (or one host) under this name; NULL: the user's own agent */
	const char *run_output;  /* the run's merged profile, written when the command asks for it */
	unsigned linger_ms;      /* how long to stay without a host */
	bool is_thread;          /* inside the host: stay as long as it does, leave its signals alone */
};

/* ---- tables: compiled once per object, by number; hands write, ears read, under dp_tables_lock ---- */

struct dp_agent_table {
	int fd; /* sealed memfd, -1: the object has no unwind information */
	uint32_t size;
	uint64_t origin;
};
struct dp_waiting_table { /* for one process: which table a module of it has */
	uint32_t module, table;
	uint64_t origin;
	bool is_first; /* of this table: its descriptor goes with it */
};

/* ---- one profiled process ---- */

struct dp_work; /* what the hands know of it: work.c */

struct dp_process {
	struct dp_process *next;
	int32_t pid;
	int pidfd; /* -1: not to be had, its end is seen otherwise */
	_Atomic uint64_t slices_ms; /* when its samples last needed copies of the stack. Hands write, ears read */
	uint64_t identity, period_ns, start_ns, image_start_ns;
	struct dp_settings *settings; /* constant once made */
	char name[64];
	char cwd[512];
	char host_name[72]; /* of its own UTS name space */
	char root[32]; /* "/proc/PID/root", or "" where it is our own */

	/* Ears. */
	struct dp_region *region;
	uint8_t *pieces[DP_PIECE_MAX];
	bool has_ended;
	uint64_t greeted_ms, window_end_ms;
	struct dp_pace pace;
	uint32_t ready_told; /* last value put into tables_ready */
	uint32_t arm_told;
	uint64_t next_sweep_ms, next_whole_sweep_ms;
	uint64_t threads_seen; /* which threads were listed at the last look, as a sum */
	uint64_t cpu_ns;       /* its CPU clock before the rings were last emptied; 0: not to be read */
	uint32_t bare_tids[16]; /* threads without a timer that the last sweep found */
	bool has_bare_threads;  /* two sweeps in a row found one */
	uint32_t tables_answered; /* entries of waiting in answers so far; what arrived, the next question says */

	/* Both, under lock. */
	pthread_mutex_t lock;
	struct dp_waiting_table *waiting;
	uint32_t waiting_count, waiting_capacity;

	/* Hands. */
	struct dp_work *work;
	uint8_t offered[DP_TABLE_MAX / 8]; /* tables that are in waiting */
};

enum dp_job_kind {
	DP_JOB_GREET,   /* a new process */
	DP_JOB_MODULES, /* bytes of its module log */
	DP_JOB_LABELS,  /* bytes of its label log */
	DP_JOB_RECORDS, /* bytes of its rings */
	DP_JOB_WINDOW,  /* its window is over */
	DP_JOB_FLUSH,   /* its window is over, and files are written as if it had ended */
	DP_JOB_END,     /* it is over; the hands free it */
	DP_JOB_ANSWER,  /* all jobs before this one are done: answer on this socket */
	DP_JOB_FINISH,  /* the run is over: write the merged profile, answer on this socket */
	DP_JOB_QUIT,
};

struct dp_job {
	struct dp_job *next;
	enum dp_job_kind kind;
	struct dp_process *process;
	int socket; /* -1: none */
	/* RECORDS, WINDOW, END. */
	uint64_t losses[DP_DROP_COUNT][2]; /* count and ns so far, as the region says */
	uint64_t cpu_ns;                   /* as in struct dp_process */
	bool has_bare_threads;
	bool is_void; /* END: the host has counted all of it as lost */
	size_t size;
	uint8_t bytes[];
};

/* ---- hands ---- */

/* own_thread: false: jobs run inside dp_hands_give(). 0 or -errno. */
int dp_hands_start(const struct dp_agent_options *options, bool own_thread);
struct dp_job *dp_job_new(enum dp_job_kind kind, struct dp_process *process, size_t size); /* NULL: no memory */
void dp_hands_give(struct dp_job *job);
/* The same without waking them, which costs more than a job of a few samples: they take it up with the next job that
 * wakes them, when much waits, or when the oldest has waited for a second and somebody nudges. */
void dp_hands_give_later(struct dp_job *job, uint64_t now_ms);
void dp_hands_nudge(uint64_t now_ms);
/* Bytes of jobs that wait; the ears leave rings full beyond a limit. */
size_t dp_hands_backlog(void);
/* Samples and CPU time seen so far, for the progress line. */
void dp_hands_progress(uint64_t *samples, uint64_t *cpu_ns, uint64_t *losses);
void dp_hands_stop(void);
bool dp_hands_are_idle(void);

/* ---- objects.c ---- */

extern pthread_mutex_t dp_tables_lock;
/* Ears. False: no such table. */
bool dp_tables_get(uint32_t number, struct dp_agent_table *table);

/* ---- ears ---- */

/* Serves until there is nobody left to serve. 0 or -errno. */
int dp_ears_run(const struct dp_agent_options *options);

/* ---- door ---- */

/* The listening socket, or -errno; -EADDRINUSE: an agent like us serves there. Waits for one that is leaving. */
int dp_door_open(const struct dp_agent_options *options);

#endif
