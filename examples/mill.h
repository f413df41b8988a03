/* SPDX-License-Identifier: Apache-2.0
 * The parts of the mill: a small text factory with several threads, made to be profiled. */
#ifndef DEEPPROF_EXAMPLES_MILL_H
#define DEEPPROF_EXAMPLES_MILL_H

#ifdef __cplusplus
extern "C" {
#endif

/* Packed size of a text. */
unsigned long mill_pack(const char *text, unsigned long size);
/* The plug-in's one function, found by dlsym: how many lines match. */
unsigned long mill_grep(const char *text, unsigned long size);

#ifdef __cplusplus
}
#endif

#endif
