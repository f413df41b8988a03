/* SPDX-License-Identifier: Apache-2.0
 * The functions that we interpose, as the next object in line has them. */
#ifndef DEEPPROF_PRELOAD_REAL_H
#define DEEPPROF_PRELOAD_REAL_H

#include <pthread.h>
#include <signal.h>

struct dp_real {
	int (*pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	void *(*dlopen)(const char *, int);
	int (*dlclose)(void *);
	void *(*dlmopen)(long, const char *, int);
	int (*sigaction)(int, const struct sigaction *, struct sigaction *);
};
extern struct dp_real dp_real;

/* Hook. Resolves them all; the constructor does, or the first hook that is called before it. */
void dp_real_init(void);

#define DP_REAL(name) (dp_real.name ? dp_real.name : (dp_real_init(), dp_real.name))

#endif
