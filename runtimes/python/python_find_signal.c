/* SPDX-License-Identifier: Apache-2.0
 * Is a module CPython, which version, and where is what we read? By its dynamic symbols, which every build exports. */
#include "runtimes/python/python.h"
#include "runtimes/dynamic.h"

#include "base/atomic.h"
#include "base/syscall.h"

#include <errno.h>

struct dp_python_library dp_python_libraries[DP_PYTHON_LIBRARIES];
struct dp_python_range dp_python_switchers[DP_PYTHON_SWITCHERS];

/* ---- the version ---- */

static unsigned minor_of(const struct dp_dynamic *symbols)
{
	const uintptr_t version = dp_dynamic_find(symbols, "Py_Version", NULL);
	uint32_t value;
	if (version)
		return symbols->module->read(version, &value, sizeof value) && value >> 24 == 3 ? value >> 16 & 0xff : 0;
	/* Each of these came with the version. */
	return dp_dynamic_find(symbols, "Py_NewRef", NULL)                     ? 10
	       : dp_dynamic_find(symbols, "PyFrame_GetCode", NULL)             ? 9
	       : dp_dynamic_find(symbols, "PyCode_NewWithPosOnlyArgs", NULL) ? 8
	                                                            : 7;
}

/* From 3.13 on _PyRuntime begins with _Py_DebugOffsets: a cookie, the version, whether the build is free-threaded. */
static bool read_head(const struct dp_runtime_module *module, uintptr_t runtime, unsigned minor, bool *is_free_threaded)
{
	static const char cookie[] = "xdebugpy";
	struct {
		char cookie[8];
		uint64_t version, free_threaded;
	} head;
	if (!module->read(runtime, &head, sizeof head))
		return false;
	for (unsigned i = 0; i < sizeof head.cookie; i++)
		if (head.cookie[i] != cookie[i])
			return false;
	*is_free_threaded = head.free_threaded;
	return head.version >> 16 == (0x300 | minor);
}

/* 3.15 keeps the thread state in a TLS variable; where, PyGILState_GetThisThreadState says in its first instructions
 * where the variable is in the static TLS block: mov %fs:OFFSET, %rax. */
static intptr_t find_tls_offset(const struct dp_dynamic *symbols)
{
	static const uint8_t load[] = {0x64, 0x48, 0x8b, 0x04, 0x25};
	uint8_t code[24];
	const uintptr_t function = dp_dynamic_find(symbols, "PyGILState_GetThisThreadState", NULL);
	if (!function || !symbols->module->read(function, code, sizeof code))
		return 0;
	for (unsigned i = 0; i + sizeof load + 4 <= sizeof code; i++) {
		bool is_equal = true;
		for (unsigned k = 0; k < sizeof load; k++)
			is_equal &= code[i + k] == load[k];
		if (is_equal) {
			int32_t offset;
			__builtin_memcpy(&offset, code + i + sizeof load, sizeof offset);
			/* Variables lie below the thread pointer; above it is what is libc's, a stack protector's canary. */
			if (offset < 0 && offset % 8 == 0)
				return offset;
		}
	}
	return 0;
}

static void refuse(char *refusal, size_t size, unsigned minor, const char *why)
{
	static const char head[] = "python 3.", tail[] = ": native frames alone";
	size_t at = 0;
	for (const char *c = head; *c && at + 1 < size; c++)
		refusal[at++] = *c;
	if (minor >= 10 && at + 1 < size)
		refusal[at++] = (char)('0' + minor / 10);
	if (at + 1 < size)
		refusal[at++] = (char)('0' + minor % 10);
	for (const char *c = why; *c && at + 1 < size; c++)
		refusal[at++] = *c;
	for (const char *c = tail; *c && at + 1 < size; c++)
		refusal[at++] = *c;
	refusal[at] = 0;
}

void dp_python_refuse(unsigned minor, const char *why)
{
	char line[DP_REFUSAL_MAX];
	refuse(line, sizeof line, minor, why);
	dp_runtimes_refuse(line);
}

/* ---- greenlet ---- */

