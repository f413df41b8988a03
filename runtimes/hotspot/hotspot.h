/* SPDX-License-Identifier: Apache-2.0
 * What the reader knows of a HotSpot, and what host and agent agree on about its frames.
 *
 * A blob is a piece of the code heap: a compiled method (nmethod), the interpreter, stubs, adapters. A codelet is a
 * piece of the interpreter: a bytecode's template, a method entry. A scope is one method at one place of compiled code;
 * inlined scopes stand below their callers. */
#ifndef DEEPPROF_RUNTIMES_HOTSPOT_HOTSPOT_H
#define DEEPPROF_RUNTIMES_HOTSPOT_HOTSPOT_H

#include "runtimes/runtime.h"

#include <stdatomic.h>

/* A frame's id: its function's number, what kind of frame it is, and which bytecode. */
enum {
	DP_JVM_BCI_BITS = 16,
	DP_JVM_HAS_BCI = 1 << 16,
	DP_JVM_KIND_SHIFT = 17,
	DP_JVM_NUMBER_SHIFT = 20,
};
enum dp_jvm_kind {
	DP_JVM_INTERPRETED,
	DP_JVM_C1,
	DP_JVM_C2,
	DP_JVM_C1_INLINED,
	DP_JVM_C2_INLINED,
	DP_JVM_NATIVE, /* a native method's wrapper */
	DP_JVM_STUB,   /* code that the VM made, of no method */
};

/* The numbers in UNSIGNED5 streams (compressedStream.hpp): from JDK 20 on no byte is 0. */
enum { DP_JVM_EXCESS_FROM = 20 };

/* ---- what is read, by the VM's own tables: type, field ---- */

