/* SPDX-License-Identifier: Apache-2.0
 * Shared fields: the order is in the call's name. Any context. */
#ifndef DEEPPROF_BASE_ATOMIC_H
#define DEEPPROF_BASE_ATOMIC_H

#include <stdatomic.h>

#define dp_load_relaxed(p)     atomic_load_explicit((p), memory_order_relaxed)
#define dp_load_acquire(p)     atomic_load_explicit((p), memory_order_acquire)
#define dp_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define dp_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define dp_add_relaxed(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define dp_cas(p, expected, desired)                                                                          \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acq_rel,             \
	        memory_order_acquire)

#endif
