/* SPDX-License-Identifier: Apache-2.0
 * What one window's samples are called by: names of threads and of tasks, each once. Hands only. */
#ifndef DEEPPROF_AGENT_TEXTS_H
#define DEEPPROF_AGENT_TEXTS_H

#include "base/arena.h"

#include <stddef.h>
#include <stdint.h>

struct dp_texts {
	struct dp_arena arena;
	struct dp_text **buckets;
	const char **at; /* by number, from 1 on */
	uint32_t count, capacity;
};

/* A text's number, the same for the same text; 0: there is no room for one more. width: as in struct dp_record_text. */
uint32_t dp_texts_add(struct dp_texts *texts, const uint8_t *bytes, uint32_t size, unsigned width);
/* UTF-8, as long as texts live; NULL: no such number. */
const char *dp_texts_at(const struct dp_texts *texts, uint32_t number);
/* All of them go; numbers begin anew. */
void dp_texts_clear(struct dp_texts *texts);

#endif
