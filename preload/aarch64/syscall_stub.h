/* SPDX-License-Identifier: Apache-2.0
 * syscall(): all but a few numbers jump on to the real one with every register and the stack as they were. */
#ifndef DEEPPROF_PRELOAD_AARCH64_SYSCALL_STUB_H
#define DEEPPROF_PRELOAD_AARCH64_SYSCALL_STUB_H

/* real: variable with the real syscall(); resolve(): fills it; ours(): for the numbers (strings) instead. */
#define DP_SYSCALL_HOOK(one, two, three, four, real, resolve, ours)                                           \
	__asm__(".text\n"                                                                                     \
	        ".globl syscall\n"                                                                            \
	        ".type syscall, %function\n"                                                                  \
	        "syscall:\n"                                                                                  \
	        ".cfi_startproc\n"                                                                            \
	        "hint #34\n"                                                                                  \
	        "adrp x16, " #real "\n"                                                                       \
	        "ldr x16, [x16, :lo12:" #real "]\n"                                                           \
	        "cbnz x16, 1f\n"                                                                              \
	        "stp x29, x30, [sp, #-80]!\n.cfi_adjust_cfa_offset 80\n"                                      \
	        ".cfi_rel_offset x29, 0\n.cfi_rel_offset x30, 8\n"                                            \
	        "stp x0, x1, [sp, #16]\nstp x2, x3, [sp, #32]\nstp x4, x5, [sp, #48]\nstp x6, x7, [sp, #64]\n" \
	        "bl " #resolve "\n"                                                                           \
	        "ldp x0, x1, [sp, #16]\nldp x2, x3, [sp, #32]\nldp x4, x5, [sp, #48]\nldp x6, x7, [sp, #64]\n" \
	        "ldp x29, x30, [sp], #80\n.cfi_adjust_cfa_offset -80\n"                                       \
	        ".cfi_restore x29\n.cfi_restore x30\n"                                                        \
	        "adrp x16, " #real "\n"                                                                       \
	        "ldr x16, [x16, :lo12:" #real "]\n"                                                           \
	        "1: cmp x0, #" one "\n"                                                                       \
	        "b.eq " #ours "\n"                                                                            \
	        "cmp x0, #" two "\n"                                                                          \
	        "b.eq " #ours "\n"                                                                            \
	        "cmp x0, #" three "\n"                                                                        \
	        "b.eq " #ours "\n"                                                                            \
	        "cmp x0, #" four "\n"                                                                         \
	        "b.eq " #ours "\n"                                                                            \
	        "br x16\n"                                                                                    \
	        ".cfi_endproc\n"                                                                              \
	        ".size syscall, .-syscall\n")

#endif
