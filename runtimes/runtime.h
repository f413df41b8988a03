/* SPDX-License-Identifier: Apache-2.0
 * A runtime is a language whose frames the native walk cannot name.
 *
 * A managed frame is one activation of one of its functions. Its number stands for that function in one process; a
 * name record (runtimes/name.h) tells the agent what the number means and stands before the first sample that needs
 * it, in the same ring. A marker is what the interpreter's native frame keeps of itself on the native stack; its
 * address says which native frame the managed ones belong to.
 *
 * Frames of some runtimes are objects beside the native stack: they are walked apart, and the agent puts the two
 * together by markers. Frames of others are the stack itself, in code that no object on disk has: the native walk hands
 * each address that such a runtime owns to its reader and goes on where the reader hands back.
 *
 * To add one: a folder here that defines a struct dp_runtime (host) and a struct dp_runtime_names (agent), and a line
 * in each of the two tables. */
#ifndef DEEPPROF_RUNTIMES_RUNTIME_H
#define DEEPPROF_RUNTIMES_RUNTIME_H

#include "base/frame.h"
#include "base/region.h"
#include "base/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	DP_MANAGED_MAX = 512,             /* managed frames of one sample */
	DP_RUNTIME_NUMBERS = 32 * 1024,   /* functions of one runtime in one process that have a name */
	DP_RUNTIMES = 2,                  /* readers that tell names */
	DP_RUNTIME_LOSSES = 3,
	DP_REFUSAL_MAX = 256,             /* bytes of a line that says why one is not read */
	DP_RUNTIME_MEMORY = 36,
	DP_RUNTIME_SCRATCH = 2048,
	DP_OWNED_MEMORY = 64 * 1024,      /* bytes that a reader has to itself in each lane, zeroed at first */
};

/* A module as the loader has it. */
struct dp_runtime_module {
	uintptr_t bias, start, end; /* load bias; its code */
	const void *headers;        /* its program headers, ElfW(Phdr), in memory that may be read plainly */
	unsigned header_count;
	const char *path;
	/* True: size bytes from address are in to. A hook reads plainly; a tick by the kernel, which may refuse. */
	bool (*read)(uintptr_t address, void *to, size_t size);
};

/* Ways in which a walk loses frames; capture counts them under their names (base/drop.h). */
enum dp_managed_loss {
	DP_MANAGED_TORN,    /* the chain led to something that is no frame */
	DP_MANAGED_MISSING, /* deeper than the budget, the middle is missing */
	DP_MANAGED_NAME,    /* no room for one more name */
};

/* A name of the sample, as the runtime keeps it; size_bytes 0: none. */
struct dp_tick_text {
	struct dp_record_text head;
	uint8_t bytes[DP_TEXT_MAX];
};

/* One tick, for the readers. */
struct dp_managed_tick {
	uintptr_t sp, stack_high;   /* where the thread stands; the end of that stack, 0: not known */
	const struct dp_frame *native; /* leaf first; the places are distances from sp */
	uint32_t native_count;
	uint32_t tick;              /* its number */
	int32_t pid, tid;
	bool may_call;              /* rare system calls are allowed */
	/* Names go here, before the sample. */
	const struct dp_ring_view *ring;
	uint32_t name_room;         /* bytes that names may still take in this tick */
	uint8_t (*told)[DP_RUNTIME_NUMBERS / 8]; /* what this ring has been told, one set for each runtime */
	uint8_t *owned;             /* DP_OWNED_MEMORY bytes of this lane, for a reader that owns code */
	/* Out. */
	struct dp_frame *frames;    /* DP_MANAGED_MAX, leaf first */
	uint32_t frame_count;
	uint32_t native_end;        /* 0, or: so many native frames are this stack's, and the last of them is its outermost */
	uint16_t record_flags;      /* to be added to the sample's */
	struct dp_tick_text *texts; /* DP_TEXTS, none of them set */
	uint64_t *scratch;          /* DP_RUNTIME_SCRATCH words for this tick; any values */
	uint64_t *memory;           /* DP_RUNTIME_MEMORY words that a reader keeps from one tick of this thread to its next; 0 at first */
	bool has_stepped;           /* code that a runtime owns was met */
	uintptr_t mark;             /* of the reader that owns code, 0 at first */
	uint16_t losses[DP_RUNTIME_LOSSES]; /* by enum dp_managed_loss */
};

