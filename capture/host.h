/* SPDX-License-Identifier: Apache-2.0
 * What the library knows of the process it is a guest of.
 *
 * A lane is what one tick needs to itself: a ring to write to, a rule cache, scratch memory. Ticks lease lanes, so
 * there are about as many as CPUs, not as threads, and a thread's first tick finds a warm cache. A housekeeping
 * tick is one that, after its sample is written, does one rare thing by system calls: greet or start the agent,
 * fetch tables, arm a thread. */
#ifndef DEEPPROF_CAPTURE_HOST_H
#define DEEPPROF_CAPTURE_HOST_H

#include "base/region.h"
#include "runtimes/runtime.h"
#include "unwind/unwind.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	DP_THREAD_CHUNK = 64,       /* records in the first chunk, which is static */
	DP_THREAD_CHUNK_MORE = 1024, /* records in each further one */
	DP_THREAD_CHUNKS = 32,
	DP_EARLY_RING_SIZE = 64 * 1024,
	DP_LANES_EARLY = 2,
};

/* Idle: a live thread without a timer, because the profiler is stopped. Whoever moves a record from armed or idle to
 * claimed owns it, and its timer, until it moves on. */
enum dp_thread_state { DP_THREAD_FREE, DP_THREAD_CLAIMED, DP_THREAD_ARMED, DP_THREAD_IDLE };
enum { DP_STACK_TOLD = UINT32_MAX };

/* One thread with a timer. Its address is what the timer's cookie stands for; memory is never given back. */
struct dp_thread {
	_Atomic uint32_t state; /* enum dp_thread_state */
	uint32_t number;        /* which record this is; constant */
	_Atomic bool is_paused; /* the timer stands still: SIGPROF is blocked. The thread itself */
	int32_t tid;
	int32_t timer;          /* the kernel's id; -1: none */
	uint32_t last_lane;
	uint32_t wanted_bytes; /* room in a ring that its last sample wanted. The handler */
	/* The account of the timer since it was started, in CPU time of the thread: when it expired first, how often ticks
	 * said that it has. The handler writes, whoever stops the timer reads. */
	uint64_t first_ns;
	_Atomic uint64_t expired;
	_Atomic uint64_t blocked_ns; /* since when it stands still for a blocked SIGPROF; 0: it does not */
	bool is_new;                 /* armed by the thread itself as the first thing it does */
	uintptr_t stack_low, stack_high; /* 0, 0: not known */
	uintptr_t stack_usable;          /* above the guard */
	uint32_t stack_asked;            /* how often a runtime might have been asked for them; DP_STACK_TOLD: it has told them */
	_Atomic uint32_t labels; /* number of its label set (label.h). The thread itself */
	size_t stack_size, guard_size; /* as asked for */
	void *(*start)(void *); /* what pthread_create was asked to run */
	void *argument;
	bool is_apart;          /* the creator's dp_sigprof_is_apart */
	uint64_t memory[DP_RUNTIME_MEMORY]; /* the readers'. The thread itself, in the handler */
	uintptr_t self;         /* the thread pointer of whom it is about; 0: not known */
} __attribute__((aligned(64)));

struct dp_lane {
	_Alignas(4096) _Atomic uint32_t is_leased; /* by the tick that set it */
	uint32_t number;
	struct dp_ring_view view;                 /* changed only under lease */
	_Atomic(const struct dp_code_map *) map;  /* which the tick walks by; the housekeeper reads it */
	/* What would be too much for the interrupted thread's stack; with most stacks' frames on one page. */
	struct dp_walk walk;
	struct dp_stack_view stack;
	uintptr_t slice_low, slice_high; /* what of the stack the agent needs; 0, 0: from its low end on */
	struct dp_record record;
	struct dp_frame frames[DP_FRAME_MAX];
	struct dp_rule_cache cache;
	struct dp_managed_tick managed;
	struct dp_frame managed_frames[DP_MANAGED_MAX];
	struct dp_tick_text texts[DP_TEXTS];
	bool has_told;
	uint8_t told[DP_RUNTIMES][DP_RUNTIME_NUMBERS / 8]; /* names that the ring has been told */
	uint8_t foreign[DP_SLICE_MAX]; /* copy of a stack that is not the thread's own */
	uint64_t scratch[DP_RUNTIME_SCRATCH]; /* a runtime's, during a tick */
	uint8_t owned[DP_OWNED_MEMORY]; /* a runtime's, for its steps; untouched without one */
};

