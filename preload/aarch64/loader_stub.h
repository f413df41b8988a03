/* SPDX-License-Identifier: Apache-2.0
 * A hook that runs before the real function and leaves it the caller's own return address. */
#ifndef DEEPPROF_PRELOAD_AARCH64_LOADER_STUB_H
#define DEEPPROF_PRELOAD_AARCH64_LOADER_STUB_H

/* name: exported; real: a variable of ours with the real function's address; before(): what runs first. Three
 * arguments at most. */
#define DP_TAIL_HOOK(name, real, before)                                                                      \
	__asm__(".text\n"                                                                                     \
	        ".globl " #name "\n"                                                                          \
	        ".type " #name ", %function\n" #name ":\n"                                                    \
	        ".cfi_startproc\n"                                                                            \
	        "hint #34\n"                                                                                    \
	        "stp x29, x30, [sp, #-48]!\n.cfi_adjust_cfa_offset 48\n"                                      \
	        ".cfi_rel_offset x29, 0\n.cfi_rel_offset x30, 8\n"                                            \
	        "stp x0, x1, [sp, #16]\n"                                                                     \
	        "str x2, [sp, #32]\n"                                                                         \
	        "bl " #before "\n"                                                                            \
	        "ldp x0, x1, [sp, #16]\n"                                                                     \
	        "ldr x2, [sp, #32]\n"                                                                         \
	        "ldp x29, x30, [sp], #48\n.cfi_adjust_cfa_offset -48\n"                                       \
	        ".cfi_restore x29\n.cfi_restore x30\n"                                                        \
	        "adrp x16, " #real "\n"                                                                       \
	        "ldr x16, [x16, :lo12:" #real "]\n"                                                           \
	        "br x16\n"                                                                                    \
	        ".cfi_endproc\n"                                                                              \
	        ".size " #name ", .-" #name "\n")

#endif
