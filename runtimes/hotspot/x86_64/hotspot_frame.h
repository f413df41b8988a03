/* SPDX-License-Identifier: Apache-2.0
 * Frames of HotSpot's code on x86-64: where they keep what, and how far one is built. Signal.
 *
 * A frame's depth is the number of bytes from the stack pointer to its return address. All HotSpot code that has a frame
 * keeps its caller's rbp right below the return address. */
#ifndef DEEPPROF_RUNTIMES_HOTSPOT_X86_64_FRAME_H
#define DEEPPROF_RUNTIMES_HOTSPOT_X86_64_FRAME_H

#include "runtimes/hotspot/hotspot.h"

/* Registers that the interpreter keeps (interp_masm_x86.hpp, templateInterpreterGenerator_x86.cpp): the bytecode's address
 * in r13; at a method's entry the method in rbx and the caller's sp in r13. */
enum { DP_JVM_REG_BCP = 13, DP_JVM_REG_METHOD = 3, DP_JVM_REG_SENDER_SP = 13, DP_JVM_REG_RAX = 0 };

/* Of an interpreted frame, from rbp, in bytes (frame_x86.hpp). */
enum {
	DP_JVM_SENDER_SP = -8,
	DP_JVM_METHOD = -24,
	DP_JVM_LOCALS = -56, /* 8: -48 */
	DP_JVM_BCP = -64,    /* 8: -56 */
	DP_JVM_FIXED = 72,   /* bytes below rbp that each has; 8: 64 */
};

/* Of the call stub's frame, from rbp: its JavaCallWrapper (frame::entry_frame_call_wrapper_offset). */
enum { DP_JVM_WRAPPER = -48 };

static inline int32_t dp_jvm_bytes4(const uint8_t *at)
{
	int32_t word;
	__builtin_memcpy(&word, at, sizeof word);
	return word;
}

/* The size of the no-op at code; 0: it is none. Compilers pad with several of them. */
static inline unsigned dp_jvm_nop(const uint8_t *code)
{
	unsigned prefixes = 0;
	while (code[prefixes] == 0x66 && prefixes < 4)
		prefixes++;
	code += prefixes;
	if (code[0] == 0x90)
		return prefixes + 1;
	if (code[0] != 0x0f || code[1] != 0x1f)
		return 0;
	switch (code[2]) {
	case 0x00:
		return prefixes + 3;
	case 0x40:
		return prefixes + 4;
	case 0x44:
		return prefixes + 5;
	case 0x80:
		return prefixes + 7;
	case 0x84:
		return prefixes + 8;
	default:
		return 0;
	}
}

/* Depth at pc by what stands between entry and there, as the compilers build frames (macroAssembler_x86.cpp, verified_entry();
 * c1_MacroAssembler_x86.cpp, build_frame()). UINT32_MAX: pc is behind all that is known. */
static inline uint32_t dp_jvm_entry_depth(uintptr_t entry, uintptr_t pc, uintptr_t end)
{
	const uint8_t *at = (const uint8_t *)entry;
	uint32_t depth = 0;
	while ((uintptr_t)at < pc && (uintptr_t)at + 8 < end) {
		const unsigned nop = dp_jvm_nop(at);
		if (nop) {
			at += nop;
		} else if (at[0] == 0x55) { /* push %rbp */
			depth += 8;
			at += 1;
		} else if (at[0] == 0x48 && ((at[1] == 0x89 && at[2] == 0xe5) || (at[1] == 0x8b && at[2] == 0xec))) {
			at += 3; /* mov %rsp, %rbp */
		} else if (at[0] == 0x48 && at[1] == 0x83 && at[2] == 0xec) {
			depth += at[3]; /* sub $, %rsp */
			at += 4;
		} else if (at[0] == 0x48 && at[1] == 0x81 && at[2] == 0xec) {
			depth += (uint32_t)dp_jvm_bytes4(at + 3);
			at += 7;
		} else if (at[0] == 0x89 && at[1] == 0x84 && at[2] == 0x24) {
			at += 7; /* mov %eax, far(%rsp): is there stack? */
		} else if (at[0] == 0x48 && at[1] == 0x89 && at[2] == 0x6c && at[3] == 0x24) {
			at += 5; /* mov %rbp, (%rsp) */
		} else if (at[0] == 0x48 && at[1] == 0x89 && at[2] == 0xac && at[3] == 0x24) {
			at += 8;
		} else {
			return UINT32_MAX;
		}
	}
	return depth;
}

