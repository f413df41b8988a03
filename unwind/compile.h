/* SPDX-License-Identifier: Apache-2.0
 * From an object's .eh_frame to a table, and libunwind over a copied stack. Agent only. */
#ifndef DEEPPROF_UNWIND_COMPILE_H
#define DEEPPROF_UNWIND_COMPILE_H

#include "base/frame.h"
#include "unwind/unwind.h"

#include <stddef.h>
#include <stdint.h>

struct dp_table_image { /* what dp_table_compile() makes; bytes is malloc'd and the caller's */
	void *bytes;
	size_t size;
	uint64_t origin; /* ELF virtual address of the table's offset 0 */
	uint64_t end;    /* end of the code it speaks of, ELF virtual address */
	uint32_t rows, complex_rows, fdes, bad_fdes;
};

/* Compiles the unwind rows of an ELF image (the bytes of the file, as mapped read-only). Works from
 * .eh_frame_hdr or, where there is none, by scanning .eh_frame; falls back to .debug_frame. Hostile bytes are
 * expected. 0; -ENODATA: no unwind information; -EBADMSG: not an ELF file of this machine; -ENOMEM. */
int dp_table_compile(const void *elf, size_t size, struct dp_table_image *image);

/* A module of a host, as the finisher needs it. */
struct dp_finish_module {
	uint64_t start, end; /* code range in the host */
	uint64_t bias;       /* host address - ELF virtual address */
	const void *elf;     /* the file's bytes, mapped in the agent; NULL when not to be had */
	size_t elf_size;
};

struct dp_finish_input {
	struct dp_registers registers;
	uint64_t stack_address; /* of stack[0] in the host */
	const uint8_t *stack;
	size_t stack_size;
	bool is_caller;  /* registers (pc, sp, fp) are a caller's: pc is a return address */
	uint64_t origin; /* what places count from; 0: registers' stack pointer */
	uint64_t end_sp; /* 0, or: frames are looked for below this stack pointer and in modules alone; DP_STOP_OWNED: so far it is */
	/* The module with this code address, or NULL. Pointers must stay valid while the finisher lives. */
	const struct dp_finish_module *(*find)(void *context, uint64_t pc);
	void *context;
};

/* One per host. Caches by address: call dp_finisher_flush() after the host's modules changed. */
struct dp_finisher;
struct dp_finisher *dp_finisher_new(void);
void dp_finisher_flush(struct dp_finisher *finisher);
void dp_finisher_free(struct dp_finisher *finisher);

/* Walks with libunwind from input->registers over the copied stack. Returns frames written (>= 1); *stop says
 * why it ended: DP_STOP_END, DP_STOP_TRUNCATED, DP_STOP_BAD_MEMORY (the copy ended before the stack did),
 * DP_STOP_NO_MAP or DP_STOP_NO_CFI. */
int dp_finish(struct dp_finisher *finisher, const struct dp_finish_input *input, struct dp_frame *frames,
	int max, enum dp_stop *stop);

#endif
