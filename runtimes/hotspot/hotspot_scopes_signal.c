/* SPDX-License-Identifier: Apache-2.0
 * Which methods stand at an address of compiled code.
 *
 * An nmethod keeps sorted PcDescs; each leads to a chain of scopes (scopeDesc.cpp): where the caller's is, the method's
 * index in the nmethod's metadata, the bytecode's index + 1. What an address means stays as long as its nmethod lives, and
 * compile ids do not come again: each lane remembers what it has decoded. */
#include "runtimes/hotspot/hotspot.h"

#include "base/syscall.h"

enum { PC_DESC_SIZE = 16 };

uint32_t dp_jvm_unsigned5(const uint8_t *bytes, uint32_t size, uint32_t *at, bool has_excess)
{
	enum { BYTES_MOST = 5, SHIFT = 6 };
	const uint32_t excess = has_excess, low = 192 - excess;
	uint32_t sum = 0;
	for (unsigned i = 0; i < BYTES_MOST && *at < size; i++) {
		const uint32_t byte = bytes[(*at)++];
		sum += (byte - excess) << (i * SHIFT);
		if (byte < excess + low)
			break;
	}
	return sum;
}

/* ---- where an nmethod's parts are ---- */

enum { SCOPE_BYTES = 32 }; /* a scope's first three numbers are less */

struct parts {
	uintptr_t descs, scopes, metadata; /* first bytes */
	uint32_t desc_count, scopes_size, metadata_count;
};

static uintptr_t offset_at(const struct dp_jvm_blob *blob, int32_t field)
{
	return (uintptr_t)dp_jvm_int(blob->start + (uintptr_t)field);
}

static bool find_parts(const struct dp_jvm_blob *blob, struct parts *parts)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	enum { MOST = 64 * 1024 * 1024, METADATA_MOST = 1024 * 1024 };
	uintptr_t end;
	if (at->nmethod_immutable_data >= 0) {
		const uintptr_t data = dp_jvm_word(blob->start + (uintptr_t)at->nmethod_immutable_data);
		parts->descs = data + offset_at(blob, at->nmethod_scopes_pcs_offset);
		end = parts->scopes = data + offset_at(blob, at->nmethod_scopes_data_offset);
		parts->scopes_size = MOST;
		parts->metadata = dp_jvm_word(blob->start + (uintptr_t)at->blob_mutable_data) + offset_at(blob, at->blob_relocation_size);
		parts->metadata_count = METADATA_MOST;
		if (!dp_jvm_is_pointer(data) || !dp_jvm_is_pointer(parts->metadata))
			return false;
	} else {
		parts->descs = blob->start + offset_at(blob, at->nmethod_scopes_pcs_offset);
		end = blob->start + offset_at(blob, at->nmethod_dependencies_offset);
		parts->scopes = at->compiled_scopes_data_begin >= 0
		                        ? dp_jvm_word(blob->start + (uintptr_t)at->compiled_scopes_data_begin)
		                        : blob->start + offset_at(blob, at->nmethod_scopes_data_offset);
		parts->metadata = blob->start + offset_at(blob, at->nmethod_metadata_offset);
		if (parts->scopes < blob->start || parts->scopes > parts->descs || end > blob->end || parts->metadata < blob->start ||
		        parts->metadata > blob->end)
			return false;
		parts->metadata_count = (uint32_t)((blob->end - parts->metadata) / 8);
		parts->scopes_size = (uint32_t)(parts->descs - parts->scopes);
	}
	if (end < parts->descs || end - parts->descs > MOST)
		return false;
	parts->desc_count = (uint32_t)((end - parts->descs) / PC_DESC_SIZE);
	return true;
}

/* Beside the code heap the parts are freed with their nmethod, and a guess may lead to what never was one. */
static bool read_part(const struct dp_managed_tick *tick, uintptr_t address, void *to, size_t size, bool is_certain)
{
	if (!is_certain)
		return dp_tick_probe(tick, address, to, size);
	__builtin_memcpy(to, (const void *)address, size);
	return true;
}

/* The scope's place in the stream: of the description at offset, as calls have one, or, for an interrupted instruction and where
 * an exception's handler begins, of the first behind it; -1: none. The first and the last are no code's. */