static void add_switcher(const struct dp_runtime_module *module)
{
	for (unsigned i = 0; i < DP_PYTHON_SWITCHERS; i++) {
		struct dp_python_range *range = &dp_python_switchers[i];
		const uintptr_t start = dp_load_relaxed(&range->start);
		if (start == module->start)
			return;
		if (start)
			continue;
		dp_store_relaxed(&range->end, module->end);
		dp_store_release(&range->start, module->start);
		return;
	}
}

static void keep_path(struct dp_python_library *library, const char *path)
{
	size_t size = 0;
	while (path[size] && size < sizeof library->path)
		size++;
	if (size < sizeof library->path)
		dp_copy(library->path, path, size + 1);
}

int dp_python_look(const struct dp_runtime_module *module, char *refusal, size_t refusal_size)
{
	struct dp_dynamic symbols;
	struct dp_python_library *library = NULL;
	if (module->path && dp_python_is_switcher(module->path))
		add_switcher(module);
	if (!dp_dynamic_init(&symbols, module))
		return 0;
	uintptr_t runtime_size = 0;
	const uintptr_t runtime = dp_dynamic_find(&symbols, "_PyRuntime", &runtime_size);
	if (!runtime)
		return 0;
	for (unsigned i = 0; i < DP_PYTHON_LIBRARIES && !library; i++) {
		if (dp_load_relaxed(&dp_python_libraries[i].is_ready) && dp_python_libraries[i].runtime == runtime)
			return 1;
		if (!dp_load_relaxed(&dp_python_libraries[i].is_ready))
			library = &dp_python_libraries[i];
	}
	const unsigned minor = minor_of(&symbols);
	bool is_free_threaded = false, has_head = true;
	if (minor >= 13)
		has_head = read_head(module, runtime, minor, &is_free_threaded);
	const struct dp_python_layout *layout = dp_python_layout_of(minor, is_free_threaded);
	if (!library || !layout) {
		refuse(refusal, refusal_size, minor, " is not one that this version reads (3.8 to 3.15)");
		return -ENOTSUP;
	}
	if (dp_dynamic_find(&symbols, "_Py_NegativeRefcount", NULL)) {
		refuse(refusal, refusal_size, minor, " is a debug build");
		return -ENOTSUP;
	}
	library->layout = *layout;
	if (minor >= 13 && (!has_head || !dp_python_take_offsets(module, runtime, &library->layout))) {
		refuse(refusal, refusal_size, minor, " publishes offsets (_Py_DebugOffsets) that make no sense");
		return -ENOTSUP;
	}
	library->tls_offset = layout->tss_key ? 0 : find_tls_offset(&symbols);
	if (!layout->tss_key && !library->tls_offset) {
		refuse(refusal, refusal_size, minor, " keeps its thread state where this version does not find it");
		return -ENOTSUP;
	}
	library->runtime = runtime;
	library->runtime_size = runtime_size;
	library->code_type = dp_dynamic_find(&symbols, "PyCode_Type", NULL);
	library->text_type = dp_dynamic_find(&symbols, "PyUnicode_Type", NULL);
	library->bytes_type = dp_dynamic_find(&symbols, "PyBytes_Type", NULL);
	library->dict_type = dp_dynamic_find(&symbols, "PyDict_Type", NULL);
	library->coroutine_type = dp_dynamic_find(&symbols, "PyCoro_Type", NULL);
	library->generator_type = dp_dynamic_find(&symbols, "PyGen_Type", NULL);
	library->function_type = dp_dynamic_find(&symbols, "PyFunction_Type", NULL);
	library->method_type = dp_dynamic_find(&symbols, "PyMethod_Type", NULL);
	library->builtin_type = dp_dynamic_find(&symbols, "PyCFunction_Type", NULL);
	library->loop = dp_dynamic_find(&symbols, "_PyEval_EvalFrameDefault", &library->loop_size);
	library->start = module->start;
	library->end = module->end;
	if (!library->code_type || !library->text_type || !library->bytes_type || !library->loop) {
		refuse(refusal, refusal_size, minor, " hides its symbols");
		return -ENOTSUP;
	}
	if (module->path)
		keep_path(library, module->path);
	dp_store_release(&library->is_ready, true);
	return 1;
}
