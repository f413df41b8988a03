/* SPDX-License-Identifier: Apache-2.0
 * The code heap: which blob holds an address, and what of it is the interpreter.
 *
 * A segment map says for each piece of a heap how far back its block begins (heap.cpp): a step back of at most 254
 * pieces at a time. The heaps stay where they are, and what they have committed they keep. */
#include "runtimes/hotspot/hotspot.h"

#include "base/atomic.h"

/* ---- once the VM runs ---- */

static bool has_word(uintptr_t address, uintptr_t *word)
{
	*word = address ? dp_jvm_word(address) : 0;
	return *word != 0;
}

static bool add_heap(uintptr_t heap)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	struct dp_jvm_heap *to = &dp_jvm.heaps[dp_jvm.heap_count];
	uintptr_t segments;
	if (!heap || dp_jvm.heap_count == DP_JVM_HEAPS)
		return false;
	to->heap = heap;
	to->low = dp_jvm_word(heap + (uintptr_t)at->heap_memory + (uintptr_t)at->space_low);
	to->high = dp_jvm_word(heap + (uintptr_t)at->heap_memory + (uintptr_t)at->space_high_boundary);
	to->log2 = (unsigned)dp_jvm_int(heap + (uintptr_t)at->heap_log2);
	if (!has_word(heap + (uintptr_t)at->heap_segmap + (uintptr_t)at->space_low, &segments))
		return false;
	to->segments = (const uint8_t *)segments;
	if (!to->low || to->high <= to->low || to->log2 < 4 || to->log2 > 16)
		return false;
	dp_jvm.heap_count++;
	return true;
}

static bool find_heaps(void)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	uintptr_t list, data;
	dp_jvm.heap_count = 0;
	if (dp_jvm.code_heap)
		return has_word(dp_jvm.code_heap, &list) && add_heap(list);
	if (!has_word(dp_jvm.code_heaps, &list) || !has_word(list + (uintptr_t)at->array_data, &data))
		return false;
	const int count = dp_jvm_int(list + (uintptr_t)(at->array_length >= 0 ? at->array_length : at->array_length_8));
	for (int i = 0; i < count; i++)
		if (!add_heap(dp_jvm_word(data + (uintptr_t)i * 8)))
			return false;
	return count > 0;
}

static bool find_range(uintptr_t *low, uintptr_t *high)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	uintptr_t heap;
	if (!dp_jvm.code_heap)
		return has_word(dp_jvm.code_low, low) && has_word(dp_jvm.code_high, high);
	return has_word(dp_jvm.code_heap, &heap) &&
	       has_word(heap + (uintptr_t)at->heap_memory + (uintptr_t)at->space_low, low) &&
	       has_word(heap + (uintptr_t)at->heap_memory + (uintptr_t)at->space_high_boundary, high);
}

static bool starts_with(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return false;
	return true;
}

static bool find_codelets(void)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	uintptr_t queue, buffer;
	if (!has_word(dp_jvm.interpreter, &queue) || !has_word(queue + (uintptr_t)at->queue_buffer, &buffer))
		return false;
	const uint32_t limit = (uint32_t)dp_jvm_int(queue + (uintptr_t)at->queue_limit);
	if (!dp_jvm_is_code(buffer) || limit > 16 * 1024 * 1024 || !dp_jvm_is_code(buffer + limit - 1))
		return false;
	dp_jvm.codelet_count = 0;
	for (uint32_t offset = 0; offset < limit && dp_jvm.codelet_count < DP_JVM_CODELETS;) {
		const uintptr_t codelet = buffer + offset;
		const int size = dp_jvm_int(codelet + (uintptr_t)at->codelet_size);
		const char *description = (const char *)dp_jvm_word(codelet + (uintptr_t)at->codelet_description);
		if (size <= 0 || (uint32_t)size > limit - offset)
			break;
		dp_jvm.codelets[dp_jvm.codelet_count++] =
		        (struct dp_jvm_codelet){codelet, description && starts_with(description, "method entry point")};
		offset += (uint32_t)size;
	}
	dp_jvm.interpreter_low = buffer;
	dp_jvm.interpreter_high = buffer + limit;
	return dp_jvm.codelet_count > 100; /* one for each bytecode, and more */
}

