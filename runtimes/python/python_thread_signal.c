/* SPDX-License-Identifier: Apache-2.0
 * What a thread is called: threading.Thread.name, as it is at the tick.
 *
 * The root frame of such a thread is that of Thread._bootstrap(self) in Lib/threading.py: it lives as long as the thread
 * runs Python code, and its first variable is the Thread, whose name property returns the attribute _name. */
#include "runtimes/python/python.h"

#include "base/atomic.h"

static bool is_bootstrap(struct dp_python_reader *reader, uintptr_t root)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	const uintptr_t code = dp_python_word(reader, root + layout->code) & ~(uintptr_t)7;
	const char *name = layout->minor >= 11 ? "Thread._bootstrap" : "_bootstrap"; /* qualified, or not */
	return dp_python_is_text(reader, dp_python_word(reader, code + layout->name), name) &&
	       dp_python_has_end(reader, dp_python_word(reader, code + layout->file), "/threading.py");
}

static bool is_thread_root(struct dp_python_reader *reader, uintptr_t root, uint32_t number)
{
	struct dp_python_library *library = reader->library;
	if (number && number == dp_load_relaxed(&library->thread_root))
		return true;
	if (number && number == dp_load_relaxed(&library->other_root))
		return false;
	const bool is_root = is_bootstrap(reader, root);
	/* Read through the kernel it may have been no text any more. */
	if (!reader->is_doubtful)
		dp_store_relaxed(is_root ? &library->thread_root : &library->other_root, number);
	return is_root;
}

void dp_python_name_thread(struct dp_python_reader *reader, uintptr_t root, uint32_t number)
{
	static struct dp_python_name name = {.text = "_name"};
	struct dp_python_path *path = dp_python_thread_path(reader->tick);
	struct dp_tick_text *text = &reader->tick->texts[DP_TEXT_THREAD];
	if (dp_python_follow(reader, path, root, text) || !is_thread_root(reader, root, number))
		return;
	const uintptr_t variable = root + reader->library->layout.locals;
	const uintptr_t thread = dp_python_word(reader, variable);
	dp_python_begin_path(reader, path);
	dp_python_keep(reader, variable, thread);
	dp_python_take_attribute(reader, thread & ~(uintptr_t)7, &name, text);
	dp_python_end_path(reader, root, text->head.size_bytes != 0);
}