/* Why the library does nothing, or no rare thing, here. */
enum dp_off {
	DP_OFF_SECCOMP = 1,  /* a filter came after us: no system call that the program does not make itself */
	DP_OFF_CLONE = 2,    /* name spaces pending: no clone */
	DP_OFF_DISABLED = 4, /* for good */
	DP_OFF_STOPPED = 8,  /* by deepprof_stop(), or not started yet: no timers, everything else as usual */
	DP_OFF_ENDED = 16,   /* the agent was told that nothing more comes; a forked child begins anew */
};

struct r_debug; /* link.h */

/* A tick finds the processor's caches full of the program's data: what each tick reads stands first and together. */
struct dp_host {
	_Alignas(4096) _Atomic uint32_t is_armed; /* 1 once the handler may be entered */
	_Atomic uint32_t off;      /* enum dp_off */
	int32_t pid;
	uint32_t verify_every;
	uint64_t period_ns;
	_Atomic(struct dp_region *) region; /* NULL before the agent was greeted or started */
	_Atomic(const struct dp_code_map *) map;
	_Atomic uint32_t ticks;         /* handler runs */
	_Atomic uint32_t lane_count;
	_Atomic uint32_t lanes_short; /* ticks that had no lane or not their own since some were added */
	_Atomic uint32_t unknown_code;  /* ticks that met code of no module */
	/* And the housekeeper, before it finds that nothing is due. */
	uint32_t next_attempt_tick, sweep_tick, modules_published, map_generation;
	uint32_t unknown_seen, discover_tick, discover_pause, discover_calls; /* see is_unknown_due() */
	_Atomic uint32_t loader_calls;  /* dlopen calls so far */
	_Atomic uint32_t loader_calls_seen; /* of them when a hook last looked at the loader's list */
	_Atomic(struct dp_thread *) thread_chunks[DP_THREAD_CHUNKS]; /* [0] is first_threads */
	struct dp_lane *lanes[DP_LANE_MAX];

	struct dp_thread first_threads[DP_THREAD_CHUNK];
	uint32_t uid;
	uint64_t start_ns, image_start_ns;
	bool is_subreaper;    /* inherits what its descendants leave behind; by hook, or seen when it mattered */
	bool is_under_reaper; /* forked by such a host, or by the init of a name space: an agent of ours would end as a
	                       * child of one that does not know it. It greets, it does not start */
	bool use_thread; /* agent=thread */
	/* Signal. A SIGPROF that is not one of our timers'; NULL: ignored. */
	void (*on_foreign)(int signo, siginfo_t *info, void *ucontext);
	/* Signal, at the end of a tick, while is_aimed is not 0: the application has sent this thread a SIGPROF. */
	void (*on_aimed)(int signo, void *ucontext);
	_Atomic uint32_t is_aimed;
	uintptr_t main_stack_low, main_stack_high;
	struct dp_lane early_lanes[DP_LANES_EARLY];
	struct dp_ring early_rings[DP_LANES_EARLY];
	_Alignas(4096) uint8_t early_bytes[DP_LANES_EARLY][DP_EARLY_RING_SIZE]; /* whole pages: given back */

	_Atomic uint32_t is_keeping;    /* one housekeeper at a time */
	_Atomic uint32_t siblings_armed; /* timers made for other threads so far */
	struct dp_shared_loss losses[DP_DROP_COUNT]; /* until there is a region */

	/* Housekeeper only. */
	uint32_t attempts;
	bool has_started; /* an agent, since the last region */
	uint8_t *unpublished; /* a region that the agent has, but whose lanes were in use when it came */
	uint32_t unpublished_lanes;
	uint32_t greeted_tick, heartbeat_tick, heartbeat_seen;
	uint32_t first_name;  /* of the rendezvous: those before it belong to somebody who does not answer */
	uint32_t region_name; /* under which the region was handed over */
	uint32_t given_up;    /* regions */
	uint64_t heartbeat_ms, started_ms, restarted_ms, silence_ms; /* monotonic; 0: never */
	uint32_t sweep_next;
	const struct dp_table *tables[DP_TABLE_MAX]; /* by the number that tables_agent gave them */
	uint32_t tables_agent;
	uint32_t tables_taken; /* entries of the region's agent that have arrived */

