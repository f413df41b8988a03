/* SPDX-License-Identifier: Apache-2.0
 * The asyncio task that the thread runs, and what it is called.
 *
 * From 3.14 on the thread's state has it. Before, _asyncio keeps a dict of running tasks by their loops, the module's
 * attribute _current_tasks (Modules/_asynciomodule.c): of those, this thread's is the one whose coroutine runs here. Both know
 * of tasks that begin eagerly and of other loops' (uvloop). Only tasks that C code implements are read. */
#include "runtimes/python/python.h"

#include "base/atomic.h"

enum {
	/* PyTypeObject */
	TYPE_NAME = 24,
	TYPE_BASIC_SIZE = 32,
	TYPE_BASE = 256,
	MODULE_DICT = 16, /* PyModuleObject */
	DICT_KEYS = 32,   /* PyDictObject */
	SEARCH_AT_ONCE = 256,
	SEARCH_AT_ONCE_IN_DOUBT = 128, /* two or three system calls each */
	NAME_READS_EACH = 4,
	REST_TICKS = 128,
	RUNNING_MOST = 32, /* entries of _current_tasks looked at */
	TORN_MOST = 64,
};

bool dp_python_is_task(struct dp_python_reader *reader, uintptr_t object)
{
	enum { BASES_MOST = 4 };
	struct dp_python_library *library = reader->library;
	uintptr_t type = object & 7 ? 0 : dp_python_word(reader, object + 8);
	for (unsigned i = 0; i < BASES_MOST && type; i++) {
		if (dp_python_word(reader, type + TYPE_BASIC_SIZE) == library->layout.task_size &&
		        (type == dp_load_relaxed(&library->task_type) ||
		                dp_python_is_c_text(reader, dp_python_word(reader, type + TYPE_NAME), "_asyncio.Task"))) {
			dp_store_relaxed(&library->task_type, type);
			return true;
		}
		type = dp_python_word(reader, type + TYPE_BASE);
	}
	return false;
}

/* ---- up to 3.13 ---- */

static bool is_entry(struct dp_python_reader *reader, const struct dp_python_table *table, uint64_t at, const char *name)
{
	return at < table->count &&
	       dp_python_is_text(reader, dp_python_word(reader, table->entries + at * table->entry_size + table->key), name);
}

/* Generators alone are no sign of asyncio. */
static bool has_coroutine(struct dp_python_reader *reader)
{
	const struct dp_python_coroutines *here = dp_python_coroutines(reader->tick);
	for (uint64_t i = 0; i < here->count && i < DP_PYTHON_COROUTINES; i++)
		if (dp_python_word(reader, here->at[i].object + 8) == reader->library->coroutine_type)
			return true;
	return false;
}

/* Programs have thousands of modules: some at each tick, and a rest where none was it. False: not found yet. */
static bool search_modules(struct dp_python_reader *reader, const struct dp_python_table *table, struct dp_python_name *name)
{
	struct dp_python_library *library = reader->library;
	if (!has_coroutine(reader) || (int32_t)(reader->tick->tick - dp_load_relaxed(&library->module_rest)) < 0)
		return false;
	uint32_t cursor = dp_load_relaxed(&library->module_cursor);
	const unsigned most = reader->is_doubtful ? SEARCH_AT_ONCE_IN_DOUBT : SEARCH_AT_ONCE;
	reader->reads = NAME_READS_EACH * most;
	for (unsigned i = 0; i < most; i++, cursor++) {
		if (cursor >= table->count) {
			dp_store_relaxed(&library->module_rest, reader->tick->tick + REST_TICKS);
			cursor = 0;
			break;
		}
		if (is_entry(reader, table, cursor, name->text)) {
			dp_store_relaxed(&name->hint, (uint16_t)cursor);
			return true;
		}
	}
	dp_store_relaxed(&library->module_cursor, cursor);
	return false;
}

/* The slot of _asyncio; 0: none is known. */
static uintptr_t find_module(struct dp_python_reader *reader, uintptr_t modules)
{
	static struct dp_python_name name = {.text = "_asyncio"};
	struct dp_python_table table;
	if (!dp_python_open_dict(reader, modules, &table))
		return 0;
	if (!is_entry(reader, &table, dp_load_relaxed(&name.hint), name.text) && !search_modules(reader, &table, &name))
		return 0;
	return table.entries + dp_load_relaxed(&name.hint) * (uintptr_t)table.entry_size + table.value;
}

