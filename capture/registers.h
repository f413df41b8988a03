/* SPDX-License-Identifier: Apache-2.0
 * The interrupted thread's registers, from the ucontext to DWARF numbering. Signal. */
#ifndef DEEPPROF_CAPTURE_REGISTERS_H
#define DEEPPROF_CAPTURE_REGISTERS_H

#include "base/frame.h"

#include <ucontext.h>

static inline void dp_registers_of(const ucontext_t *context, struct dp_registers *registers)
{
	uint64_t *to = registers->value;
#if defined(__x86_64__)
	const greg_t *from = context->uc_mcontext.gregs;
	to[0] = (uint64_t)from[REG_RAX], to[1] = (uint64_t)from[REG_RDX], to[2] = (uint64_t)from[REG_RCX];
	to[3] = (uint64_t)from[REG_RBX], to[4] = (uint64_t)from[REG_RSI], to[5] = (uint64_t)from[REG_RDI];
	to[6] = (uint64_t)from[REG_RBP], to[7] = (uint64_t)from[REG_RSP], to[8] = (uint64_t)from[REG_R8];
	to[9] = (uint64_t)from[REG_R9], to[10] = (uint64_t)from[REG_R10], to[11] = (uint64_t)from[REG_R11];
	to[12] = (uint64_t)from[REG_R12], to[13] = (uint64_t)from[REG_R13], to[14] = (uint64_t)from[REG_R14];
	to[15] = (uint64_t)from[REG_R15], to[16] = (uint64_t)from[REG_RIP];
	for (unsigned i = DP_REG_USED; i < DP_REGISTER_COUNT; i++)
		to[i] = 0;
#elif defined(__aarch64__)
	for (unsigned i = 0; i < 31; i++)
		to[i] = context->uc_mcontext.regs[i];
	to[DP_REG_SP] = context->uc_mcontext.sp;
	to[DP_REG_PC] = context->uc_mcontext.pc;
#endif
}

static inline uintptr_t dp_sp_of(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return (uintptr_t)context->uc_mcontext.sp;
#endif
}

static inline uint64_t dp_pc_of(const ucontext_t *context)
{
#if defined(__x86_64__)
	return (uint64_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return context->uc_mcontext.pc;
#endif
}

#endif
