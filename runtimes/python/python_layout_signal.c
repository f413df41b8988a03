/* SPDX-License-Identifier: Apache-2.0
 * CPython's layouts, one line a minor version, as its own headers give them to a compiler on x86-64 and aarch64 Linux:
 * 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0, 3.14.10, 3.15.2 (Include/cpython/pystate.h, Include/cpython/code.h,
 * Include/internal/pycore_frame.h, pycore_interpframe_structs.h, pycore_runtime.h, pycore_runtime_structs.h, pycore_interp.h,
 * pycore_tstate.h). asyncio's are the debug information's of _asyncio.so, from 3.14 on what its section .AsyncioDebug says
 * (Modules/_asynciomodule.c). */
#include "runtimes/python/python.h"

static const struct dp_python_layout layouts[] = {
        {8, .chain = DP_PYTHON_OBJECTS, .tss_key = 1392, .tstate_current = 1368, .interpreters_head = 32, .interp = 16,
                .thread_id = 176, .frame = 24, .previous = 24, .code = 32, .place = 104, .first_line = 40, .file = 104,
                .name = 112, .lines = 120, .object = 16, .ascii = 48, .compact = 72,
                .state_shift = 2,
                .attributes = DP_PYTHON_DICT_POINTER, .locals = 360,
                .modules = 56, .frame_generator = 96, .coroutine_frame = 16, .task_size = 144, .task_coroutine = 112,
                .task_name = 120, .closure = 48},
        {9, .chain = DP_PYTHON_OBJECTS, .tss_key = 584, .tstate_current = 568, .interpreters_head = 32, .interp = 16,
                .thread_id = 176, .frame = 24, .previous = 24, .code = 32, .place = 104, .first_line = 40, .file = 104,
                .name = 112, .lines = 120, .object = 16, .ascii = 48, .compact = 72,
                .state_shift = 2,
                .attributes = DP_PYTHON_DICT_POINTER, .locals = 360,
                .modules = 856, .frame_generator = 96, .coroutine_frame = 16, .task_size = 184, .task_coroutine = 152,
                .task_name = 160, .closure = 48},
        {10, .chain = DP_PYTHON_OBJECTS_CFRAME, .tss_key = 584, .tstate_current = 568, .interpreters_head = 32, .interp = 16,
                .thread_id = 176, .frame = 24, .root_cframe = 264, .cframe_previous = 8, .previous = 24, .code = 32,
                .place = 96, .first_line = 40, .file = 104, .name = 112, .lines = 120, .object = 16, .ascii = 48, .compact = 72,
                .state_shift = 2,
                .attributes = DP_PYTHON_DICT_POINTER, .locals = 352,
                .modules = 856, .frame_generator = 88, .coroutine_frame = 16, .frame_state = 108, .task_size = 192,
                .task_coroutine = 160, .task_name = 168, .closure = 72},
        {11, .chain = DP_PYTHON_CFRAMES, .tss_key = 592, .tstate_current = 576, .interpreters_head = 40, .interp = 16,
                .thread_id = 152, .frame = 56, .root_cframe = 336, .cframe_frame = 8, .cframe_previous = 16,
                .previous = 48, .code = 32, .place = 56, .owner = 69, .is_entry = 68, .first_line = 72, .file = 112,
                .name = 128, .lines = 136, .instructions = 184, .object = 16, .ascii = 48, .compact = 72,
                .state_shift = 2,
                .attributes = DP_PYTHON_VALUES_POINTER, .locals = 72, .cached_keys = 872,
                .modules = 888, .coroutine_frame = 80, .coroutine_state = 75, .task_size = 176, .task_coroutine = 136,
                .task_name = 144, .closure = 72},
        {12, .chain = DP_PYTHON_CFRAME_SHIMS, .tss_key = 1544, .interp = 16, .status = 24, .thread_id = 136, .frame = 56,
                .cframe_frame = 0, .cframe_previous = 8, .previous = 8, .code = 0, .place = 56, .owner = 70,
                .first_line = 68, .file = 112, .name = 128, .lines = 136, .instructions = 192, .object = 16, .ascii = 40, .compact = 56,
                .state_shift = 2,
                .attributes = DP_PYTHON_TAGGED_POINTER, .locals = 72, .cached_keys = 880,
                .modules = 944, .coroutine_frame = 72, .coroutine_state = 67, .task_size = 176, .task_coroutine = 136,
                .task_name = 144, .closure = 72},
        {13, .chain = DP_PYTHON_SHIMS, .tss_key = 2160, .interp = 16, .status = 32, .thread_id = 152, .frame = 72, .previous = 8,
                .code = 0, .place = 56, .owner = 70, .first_line = 68, .file = 112, .name = 128, .lines = 136,
                .instructions = 200, .object = 16, .ascii = 40, .compact = 56,
                .state_shift = 2,
                .attributes = DP_PYTHON_INLINE_VALUES, .locals = 72, .cached_keys = 880,
                .modules = 7656, .coroutine_frame = 72, .coroutine_state = 67, .task_size = 144, .task_coroutine = 120,
                .task_name = 128, .closure = 72},
        {14, .chain = DP_PYTHON_SHIMS, .tss_key = 2336, .interp = 16, .status = 32, .thread_id = 152, .frame = 72, .previous = 8,
                .code = 0, .place = 56, .owner = 74, .first_line = 68, .file = 112, .name = 128, .lines = 136,
                .instructions = 208, .object = 16, .ascii = 40, .compact = 56,
                .state_shift = 2,
                .attributes = DP_PYTHON_INLINE_VALUES, .locals = 80, .cached_keys = 880,
                .running_task = 872, .coroutine_frame = 72, .coroutine_state = 67, .task_size = 168,
                .task_coroutine = 128, .task_name = 136, .awaited_by = 96},
        {15, .chain = DP_PYTHON_SHIMS, .interp = 16, .status = 32, .thread_id = 176, .frame = 72, .previous = 8, .code = 0,
                .place = 56, .owner = 74, .first_line = 68, .file = 112, .name = 128, .lines = 136, .instructions = 208,
                .object = 16, .ascii = 40, .compact = 56,
                .state_shift = 2,
                .attributes = DP_PYTHON_INLINE_VALUES, .locals = 80, .cached_keys = 888,
                .running_task = 1032, .coroutine_frame = 72, .coroutine_state = 67, .task_size = 168,
                .task_coroutine = 128, .task_name = 136, .awaited_by = 96},
        /* Free-threaded: the same headers compiled with Py_GIL_DISABLED. */
        {13, .is_free_threaded = true, .chain = DP_PYTHON_SHIMS, .tss_key = 2160, .interp = 16, .status = 32, .thread_id = 152,
                .frame = 72, .previous = 8, .code = 0, .place = 56, .owner = 70, .first_line = 84, .file = 128, .name = 144,
                .lines = 152, .instructions = 216, .object = 32, .ascii = 56, .compact = 72, .state_shift = 2},
        {14, .is_free_threaded = true, .chain = DP_PYTHON_SHIMS, .tss_key = 2336, .interp = 16, .status = 32, .thread_id = 152,
                .frame = 72, .previous = 8, .code = 0, .place = 56, .owner = 78, .first_line = 84, .file = 128, .name = 144,
                .lines = 152, .instructions = 232, .copy_index = 72, .copies = 224, .object = 32, .ascii = 56, .compact = 72,
                .state_shift = 8},
        {15, .is_free_threaded = true, .chain = DP_PYTHON_SHIMS, .interp = 16, .status = 32, .thread_id = 176, .frame = 72,
                .previous = 8, .code = 0, .place = 56, .owner = 78, .first_line = 84, .file = 128, .name = 144, .lines = 152,
                .instructions = 232, .copy_index = 72, .copies = 224, .object = 32, .ascii = 56, .compact = 72,
                .state_shift = 8},
};

