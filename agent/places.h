/* SPDX-License-Identifier: Apache-2.0
 * Which location of a profile each word of a stack became. Hands only.
 *
 * An entry that lasts holds as long as the profile does; any other for one window: code that a JIT wrote may be another
 * function's in the next. Entries may be forgotten at any time. */
#ifndef DEEPPROF_AGENT_PLACES_H
#define DEEPPROF_AGENT_PLACES_H

#include <stdbool.h>
#include <stdint.h>

struct dp_place {
	uint64_t word; /* address and flags; 0: free */
	uint32_t generation;
	uint32_t window; /* in which it was made */
	int32_t location;
	bool is_machinery; /* what an interpreter does to run a function that has a frame of its own */
	bool is_lasting;
};

struct dp_places {
	struct dp_place *at; /* open addressing */
	uint32_t size, count, window;
	uint32_t runtimes; /* a bit for each whose frames the host had: what is machinery goes by it */
};

/* A window begins: what it may still believe stays. */
void dp_places_begin(struct dp_places *places, uint32_t runtimes);
/* The entry of a word; where location is negative, a new one for the caller to fill. NULL: no memory. Valid until the
 * next call. */
struct dp_place *dp_places_find(struct dp_places *places, uint64_t word, uint32_t generation);
void dp_places_fini(struct dp_places *places);

#endif
