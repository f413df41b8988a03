/* SPDX-License-Identifier: Apache-2.0
 * CPython's layouts, one line a minor version, as its own headers give them to a compiler on x86-64 and aarch64 Linux:
 * 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0, 3.14.10, 3.15.2 (Include/cpython/pystate.h, Include/cpython/code.h,
 * Include/internal/pycore_frame.h, pycore_interpframe_structs.h, pycore_runtime.h, pycore_runtime_structs.h). */
#include "runtimes/python/python.h"

const struct dp_python_layout dp_python_layouts[] = {
        {8, DP_PYTHON_OBJECTS, .tss_key = 1392, .tstate_current = 1368, .interpreters_head = 32, .interp = 16,
                .thread_id = 176, .frame = 24, .previous = 24, .code = 32, .place = 104, .first_line = 40, .file = 104,
                .name = 112, .lines = 120, .ascii = 48, .compact = 72},
        {9, DP_PYTHON_OBJECTS, .tss_key = 584, .tstate_current = 568, .interpreters_head = 32, .interp = 16,
                .thread_id = 176, .frame = 24, .previous = 24, .code = 32, .place = 104, .first_line = 40, .file = 104,
                .name = 112, .lines = 120, .ascii = 48, .compact = 72},
        {10, DP_PYTHON_OBJECTS_CFRAME, .tss_key = 584, .tstate_current = 568, .interpreters_head = 32, .interp = 16,
                .thread_id = 176, .frame = 24, .root_cframe = 264, .cframe_previous = 8, .previous = 24, .code = 32,
                .place = 96, .first_line = 40, .file = 104, .name = 112, .lines = 120, .ascii = 48, .compact = 72},
        {11, DP_PYTHON_CFRAMES, .tss_key = 592, .tstate_current = 576, .interpreters_head = 40, .interp = 16,
                .thread_id = 152, .frame = 56, .root_cframe = 336, .cframe_frame = 8, .cframe_previous = 16,
                .previous = 48, .code = 32, .place = 56, .owner = 69, .is_entry = 68, .first_line = 72, .file = 112,
                .name = 128, .lines = 136, .instructions = 184, .ascii = 48, .compact = 72},
        {12, DP_PYTHON_CFRAME_SHIMS, .tss_key = 1544, .interp = 16, .status = 24, .thread_id = 136, .frame = 56,
                .cframe_frame = 0, .cframe_previous = 8, .previous = 8, .code = 0, .place = 56, .owner = 70,
                .first_line = 68, .file = 112, .name = 128, .lines = 136, .instructions = 192, .ascii = 40, .compact = 56},
        {13, DP_PYTHON_SHIMS, .tss_key = 2160, .interp = 16, .status = 32, .thread_id = 152, .frame = 72, .previous = 8,
                .code = 0, .place = 56, .owner = 70, .first_line = 68, .file = 112, .name = 128, .lines = 136,
                .instructions = 200, .ascii = 40, .compact = 56},
        {14, DP_PYTHON_SHIMS, .tss_key = 2336, .interp = 16, .status = 32, .thread_id = 152, .frame = 72, .previous = 8,
                .code = 0, .place = 56, .owner = 74, .first_line = 68, .file = 112, .name = 128, .lines = 136,
                .instructions = 208, .ascii = 40, .compact = 56},
        {15, DP_PYTHON_SHIMS, .interp = 16, .status = 32, .thread_id = 176, .frame = 72, .previous = 8, .code = 0,
                .place = 56, .owner = 74, .first_line = 68, .file = 112, .name = 128, .lines = 136, .instructions = 208,
                .ascii = 40, .compact = 56},
};

const struct dp_python_layout *dp_python_layout_of(unsigned minor)
{
	for (unsigned i = 0; i < sizeof dp_python_layouts / sizeof *dp_python_layouts; i++)
		if (dp_python_layouts[i].minor == minor)
			return &dp_python_layouts[i];
	return NULL;
}
