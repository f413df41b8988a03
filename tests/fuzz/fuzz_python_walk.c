/* SPDX-License-Identifier: Apache-2.0
 * The walk over CPython's frames and the names that they lead to, in doubt, over memory that holds anything. Input: which layout (1 byte), where the stack
 * begins in the memory (1 byte, in 64 bytes), whether this
 * is a trial (1 byte), 5 unused, then the memory. A word whose upper half is REFERENCE means the place
 * in the memory that its lower half says. */
#include "runtimes/python/python.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 8, MEMORY = 32 * 1024, LAYOUTS = 11 };
#define REFERENCE UINT32_C(0xb0b0b0b0)

struct dp_python_library dp_python_libraries[DP_PYTHON_LIBRARIES];
struct dp_python_range dp_python_switchers[DP_PYTHON_SWITCHERS];

static _Alignas(4096) uint8_t memory[MEMORY];
static __thread uintptr_t state_of_thread;
static struct dp_frame frames[DP_MANAGED_MAX + 1];
static struct dp_tick_text texts[DP_TEXTS];
static uint64_t scratch[DP_RUNTIME_SCRATCH], of_thread[DP_RUNTIME_MEMORY];
static uint8_t told[DP_RUNTIME_NUMBERS / 8];

void dp_python_refuse(unsigned minor, const char *why)
{
	(void)minor, (void)why;
}

bool dp_tick_probe(const struct dp_managed_tick *tick, uintptr_t address, void *to, size_t size)
{
	const uintptr_t offset = address - (uintptr_t)memory;
	if (tick->native_count || offset >= sizeof memory || size > sizeof memory - offset)
		return false;
	memcpy(to, memory + offset, size);
	return true;
}

bool dp_tick_gather(const struct dp_managed_tick *tick, const struct iovec *to, unsigned to_count, const struct iovec *from,
        unsigned from_count, size_t size)
{
	static uint8_t bytes[4096];
	size_t all = 0, room = 0, taken = 0;
	for (unsigned i = 0; i < from_count; i++) {
		if (from[i].iov_len > sizeof bytes - all || !dp_tick_probe(tick, (uintptr_t)from[i].iov_base, bytes + all, from[i].iov_len))
			return false;
		all += from[i].iov_len;
	}
	for (unsigned i = 0; i < to_count; i++)
		room += to[i].iov_len;
	if (all != size || room != size)
		abort(); /* what is asked for and where it goes must agree */
	for (unsigned i = 0; i < to_count; i++) {
		memcpy(to[i].iov_base, bytes + taken, to[i].iov_len);
		taken += to[i].iov_len;
	}
	return true;
}

static void fill_memory(const uint8_t *data, size_t size)
{
	memset(memory, 0, sizeof memory);
	memcpy(memory, data, size < sizeof memory ? size : sizeof memory);
	for (size_t at = 0; at < sizeof memory; at += 8) {
		uint32_t halves[2];
		memcpy(halves, memory + at, sizeof halves);
		const uintptr_t address = (uintptr_t)memory + halves[0] % sizeof memory;
		if (halves[1] == REFERENCE)
			memcpy(memory + at, &address, sizeof address);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < HEAD)
		return 0;
	const unsigned which = data[0] % LAYOUTS;
	const struct dp_python_layout *layout =
	        which < 8 ? dp_python_layout_of(8 + which, false) : dp_python_layout_of(13 + which - 8, true);
	fill_memory(data + HEAD, size - HEAD);
	struct dp_python_library *library = &dp_python_libraries[0];
	memset(library, 0, sizeof *library);
	library->layout = *layout;
	library->runtime = (uintptr_t)memory;
	library->runtime_size = sizeof memory;
	library->code_type = (uintptr_t)memory + 8;
	library->text_type = (uintptr_t)memory + 16;
	library->bytes_type = (uintptr_t)memory + 24;
	library->dict_type = (uintptr_t)memory + 32;
	library->coroutine_type = (uintptr_t)memory + 40;
	library->generator_type = (uintptr_t)memory + 48;
	library->function_type = (uintptr_t)memory + 56;
	library->method_type = (uintptr_t)memory + 64;
	library->builtin_type = (uintptr_t)memory + 72;
	library->good = data[2] & 8; /* 0: on trial */
	library->tls_offset = (intptr_t)((uintptr_t)&state_of_thread - (uintptr_t)__builtin_thread_pointer());
	library->is_ready = true;
	state_of_thread = (uintptr_t)memory + 64;
	const uintptr_t self = (uintptr_t)pthread_self();
	memcpy((uint8_t *)state_of_thread + layout->thread_id, &self, sizeof self);
	memset(&frames, 0, sizeof frames);
	struct dp_managed_tick tick = {
	        .sp = (uintptr_t)memory + data[1] * 64u % MEMORY,
	        .stack_high = (uintptr_t)memory + sizeof memory,
	        .may_call = true,
	        .told = &told,
	        .frames = frames,
	        .texts = texts,
	        .scratch = scratch,
	        .memory = of_thread,
	};
	memset(texts, 0, sizeof texts);
	memset(of_thread, 0, sizeof of_thread);
	dp_python_walk(&tick);
	tick.frame_count = 0; /* once more, by the ways that were kept */
	memset(&frames, 0, sizeof frames);
	dp_python_walk(&tick);
	for (unsigned i = 0; i < DP_TEXTS; i++)
		if (texts[i].head.size_bytes > DP_TEXT_MAX || (texts[i].head.size_bytes && !texts[i].head.width))
			abort();
	const struct dp_frame *last = NULL;
	for (uint32_t i = 0; i < tick.frame_count; i++) {
		if (frames[i].runtime != DP_FRAME_PYTHON || frames[i].flags & DP_FRAME_LOOP)
			continue;
		if (last && frames[i].place < last->place)
			abort(); /* down the stack */
		last = &frames[i];
	}
	if (tick.frame_count > DP_MANAGED_MAX || frames[DP_MANAGED_MAX].id || frames[DP_MANAGED_MAX].runtime)
		abort();
	return 0;
}
