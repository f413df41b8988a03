/* SPDX-License-Identifier: Apache-2.0
 * Every way to lose a sample, a frame or a profile, counted and delivered with the profile.
 *
 * A loss "with weight" takes CPU time out of the profile: sum of weights + sum of those losses = CPU time used.
 * A loss of frames keeps the sample but says that its stack is not whole. */
#ifndef DEEPPROF_BASE_DROP_H
#define DEEPPROF_BASE_DROP_H

#include <stdint.h>

#define DP_DROP_MAP(XX)                                                                                      \
	/* samples, counted where the tick happened */                                                       \
	XX(RING_FULL, "ring_full", "the agent fell behind, the newest sample was dropped")                   \
	XX(NO_LANE, "no_lane", "more ticks at once than lanes to write them")                                \
	XX(NESTED, "nested", "the tick interrupted our own code")                                            \
	XX(UNKNOWN_THREAD, "unknown_thread", "a tick of a thread whose record is gone")                      \
	XX(SIGNAL_BLOCKED, "signal_blocked", "CPU time of a thread that keeps SIGPROF blocked")              \
	XX(TIMER_MISSING, "timer_missing", "CPU time of a thread that has no timer")                         \
	XX(NO_AGENT, "no_agent", "no agent could be reached or started")                                     \
	XX(AGENT_LOST, "agent_lost", "the agent died, what it had not sent went with it")                    \
	XX(TAIL, "tail", "CPU time after the last tick of a thread or process")                              \
	/* frames: the sample is kept, its stack is shorter than the truth */                                \
	XX(TRUNCATED, "truncated", "more frames than the frame budget")                                      \
	XX(NO_CFI, "no_cfi", "code without unwind rows whose frame pointer led nowhere")                     \
	XX(NO_MAP, "no_map", "a code address in no known module")                                            \
	XX(BAD_MEMORY, "bad_memory", "an address outside the known stack")                                   \
	XX(NO_PROGRESS, "no_progress", "an unwind step that did not move up the stack")                      \
	XX(COMPLEX, "complex", "an unwind rule that only the agent can evaluate, and no stack copy")         \
	XX(FOREIGN_STACK, "foreign_stack", "the thread stood on a stack that could not be read")             \
	XX(TINY_STACK, "tiny_stack", "too little stack left in the handler: leaf only, or no sample where it has weight")  \
	XX(SLICE_FULL, "slice_full", "no room for a copy of the stack")                                      \
	XX(SLICE_SHORT, "slice_short", "the copy of the stack ended before the stack did")                   \
	XX(MANAGED_TORN, "managed_torn", "an interpreter's chain of frames that led nowhere")                 \
	XX(MANAGED_MISSING, "managed_missing", "an interpreter's stack deeper than the frame budget")         \
	XX(MANAGED_NAME, "managed_name", "no room for the name of an interpreter's function")                \
	XX(MANAGED_ORDER, "managed_order", "interpreter frames whose native frame is not known")             \
	/* labels: the sample is kept */                                                                     \
	XX(LABELS, "labels", "more label sets than are kept: a value became \"other\", or a label is missing") \
	/* in the agent */                                                                                   \
	XX(TABLE_FULL, "table_full", "the window's memory cap: stacks merged into the overflow bucket")      \
	XX(BAD_RECORD, "bad_record", "a record in the region that makes no sense")                           \
	XX(MODULE_FULL, "module_full", "more modules than the module list holds")                            \
	XX(NO_SYMBOL, "no_symbol", "a frame without a name: object and offset are shown")                    \
	XX(QUEUE_FULL, "queue_full", "a profile dropped because the upload queue was full")                  \
	XX(UPLOAD_FAILED, "upload_failed", "a profile the server refused or never answered for")             \
	XX(SPOOL_LOST, "spool_lost", "a profile in the spool that was damaged, too old or too much")        \
	XX(WRITE_FAILED, "write_failed", "a profile that could not be written to its file")

enum dp_drop {
#define XX(name, text, why) DP_DROP_##name,
	DP_DROP_MAP(XX)
#undef XX
	        DP_DROP_COUNT
};

/* One loss counter: how often, and how much CPU time (ns) went with it; 0 where only frames were lost. */
struct dp_loss {
	uint64_t count;
	uint64_t weight_ns;
};

/* The reason as users see it ("ring_full") and the sentence that explains it. Any thread, agent or hook. */
const char *dp_drop_name(enum dp_drop reason);
const char *dp_drop_text(enum dp_drop reason);

#endif
