/* SPDX-License-Identifier: Apache-2.0
 * The label sets of one host, by the numbers that its samples carry. Hands only. */
#ifndef DEEPPROF_AGENT_LABELS_H
#define DEEPPROF_AGENT_LABELS_H

#include "base/profile.h"
#include "base/region.h"

#include <stddef.h>
#include <stdint.h>

struct dp_labels {
	char **texts; /* by number, each "key\0value\0" pairs and an empty key; NULL: not heard of */
};

/* Bytes of the label log. Hostile bytes are expected; returns how many records make no sense. */
uint32_t dp_labels_take_log(struct dp_labels *labels, const uint8_t *bytes, size_t size);
/* The pairs of a set into at most DP_LABEL_PAIRS_MAX entries, which live as long as labels: how many, or
 * -ENOENT. */
int dp_labels_of(const struct dp_labels *labels, uint32_t number, struct dp_label *pairs);
void dp_labels_fini(struct dp_labels *labels);

#endif