enum dp_owned_end {
	DP_OWNED_CALLER, /* the registers are those of native code */
	DP_OWNED_END,    /* the outermost frame */
	DP_OWNED_TORN,   /* no further */
	DP_OWNED_FULL,   /* max frames written, more above */
};

/* A walk that stands in code of a runtime whose frames are the stack itself. */
struct dp_owned_walk {
	struct dp_registers *registers; /* in, out: pc, sp, fp; all others only while is_exact */
	bool is_exact;                  /* in, out: pc is the interrupted instruction, else a return address */
	uintptr_t stack_low, stack_high; /* what may be read */
	ptrdiff_t shift;                /* to where it is read */
	uintptr_t origin;               /* what places count from */
	struct dp_frame *frames;        /* leaf first */
	int max;
	enum dp_owned_end end;          /* out */
};

struct dp_runtime {
	const char *name;   /* as users see it: "python" */
	/* Hook or housekeeping tick, one at a time. Is this module the runtime? 1: yes, from now on it is read; 0: no;
	 * -ENOTSUP: yes, but it cannot be read safely: why is written to refusal, one line; -EAGAIN: the loader is still at
	 * work on it, ask again. */
	int (*look)(const struct dp_runtime_module *module, char *refusal, size_t refusal_size);
	/* Signal. Adds this thread's frames to tick. */
	void (*walk)(struct dp_managed_tick *tick);
	/* Signal. NULL, or: where is the code whose frames it steps through? False: nowhere yet. */
	bool (*owns)(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high);
	/* Signal. From registers, which stand in owned code, to its native caller. Returns the number of frames. */
	int (*step)(struct dp_managed_tick *tick, struct dp_owned_walk *walk);
	/* Signal. The native walk ends at registers' sp: where do this runtime's frames go on above it? True: there registers
	 * are; pc is a return address. */
	bool (*resume)(struct dp_managed_tick *tick, struct dp_owned_walk *walk);
	/* Signal. The bounds of the calling thread's stack, if it is a thread of this runtime's; usable: above all that the runtime
	 * protects. */
	bool (*stack)(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high, uintptr_t *usable);
	/* Hook. Keeps what is read from being unloaded. */
	void (*pin)(void);
};
extern const struct dp_runtime dp_python, dp_hotspot;

/* Hook or housekeeping tick, under the lock of the module list: shows the module to all readers. False: show it again. */
bool dp_runtimes_look(const struct dp_runtime_module *module);
/* Hook. The line that one of them wants said, DP_REFUSAL_MAX bytes; each is given out once. False: none. */
bool dp_runtimes_refusal(char *line);
void dp_runtimes_pin(void);
/* Signal. Is there anything to walk? Cheap. */
bool dp_runtimes_are_there(void);
void dp_runtimes_walk(struct dp_managed_tick *tick);
/* Signal. As in struct dp_runtime; one runtime of a process owns code. */
bool dp_runtimes_own(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high);
int dp_runtimes_step(struct dp_managed_tick *tick, struct dp_owned_walk *walk);
bool dp_runtimes_resume(struct dp_managed_tick *tick, struct dp_owned_walk *walk);
bool dp_runtimes_stack(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high, uintptr_t *usable);

/* ---- for readers, signal ---- */

/* The line is said at the next hook that may, at the end at the latest. While one waits, others are dropped. */
void dp_runtimes_refuse(const char *line);

/* size bytes from address by a system call, which only fails where a plain read would end the process; false: they
 * cannot be read, or calls are not allowed now. */
bool dp_tick_probe(const struct dp_managed_tick *tick, uintptr_t address, void *to, size_t size);
/* The same for several places at once, read one after the other; size: of all together. */
bool dp_tick_gather(const struct dp_managed_tick *tick, const struct iovec *to, unsigned to_count, const struct iovec *from,
        unsigned from_count, size_t size);

#endif