const struct dp_python_layout *dp_python_layout_of(unsigned minor, bool is_free_threaded)
{
	for (unsigned i = 0; i < sizeof layouts / sizeof *layouts; i++)
		if (layouts[i].minor == minor && layouts[i].is_free_threaded == is_free_threaded)
			return &layouts[i];
	return NULL;
}

/* ---- as published ---- */

enum published {
	PUBLISHED_INTERPRETERS_HEAD,
	PUBLISHED_INTERP,
	PUBLISHED_CURRENT_FRAME,
	PUBLISHED_THREAD_ID,
	PUBLISHED_STATUS,
	PUBLISHED_PREVIOUS,
	PUBLISHED_EXECUTABLE,
	PUBLISHED_INSTR_PTR,
	PUBLISHED_OWNER,
	PUBLISHED_FILENAME,
	PUBLISHED_QUALNAME,
	PUBLISHED_LINETABLE,
	PUBLISHED_FIRSTLINENO,
	PUBLISHED_CO_CODE_ADAPTIVE,
	PUBLISHED_ASCIIOBJECT_SIZE,
	PUBLISHED_COUNT,
};

/* struct _Py_DebugOffsets, all of it uint64_t behind the cookie (3.13.0 Include/internal/pycore_runtime.h, 3.14.10 and 3.15.2
 * pycore_debug_offsets.h): which word of it is what. */
