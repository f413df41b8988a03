/* SPDX-License-Identifier: Apache-2.0
 * What one tick sees.
 *
 * A frame is one activation of one function: where it was and where it stood on the stack.
 * A tick is one delivery of a thread's timer. A sample is what one tick wrote down: a list of frames, leaf
 * first, and its weight. A stack is many equal samples. A profile is all stacks of one window. A host is the
 * process we are a guest of. */
#ifndef DEEPPROF_BASE_FRAME_H
#define DEEPPROF_BASE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

enum dp_frame_runtime {
	DP_FRAME_NATIVE = 0,
	DP_FRAME_PYTHON,
	DP_FRAME_JVM,
};

enum dp_frame_flag {
	DP_FRAME_EXACT = 1,   /* id is the interrupted instruction itself; otherwise it is a return address and
	                       * the call is found at id - 1 */
	DP_FRAME_GUESSED = 2, /* reached by a frame pointer, not by an unwind row */
	DP_FRAME_AGENT = 4,   /* found by libunwind in the agent */
	DP_FRAME_MISSING = 8, /* not a frame: so many (id; 0: not known) are missing here */
	DP_FRAME_AWAITS = 32, /* not a frame: what stands leafward of it was awaited by what stands rootward */
	DP_FRAME_GAP = 64,    /* not a frame: behind the frame before, native ones are missing, which a copy of the stack has.
	                       * id: that frame's frame pointer, place: its stack pointer; perhaps another one follows, with
	                       * DP_FRAME_EXACT: id: the stack pointer behind the last of them */
	DP_FRAME_LOOP = 16,   /* not a frame: where the interpreter's loop is, id: address, place: bytes */
	DP_FRAME_SWITCHER = 128, /* in code that begins stacks: where it stands rootward of all managed frames, what is above it is
	                          * another stack's. Agent */
};

struct dp_frame {
	uint64_t id;    /* native: the code address. Other runtimes: their reader's own key */
	uint32_t place; /* native: distance of the frame's CFA from the interrupted stack pointer, in 8-byte words: merging
	                 * native and managed frames goes by it; managed: of its marker. UINT32_MAX: unknown */
	uint8_t runtime; /* enum dp_frame_runtime */
	uint8_t flags;   /* enum dp_frame_flag */
	uint16_t reserved;
};

/* General registers at the tick, in DWARF numbering (x86-64 psABI 3.6.2: 0 rax, 1 rdx, 2 rcx, 3 rbx, 4 rsi,
 * 5 rdi, 6 rbp, 7 rsp, 8-15 r8-r15, 16 rip; aarch64 AADWARF64: 0-30 x0-x30, 31 sp, 32 pc). */
enum { DP_REGISTER_COUNT = 33 };

struct dp_registers {
	uint64_t value[DP_REGISTER_COUNT];
};

#if defined(__x86_64__)
enum { DP_REG_FP = 6, DP_REG_SP = 7, DP_REG_PC = 16, DP_REG_USED = 17 };
#elif defined(__aarch64__)
enum { DP_REG_FP = 29, DP_REG_LR = 30, DP_REG_SP = 31, DP_REG_PC = 32, DP_REG_USED = 33 };
#else
#error "deepprof runs on x86-64 and aarch64"
#endif

#endif
