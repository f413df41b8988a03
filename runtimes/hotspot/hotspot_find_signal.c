/* SPDX-License-Identifier: Apache-2.0
 * Is a module HotSpot, and where is what we read? By the tables that it publishes for debuggers (vmStructs.hpp). */
#include "runtimes/hotspot/hotspot.h"

#include "runtimes/dynamic.h"

#include "base/atomic.h"
#include "base/syscall.h"

#include <elf.h>
#include <errno.h>
#include <link.h>

struct dp_jvm dp_jvm;

enum { TEXT_MOST = 48, ENTRIES_MOST = 16384 };

/* Threads may meet the module while another one's dlopen relocates it: its pointers then lead nowhere. */
struct extent {
	uintptr_t low, high;
};

static struct extent extent_of(const struct dp_runtime_module *module)
{
	struct extent extent = {module->bias, module->bias};
	const ElfW(Phdr) *headers = module->headers;
	for (unsigned i = 0; i < module->header_count; i++)
		if (headers[i].p_type == PT_LOAD && module->bias + headers[i].p_vaddr + headers[i].p_memsz > extent.high)
			extent.high = module->bias + headers[i].p_vaddr + headers[i].p_memsz;
	return extent;
}

static bool is_in_module(const struct extent *extent, uintptr_t address)
{
	return address - extent->low < extent->high - extent->low;
}

/* ---- the tables ---- */

/* What their rows look like, and in some builds the offsets in them, constructors write: 0 before these have run. */
struct rows {
	const struct dp_runtime_module *module;
	struct extent extent;
	uintptr_t at, stride, type, field, is_static, offset, address;
};

static uintptr_t word_of(const struct dp_dynamic *symbols, const char *name)
{
	const uintptr_t at = dp_dynamic_find(symbols, name, NULL);
	uintptr_t word = 0;
	return at && symbols->module->read(at, &word, sizeof word) ? word : 0;
}

static bool read_text(const struct dp_runtime_module *module, uintptr_t address, char *text)
{
	for (unsigned i = 0; i < TEXT_MOST; i += 8) {
		/* The texts lie among others: eight bytes more are there. */
		if (!module->read(address + i, text + i, 8))
			return false;
		for (unsigned k = i; k < i + 8; k++)
			if (!text[k])
				return true;
	}
	text[TEXT_MOST - 1] = 0;
	return true;
}

static bool is_equal(const char *one, const char *other)
{
	while (*one && *one == *other)
		one++, other++;
	return *one == *other;
}

struct wanted {
	const char *type, *field;
	uint32_t to; /* offset in struct dp_jvm */
};

