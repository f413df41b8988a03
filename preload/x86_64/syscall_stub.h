/* SPDX-License-Identifier: Apache-2.0
 * syscall(): all but a few numbers jump on to the real one with every register and the stack as they were. */
#ifndef DEEPPROF_PRELOAD_X86_64_SYSCALL_STUB_H
#define DEEPPROF_PRELOAD_X86_64_SYSCALL_STUB_H

/* real: variable with the real syscall(); resolve(): fills it; ours(): for the numbers (strings) instead. */
#define DP_SYSCALL_HOOK(one, two, three, four, real, resolve, ours)                                           \
	__asm__(".text\n"                                                                                     \
	        ".globl syscall\n"                                                                            \
	        ".type syscall, @function\n"                                                                  \
	        "syscall:\n"                                                                                  \
	        ".cfi_startproc\n"                                                                            \
	        "endbr64\n"                                                                                   \
	        "cmpq $0, " #real "(%rip)\n"                                                                  \
	        "jne 1f\n"                                                                                    \
	        "push %rdi\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "push %rsi\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "push %rdx\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "push %rcx\n.cfi_adjust_cfa_offset 8\n"                                                       \
	        "push %r8\n.cfi_adjust_cfa_offset 8\n"                                                        \
	        "push %r9\n.cfi_adjust_cfa_offset 8\n"                                                        \
	        "sub $8, %rsp\n.cfi_adjust_cfa_offset 8\n"                                                    \
	        "call " #resolve "\n"                                                                         \
	        "add $8, %rsp\n.cfi_adjust_cfa_offset -8\n"                                                   \
	        "pop %r9\n.cfi_adjust_cfa_offset -8\n"                                                        \
	        "pop %r8\n.cfi_adjust_cfa_offset -8\n"                                                        \
	        "pop %rcx\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "pop %rdx\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "pop %rsi\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "pop %rdi\n.cfi_adjust_cfa_offset -8\n"                                                       \
	        "1: cmp $" one ", %rdi\n"                                                                     \
	        "je " #ours "\n"                                                                              \
	        "cmp $" two ", %rdi\n"                                                                        \
	        "je " #ours "\n"                                                                              \
	        "cmp $" three ", %rdi\n"                                                                      \
	        "je " #ours "\n"                                                                              \
	        "cmp $" four ", %rdi\n"                                                                       \
	        "je " #ours "\n"                                                                              \
	        "jmp *" #real "(%rip)\n"                                                                      \
	        ".cfi_endproc\n"                                                                              \
	        ".size syscall, .-syscall\n")

#endif
