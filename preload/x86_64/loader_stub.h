/* SPDX-License-Identifier: Apache-2.0
 * A hook that runs before the real function and leaves it the caller's own return address. */
#ifndef DEEPPROF_PRELOAD_X86_64_LOADER_STUB_H
#define DEEPPROF_PRELOAD_X86_64_LOADER_STUB_H

/* name: exported; real: a variable of ours with the real function's address; before(): what runs first. Three
 * arguments at most. */
#define DP_TAIL_HOOK(name, real, before)                                                                      \
	__asm__(".text\n"                                                                                     \
	        ".globl " #name "\n"                                                                          \
	        ".type " #name ", @function\n" #name ":\n"                                                    \
	        ".cfi_startproc\n"                                                                            \
	        "endbr64\n"                                                                                   \
	        "push %rdi\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "push %rsi\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "push %rdx\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "call " #before "\n"                                                                          \
	        "pop %rdx\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "pop %rsi\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "pop %rdi\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "jmp *" #real "(%rip)\n"                                                                      \
	        ".cfi_endproc\n"                                                                              \
	        ".size " #name ", .-" #name "\n")

#endif