static const struct wanted fields[] = {
#define XX(name, type, field) {type, field, offsetof(struct dp_jvm, layout.name)},
        DP_JVM_FIELDS(XX)
#undef XX
};
static const struct wanted statics[] = {
#define XX(name, type, field) {type, field, offsetof(struct dp_jvm, name)},
        DP_JVM_STATICS(XX)
#undef XX
};
static const struct wanted sizes[] = {
#define XX(name, type) {type, NULL, offsetof(struct dp_jvm, layout.name)},
        DP_JVM_SIZES(XX)
#undef XX
};
static const struct wanted constants[] = {
#define XX(name, text) {text, NULL, offsetof(struct dp_jvm, layout.name)},
        DP_JVM_CONSTANTS(XX)
#undef XX
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static void set_int(const struct wanted *wanted, int64_t value)
{
	*(int32_t *)((char *)&dp_jvm + wanted->to) = (int32_t)value;
}

static void add_stub(uintptr_t address, const char *field, uintptr_t text)
{
	if (dp_jvm.stub_count == DP_JVM_STUBS || field[0] != '_')
		return;
	dp_jvm.stubs[dp_jvm.stub_count++] = (struct dp_jvm_stub){address, (const char *)text + 1};
}

static bool take_field(const struct rows *rows, const char *type, const uint8_t *row)
{
	char field[TEXT_MOST];
	int32_t is_static;
	uintptr_t text, offset, address;
	__builtin_memcpy(&text, row + rows->field, sizeof text);
	__builtin_memcpy(&is_static, row + rows->is_static, sizeof is_static);
	__builtin_memcpy(&offset, row + rows->offset, sizeof offset);
	__builtin_memcpy(&address, row + rows->address, sizeof address);
	if (!is_in_module(&rows->extent, text) || (is_static && address && !is_in_module(&rows->extent, address)) ||
	        !read_text(rows->module, text, field))
		return false;
	for (unsigned i = 0; !is_static && i < COUNT(fields); i++)
		if (is_equal(fields[i].type, type) && is_equal(fields[i].field, field))
			set_int(&fields[i], (int64_t)offset);
	for (unsigned i = 0; is_static && i < COUNT(statics); i++)
		if (is_equal(statics[i].type, type) && is_equal(statics[i].field, field))
			*(uintptr_t *)((char *)&dp_jvm + statics[i].to) = address;
	if (is_static && is_equal(type, "StubRoutines"))
		add_stub(address, field, text);
	return true;
}

static bool is_wanted_type(const char *type)
{
	for (unsigned i = 0; i < COUNT(fields); i++)
		if (is_equal(fields[i].type, type))
			return true;
	for (unsigned i = 0; i < COUNT(statics); i++)
		if (is_equal(statics[i].type, type))
			return true;
	return false;
}

/* Rows of one type stand together and share its text. */
static bool read_fields(const struct rows *rows)
{
	uintptr_t last = 0;
	bool is_wanted = false;
	char type[TEXT_MOST];
	uint8_t row[64];
	for (unsigned i = 0; i < ENTRIES_MOST; i++) {
		uintptr_t text;
		const uintptr_t at = rows->at + i * rows->stride;
		if (rows->stride > sizeof row || !is_in_module(&rows->extent, at) || !rows->module->read(at, row, rows->stride))
			return false;
		__builtin_memcpy(&text, row + rows->type, sizeof text);
		if (!text)
			return true;
		if (!is_in_module(&rows->extent, text))
			return false;
		if (text != last)
			is_wanted = read_text(rows->module, text, type) && is_wanted_type(type);
		last = text;
		if (is_wanted && !take_field(rows, type, row))
			return false;
	}
	return false;
}

static bool read_numbers(const struct rows *rows, const struct wanted *wanted, unsigned count, size_t width)
{
	char type[TEXT_MOST];
	uint8_t row[64];
	for (unsigned i = 0; i < ENTRIES_MOST; i++) {
		uintptr_t text;
		int64_t value = 0;
		const uintptr_t at = rows->at + i * rows->stride;
		if (rows->stride > sizeof row || !is_in_module(&rows->extent, at) || !rows->module->read(at, row, rows->stride))
			return false;
		__builtin_memcpy(&text, row + rows->type, sizeof text);
		if (!text)
			return true;
		__builtin_memcpy(&value, row + rows->offset, width);
		if (!is_in_module(&rows->extent, text) || !read_text(rows->module, text, type))
			return false;
		for (unsigned k = 0; k < count; k++)
			if (is_equal(wanted[k].type, type))
				set_int(&wanted[k], width == 4 ? (int32_t)value : value);
	}
	return false;
}

static bool read_tables(const struct dp_dynamic *symbols)
{
	struct rows rows = {.module = symbols->module, .extent = extent_of(symbols->module)};
	int32_t *layout = (int32_t *)&dp_jvm.layout;
	for (unsigned i = 0; i < sizeof dp_jvm.layout / sizeof *layout; i++)
		layout[i] = -1;
	dp_jvm.stub_count = 0;
	rows.at = word_of(symbols, "gHotSpotVMStructs");
	rows.stride = word_of(symbols, "gHotSpotVMStructEntryArrayStride");
	rows.type = word_of(symbols, "gHotSpotVMStructEntryTypeNameOffset");
	rows.field = word_of(symbols, "gHotSpotVMStructEntryFieldNameOffset");
	rows.is_static = word_of(symbols, "gHotSpotVMStructEntryIsStaticOffset");
	rows.offset = word_of(symbols, "gHotSpotVMStructEntryOffsetOffset");
	rows.address = word_of(symbols, "gHotSpotVMStructEntryAddressOffset");
	if (!rows.stride || !rows.field || !rows.offset || !rows.address || !read_fields(&rows))
		return false;
	rows.at = word_of(symbols, "gHotSpotVMTypes");
	rows.stride = word_of(symbols, "gHotSpotVMTypeEntryArrayStride");
	rows.type = word_of(symbols, "gHotSpotVMTypeEntryTypeNameOffset");
	rows.offset = word_of(symbols, "gHotSpotVMTypeEntrySizeOffset");
	if (!rows.stride || !rows.offset || !read_numbers(&rows, sizes, COUNT(sizes), 8))
		return false;
	rows.at = word_of(symbols, "gHotSpotVMIntConstants");
	rows.stride = word_of(symbols, "gHotSpotVMIntConstantEntryArrayStride");
	rows.type = word_of(symbols, "gHotSpotVMIntConstantEntryNameOffset");
	rows.offset = word_of(symbols, "gHotSpotVMIntConstantEntryValueOffset");
	return rows.stride && rows.offset && read_numbers(&rows, constants, COUNT(constants), 4) && dp_jvm.layout.symbol_body > 0 &&
	       dp_jvm.layout.klass_name > 0 && dp_jvm.layout.nmethod_compile_id > 0 && dp_jvm.layout.blob_size > 0;
}

/* ---- is all there? ---- */

/* The first that is missing; NULL: none. */
static const char *missing(void)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const struct {
		bool is_there;
		const char *what;
	} needs[] = {
	        {at->space_low >= 0 && at->space_high >= 0 && at->space_high_boundary >= 0, "VirtualSpace"},
	        {at->heap_memory >= 0 && at->heap_segmap >= 0 && at->heap_log2 >= 0, "CodeHeap"},
	        {at->block_used >= 0 && at->size_block > 0, "HeapBlock"},
	        {dp_jvm.code_heap || (dp_jvm.code_heaps && dp_jvm.code_low && dp_jvm.code_high && at->array_data >= 0 &&
	                                     (at->array_length >= 0 || at->array_length_8 >= 0)),
	                "CodeCache"},
	        {at->blob_size >= 0 && at->blob_frame_size >= 0 && at->blob_frame_complete >= 0 && at->blob_name >= 0 &&
	                        (at->blob_code_begin >= 0 || at->blob_code_offset >= 0),
	                "CodeBlob"},
	        {(at->nmethod_method >= 0 || at->compiled_method >= 0) && at->nmethod_compile_id >= 0 &&
	                        at->nmethod_comp_level >= 0 && at->nmethod_scopes_pcs_offset >= 0,
	                "nmethod"},
	        {(at->nmethod_metadata_offset >= 0 && at->nmethod_dependencies_offset >= 0 &&
	                         (at->nmethod_scopes_data_offset >= 0 || at->compiled_scopes_data_begin >= 0)) ||
	                        (at->nmethod_immutable_data >= 0 && at->nmethod_scopes_data_offset >= 0 &&
	                                at->blob_mutable_data >= 0 && at->blob_relocation_size >= 0),
	                "nmethod's scopes"},
	        {at->nmethod_verified_entry_point >= 0 || at->nmethod_verified_entry_offset >= 0, "nmethod's entry"},
	        {dp_jvm.interpreter && at->queue_buffer >= 0 && at->queue_limit >= 0, "AbstractInterpreter"},
	        {at->codelet_size >= 0 && at->codelet_description >= 0 && at->size_codelet > 0, "InterpreterCodelet"},
	        {dp_jvm.call_stub_return && dp_jvm.major_version, "StubRoutines"},
	        {at->method_const >= 0, "Method"},
	        {at->const_constants >= 0 && at->const_size >= 0 && (at->const_flags >= 0 || at->const_flags_21 >= 0) &&
	                        at->const_code_size >= 0 && at->const_name_index >= 0 && at->size_const > 0,
	                "ConstMethod"},
	        {at->pool_holder >= 0 && at->pool_length >= 0 && at->size_pool > 0 &&
	                        (at->pool_source_file >= 0 || at->class_source_file >= 0),
	                "ConstantPool"},
	        {at->klass_name >= 0 && at->symbol_length >= 0 && at->symbol_body >= 0, "Klass"},
	};
	for (unsigned i = 0; i < COUNT(needs); i++)
		if (!needs[i].is_there)
			return needs[i].what;
	return NULL;
}

