/* SPDX-License-Identifier: Apache-2.0
 * Who awaits the running task: the coroutines of the tasks that wait for it, as they are suspended.
 *
 * From 3.14 on a future knows who awaits it, gather() and TaskGroup included (Modules/_asynciomodule.c, fut_awaited_by).
 * Before, the first callback of a task tells: the wake-up of the task that awaits it, gather()'s function with the outer
 * future among its variables, or a TaskGroup's method (Lib/asyncio/tasks.py, taskgroups.py). Up to 3.9 frames of others would
 * be in the way of pairing by number. */
#include "runtimes/python/python.h"

#include "base/atomic.h"
#include "base/region.h"

enum {
	AWAITERS_MOST = 8,
	FUTURES_MOST = 4,     /* between two tasks */
	COROUTINES_MOST = 24, /* of one task */
	FRAMES_MOST = 64,     /* of all */
	FUTURE_CALLBACK = 24, /* FutureObj */
	BOUND_SELF = 24,      /* PyMethodObject, PyCFunctionObject */
	BUILTIN_METHOD = 16,  /* PyCFunctionObject: its PyMethodDef, whose first word is the name */
	TUPLE_SIZE = 16,
	TUPLE_ITEMS = 24,
	CELL_VALUE = 16,
	CELLS_MOST = 8,
	STACK_TOP = 64,       /* _PyInterpreterFrame: up to 3.13 a number, then a pointer */
	STACK_MOST = 4096,    /* values */
};

/* ---- who awaits ---- */

static uintptr_t gathering_future(struct dp_python_reader *reader, uintptr_t function)
{
	const uintptr_t cells = dp_python_word(reader, function + reader->library->layout.closure);
	const uintptr_t count = cells ? dp_python_word(reader, cells + TUPLE_SIZE) : 0;
	for (uintptr_t i = 0; i < count && i < CELLS_MOST; i++) {
		const uintptr_t cell = dp_python_word(reader, cells + TUPLE_ITEMS + i * 8);
		const uintptr_t value = cell ? dp_python_word(reader, cell + CELL_VALUE) : 0;
		if (value && dp_python_has_type(reader, value, "_GatheringFuture"))
			return value;
	}
	return 0;
}

/* A task or a future that waits for this one; 0: not known. */
static uintptr_t by_callback(struct dp_python_reader *reader, uintptr_t future)
{
	static struct dp_python_name parent = {.text = "_parent_task"};
	const struct dp_python_library *library = reader->library;
	const uintptr_t callback = dp_python_word(reader, future + FUTURE_CALLBACK);
	const uintptr_t type = callback ? dp_python_word(reader, callback + 8) : 0;
	if (!type)
		return 0;
	const uintptr_t self = dp_python_word(reader, callback + BOUND_SELF);
	if (type == library->builtin_type) {
		const uintptr_t method = dp_python_word(reader, callback + BUILTIN_METHOD);
		return method && dp_python_is_c_text(reader, dp_python_word(reader, method), "task_wakeup") ? self : 0;
	}
	if (type == library->function_type)
		return gathering_future(reader, callback);
	if (type == library->method_type && self && dp_python_has_type(reader, self, "TaskGroup")) {
		const uintptr_t slot = dp_python_slot(reader, self, &parent);
		return slot ? dp_python_word(reader, slot) : 0;
	}
	return 0;
}

static uintptr_t by_field(struct dp_python_reader *reader, uintptr_t future)
{
	/* A future or task, or a set of them; two bytes: is it a task, is what awaits it a set. */
	const uint8_t offset = reader->library->layout.awaited_by;
	uint8_t is_set;
	if (!dp_python_read(reader, future + offset + 13, &is_set, sizeof is_set) || is_set)
		return 0;
	return dp_python_word(reader, future + offset);
}

static uintptr_t awaiting_task(struct dp_python_reader *reader, uintptr_t future)
{
	for (unsigned i = 0; i < FUTURES_MOST; i++) {
		future = reader->library->layout.awaited_by ? by_field(reader, future) : by_callback(reader, future);
		if (!future || dp_python_is_task(reader, future))
			return future;
		if (!dp_python_has_type(reader, future, "_GatheringFuture"))
			return 0;
	}
	return 0;
}

/* ---- suspended coroutines ---- */

static bool is_suspended(struct dp_python_reader *reader, uintptr_t coroutine, uintptr_t frame)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	int8_t state;
	if (!dp_python_read(reader, layout->minor == 10 ? frame + layout->frame_state : coroutine + layout->coroutine_state, &state,
	            sizeof state))
		return false;
	if (layout->minor >= 15)
		return state >= 1 && state <= 3;
	return layout->minor >= 13 ? state == -2 || state == -1 : state == -1;
}