static const struct {
	uint8_t minor;
	uint8_t words[PUBLISHED_COUNT];
} published[] = {
        {13, {5, 22, 23, 24, 27, 29, 30, 31, 33, 35, 37, 38, 39, 43, 70}},
        {14, {5, 25, 26, 27, 30, 32, 33, 34, 36, 40, 42, 43, 44, 48, 80}},
        {15, {5, 25, 26, 30, 33, 40, 41, 42, 44, 48, 50, 51, 52, 56, 92}},
};

bool dp_python_take_offsets(const struct dp_runtime_module *module, uintptr_t runtime, struct dp_python_layout *layout)
{
	enum { STATE_MOST = 4096, OBJECT_MOST = 256, HEADER = 16, PUBLISHED_MODULES_OF_3_13 = 11 };
	uint16_t at[PUBLISHED_COUNT];
	const uint8_t *words = NULL;
	for (unsigned i = 0; i < sizeof published / sizeof *published; i++)
		if (published[i].minor == layout->minor)
			words = published[i].words;
	if (!words)
		return false;
	for (unsigned i = 0; i < PUBLISHED_COUNT; i++) {
		uint64_t value;
		if (!module->read(runtime + words[i] * sizeof value, &value, sizeof value) ||
		        value >= (i <= PUBLISHED_STATUS ? STATE_MOST : OBJECT_MOST))
			return false;
		at[i] = (uint16_t)value;
	}
	layout->interpreters_head = at[PUBLISHED_INTERPRETERS_HEAD];
	layout->interp = at[PUBLISHED_INTERP];
	layout->frame = at[PUBLISHED_CURRENT_FRAME];
	layout->thread_id = at[PUBLISHED_THREAD_ID];
	layout->status = at[PUBLISHED_STATUS];
	layout->previous = (uint8_t)at[PUBLISHED_PREVIOUS];
	layout->code = (uint8_t)at[PUBLISHED_EXECUTABLE];
	layout->place = (uint8_t)at[PUBLISHED_INSTR_PTR];
	layout->owner = (uint8_t)at[PUBLISHED_OWNER];
	layout->file = (uint8_t)at[PUBLISHED_FILENAME];
	layout->name = (uint8_t)at[PUBLISHED_QUALNAME];
	layout->lines = (uint8_t)at[PUBLISHED_LINETABLE];
	layout->first_line = (uint8_t)at[PUBLISHED_FIRSTLINENO];
	layout->instructions = (uint8_t)at[PUBLISHED_CO_CODE_ADAPTIVE];
	layout->ascii = (uint8_t)at[PUBLISHED_ASCIIOBJECT_SIZE];
	layout->compact = (uint8_t)(at[PUBLISHED_ASCIIOBJECT_SIZE] + HEADER);
	uint64_t modules;
	if (layout->modules && module->read(runtime + PUBLISHED_MODULES_OF_3_13 * sizeof modules, &modules, sizeof modules) &&
	        modules < UINT16_MAX)
		layout->modules = (uint16_t)modules;
	/* What a walk reads at once. */
	return layout->lines + 8u <= DP_PYTHON_CODE_BYTES && layout->name + 8u <= DP_PYTHON_CODE_BYTES &&
	       layout->file + 8u <= DP_PYTHON_CODE_BYTES && layout->first_line + 4u <= DP_PYTHON_CODE_BYTES;
}