/* ---- places between safepoints ---- */

/* Compilers note which bytecode an instruction belongs to at calls and safepoints alone, unless DebugNonSafepoints is set: an
 * interrupted instruction would be taken for what happens to stand behind it. The VM sets it itself where an agent asks for
 * compiled methods (debugInfoRec.cpp). What is compiled from now on is told apart; who has set it stays asked. */
static void want_all_places(const struct dp_runtime_module *module)
{
	enum { FLAGS_MOST = 4096, ORIGIN_MASK = 15 };
	static const char wanted[] = "DebugNonSafepoints";
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const struct extent extent = extent_of(module);
	const bool is_8 = !dp_jvm.flags;
	const int32_t name_at = is_8 ? at->flag_name_8 : at->flag_name, address_at = is_8 ? at->flag_address_8 : at->flag_address,
	              origin_at = is_8 ? at->flag_origin_8 : at->flag_origin, size = is_8 ? at->size_flag_8 : at->size_flag;
	uintptr_t table = 0, count = 0;
	if ((!dp_jvm.flags && !dp_jvm.flags_8) || name_at < 0 || address_at < 0 || origin_at < 0 || size <= 0 ||
	        !module->read(is_8 ? dp_jvm.flags_8 : dp_jvm.flags, &table, sizeof table) ||
	        !module->read(is_8 ? dp_jvm.flag_count_8 : dp_jvm.flag_count, &count, sizeof count))
		return;
	for (uintptr_t i = 0; i < count && i < FLAGS_MOST; i++) {
		const uintptr_t flag = table + i * (uintptr_t)size;
		uintptr_t name = 0, address = 0;
		uint32_t origin = 0;
		char text[TEXT_MOST];
		if (!is_in_module(&extent, flag) || !module->read(flag + (uintptr_t)name_at, &name, sizeof name) ||
		        !is_in_module(&extent, name) || !read_text(module, name, text) || !is_equal(text, wanted))
			continue;
		if (module->read(flag + (uintptr_t)address_at, &address, sizeof address) && is_in_module(&extent, address) &&
		        module->read(flag + (uintptr_t)origin_at, &origin, sizeof origin) && !(origin & ORIGIN_MASK))
			*(volatile uint8_t *)address = 1;
		return;
	}
}

