/* SPDX-License-Identifier: Apache-2.0
 * The stubs through which a file calls functions of others. Agent and command only. */
#ifndef DEEPPROF_SYMBOLS_PLT_H
#define DEEPPROF_SYMBOLS_PLT_H

#include "symbols/elf_file.h"

/* Calls add for each stub whose function is known; false from add ends it. */
typedef bool dp_plt_adder(void *context, uint64_t address, uint32_t size, const char *name);
void dp_plt_read(const struct dp_elf_file *file, dp_plt_adder *add, void *context);

#endif