	/* Constant once armed. */
	char settings[DP_SETTINGS_SIZE]; /* for the agent, "key=value" lines */
	uint32_t settings_size;
	char secrets[DP_SETTINGS_SIZE];  /* all of them with what is secret: over the socket, never in the region */
	uint32_t secrets_size;
	char agent_path[2][512]; /* where deepprof-agent may be */
	const struct r_debug *loader_debug; /* the loader's word to debuggers; NULL: not found */
	char run_socket[64];     /* the agent of a `deepprof run`; "" for the user's own */
};
extern struct dp_host dp_host;

/* A page that a fork leaves zeroed: nothing in it is true in a child that nobody prepared. */
struct dp_owner_page {
	_Atomic int32_t pid;
	uint8_t pad[4092];
};
extern struct dp_owner_page dp_owner;

/* ---- hook: the order of a life ---- */

/* Everything but the timer: state, stack bounds of the calling (main) thread. period_ns: CPU time between ticks. */
void dp_host_init(uint64_t period_ns);
/* Installs the handler and arms the calling thread. 0 or -errno. */
int dp_host_arm(void);
/* Takes every timer away; the records stay, idle. */
void dp_host_disarm(void);
/* Timers again, for every idle record and the calling thread: 0 or -errno of the latter's. */
int dp_host_rearm(void);
/* Stopped. A new region for what comes, because settings changed; the agent ends the old one when it is greeted anew.
 * 0, or -EBUSY where a tick is still at work. */
int dp_host_renew(void);
/* Stopped, nothing sampled yet: the profile begins now. */
void dp_host_begin(void);
/* In the only thread of a forked child: forget the parent's threads, lanes and region, take on a new identity, arm
 * the calling thread. */
void dp_host_after_fork(void);
/* What was sampled so far is delivered: 0 when the agent said so, else -errno (-ETIME: not within timeout_ms). */
int dp_host_flush(uint32_t timeout_ms);
/* The orderly end of the process: what was sampled is handed over, and with answer_ms > 0 the agent's word awaited,
 * at most so long, that it is delivered. True when it came. */
bool dp_host_end(uint32_t answer_ms);

/* ---- any context ---- */

/* Counts one loss; weight_ns 0 where only frames were lost. */
void dp_count_loss(enum dp_drop reason, uint64_t weight_ns);
/* Counts losses of frames. */
void dp_count_losses(enum dp_drop reason, uint32_t count);
/* The lane's ring begins anew: names must be told again. */
void dp_lane_forget_names(struct dp_lane *lane);

/* A free record, or NULL when all are taken (a hook may then call dp_thread_grow()). */
struct dp_thread *dp_thread_claim(void);
int dp_thread_grow(void); /* by mmap; 0 or -errno */
void dp_thread_release(struct dp_thread *thread);
struct dp_thread *dp_thread_by_tid(int32_t tid);
/* The record whose timer sent this signal, or NULL: somebody else's SIGPROF. */
struct dp_thread *dp_thread_of(const siginfo_t *info);
/* Was it sent by a timer of ours, though perhaps one that is gone? */
bool dp_is_tick(const siginfo_t *info);

/* Creates and starts the timer on tid's CPU clock; 0 or -errno (EAGAIN: RLIMIT_SIGPENDING). While the profiler is
 * stopped the record becomes idle instead. */
int dp_timer_arm(struct dp_thread *thread, int32_t tid);
/* Armed or idle becomes claimed, without a timer; false: it was neither. */
bool dp_timer_disarm(struct dp_thread *thread);
/* Armed becomes idle. */
void dp_timer_rest(struct dp_thread *thread);
/* Stop an armed timer, start it again. */
void dp_timer_pause(struct dp_thread *thread);
int dp_timer_resume(struct dp_thread *thread);
/* Counts what the thread used and no tick will tell: up to a clock tick of the kernel's, within which an expiry is
 * noticed by nobody when the thread ends, or all since SIGPROF was blocked. */
void dp_timer_settle(struct dp_thread *thread);
uint64_t dp_thread_cpu_ns(int32_t tid); /* 0: it has ended */

/* The handler. */
void dp_on_tick(int signo, siginfo_t *info, void *ucontext);

/* Signal. The housekeeping that is due after this tick, if any; at most one rare thing. */
void dp_housekeep(struct dp_thread *self);
/* All signals blocked. The parts of dp_host_end(), dp_host_flush() and dp_host_renew() that make system calls. */
bool dp_housekeep_end(uint32_t answer_ms);
int dp_housekeep_flush(uint32_t timeout_ms);
int dp_housekeep_renew(void);

#endif
