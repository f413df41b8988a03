/* SPDX-License-Identifier: Apache-2.0
 * The VM's own record of the interrupted thread. Read by the kernel alone: it may be any thread. */
#include "runtimes/hotspot/hotspot.h"

#include "base/atomic.h"

#include <pthread.h>

/* By its pthread key: the VM keeps each of its threads there beside a TLS variable that no table tells. */
static uintptr_t thread_of(const struct dp_managed_tick *tick, pthread_key_t key)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const uintptr_t thread = (uintptr_t)pthread_getspecific(key);
	uintptr_t os_thread;
	int32_t tid = 0;
	if (!thread || thread & 7 ||
	        !dp_tick_probe(tick, thread + (uintptr_t)(at->thread_osthread >= 0 ? at->thread_osthread : at->thread_osthread_25), &os_thread,
	                sizeof os_thread) ||
	        !dp_tick_probe(tick, os_thread + (uintptr_t)at->osthread_id, &tid, sizeof tid))
		return 0;
	return tid == tick->tid ? thread : 0;
}

uintptr_t dp_jvm_thread(const struct dp_managed_tick *tick)
{
	enum { KEYS_MOST = 1024 };
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const uint32_t known = dp_load_relaxed(&dp_jvm.thread_key);
	if ((at->thread_osthread < 0 && at->thread_osthread_25 < 0) || at->osthread_id < 0)
		return 0;
	if (known)
		return thread_of(tick, known - 1);
	for (uint32_t key = 0; key < KEYS_MOST; key++) {
		const uintptr_t thread = thread_of(tick, key);
		if (thread) {
			dp_store_relaxed(&dp_jvm.thread_key, key + 1);
			return thread;
		}
	}
	return 0;
}

/* Its guard zones lie at the low end (StackOverflow: reserved, yellow, red: 4 pages as the VM comes), and native code must stay
 * clear of them by itself. */
bool dp_jvm_stack(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high, uintptr_t *usable)
{
	enum { GUARD_BYTES = 20 * 1024, SIZE_LEAST = 64 * 1024 };
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const uint32_t state = dp_load_acquire(&dp_jvm.state);
	uintptr_t size;
	if ((state != DP_JVM_LOADED && state != DP_JVM_READY) || at->thread_stack_base < 0 || at->thread_stack_size < 0)
		return false;
	const uintptr_t thread = dp_jvm_thread(tick);
	if (!thread || !dp_tick_probe(tick, thread + (uintptr_t)at->thread_stack_base, high, sizeof *high) ||
	        !dp_tick_probe(tick, thread + (uintptr_t)at->thread_stack_size, &size, sizeof size) || size < SIZE_LEAST || *high < size)
		return false;
	*low = *high - size;
	*usable = *low + GUARD_BYTES;
	return true;
}
