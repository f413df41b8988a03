/* SPDX-License-Identifier: Apache-2.0
 * Label sets on their way to the agent. */
#include "capture/label.h"

_Atomic(struct dp_label_table *) dp_label_table;

void dp_tell_labels(struct dp_region *region, bool is_new)
{
	static const uint8_t zeros[8];
	const struct dp_ring_view log = {&region->label_log, region->label_log_bytes, DP_LABEL_LOG_SIZE};
	struct dp_label_table *table = dp_load_acquire(&dp_label_table);
	if (!table)
		return;
	if (is_new)
		table->told = 1; /* the empty set needs no words */
	const uint32_t count = dp_load_acquire(&table->count);
	for (; table->told < count; table->told++) {
		const struct dp_label_set *set = &table->sets[table->told];
		struct dp_label_record record = {.number = table->told, .text_size = set->size};
		const uint32_t used = (uint32_t)sizeof record + set->size;
		record.size_bytes = (used + 7) & ~7u;
		if (!dp_ring_has_room(&log, record.size_bytes))
			return;
		dp_ring_put(&log, 0, &record, sizeof record);
		dp_ring_put(&log, sizeof record, table->text + set->offset, set->size);
		dp_ring_put(&log, used, zeros, record.size_bytes - used);
		dp_ring_commit(&log, record.size_bytes);
	}
}
