/* SPDX-License-Identifier: Apache-2.0
 * Labels: key/value pairs that a thread's samples carry.
 *
 * A label set is some pairs, sorted by key; it has a number, 0 is the empty one. Sets are interned: equal
 * sets, equal number, for the life of the process and of its forked children. A thread's record holds the
 * number of its set in one word, which the tick copies. The text goes to the agent once, by the region's
 * label log.
 *
 * There is room for DP_LABEL_SET_MAX sets. Nearly full, a new set's last given value becomes "other"; then
 * all its values do; then the set is empty. Each time is counted (labels). */
#ifndef DEEPPROF_CAPTURE_LABEL_H
#define DEEPPROF_CAPTURE_LABEL_H

#include "base/region.h"
#include "capture/host.h"

#include <stdbool.h>
#include <stdint.h>

enum { DP_LABEL_SLOTS = 2 * DP_LABEL_SET_MAX, DP_LABEL_STORE = 512 * 1024 };

struct dp_label_set {
	uint32_t hash, offset;
	uint16_t size; /* of the text: "key\0value\0" for each pair */
};

/* Mapped when the first label is set; memory is touched as it is used. */
struct dp_label_table {
	_Atomic uint32_t count; /* sets, with the empty one; under the lock */
	uint32_t used;          /* bytes of text; under the lock */
	uint32_t told;          /* sets that the region's agent knows of; housekeeper */
	struct dp_label_set sets[DP_LABEL_SET_MAX];
	_Atomic uint16_t slots[DP_LABEL_SLOTS]; /* by hash; 0: free */
	char text[DP_LABEL_STORE];
};
extern _Atomic(struct dp_label_table *) dp_label_table; /* NULL: no labels in this process */

/* ---- hook: on the thread it is about ---- */

/* That set with this pair in it (value NULL or "": without the key). A set's number, or -EINVAL: no such key
 * or base; -ENOSPC: more pairs than a set holds; -ENOMEM. */
int dp_labels_make(uint32_t base, const char *key, const char *value);
/* The calling thread's set. */
uint32_t dp_labels_get(void);
/* -EINVAL: there is no such set. */
int dp_labels_set(uint32_t set);
/* This record is the calling thread's from now on. */
void dp_labels_attach(struct dp_thread *self);
/* In a forked child: nobody else is in the middle of anything. */
void dp_labels_after_fork(void);

/* ---- signal ---- */

/* Are there sets that the region's agent has not been told of? */
static inline bool dp_labels_wait(void)
{
	const struct dp_label_table *table = dp_load_acquire(&dp_label_table);
	return table && table->told != dp_load_acquire(&table->count);
}
/* The housekeeper. Tells as many as the log has room for; is_new: the region is, and knows of none. */
void dp_tell_labels(struct dp_region *region, bool is_new);

#endif
