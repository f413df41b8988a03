/* SPDX-License-Identifier: Apache-2.0
 * The region: all that passes between a host and its agent at run time.
 *
 * A region is made of pieces, memfds of DP_PIECE_SIZE bytes each, which the host's helper allocates, prefaults and
 * seals before anyone may touch them, and hands to the agent over a socket. Piece 0 begins with struct dp_region;
 * each piece ends in lanes' rings. Host -> agent: rings of samples, the module log, the thread list, loss counters.
 * Agent -> host: the mailbox. Each field has one writer, named in its comment. Both sides copy what they read and
 * check it: the other may be broken or hostile. */
#ifndef DEEPPROF_BASE_REGION_H
#define DEEPPROF_BASE_REGION_H

#include "base/drop.h"
#include "base/frame.h"
#include "base/ring.h"

#include <stdint.h>

enum {
	DP_REGION_VERSION = 6,
	DP_PIECE_SIZE = 256 * 1024,
	DP_PIECE_MAX = 32, /* 8 MiB a host at most */
	DP_LANE_RING_SIZE = 32 * 1024,
	DP_LANES_FIRST_PIECE = 6,
	DP_LANES_MORE_PIECE = 7,
	DP_LANE_MAX = 64,
	DP_MODULE_LOG_SIZE = 16 * 1024,
	DP_LABEL_LOG_SIZE = 8 * 1024,
	DP_SETTINGS_SIZE = 12 * 1024,
	DP_THREAD_MAX = 1024, /* entries of the thread list; threads beyond are sampled but not listed */
	DP_FRAME_MAX = 512,   /* frames of one sample */
	DP_SLICE_MAX = 16 * 1024,
	DP_LABEL_SET_MAX = 4096, /* label sets of one process, with the empty one */
	DP_LABEL_PAIRS_MAX = 8,  /* of one set */
	DP_LABEL_KEY_MAX = 63,   /* bytes, without NUL */
	DP_LABEL_VALUE_MAX = 127,
	DP_LABEL_TEXT_MAX = DP_LABEL_PAIRS_MAX * (DP_LABEL_KEY_MAX + DP_LABEL_VALUE_MAX + 2),
};
#define DP_REGION_MAGIC UINT64_C(0x6e6f696765727064) /* "dpregion" */

enum dp_agent_state { /* what the agent says of itself */
	DP_AGENT_NONE,
	DP_AGENT_SERVING,
	DP_AGENT_LEAVING, /* not one more byte will be read */
};

/* A thread of the host with a timer. */
struct dp_thread_entry {
	_Atomic uint32_t tid; /* 0: free. Host */
	_Atomic uint32_t ticks; /* delivered ticks so far. Host, in the handler */
};

struct dp_shared_loss {
	_Atomic uint64_t count, weight_ns;
};

struct dp_region {
	/* Written by the host before the agent sees the region, then constant. */
	uint64_t magic;
	uint32_t version, header_size;
	int32_t pid;
	uint32_t uid;
	uint64_t identity;      /* differs between any two regions of a machine, with high probability */
	uint64_t start_ns;      /* CLOCK_REALTIME when the host's constructor ran */
	uint64_t period_ns;
	uint64_t image_start_ns; /* CLOCK_PROCESS_CPUTIME_ID when this account began: what was used before is not in it */
	uint32_t settings_size, reserved;

	/* Host, any time. */
	_Atomic uint32_t generation __attribute__((aligned(64))); /* of the module list */
	_Atomic uint32_t is_ending;                               /* an orderly end has begun */
	_Atomic uint64_t end_cpu_ns;                              /* process CPU time then */
	_Atomic uint32_t tables_seen;                             /* last value of tables_ready acted upon */
	_Atomic uint32_t arm_seen;                                /* last value of arm_request acted upon */
	_Atomic uint32_t lane_count;                              /* lanes with a ring, in order of pieces */
	_Atomic uint64_t ticks;                                   /* handler runs, all threads */
	_Atomic uint32_t is_given_up; /* the agent was silent: all since safe_cpu_ns was counted as lost */
	struct dp_shared_loss losses[DP_DROP_COUNT];

	/* Agent, any time: the mailbox. */
	_Atomic uint32_t agent_state __attribute__((aligned(64))); /* enum dp_agent_state */
	_Atomic uint32_t agent_pid;
	_Atomic uint32_t heartbeat;    /* grows while the agent lives */
	_Atomic uint32_t tables_ready; /* grows when tables wait to be fetched */
	_Atomic uint32_t arm_request;  /* grows when arm_tids holds threads without timers */
	_Atomic uint32_t arm_tids[16];
	_Atomic uint64_t safe_cpu_ns; /* the host's CPU time up to which all is out of our hands; 0: none yet */
	_Atomic uint32_t flushed;      /* 1: all that was in the rings when is_ending was set is delivered */

	struct dp_ring module_log __attribute__((aligned(64)));
	struct dp_ring label_log;
	struct dp_ring lanes[DP_LANE_MAX];
	uint8_t module_log_bytes[DP_MODULE_LOG_SIZE];
	uint8_t label_log_bytes[DP_LABEL_LOG_SIZE];
	char settings[DP_SETTINGS_SIZE];
	struct dp_thread_entry threads[DP_THREAD_MAX];
};
_Static_assert(sizeof(struct dp_region) <= DP_PIECE_SIZE - DP_LANES_FIRST_PIECE * DP_LANE_RING_SIZE,
        "the header and the first lanes share piece 0");