static void refuse(char *refusal, size_t size, const char *why, const char *what)
{
	const char *const parts[] = {"java: ", why, what, ": native frames alone"};
	size_t at = 0;
	for (unsigned i = 0; i < COUNT(parts); i++)
		for (const char *c = parts[i]; *c && at + 1 < size; c++)
			refusal[at++] = *c;
	refusal[at] = 0;
}

static void keep_path(const char *path)
{
	size_t size = 0;
	while (path && path[size] && size < sizeof dp_jvm.path)
		size++;
	if (path && size < sizeof dp_jvm.path)
		dp_copy(dp_jvm.path, path, size + 1);
}

int dp_jvm_look(const struct dp_runtime_module *module, char *refusal, size_t refusal_size)
{
	struct dp_dynamic symbols;
	if (!dp_dynamic_init(&symbols, module) || !dp_dynamic_find(&symbols, "gHotSpotVMStructs", NULL))
		return 0;
	if (dp_load_relaxed(&dp_jvm.state) != DP_JVM_NONE)
		return dp_jvm.start == module->start;
#if !defined(__x86_64__)
	refuse(refusal, refusal_size, "this version reads it on x86-64 alone", "");
	return -ENOTSUP;
#endif
	if (!read_tables(&symbols)) {
		enum { TRIES = 256 }; /* its constructors are done before so many looks */
		static unsigned tried;
		if (++tried < TRIES)
			return -EAGAIN;
		refuse(refusal, refusal_size, "this VM's tables cannot be read", "");
		return -ENOTSUP;
	}
	const char *what = missing();
	if (what) {
		refuse(refusal, refusal_size, "this VM does not tell where to find ", what);
		return -ENOTSUP;
	}
	dp_jvm.start = module->start;
	dp_jvm.end = module->end;
	const struct extent extent = extent_of(module);
	dp_jvm.image_low = extent.low;
	dp_jvm.image_high = extent.high;
	keep_path(module->path);
	want_all_places(module);
	dp_store_release(&dp_jvm.state, DP_JVM_LOADED);
	return 1;
}
