/* SPDX-License-Identifier: Apache-2.0
 * A Python function as people name it: module.qualname. */
#include "runtimes/names.h"
#include "runtimes/python/python.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_init(const struct dp_name_place *place, const char *folder, size_t size)
{
	char path[2048];
	const bool is_absolute = folder[0] == '/';
	const int used = snprintf(path, sizeof path, "%s%s%s%.*s/__init__.py", place->root, is_absolute ? "" : place->cwd,
	        is_absolute ? "" : "/", (int)size, folder);
	return used > 0 && (size_t)used < sizeof path && access(path, F_OK) == 0;
}

/* The module's dotted name from its file: the folders above it that are packages. "" where there is no file. */
static void module_of(const char *file, const struct dp_name_place *place, char *module, size_t module_size)
{
	static const char frozen[] = "<frozen ";
	const size_t size = strlen(file);
	module[0] = 0;
	if (!strncmp(file, frozen, sizeof frozen - 1) && size > sizeof frozen) {
		snprintf(module, module_size, "%.*s", (int)(size - sizeof frozen), file + sizeof frozen - 1);
		return;
	}
	const char *end = size > 3 && !strcmp(file + size - 3, ".py") ? file + size - 3 : file + size;
	if (file[0] == '<') {
		snprintf(module, module_size, "%s", file);
		return;
	}
	const char *start = end;
	while (start > file && start[-1] != '/')
		start--;
	/* Up to here it is the file's own name; above it, packages. */
	const char *top = start;
	while (top > file + 1 && has_init(place, file, (size_t)(top - 1 - file))) {
		top--;
		while (top > file && top[-1] != '/')
			top--;
	}
	if (end - start == 8 && !strncmp(start, "__init__", 8) && top < start)
		end = start - 1;
	if ((size_t)(end - top) >= module_size)
		top = start;
	snprintf(module, module_size, "%.*s", (int)(end - top), top);
	for (char *c = module; *c; c++)
		if (*c == '/')
			*c = '.';
}

static uint32_t number_of(uint64_t id)
{
	return (uint32_t)(id >> DP_PYTHON_PLACE_BITS);
}

static void describe(struct dp_name *name, uint64_t id, const struct dp_name_place *place, struct dp_managed_symbol *symbol)
{
	const uint64_t at = id & DP_PYTHON_PLACE_MASK;
	if (!name->shown) {
		char module[1024];
		module_of(name->file, place, module, sizeof module);
		if (asprintf(&name->shown, "%s%s%s", module, *module ? "." : "", name->name) < 0)
			name->shown = NULL;
	}
	*symbol = (struct dp_managed_symbol){
	        .name = name->shown ? name->shown : name->name,
	        .system_name = name->name,
	        .file = name->file,
	        .start_line = name->first_line,
	        /* 3.12 and 3.13 put a frame of their own around a class's __init__ (Python/specialize.c, _Py_InitCleanup). */
	        .is_machinery = !*name->file || !strcmp(name->file, "__init__"),
	        .line = id & DP_PYTHON_PLACE_LINE
	                        ? (uint32_t)(at & (DP_PYTHON_PLACE_LINE - 1))
	                        : name->is_cut ? name->first_line
	                        : dp_python_line(name->version, name->lines, name->lines_size, name->first_line, (int64_t)at - 1),
	};
}

/* What the interpreter does to call and to run Python code. What it does for the code (dict lookups, GC) is no machinery. */
static bool is_machinery(const char *function)
{
	static const char *const starts[] = {"_PyEval_", "PyEval_Eval", "_PyFunction_", "_PyObject_Vectorcall", "PyObject_Vectorcall",
	        "_PyObject_Call", "PyObject_Call", "_PyObject_FastCall", "_PyObject_MakeTpCall", "_PyVectorcall_", "PyVectorcall_Call",
	        "_PyMethodDef_RawFastCall", "_PyCFunction_", "_TAIL_CALL_", "_PyJIT", "_PyRun_", "PyRun_", "gen_send_ex", "_Py_trampoline"};
	static const char *const names[] = {"method_vectorcall", "function_code_fastcall", "call_function", "do_call_core", "object_vacall",
	        "run_eval_code_obj", "run_mod", "pyrun_file", "pymain_run_python", "pymain_main", "Py_RunMain", "Py_BytesMain",
	        "pymain_run_file", "pymain_run_file_obj", "pymain_run_command", "pymain_run_module", "pyrun_simple_file", "gen_iternext",
	        "_PyCode_Eval", "slot_tp_call", "vectorcall_method", "vectorcall_unbound", "call_trampoline", "trace_trampoline", "trace_call_function", "vectorcall_maybe", "cfunction_vectorcall_FASTCALL",
	        "cfunction_vectorcall_FASTCALL_KEYWORDS", "cfunction_vectorcall_O", "cfunction_vectorcall_NOARGS", "cfunction_call",
	        "method_vectorcall_FASTCALL", "method_vectorcall_FASTCALL_KEYWORDS", "method_vectorcall_NOARGS", "method_vectorcall_O",
	        "method_vectorcall_VARARGS", "method_vectorcall_VARARGS_KEYWORDS", "eval_frame"};
	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
		if (!strncmp(function, starts[i], strlen(starts[i])))
			return true;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(function, names[i]))
			return true;
	return false;
}

static void write_version(uint8_t minor, char *text, size_t size)
{
	snprintf(text, size, "3.%u", minor);
}

const struct dp_runtime_names dp_python_names = {
        .name = "python",
        .convention = "cpython",
        .describe = describe,
        .number = number_of,
        .is_machinery = is_machinery,
        .is_switcher = dp_python_is_switcher,
        .version = write_version,
};