#define DP_JVM_FIELDS(XX)                                                                                                        \
	XX(space_low, "VirtualSpace", "_low")                                                                                    \
	XX(space_high, "VirtualSpace", "_high")                                                                                  \
	XX(space_low_boundary, "VirtualSpace", "_low_boundary")                                                                  \
	XX(space_high_boundary, "VirtualSpace", "_high_boundary")                                                                \
	XX(heap_memory, "CodeHeap", "_memory")                                                                                   \
	XX(heap_segmap, "CodeHeap", "_segmap")                                                                                   \
	XX(heap_log2, "CodeHeap", "_log2_segment_size")                                                                          \
	XX(block_used, "HeapBlock::Header", "_used")                                                                             \
	XX(array_length, "GrowableArrayBase", "_len")                                                                            \
	XX(array_length_8, "GenericGrowableArray", "_len")                                                                       \
	XX(array_data, "GrowableArray<int>", "_data")                                                                            \
	XX(blob_name, "CodeBlob", "_name")                                                                                       \
	XX(blob_size, "CodeBlob", "_size")                                                                                       \
	XX(blob_kind, "CodeBlob", "_kind")                                                                                       \
	XX(blob_code_begin, "CodeBlob", "_code_begin")                                                                           \
	XX(blob_code_offset, "CodeBlob", "_code_offset")                                                                         \
	XX(blob_frame_complete, "CodeBlob", "_frame_complete_offset")                                                            \
	XX(blob_frame_size, "CodeBlob", "_frame_size")                                                                           \
	XX(blob_mutable_data, "CodeBlob", "_mutable_data")                                                                       \
	XX(blob_relocation_size, "CodeBlob", "_relocation_size")                                                                 \
	XX(nmethod_method, "nmethod", "_method")                                                                                 \
	XX(compiled_method, "CompiledMethod", "_method")                                                                         \
	XX(nmethod_compile_id, "nmethod", "_compile_id")                                                                         \
	XX(nmethod_comp_level, "nmethod", "_comp_level")                                                                         \
	XX(nmethod_orig_pc_offset, "nmethod", "_orig_pc_offset")                                                                 \
	XX(nmethod_verified_entry_point, "nmethod", "_verified_entry_point")                                                     \
	XX(nmethod_verified_entry_offset, "nmethod", "_verified_entry_offset")                                                   \
	XX(nmethod_scopes_pcs_offset, "nmethod", "_scopes_pcs_offset")                                                           \
	XX(nmethod_scopes_data_offset, "nmethod", "_scopes_data_offset")                                                         \
	XX(compiled_scopes_data_begin, "CompiledMethod", "_scopes_data_begin")                                                   \
	XX(nmethod_dependencies_offset, "nmethod", "_dependencies_offset")                                                       \
	XX(nmethod_metadata_offset, "nmethod", "_metadata_offset")                                                               \
	XX(nmethod_immutable_data, "nmethod", "_immutable_data")                                                                 \
	XX(compiled_deopt_handler_begin, "CompiledMethod", "_deopt_handler_begin")                                               \
	XX(compiled_deopt_mh_handler_begin, "CompiledMethod", "_deopt_mh_handler_begin")                                         \
	XX(nmethod_deoptimize_offset, "nmethod", "_deoptimize_offset")                                                           \
	XX(nmethod_deoptimize_mh_offset, "nmethod", "_deoptimize_mh_offset")                                                     \
	XX(nmethod_deopt_handler_offset, "nmethod", "_deopt_handler_offset")                                                     \
	XX(nmethod_deopt_mh_handler_offset, "nmethod", "_deopt_mh_handler_offset")                                               \
	XX(nmethod_deopt_handler_entry_offset, "nmethod", "_deopt_handler_entry_offset")                                         \
	XX(queue_buffer, "StubQueue", "_stub_buffer")                                                                            \
	XX(queue_limit, "StubQueue", "_buffer_limit")                                                                            \
	XX(codelet_size, "InterpreterCodelet", "_size")                                                                          \
	XX(codelet_description, "InterpreterCodelet", "_description")                                                            \
	XX(method_const, "Method", "_constMethod")                                                                               \
	XX(const_constants, "ConstMethod", "_constants")                                                                         \
	XX(const_size, "ConstMethod", "_constMethod_size")                                                                       \
	XX(const_flags, "ConstMethod", "_flags")                                                                                 \
	XX(const_flags_21, "ConstMethod", "_flags._flags")                                                                       \
	XX(const_code_size, "ConstMethod", "_code_size")                                                                         \
	XX(const_name_index, "ConstMethod", "_name_index")                                                                       \
	XX(const_idnum, "ConstMethod", "_method_idnum")                                                                          \
	XX(pool_holder, "ConstantPool", "_pool_holder")                                                                          \
	XX(pool_length, "ConstantPool", "_length")                                                                               \
	XX(pool_source_file, "ConstantPool", "_source_file_name_index")                                                          \
	XX(class_source_file, "InstanceKlass", "_source_file_name_index")                                                        \
	XX(flag_name, "JVMFlag", "_name")                                                                                        \
	XX(flag_address, "JVMFlag", "_addr")                                                                                     \
	XX(flag_origin, "JVMFlag", "_flags")                                                                                     \
	XX(flag_name_8, "Flag", "_name")                                                                                         \
	XX(flag_address_8, "Flag", "_addr")                                                                                      \
	XX(flag_origin_8, "Flag", "_flags")                                                                                      \
	XX(thread_osthread, "JavaThread", "_osthread")                                                                           \
	XX(thread_osthread_25, "Thread", "_osthread")                                                                            \
	XX(thread_stack_base, "JavaThread", "_stack_base")                                                                       \
	XX(thread_stack_size, "JavaThread", "_stack_size")                                                                       \
	XX(thread_anchor, "JavaThread", "_anchor")                                                                               \
	XX(osthread_id, "OSThread", "_thread_id")                                                                                \
	XX(anchor_sp, "JavaFrameAnchor", "_last_Java_sp")                                                                        \
	XX(anchor_pc, "JavaFrameAnchor", "_last_Java_pc")                                                                        \
	XX(anchor_fp, "JavaFrameAnchor", "_last_Java_fp")                                                                        \
	XX(wrapper_anchor, "JavaCallWrapper", "_anchor")                                                                         \
	XX(klass_name, "Klass", "_name")                                                                                         \
	XX(symbol_length, "Symbol", "_length")                                                                                   \
	XX(symbol_body, "Symbol", "_body")

#define DP_JVM_STATICS(XX)                                                                                                       \
	XX(code_heap, "CodeCache", "_heap")                                                                                      \
	XX(code_heaps, "CodeCache", "_heaps")                                                                                    \
	XX(code_low, "CodeCache", "_low_bound")                                                                                  \
	XX(code_high, "CodeCache", "_high_bound")                                                                                \
	XX(interpreter, "AbstractInterpreter", "_code")                                                                          \
	XX(call_stub_return, "StubRoutines", "_call_stub_return_address")                                                        \
	XX(flags, "JVMFlag", "flags")                                                                                            \
	XX(flag_count, "JVMFlag", "numFlags")                                                                                    \
	XX(flags_8, "Flag", "flags")                                                                                             \
	XX(flag_count_8, "Flag", "numFlags")                                                                                     \
	XX(major_version, "Abstract_VM_Version", "_vm_major_version")