static int32_t find_scope(const struct dp_managed_tick *tick, const struct parts *parts, int32_t offset, bool is_certain)
{
	int32_t there;
	uint32_t low = 0, count = parts->desc_count;
	while (count > 0) { /* the first at or behind offset */
		const uint32_t half = count / 2;
		if (!read_part(tick, parts->descs + (uintptr_t)(low + half) * PC_DESC_SIZE, &there, sizeof there, is_certain))
			return -1;
		if (there < offset) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	if (low == 0 || low + 1 >= parts->desc_count)
		return -1;
	return read_part(tick, parts->descs + (uintptr_t)low * PC_DESC_SIZE + 4, &there, sizeof there, is_certain) ? there : -1;
}

/* ---- one address ---- */

static enum dp_jvm_kind kind_of(const struct dp_jvm_blob *blob, bool is_inlined)
{
	enum { C2_LEVEL = 4 };
	const unsigned level = *(const uint8_t *)(blob->start + (uintptr_t)dp_jvm.layout.nmethod_comp_level);
	if (level == 0 || level > C2_LEVEL)
		return DP_JVM_NATIVE;
	if (level == C2_LEVEL)
		return is_inlined ? DP_JVM_C2_INLINED : DP_JVM_C2;
	return is_inlined ? DP_JVM_C1_INLINED : DP_JVM_C1;
}

static uint32_t decode(struct dp_managed_tick *tick, const struct dp_jvm_blob *blob, uintptr_t pc, bool is_certain, uint64_t *ids)
{
	struct parts parts;
	uint32_t count = 0;
	int32_t scope = find_parts(blob, &parts) ? find_scope(tick, &parts, (int32_t)(pc - blob->code), is_certain) : -1;
	while (scope > 0 && count < DP_JVM_SCOPES_MAX) {
		uint8_t copy[SCOPE_BYTES];
		uint32_t offset = 0;
		if ((uint32_t)scope >= parts.scopes_size)
			break;
		const uint32_t left = parts.scopes_size - (uint32_t)scope, size = left < SCOPE_BYTES ? left : SCOPE_BYTES;
		const uint8_t *bytes = (const uint8_t *)parts.scopes + scope;
		if (!is_certain) {
			if (!dp_tick_probe(tick, (uintptr_t)bytes, copy, size))
				break;
			bytes = copy;
		}
		const uint32_t caller = dp_jvm_unsigned5(bytes, size, &offset, dp_jvm.has_excess);
		const uint32_t index = dp_jvm_unsigned5(bytes, size, &offset, dp_jvm.has_excess);
		int32_t bci = (int32_t)dp_jvm_unsigned5(bytes, size, &offset, dp_jvm.has_excess) - 1;
		if (bci < 0)
			bci = 0; /* on entry, before the first */
		if (!index || caller >= (uint32_t)scope) /* a caller's scope is written before */
			break;
		if (index > parts.metadata_count)
			break;
		uintptr_t method;
		if (!read_part(tick, parts.metadata + (uintptr_t)(index - 1) * 8, &method, sizeof method, is_certain))
			break;
		ids[count++] = dp_jvm_id(dp_jvm_method_number(tick, method, is_certain), kind_of(blob, caller != 0), bci);
		scope = (int32_t)caller;
	}
	if (!count)
		ids[count++] = dp_jvm_whole_scope(tick, blob, 0, is_certain); /* too short for anything to be noted */
	return count;
}

static bool are_told(const struct dp_managed_tick *tick, const struct dp_jvm_known *known)
{
	for (unsigned i = 0; i < known->count; i++) {
		const uint32_t number = (uint32_t)(known->ids[i] >> DP_JVM_NUMBER_SHIFT) - 1;
		if (!(tick->told[1][number / 8] >> number % 8 & 1))
			return false;
	}
	return true;
}

uint64_t dp_jvm_whole_scope(struct dp_managed_tick *tick, const struct dp_jvm_blob *blob, int32_t bci, bool is_certain)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const uintptr_t method = dp_jvm_word(blob->start + (uintptr_t)(at->nmethod_method >= 0 ? at->nmethod_method : at->compiled_method));
	return dp_jvm_id(dp_jvm_method_number(tick, method, is_certain), kind_of(blob, false), bci);
}

uint32_t dp_jvm_scopes(struct dp_managed_tick *tick, const struct dp_jvm_blob *blob, uintptr_t pc, bool is_certain, const uint64_t **ids)
{
	struct dp_jvm_memory *memory = (struct dp_jvm_memory *)tick->owned;
	const uint32_t compile_id = (uint32_t)dp_jvm_int(blob->start + (uintptr_t)dp_jvm.layout.nmethod_compile_id);
	struct dp_jvm_known *known = &memory->known[(pc ^ pc >> 9) % (sizeof memory->known / sizeof memory->known[0])];
	if (known->pc == pc && known->compile_id == compile_id && are_told(tick, known)) {
		*ids = known->ids;
		return known->count;
	}
	const uint32_t count = decode(tick, blob, pc, is_certain, memory->ids);
	bool has_all = count <= DP_JVM_KNOWN_IDS;
	for (uint32_t i = 0; i < count; i++)
		has_all &= memory->ids[i] >> DP_JVM_NUMBER_SHIFT != 0;
	*ids = memory->ids;
	if (!has_all)
		return count;
	known->pc = pc;
	known->compile_id = compile_id;
	known->count = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++)
		known->ids[i] = memory->ids[i];
	return count;
}