/* The variables' values, sorted. */
static void find_stubs(void)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < dp_jvm.stub_count; i++) {
		struct dp_jvm_stub stub = dp_jvm.stubs[i];
		stub.start = dp_jvm_word(stub.start);
		if (!dp_jvm_is_code(stub.start) || stub.start == dp_jvm.call_stub)
			continue;
		uint32_t to = count++;
		for (; to > 0 && dp_jvm.stubs[to - 1].start > stub.start; to--)
			dp_jvm.stubs[to] = dp_jvm.stubs[to - 1];
		dp_jvm.stubs[to] = stub;
	}
	dp_jvm.stub_count = count;
}

/* Is what we found what we take it for? */
static bool is_sound(void)
{
	struct dp_jvm_blob blob;
	return dp_jvm_is_code(dp_jvm.call_stub) && dp_jvm_find_blob(dp_jvm.call_stub, &blob) && blob.kind == DP_JVM_BLOB_STUBS &&
	       dp_jvm_find_blob(dp_jvm.interpreter_low, &blob) && blob.end >= dp_jvm.interpreter_high;
}

/* Does pc say that Java is running? Before it does, the interpreter is still being made, and what cannot be used of its
 * memory not yet given back. */
static bool runs_java(uintptr_t pc)
{
	struct dp_jvm_blob blob;
	return pc == dp_jvm.call_stub || dp_jvm_codelet_at(pc) || (dp_jvm_find_blob(pc, &blob) && blob.kind == DP_JVM_BLOB_NMETHOD);
}

static bool prepare(uintptr_t pc)
{
	uint32_t state = DP_JVM_LOADED;
	if (!dp_cas(&dp_jvm.state, &state, DP_JVM_PREPARING))
		return state == DP_JVM_READY;
	bool is_ready = has_word(dp_jvm.call_stub_return, &dp_jvm.call_stub) && find_range(&dp_jvm.low, &dp_jvm.high) &&
	                find_heaps() && find_codelets() && runs_java(pc);
	if (is_ready) {
		dp_jvm.version = dp_jvm.code_heap ? 8 : (unsigned)dp_jvm_int(dp_jvm.major_version);
		dp_jvm.has_excess = dp_jvm.version >= DP_JVM_EXCESS_FROM;
		is_ready = is_sound();
		find_stubs();
		dp_store_release(&dp_jvm.state, is_ready ? DP_JVM_READY : DP_JVM_OFF);
		if (!is_ready)
			dp_runtimes_refuse("java: this VM's code heap is not where its tables say: native frames alone");
		return is_ready;
	}
	dp_store_release(&dp_jvm.state, DP_JVM_LOADED);
	return false;
}

bool dp_jvm_owns(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high)
{
	switch (dp_load_acquire(&dp_jvm.state)) {
	case DP_JVM_READY:
		dp_jvm_tell_untold(tick);
		*low = dp_jvm.low;
		*high = dp_jvm.high;
		return true;
	case DP_JVM_LOADED:
		return find_range(low, high);
	default:
		return false;
	}
}

bool dp_jvm_is_ready(uintptr_t pc)
{
	return dp_load_acquire(&dp_jvm.state) == DP_JVM_READY || prepare(pc);
}

/* ---- blobs ---- */

/* A blob is in the map before its header is written, so that its name may be anything: one that stands in the library stays.
 * NULL: it does not. */
static const char *name_of(uintptr_t blob)
{
	const uintptr_t name = dp_jvm_word(blob + (uintptr_t)dp_jvm.layout.blob_name);
	return name - dp_jvm.image_low < dp_jvm.image_high - dp_jvm.image_low ? (const char *)name : NULL;
}