#define DP_JVM_SIZES(XX)                                                                                                         \
	XX(size_block, "HeapBlock")                                                                                              \
	XX(size_flag, "JVMFlag")                                                                                                 \
	XX(size_flag_8, "Flag")                                                                                                  \
	XX(size_const, "ConstMethod")                                                                                            \
	XX(size_pool, "ConstantPool")                                                                                            \
	XX(size_codelet, "InterpreterCodelet")

#define DP_JVM_CONSTANTS(XX)                                                                                                     \
	XX(kind_nmethod, "CodeBlobKind::Nmethod")                                                                                \
	XX(kind_upcall, "CodeBlobKind::Upcall")

/* -1: this version has none. */
struct dp_jvm_layout {
#define XX(name, ...) int32_t name;
	DP_JVM_FIELDS(XX)
	DP_JVM_SIZES(XX)
	DP_JVM_CONSTANTS(XX)
#undef XX
};

/* One CodeHeap; all constant once there. */
struct dp_jvm_heap {
	uintptr_t low, high; /* reserved */
	uintptr_t heap;      /* the CodeHeap */
	const uint8_t *segments;
	unsigned log2;
};

enum { DP_JVM_HEAPS = 8, DP_JVM_CODELETS = 512, DP_JVM_STUBS = 256 };

struct dp_jvm_stub {
	uintptr_t start;
	const char *name; /* the VM's own text, without what starts it; "" ends the one before */
};

struct dp_jvm_codelet {
	uintptr_t start;
	bool is_entry; /* a method's entry: its frame is being built there */
};

/* The one HotSpot of this process. */
struct dp_jvm {
	/* By look(). */
	struct dp_jvm_layout layout;
#define XX(name, ...) uintptr_t name; /* where the static is; 0: this version has none */
	DP_JVM_STATICS(XX)
#undef XX
	uintptr_t start, end; /* libjvm's code */
	uintptr_t image_low, image_high; /* all of libjvm */
	struct dp_jvm_stub stubs[DP_JVM_STUBS]; /* first start is the address of the variable; then sorted by start */
	uint32_t stub_count;
	char path[512];
	/* Once the VM has begun to run. */
	_Atomic uint32_t state; /* enum dp_jvm_state */
	unsigned version;
	bool has_excess; /* see DP_JVM_EXCESS_FROM */
	uintptr_t low, high;  /* of all code heaps */
	struct dp_jvm_heap heaps[DP_JVM_HEAPS];
	uint32_t heap_count;
	uintptr_t interpreter_low, interpreter_high;
	struct dp_jvm_codelet codelets[DP_JVM_CODELETS]; /* sorted */
	uint32_t codelet_count;
	uintptr_t call_stub; /* where calls of it return to */
	_Atomic uint32_t thread_key; /* pthread key + 1 of the VM's Thread; 0: not found yet */
};
enum dp_jvm_state { DP_JVM_NONE, DP_JVM_LOADED, DP_JVM_PREPARING, DP_JVM_READY, DP_JVM_OFF };
extern struct dp_jvm dp_jvm;

int dp_jvm_look(const struct dp_runtime_module *module, char *refusal, size_t refusal_size);
void dp_jvm_pin(void);
bool dp_jvm_owns(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high);
int dp_jvm_step(struct dp_managed_tick *tick, struct dp_owned_walk *walk);
bool dp_jvm_stack(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high, uintptr_t *usable);
bool dp_jvm_resume(struct dp_managed_tick *tick, struct dp_owned_walk *walk);

/* Signal. A walk stands at pc, in owned code: is all known that it needs? */
bool dp_jvm_is_ready(uintptr_t pc);

/* ---- signal: reading ---- */

/* The code heap is never unmapped, what a running method needs is not freed: plain. */
static inline uintptr_t dp_jvm_word(uintptr_t address)
{
	uintptr_t word;
	__builtin_memcpy(&word, (const void *)address, sizeof word);
	return word;
}

static inline int32_t dp_jvm_int(uintptr_t address)
{
	int32_t word;
	__builtin_memcpy(&word, (const void *)address, sizeof word);
	return word;
}

static inline uint16_t dp_jvm_half(uintptr_t address)
{
	uint16_t word;
	__builtin_memcpy(&word, (const void *)address, sizeof word);
	return word;
}

/* Could it be memory of a program's? A read through what could not ends it, however the page tables stand. */
static inline bool dp_jvm_is_pointer(uintptr_t word)
{
	enum { USER_BITS = 47, NULL_PAGE = 4096 };
	return word >= NULL_PAGE && !(word >> USER_BITS);
}