/* Where the bytes of lane n are: its piece and the offset in it. */
static inline uint32_t dp_lane_piece(uint32_t lane)
{
	return lane < DP_LANES_FIRST_PIECE ? 0 : 1 + (lane - DP_LANES_FIRST_PIECE) / DP_LANES_MORE_PIECE;
}

static inline uint32_t dp_lane_offset(uint32_t lane)
{
	const uint32_t in_piece =
	        lane < DP_LANES_FIRST_PIECE ? lane : (lane - DP_LANES_FIRST_PIECE) % DP_LANES_MORE_PIECE;
	const uint32_t lanes = lane < DP_LANES_FIRST_PIECE ? DP_LANES_FIRST_PIECE : DP_LANES_MORE_PIECE;
	return DP_PIECE_SIZE - (lanes - in_piece) * DP_LANE_RING_SIZE;
}

/* A record in a lane's ring: this, then frame_count native frames, managed_count managed ones, texts_size bytes of texts,
 * then slice_size bytes of stack. */
enum dp_record_flag {
	DP_RECORD_SLICE = 1,  /* the agent finishes the stack from the slice */
	DP_RECORD_VERIFY = 2, /* the stack is whole; the slice is for comparison */
	DP_RECORD_FOREIGN_STACK = 4, /* the thread stood on a stack that is not its own */
	DP_RECORD_NAME = 8,          /* no sample: runtimes/name.h */
	DP_RECORD_GIL_HELD = 16,     /* a Python thread, with the GIL (attached to its interpreter) */
	DP_RECORD_GIL_FREE = 32,     /* a Python thread, without */
};

struct dp_record {
	uint32_t size_bytes; /* of all, a multiple of 8 */
	uint16_t flags;
	uint16_t frame_count;
	uint32_t tid;
	uint32_t generation; /* of the module list at the tick */
	uint64_t weight_ns;
	uint16_t stop; /* enum dp_stop of the walk */
	uint16_t labels; /* number of the thread's label set, 0: none */
	uint32_t slice_size;    /* bytes, a multiple of 8 */
	uint64_t slice_address; /* of its first byte in the host */
	uint16_t managed_count;
	uint16_t texts_size; /* bytes, a multiple of 8 */
	uint16_t reserved[2];
};
/* With a slice, struct dp_registers precede it. */

/* What a sample is called by: names that may be others at the next tick go with the sample itself. */
enum dp_text_kind { DP_TEXT_THREAD, DP_TEXT_TASK, DP_TEXTS };
enum { DP_TEXT_MAX = 256 };

/* One text: this, then its bytes, padded to 8. */
struct dp_record_text {
	uint16_t size_bytes; /* without this and the padding */
	uint8_t kind;        /* enum dp_text_kind */
	uint8_t width;       /* bytes of one code point: 1 (Latin-1), 2, 4 */
	uint8_t reserved[4];
};

/* A record in the module log: this, then the build-id, then the path, padded to 8 bytes. */
enum dp_module_event { DP_MODULE_LOADED = 1, DP_MODULE_UNLOADED = 2 };

struct dp_module_record {
	uint32_t size_bytes;
	uint16_t event; /* enum dp_module_event */
	uint16_t path_size;
	uint32_t module;     /* the host's number for it */
	uint32_t generation; /* of the list from this event on */
	uint64_t bias, start, end; /* load bias; lowest and highest address of its code */
	uint8_t build_id_size, reserved[7];
};

/* A record in the label log: this, then "key\0value\0" for each pair, padded to 8 bytes. */
struct dp_label_record {
	uint32_t size_bytes;
	uint32_t number;    /* of the set, from 1 on */
	uint32_t text_size; /* without the padding */
	uint32_t reserved;
};

/* ---- over the socket ---- */

enum dp_message_kind {
	DP_MESSAGE_HELLO = 1,  /* host -> agent: struct dp_message, piece 0 as descriptor; no answer but the mailbox */
	DP_MESSAGE_PIECE,      /* host -> agent: a further piece as descriptor */
	DP_MESSAGE_TABLES,     /* host -> agent: send what waits. Answer: struct dp_tables_answer and descriptors */
	DP_MESSAGE_FLUSH,      /* host -> agent: deliver all you have of me, then answer (bounded wait) */
	DP_MESSAGE_STATUS,     /* command -> agent of its run. Answer: "processes samples cpu_ns losses" */
	DP_MESSAGE_FINISH,     /* command -> agent of its run: write the merged profile, then answer */
};

enum dp_flush { DP_FLUSH_END, /* nothing more will come of this host */ DP_FLUSH_GOES_ON };

struct dp_message {
	uint32_t kind, version;
	int32_t pid;
	/* PIECE: its number; TABLES: entries of earlier answers that have arrived; FLUSH: enum dp_flush */
	uint32_t argument;
	uint64_t identity; /* the region's */
};

enum { DP_TABLES_PER_ANSWER = 64, DP_TABLE_MAX = 1024 };
enum { DP_TABLE_NONE = UINT32_MAX }; /* this module has no unwind information */

struct dp_table_entry {
	uint32_t module;      /* the host's number */
	uint32_t table;       /* the agent's number, the same for the same build-id; or DP_TABLE_NONE */
	uint64_t origin;      /* ELF virtual address of the table's offset 0 */
	uint32_t descriptor;  /* which of the descriptors holds it; UINT32_MAX: with an earlier entry */
	uint32_t size;        /* of the table, bytes */
};

struct dp_tables_answer {
	uint32_t count;
	uint32_t more; /* ask again */
	uint32_t ready; /* value of tables_ready that this answer satisfies */
	uint32_t agent; /* differs between two agents: table numbers mean something to one alone */
	struct dp_table_entry entries[DP_TABLES_PER_ANSWER];
};

#endif
