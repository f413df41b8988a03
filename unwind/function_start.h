/* SPDX-License-Identifier: Apache-2.0
 * Functions of files that were stripped of their names. Agent only. */
#ifndef DEEPPROF_UNWIND_FUNCTION_START_H
#define DEEPPROF_UNWIND_FUNCTION_START_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the function that holds an address begins (ELF virtual addresses); elf: the bytes of the file. False:
 * its unwind information does not say. */
bool dp_function_start(const void *elf, size_t size, uint64_t address, uint64_t *start);

#endif