/* A barrier before the frame (a class that is being initialised) is left behind by finding the frame's first bytes. */
static inline uintptr_t dp_jvm_frame_start(uintptr_t entry, uintptr_t end)
{
	for (const uint8_t *at = (const uint8_t *)entry; (uintptr_t)at + 8 < end; at++)
		if (at[0] == 0x55 && at[1] == 0x48 &&
		        ((at[2] == 0x81 && at[3] == 0xec) || (at[2] == 0x83 && at[3] == 0xec) || (at[2] == 0x8b && at[3] == 0xec) ||
		                (at[2] == 0x89 && at[3] == 0xe5)))
			return (uintptr_t)at;
	return 0;
}

/* Depth at pc if nothing but the rest of an epilogue lies before the return; UINT32_MAX: it is no epilogue. start, end: of
 * the code that pc is in. */
static inline uint32_t dp_jvm_exit_depth(uintptr_t pc, uintptr_t start, uintptr_t end)
{
	enum { INSTRUCTIONS_MOST = 8 };
	const uint8_t *at = (const uint8_t *)pc;
	uint32_t depth = 0;
	for (int i = 0; i < INSTRUCTIONS_MOST && (uintptr_t)at + 8 < end; i++) {
		if (at[0] == 0xc3 || at[0] == 0xc2)
			return depth;
		if (at[0] == 0x5d) { /* pop %rbp */
			depth += 8;
			at += 1;
		} else if (at[0] == 0xc9) { /* leave: the frame is there */
			return UINT32_MAX;
		} else if (at[0] == 0x85 && at[1] == 0x05) { /* test %eax, poll(%rip) */
			at += 6;
		} else if (at[0] == 0x41 && at[1] == 0x85 && (at[2] & 0xf8) == 0 && (at[2] & 7) != 4 && (at[2] & 7) != 5) {
			at += 3; /* test %eax, (%r10) */
		} else if ((at[0] & 0xfb) == 0x49 && at[1] == 0x8b && (at[2] & 0xc7) == 0x87) {
			at += 7; /* mov poll(%r15), %r10 */
		} else if ((at[0] & 0xf9) == 0x49 && at[1] == 0x8b && (at[2] & 0xc7) == 0x47) {
			at += 4;
		} else if (at[0] == 0x49 && at[1] == 0x3b && at[2] == 0xa7) { /* cmp poll(%r15), %rsp */
			at += 7;
		} else if (at[0] == 0x49 && at[1] == 0x3b && at[2] == 0x67) {
			at += 4;
		} else if (at[0] == 0x0f && at[1] == 0x87) { /* ja: to the safepoint */
			at += 6;
		} else if (at[0] == 0xc5 && at[1] == 0xf8 && at[2] == 0x77) { /* vzeroupper */
			at += 3;
		} else if (at[0] == 0xe9 && (uintptr_t)at > start && (depth || *(const uint8_t *)(pc - 1) == 0x5d)) {
			const uintptr_t to = (uintptr_t)at + 5 + (uintptr_t)(intptr_t)dp_jvm_bytes4(at + 1);
			return to < start || to >= end ? depth : UINT32_MAX; /* a call in the caller's name */
		} else {
			return UINT32_MAX;
		}
	}
	return UINT32_MAX;
}

/* Does the code return, or jump to where it was told, with the return address on top? */
static inline bool dp_jvm_is_last(uintptr_t pc)
{
	const uint8_t *at = (const uint8_t *)pc;
	return at[0] == 0xc3 || (at[0] == 0xff && (at[1] & 0xf8) == 0xe0);
}

/* Is this where the frame begins to be taken down? */
static inline bool dp_jvm_is_exit(uintptr_t pc, uintptr_t start, uintptr_t end)
{
	const uint8_t *at = (const uint8_t *)pc;
	if (at[0] != 0x48 || at[2] != 0xc4 || (at[1] != 0x83 && at[1] != 0x81))
		return false; /* add $, %rsp */
	return dp_jvm_exit_depth(pc + (at[1] == 0x83 ? 4 : 7), start, end) == 8;
}

/* Does a call end at pc? *to: where it leads, 0: not said. */
static inline bool dp_jvm_is_behind_call(uintptr_t pc, uintptr_t *to)
{
	const uint8_t *at = (const uint8_t *)pc;
	*to = 0;
	if (at[-5] == 0xe8) {
		*to = pc + (uintptr_t)(intptr_t)dp_jvm_bytes4(at - 4);
		return true;
	}
	if (at[-2] == 0xff && (at[-1] & 0xf8) == 0xd0)
		return true; /* call *%reg */
	if (at[-3] == 0xff && (at[-2] & 0xf8) == 0x50)
		return true; /* call *disp8(%reg) */
	return at[-6] == 0xff && ((at[-5] & 0xf8) == 0x90 || at[-5] == 0x15); /* call *disp32(%reg), *disp32(%rip) */
}

#endif