static enum dp_jvm_blob_kind kind_of(uintptr_t blob)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	if (at->blob_kind >= 0 && at->kind_nmethod >= 0) {
		const int kind = *(const uint8_t *)(blob + (uintptr_t)at->blob_kind);
		return kind == at->kind_nmethod          ? DP_JVM_BLOB_NMETHOD
		       : kind == at->kind_upcall         ? DP_JVM_BLOB_UPCALL
		       : dp_jvm_int(blob + (uintptr_t)at->blob_frame_size) > 0 ? DP_JVM_BLOB_RUNTIME
		                                         : DP_JVM_BLOB_STUBS;
	}
	const char *name = name_of(blob);
	if (name && (starts_with(name, "nmethod") || starts_with(name, "native nmethod")))
		return DP_JVM_BLOB_NMETHOD;
	if (name && starts_with(name, "upcall_stub"))
		return DP_JVM_BLOB_UPCALL;
	return dp_jvm_int(blob + (uintptr_t)at->blob_frame_size) > 0 ? DP_JVM_BLOB_RUNTIME : DP_JVM_BLOB_STUBS;
}

static const struct dp_jvm_heap *heap_of(uintptr_t pc)
{
	for (uint32_t i = 0; i < dp_jvm.heap_count; i++)
		if (pc - dp_jvm.heaps[i].low < dp_jvm.heaps[i].high - dp_jvm.heaps[i].low)
			return &dp_jvm.heaps[i];
	return NULL;
}

bool dp_jvm_find_blob(uintptr_t pc, struct dp_jvm_blob *blob)
{
	enum { FREE = 0xff, STEPS_MOST = 1 << 16 };
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const struct dp_jvm_heap *heap = heap_of(pc);
	const uintptr_t committed = heap ? dp_jvm_word(heap->heap + (uintptr_t)at->heap_memory + (uintptr_t)at->space_high) : 0;
	if (pc >= committed || committed > heap->high)
		return false;
	uintptr_t segment = (pc - heap->low) >> heap->log2;
	/* A heap that grows has the memory before the map of it (heap.cpp, expand_by()). */
	if ((uintptr_t)heap->segments + segment >= dp_jvm_word(heap->heap + (uintptr_t)at->heap_segmap + (uintptr_t)at->space_high))
		return false;
	if (heap->segments[segment] == FREE)
		return false;
	for (int i = 0; i < STEPS_MOST && heap->segments[segment]; i++) {
		if (heap->segments[segment] == FREE || heap->segments[segment] > segment)
			return false;
		segment -= heap->segments[segment];
	}
	const uintptr_t block = heap->low + (segment << heap->log2);
	if (!*(const uint8_t *)(block + (uintptr_t)at->block_used))
		return false;
	const uintptr_t start = block + (uintptr_t)at->size_block;
	const int size = dp_jvm_int(start + (uintptr_t)at->blob_size);
	const int frame_size = dp_jvm_int(start + (uintptr_t)at->blob_frame_size);
	blob->start = start;
	blob->end = start + (uintptr_t)size;
	if (size <= 0 || pc >= blob->end || pc < start || blob->end > committed)
		return false;
	blob->code = at->blob_code_begin >= 0 ? dp_jvm_word(start + (uintptr_t)at->blob_code_begin)
	                                      : start + (uintptr_t)dp_jvm_int(start + (uintptr_t)at->blob_code_offset);
	if (blob->code < start || blob->code > blob->end)
		return false; /* its header is not written yet */
	blob->kind = kind_of(start);
	blob->frame_size = frame_size > 0 ? (uint32_t)frame_size : 0;
	/* Two bytes from JDK 23 on. */
	const int complete = at->blob_kind >= 0 ? (int16_t)dp_jvm_half(start + (uintptr_t)at->blob_frame_complete)
	                                        : dp_jvm_int(start + (uintptr_t)at->blob_frame_complete);
	blob->frame_complete = complete > 0 ? blob->code + (uintptr_t)complete : blob->code;
	return true;
}