/* The dict of running tasks. */
static uintptr_t find_running(struct dp_python_reader *reader, uintptr_t state)
{
	static struct dp_python_name name = {.text = "_current_tasks"};
	const struct dp_python_layout *layout = &reader->library->layout;
	struct dp_python_path *path = dp_python_task_path(reader->tick);
	const uintptr_t interp = *(const uintptr_t *)(state + layout->interp);
	if (dp_python_holds(reader, path, interp))
		return path->steps[path->step_count - 1].value;
	dp_python_begin_path(reader, path);
	uintptr_t running = 0;
	const uintptr_t modules = dp_python_kept_word(reader, interp + layout->modules);
	const uintptr_t slot = modules ? find_module(reader, modules) : 0;
	if (slot) {
		dp_python_kept_word(reader, modules + DICT_KEYS);
		const uintptr_t module = dp_python_kept_word(reader, slot);
		if (module && dp_python_has_type(reader, module, "module")) {
			const uintptr_t dict = dp_python_kept_word(reader, module + MODULE_DICT);
			const uintptr_t tasks = dp_python_slot_in_dict(reader, dict, &name);
			running = tasks ? dp_python_kept_word(reader, tasks) : 0;
		}
	}
	dp_python_end_path(reader, interp, running != 0);
	return running;
}

static bool runs_here(struct dp_python_reader *reader, uintptr_t task)
{
	const struct dp_python_coroutines *here = dp_python_coroutines(reader->tick);
	const uint64_t count = here->count < DP_PYTHON_COROUTINES ? here->count : DP_PYTHON_COROUTINES;
	const uintptr_t coroutine = dp_python_word(reader, task + reader->library->layout.task_coroutine);
	for (uint64_t i = 0; coroutine && i < count; i++)
		if (here->at[i].object == coroutine)
			return true;
	return false;
}

static uintptr_t find_by_coroutine(struct dp_python_reader *reader, uintptr_t state)
{
	struct dp_python_table table;
	if (!dp_python_coroutines(reader->tick)->count)
		return 0;
	const uintptr_t running = find_running(reader, state);
	if (!running || !dp_python_open_dict(reader, running, &table))
		return 0;
	for (uint64_t i = 0; i < table.count && i < RUNNING_MOST; i++) {
		const uintptr_t task = dp_python_word(reader, table.entries + i * table.entry_size + table.value);
		if (task && dp_python_is_task(reader, task) && runs_here(reader, task))
			return task;
	}
	return 0;
}

/* ---- from 3.14 on ---- */

/* Another patch release may keep it elsewhere: until a task was met there, what is found is no pointer. */
static uintptr_t find_in_state(struct dp_python_reader *reader, uintptr_t state)
{
	struct dp_python_library *library = reader->library;
	if (dp_load_relaxed(&library->task_torn) >= TORN_MOST)
		return 0;
	const uintptr_t task = *(const uintptr_t *)(state + library->layout.running_task);
	if (!task)
		return 0;
	const bool was_doubtful = reader->is_doubtful, is_known = dp_load_relaxed(&library->task_type) != 0;
	reader->is_doubtful |= !is_known;
	const bool is_task = dp_python_is_task(reader, task);
	reader->is_doubtful = was_doubtful;
	if (!is_task && !is_known)
		dp_add_relaxed(&library->task_torn, 1);
	return is_task ? task : 0;
}

/* ---- the name ---- */

/* A task that was given none keeps a number, which becomes a text when somebody asks. */
static void take_number(struct dp_python_reader *reader, uintptr_t slot, struct dp_tick_text *text)
{
	static const char unnamed[] = "Task-0";
	const uintptr_t object = dp_python_word(reader, slot);
	if (!object || !dp_python_has_type(reader, object, "int"))
		return;
	dp_copy(text->bytes, unnamed, sizeof unnamed - 1);
	text->head.size_bytes = sizeof unnamed - 1;
	text->head.width = 1;
}

uintptr_t dp_python_name_task(struct dp_python_reader *reader, uintptr_t state)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	struct dp_tick_text *text = &reader->tick->texts[DP_TEXT_TASK];
	const uintptr_t task = layout->running_task ? find_in_state(reader, state) : find_by_coroutine(reader, state);
	if (!task)
		return 0;
	dp_python_take_text(reader, task + layout->task_name, text);
	if (!text->head.size_bytes)
		take_number(reader, task + layout->task_name, text);
	return task;
}
