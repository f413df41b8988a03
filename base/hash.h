/* SPDX-License-Identifier: Apache-2.0
 * How all hash tables mix words: a multiplication by 2^64 / the golden ratio, its high bits folded down. For what a hostile
 * host chooses, tables cap their size and not their luck. Any context. */
#ifndef DEEPPROF_BASE_HASH_H
#define DEEPPROF_BASE_HASH_H

#include <stdint.h>

static inline uint64_t dp_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

#endif