const struct dp_jvm_codelet *dp_jvm_codelet_at(uintptr_t pc)
{
	uint32_t low = 0, count = dp_jvm.codelet_count;
	if (!dp_jvm_is_interpreter(pc) || !count || pc < dp_jvm.codelets[0].start)
		return NULL;
	while (count > 1) {
		const uint32_t half = count / 2;
		if (dp_jvm.codelets[low + half].start <= pc)
			low += half;
		count -= half;
	}
	return &dp_jvm.codelets[low];
}

/* ---- names of what is no method ---- */

static const char *without_start(const char *text, const char *start)
{
	if (!starts_with(text, start))
		return text;
	while (*start++)
		text++;
	return text;
}

const char *dp_jvm_stub_name(uintptr_t pc, const struct dp_jvm_blob *blob, uint32_t *size)
{
	enum { STUB_MOST = 16 * 1024, NAME_MOST = 200 };
	uint32_t low = 0, count = dp_jvm.stub_count;
	const char *name = NULL;
	while (count > 1) {
		const uint32_t half = count / 2;
		if (dp_jvm.stubs[low + half].start <= pc)
			low += half;
		count -= half;
	}
	if (count && dp_jvm.stubs[low].start <= pc && dp_jvm.stubs[low].start >= blob->start &&
	        pc - dp_jvm.stubs[low].start < STUB_MOST)
		name = dp_jvm.stubs[low].name;
	if (pc == dp_jvm.call_stub)
		name = "call_stub";
	if (!name)
		name = name_of(blob->start);
	if (!name)
		name = "stub";
	name = without_start(without_start(name, "RuntimeStub - "), "StubRoutines - ");
	for (*size = 0; name[*size] && *size < NAME_MOST; ++*size)
		;
	return name;
}

/* ---- compiled methods ---- */

static uintptr_t pointer_or_offset(const struct dp_jvm_blob *blob, int32_t pointer, int32_t offset)
{
	if (pointer >= 0)
		return dp_jvm_word(blob->start + (uintptr_t)pointer);
	if (offset >= 0) {
		const int32_t distance = dp_jvm_int(blob->start + (uintptr_t)offset);
		return distance > 0 ? blob->start + (uintptr_t)distance : 0;
	}
	return 0;
}

bool dp_jvm_is_deopt(const struct dp_jvm_blob *blob, uintptr_t pc, uint32_t *pc_offset)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	int32_t handler = at->nmethod_deoptimize_offset, method_handler = at->nmethod_deoptimize_mh_offset;
	if (at->nmethod_orig_pc_offset < 0)
		return false;
	if (at->nmethod_deopt_handler_offset >= 0)
		handler = at->nmethod_deopt_handler_offset;
	if (at->nmethod_deopt_handler_entry_offset >= 0)
		handler = at->nmethod_deopt_handler_entry_offset;
	if (at->nmethod_deopt_mh_handler_offset >= 0)
		method_handler = at->nmethod_deopt_mh_handler_offset;
	*pc_offset = (uint32_t)dp_jvm_int(blob->start + (uintptr_t)at->nmethod_orig_pc_offset);
	const uintptr_t one = pointer_or_offset(blob, at->compiled_deopt_handler_begin, handler);
	const uintptr_t other = pointer_or_offset(blob, at->compiled_deopt_mh_handler_begin, method_handler);
	return pc && (pc == one || pc == other);
}

uintptr_t dp_jvm_verified_entry(const struct dp_jvm_blob *blob)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	if (at->nmethod_verified_entry_point >= 0)
		return dp_jvm_word(blob->start + (uintptr_t)at->nmethod_verified_entry_point);
	return blob->code + dp_jvm_half(blob->start + (uintptr_t)at->nmethod_verified_entry_offset);
}