/* Signal. The VM's Thread that is the calling one; 0: it is none of the VM's. Probed, not pinned. */
uintptr_t dp_jvm_thread(const struct dp_managed_tick *tick);

/* ---- signal: the code heap ---- */

enum dp_jvm_blob_kind { DP_JVM_BLOB_NMETHOD, DP_JVM_BLOB_STUBS, DP_JVM_BLOB_RUNTIME, DP_JVM_BLOB_UPCALL };

struct dp_jvm_blob {
	uintptr_t start, end;       /* header and all */
	uintptr_t code;             /* first instruction */
	enum dp_jvm_blob_kind kind; /* RUNTIME: has a frame of its own size */
	uint32_t frame_size;        /* words, with the return address */
	uintptr_t frame_complete;   /* from here on the frame is there */
};

static inline bool dp_jvm_is_code(uintptr_t pc)
{
	return pc - dp_jvm.low < dp_jvm.high - dp_jvm.low;
}

static inline bool dp_jvm_is_interpreter(uintptr_t pc)
{
	return pc - dp_jvm.interpreter_low < dp_jvm.interpreter_high - dp_jvm.interpreter_low;
}

/* False: no blob holds it. */
bool dp_jvm_find_blob(uintptr_t pc, struct dp_jvm_blob *blob);
/* The interpreter's piece; NULL: none. */
const struct dp_jvm_codelet *dp_jvm_codelet_at(uintptr_t pc);
/* What code that is of no method is called. size: bytes. */
const char *dp_jvm_stub_name(uintptr_t pc, const struct dp_jvm_blob *blob, uint32_t *size);

/* Is this where deoptimised frames of the nmethod return to? Then the frame's own pc is at sp + *pc_offset. */
bool dp_jvm_is_deopt(const struct dp_jvm_blob *blob, uintptr_t pc, uint32_t *pc_offset);
uintptr_t dp_jvm_verified_entry(const struct dp_jvm_blob *blob);

/* ---- signal: what a lane keeps ---- */

enum { DP_JVM_KNOWN_IDS = 14, DP_JVM_SCOPES_MAX = 64 };

/* What an address of compiled code has been found to mean. */
struct dp_jvm_known {
	uintptr_t pc;
	uint32_t compile_id;
	uint8_t count;
	uint64_t ids[DP_JVM_KNOWN_IDS];
};

struct dp_jvm_memory {
	uint64_t ids[DP_JVM_SCOPES_MAX];
	struct dp_jvm_known known[490];
};
_Static_assert(sizeof(struct dp_jvm_memory) <= DP_OWNED_MEMORY, "");

/* ---- signal: methods ---- */

/* Tells what found no room before, as far as it does now. */
void dp_jvm_tell_untold(struct dp_managed_tick *tick);

/* The number of a method (a Method), told if there is room. is_certain: it is one and alive. 0: it is none, or
 * there is no number for it. */
uint32_t dp_jvm_method_number(struct dp_managed_tick *tick, uintptr_t method, bool is_certain);
/* Of a text that stays. */
uint32_t dp_jvm_text_number(struct dp_managed_tick *tick, const char *text, uint32_t size);
/* The index of the bytecode at bcp; -1: it is not the method's. is_certain: it is alive. */
int32_t dp_jvm_bci_of(struct dp_managed_tick *tick, uintptr_t method, uintptr_t bcp, bool is_certain);

static inline uint64_t dp_jvm_id(uint32_t number, enum dp_jvm_kind kind, int32_t bci)
{
	return (uint64_t)number << DP_JVM_NUMBER_SHIFT | (uint64_t)kind << DP_JVM_KIND_SHIFT |
	       (bci >= 0 ? (uint64_t)DP_JVM_HAS_BCI | (uint16_t)bci : 0);
}

/* ---- signal: scopes ---- */

/* The ids of the methods at pc, innermost first. Returns how many. is_certain: such a frame is there, so that what the nmethod
 * leads to is alive. */
uint32_t dp_jvm_scopes(struct dp_managed_tick *tick, const struct dp_jvm_blob *blob, uintptr_t pc, bool is_certain, const uint64_t **ids);
/* The method that was compiled, where nothing of it runs yet or any more: bci as given. */
uint64_t dp_jvm_whole_scope(struct dp_managed_tick *tick, const struct dp_jvm_blob *blob, int32_t bci, bool is_certain);

/* Any context. Reads one number at *at of bytes, below size. */
uint32_t dp_jvm_unsigned5(const uint8_t *bytes, uint32_t size, uint32_t *at, bool has_excess);

#endif
