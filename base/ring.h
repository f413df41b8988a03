/* SPDX-License-Identifier: Apache-2.0
 * A ring of bytes between one writer and one reader, which may be two processes.
 *
 * The writer is whoever holds the ring's lane (capture/lane.h); the reader is the agent. Records are whole
 * multiples of 8 bytes; the writer says how long each is. Full: the newest record is refused. */
#ifndef DEEPPROF_BASE_RING_H
#define DEEPPROF_BASE_RING_H

#include "base/atomic.h"
#include "base/syscall.h"

#include <stdbool.h>
#include <stdint.h>

struct dp_ring {
	_Atomic uint32_t head; /* bytes written so far, modulo 2^32; writer */
	uint8_t pad1[60];
	_Atomic uint32_t tail; /* bytes read so far; reader */
	uint8_t pad2[60];
};

/* A writer's or reader's view: the ring, its bytes and their number (a power of two), the last two from memory
 * that the other side cannot change. */
struct dp_ring_view {
	struct dp_ring *ring;
	uint8_t *bytes;
	uint32_t size;
};

/* Writer. Room for size bytes now? */
static inline bool dp_ring_has_room(const struct dp_ring_view *view, uint32_t size)
{
	const uint32_t used = dp_load_relaxed(&view->ring->head) - dp_load_acquire(&view->ring->tail);
	return used <= view->size && size <= view->size - used;
}

/* Writer. Puts size bytes at offset behind head; nothing is seen before dp_ring_commit(). */
static inline void dp_ring_put(const struct dp_ring_view *view, uint32_t offset, const void *bytes, uint32_t size)
{
	const uint32_t at = (dp_load_relaxed(&view->ring->head) + offset) & (view->size - 1);
	const uint32_t first = size < view->size - at ? size : view->size - at;
	dp_copy(view->bytes + at, bytes, first);
	if (size > first)
		dp_copy(view->bytes, (const uint8_t *)bytes + first, size - first);
}

static inline void dp_ring_commit(const struct dp_ring_view *view, uint32_t size)
{
	dp_store_release(&view->ring->head, dp_load_relaxed(&view->ring->head) + size);
}

/* Reader. Bytes waiting; more than size means a broken or hostile writer. */
static inline uint32_t dp_ring_waiting(const struct dp_ring_view *view)
{
	return dp_load_acquire(&view->ring->head) - dp_load_relaxed(&view->ring->tail);
}

/* Reader. Copies size bytes at offset behind tail out of the ring. */
static inline void dp_ring_peek(const struct dp_ring_view *view, uint32_t offset, void *to, uint32_t size)
{
	const uint32_t at = (dp_load_relaxed(&view->ring->tail) + offset) & (view->size - 1);
	const uint32_t first = size < view->size - at ? size : view->size - at;
	dp_copy(to, view->bytes + at, first);
	if (size > first)
		dp_copy((uint8_t *)to + first, view->bytes, size - first);
}

static inline void dp_ring_release(const struct dp_ring_view *view, uint32_t size)
{
	dp_store_release(&view->ring->tail, dp_load_relaxed(&view->ring->tail) + size);
}

#endif
