/* SPDX-License-Identifier: Apache-2.0
 * What host and agent agree on about CPython's frames, and the layouts we read.
 *
 * An eval loop is one activation of _PyEval_EvalFrameDefault. Its marker is what it keeps on the native stack and links
 * into the chain of frames: a CFrame (3.10, 3.11) or a shim frame (from 3.12 on). A doubtful walk is one in which the
 * chain may be half written: it reads through the kernel alone. */
#ifndef DEEPPROF_RUNTIMES_PYTHON_PYTHON_H
#define DEEPPROF_RUNTIMES_PYTHON_PYTHON_H

#include "runtimes/runtime.h"

#include <stdatomic.h>

/* A managed frame's id: its function's number, and where in it. */
enum { DP_PYTHON_PLACE_BITS = 28 };
#define DP_PYTHON_PLACE_LINE UINT64_C(0x8000000) /* the rest is a line; else 0: before the first instruction, or the
                                                    code unit (two bytes) + 1 */
#define DP_PYTHON_PLACE_MASK UINT64_C(0x7ffffff)

enum dp_python_chain {
	DP_PYTHON_OBJECTS,        /* 3.8, 3.9: frame objects, no marker */
	DP_PYTHON_OBJECTS_CFRAME, /* 3.10: frame objects, one CFrame each */
	DP_PYTHON_CFRAMES,        /* 3.11: CFrames, each with a run of frames that ends at is_entry */
	DP_PYTHON_CFRAME_SHIMS,   /* 3.12: frames and shims, found through a CFrame */
	DP_PYTHON_SHIMS,          /* from 3.13 on: frames and shims */
};

/* Offsets in release builds on 64-bit Linux. 0: not there. */
struct dp_python_layout {
	uint8_t minor;
	bool is_free_threaded;
	uint8_t chain; /* enum dp_python_chain */
	/* _PyRuntimeState */
	uint16_t tss_key, tstate_current, interpreters_head;
	/* PyThreadState */
	uint16_t interp, status, thread_id, frame, root_cframe;
	/* CFrame */
	uint8_t cframe_frame, cframe_previous;
	/* PyFrameObject or _PyInterpreterFrame */
	uint8_t previous, code, place, owner, is_entry;
	/* PyCodeObject */
	uint8_t first_line, file, name, lines, instructions;
	/* Free-threaded: where the thread's own copy of the instructions is: in the frame, in the code object. */
	uint8_t copy_index, copies;
	/* PyObject: its size; PyUnicodeObject: where the text is, ASCII or not; where its state's bits begin */
	uint8_t object, ascii, compact, state_shift;
};
/* NULL: not one that we know. Any context. */
const struct dp_python_layout *dp_python_layout_of(unsigned minor, bool is_free_threaded);
/* From 3.13 on the interpreter publishes its offsets, at the beginning of _PyRuntime: these are put into layout. False: they
 * make no sense. Hook or housekeeping tick. */
bool dp_python_take_offsets(const struct dp_runtime_module *module, uintptr_t runtime, struct dp_python_layout *layout);

/* One interpreter's library in this process. */
struct dp_python_library {
	_Atomic bool is_ready;
	struct dp_python_layout layout;
	uintptr_t runtime;    /* _PyRuntime, */
	uintptr_t runtime_size; /* as its symbol says */
	uintptr_t code_type;  /* PyCode_Type */
	uintptr_t text_type, bytes_type; /* PyUnicode_Type, PyBytes_Type */
	uintptr_t loop;       /* _PyEval_EvalFrameDefault */
	uintptr_t loop_size;  /* as its symbol says */
	uintptr_t start, end; /* the module's code */
	intptr_t tls_offset;  /* of the thread state, from the thread pointer; 0: by the TSS key */
	_Atomic uint32_t tss_at; /* where in _PyRuntime the key was found; 0: nowhere yet */
	_Atomic uint32_t good, torn; /* first walks, by what came of them */
	_Atomic bool is_off;  /* its walks make no sense */
	char path[256];
};
enum { DP_PYTHON_LIBRARIES = 4, DP_PYTHON_SWITCHERS = 4 };
extern struct dp_python_library dp_python_libraries[DP_PYTHON_LIBRARIES];

/* Code that moves the native stack away under the interpreter (greenlet). */
struct dp_python_range {
	_Atomic uintptr_t start, end;
};
extern struct dp_python_range dp_python_switchers[DP_PYTHON_SWITCHERS];

int dp_python_look(const struct dp_runtime_module *module, char *refusal, size_t refusal_size);
void dp_python_walk(struct dp_managed_tick *tick);
void dp_python_pin(void);
/* Any context: says why this one is not read. */
void dp_python_refuse(unsigned minor, const char *why);

/* Signal. The id of an activation of code (a PyCodeObject) at place. copy: its first DP_PYTHON_CODE_BYTES as they were read
 * when nothing that it points to is certain to be there; NULL: it is alive, and its name is told if there is room. 0: there
 * is no number for it. */
enum { DP_PYTHON_CODE_BYTES = 160 };
uint64_t dp_python_id(struct dp_managed_tick *tick, const struct dp_python_layout *layout, uintptr_t code, const uint8_t *copy,
        uint64_t place);

/* The line of a code unit: unit < 0 is before the first instruction. Any context; lines: any bytes. */
uint32_t dp_python_line(unsigned minor, const uint8_t *lines, uint32_t size, uint32_t first_line, int64_t unit);

#endif