/* What the coroutine awaits lies on top of its values. */
static uintptr_t awaited(struct dp_python_reader *reader, uintptr_t frame)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	if (layout->minor == 10) {
		enum { VALUES = 64, DEPTH = 80 };
		const int32_t depth = (int32_t)dp_python_word(reader, frame + DEPTH);
		const uintptr_t values = dp_python_word(reader, frame + VALUES);
		return depth > 0 && depth < STACK_MOST ? dp_python_word(reader, values + ((unsigned)depth - 1) * 8) : 0;
	}
	const uintptr_t values = frame + layout->locals;
	uintptr_t top = dp_python_word(reader, frame + STACK_TOP);
	if (layout->minor <= 13)
		top = values + (uintptr_t)(int32_t)top * 8;
	top -= layout->minor >= 15 ? 16 : 8; /* 3.15 has one more above it */
	if (top < values || top >= values + STACK_MOST * 8)
		return 0;
	return dp_python_word(reader, top) & ~(uintptr_t)7; /* from 3.14 on with a tag */
}

static bool add_coroutine(struct dp_python_reader *reader, uintptr_t frame, uint32_t place_of_all)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	struct dp_managed_tick *tick = reader->tick;
	uint8_t *copy = (uint8_t *)dp_python_buffer(tick);
	const uintptr_t code = dp_python_word(reader, frame + layout->code) & ~(uintptr_t)7;
	uintptr_t place;
	if (!code || dp_python_word(reader, code + 8) != reader->library->code_type)
		return false;
	if (layout->minor == 10) {
		int32_t index;
		if (!dp_python_read(reader, frame + layout->place, &index, sizeof index))
			return false;
		place = (uintptr_t)(intptr_t)index;
	} else {
		place = dp_python_word(reader, frame + layout->place);
	}
	if (reader->is_doubtful && !dp_python_read(reader, code, copy, DP_PYTHON_CODE_BYTES))
		return false;
	const uint64_t unit = dp_python_unit(layout, code + layout->instructions, place);
	const uint64_t id = dp_python_id(tick, layout, code, reader->is_doubtful ? copy : NULL, unit);
	if (reader->is_doubtful && reader->is_rooted)
		dp_python_tell(tick, layout, copy, id);
	tick->frames[tick->frame_count++] = (struct dp_frame){.id = id, .place = place_of_all, .runtime = DP_FRAME_PYTHON};
	return true;
}

static bool has_room(const struct dp_managed_tick *tick, uint32_t first)
{
	return tick->frame_count < DP_MANAGED_MAX && tick->frame_count - first < FRAMES_MOST;
}

/* The coroutines of a suspended task, leaf first. */
static void add_task(struct dp_python_reader *reader, uintptr_t task, uint32_t first, uint32_t place)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	struct dp_managed_tick *tick = reader->tick;
	const uint32_t from = tick->frame_count;
	uintptr_t coroutine = dp_python_word(reader, task + layout->task_coroutine);
	for (unsigned i = 0; i < COROUTINES_MOST && coroutine && !(coroutine & 7) && has_room(tick, first); i++) {
		const uintptr_t type = dp_python_word(reader, coroutine + 8);
		if (!type || (type != reader->library->coroutine_type && type != reader->library->generator_type))
			break;
		const uintptr_t frame = layout->minor == 10 ? dp_python_word(reader, coroutine + layout->coroutine_frame)
		                                            : coroutine + layout->coroutine_frame;
		if (!frame || !is_suspended(reader, coroutine, frame) || !add_coroutine(reader, frame, place))
			break;
		coroutine = awaited(reader, frame);
	}
	dp_python_reverse(tick->frames, from, tick->frame_count);
}

void dp_python_add_awaiters(struct dp_python_reader *reader, uintptr_t task, uint32_t at)
{
	struct dp_managed_tick *tick = reader->tick;
	const uint32_t first = tick->frame_count, place = tick->frames[at].place;
	if (reader->library->layout.chain == DP_PYTHON_OBJECTS)
		return;
	for (unsigned i = 0; i < AWAITERS_MOST && has_room(tick, first); i++) {
		task = awaiting_task(reader, task);
		if (!task)
			break;
		const uint32_t from = tick->frame_count++;
		tick->frames[from] = (struct dp_frame){.place = place, .runtime = DP_FRAME_PYTHON, .flags = DP_FRAME_AWAITS};
		add_task(reader, task, first, place);
		if (tick->frame_count == from + 1) {
			tick->frame_count = from; /* nothing to be seen of it */
			break;
		}
	}
	/* They stand behind all others: each part turned, then both together. */
	dp_python_reverse(tick->frames, at + 1, first);
	dp_python_reverse(tick->frames, first, tick->frame_count);
	dp_python_reverse(tick->frames, at + 1, tick->frame_count);
}
