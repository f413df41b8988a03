/* SPDX-License-Identifier: Apache-2.0
 * The interrupted thread's Python frames.
 *
 * The thread stands still while its own handler runs, so that its chain of frames is whole, with two exceptions: an eval
 * loop's first instructions link the chain in any order, and greenlet changes stacks under it. There the walk is doubtful. */
#include "runtimes/python/python.h"

#include "base/atomic.h"
#include "base/region.h"
#include "base/syscall.h"

#include <pthread.h>

enum {
	ENTRY_BYTES = 512,     /* of the loop's code: beyond them the chain is whole. In 3.11.7, 3.12.1, 3.13.0 and Debian's 3.11.2,
	                        * 3.14.10 and 3.15.2 the last store of the linking stands below byte 256 */
	LEAF_FRAMES = 24,      /* native frames looked at for greenlet: it allocates and frees while it changes stacks */
	WALK_MOST = 8192,      /* frames in one walk */
	READS_MOST = 8 * WALK_MOST,
	DOUBTFUL_READS_MOST = 2048, /* each a system call */
	HALF = DP_MANAGED_MAX / 2,
	SEARCH_BYTES = 8192,   /* of _PyRuntime, for the TSS key */
	SEARCH_EVERY = 16,     /* ticks */
	TRIALS = 4,            /* first walks, read through the kernel alone, that have to be whole before anything is trusted */
	TRIAL_FRAMES = 32,     /* so many make a trial good, wherever it ends */
	TORN_MOST = 64,        /* walks without so many good ones: this is not what we take it for */
	WINDOW_BYTES = DP_PYTHON_CODE_BYTES, /* read at once in doubt */
	FRAME_BYTES = 80,
	FRAME_OBJECT_BYTES = 112,
	OWNER_GENERATOR = 1,
	OWNER_C = 3,           /* from here on a shim, not a frame */
	ACTIVE = 1 << 4,       /* _status.active: attached to its interpreter */
};

struct walk {
	struct dp_managed_tick *tick;
	struct dp_python_library *library;
	const struct dp_python_layout *layout;
	uintptr_t state;
	uint32_t first;  /* frames of other walks before this one's */
	uint32_t count;  /* frames met */
	uint32_t run;    /* the first whose marker has not been met */
	uint32_t native; /* where the search for a marker's native frame goes on */
	uint32_t reads;  /* that may still be made: a chain that was torn may lead in a circle */
	uint32_t lowest; /* place that the next marker may have: they go up the stack */
	uintptr_t last;  /* the frame met last, and its id: of a whole chain the root */
	uint64_t last_id;
	bool is_doubtful, is_held;
	bool is_trial;   /* what names are made of is looked at too */
	uintptr_t window_at; /* in doubt: what window holds */
	size_t window_size;
	uint8_t *window; /* WINDOW_BYTES */
};

/* ---- reading ---- */

static bool may_read(struct walk *walk, uintptr_t address)
{
	const uintptr_t lowest = 4096, highest = (uintptr_t)1 << 47; /* of what a program may have mapped */
	if (address - lowest >= highest - 2 * lowest || !walk->reads--) {
		walk->reads = 0;
		return false;
	}
	return true;
}

/* In doubt: what will be read next lies in these bytes. One system call instead of one for each. */
static bool look_ahead(struct walk *walk, uintptr_t address, size_t size)
{
	if (!walk->is_doubtful)
		return true;
	walk->window_size = 0;
	if (!may_read(walk, address) || !dp_tick_probe(walk->tick, address, walk->window, size))
		return false;
	walk->window_at = address;
	walk->window_size = size;
	return true;
}

static bool read_bytes(struct walk *walk, uintptr_t address, void *to, size_t size)
{
	const uintptr_t offset = address - walk->window_at;
	if (offset < walk->window_size && size <= walk->window_size - offset) {
		dp_copy(to, walk->window + offset, size);
		return true;
	}
	if (!may_read(walk, address))
		return false;
	if (walk->is_doubtful)
		return dp_tick_probe(walk->tick, address, to, size);
	__builtin_memcpy(to, (const void *)address, size);
	return true;
}

static bool read_word(struct walk *walk, uintptr_t address, uintptr_t *word)
{
	return !(address & 7) && read_bytes(walk, address, word, sizeof *word);
}

/* ---- the thread's state ---- */

static bool has_key(uintptr_t at, pthread_key_t *key)
{
	/* Py_tss_t: int _is_initialized, pthread_key_t _key. */
	const uint32_t *tss = (const uint32_t *)at;
	*key = tss[1];
	return tss[0] == 1 && tss[1] < 1024;
}

static bool is_own_state(const struct dp_managed_tick *tick, const struct dp_python_layout *layout, uintptr_t state)
{
	uintptr_t thread;
	return state && !(state & 7) && dp_tick_probe(tick, state + layout->thread_id, &thread, sizeof thread) &&
	       thread == (uintptr_t)pthread_self();
}

static bool is_state_key(const struct dp_managed_tick *tick, const struct dp_python_library *library, uint32_t at)
{
	pthread_key_t key;
	return at + 8 <= library->runtime_size && has_key(library->runtime + at, &key) &&
	       is_own_state(tick, &library->layout, (uintptr_t)pthread_getspecific(key));
}

/* Patch releases may move it: now and then all that looks like a key is tried. 0: none. */
static uint32_t find_key(const struct dp_managed_tick *tick, const struct dp_python_library *library)
{
	if (is_state_key(tick, library, library->layout.tss_key))
		return library->layout.tss_key;
	if (tick->tick % SEARCH_EVERY)
		return 0;
	for (uint32_t at = 4; at < SEARCH_BYTES && at < library->runtime_size; at += 4)
		if (is_state_key(tick, library, at))
			return at;
	return 0;
}

static uintptr_t find_state(const struct dp_managed_tick *tick, struct dp_python_library *library)
{
	pthread_key_t key;
	uintptr_t state = 0;
	if (library->tls_offset) {
		uintptr_t thread;
#if defined(__x86_64__)
		__asm__("mov %%fs:0, %0" : "=r"(thread));
#elif defined(__aarch64__)
		__asm__("mrs %0, tpidr_el0" : "=r"(thread));
#endif
		state = *(const uintptr_t *)(thread + (uintptr_t)library->tls_offset);
	} else {
		uint32_t at = dp_load_relaxed(&library->tss_at);
		if (!at) {
			at = find_key(tick, library);
			dp_store_relaxed(&library->tss_at, at);
		}
		if (!at || !has_key(library->runtime + at, &key))
			return 0;
		state = (uintptr_t)pthread_getspecific(key);
	}
	if (!dp_load_relaxed(&library->good)) /* perhaps it is none */
		return is_own_state(tick, &library->layout, state) ? state : 0;
	return state && *(const uintptr_t *)(state + library->layout.thread_id) == (uintptr_t)pthread_self() ? state : 0;
}

/* Up to 3.11 the key keeps the main interpreter's state while a subinterpreter runs: then the holder of the GIL is this
 * thread's. Another thread's state may end at any moment. */
static uintptr_t follow_subinterpreter(const struct walk *walk, uintptr_t holder)
{
	const struct dp_python_layout *layout = walk->layout;
	const uintptr_t own = *(const uintptr_t *)(walk->state + layout->interp);
	if (holder && holder != walk->state &&
	        *(const uintptr_t *)(walk->library->runtime + layout->interpreters_head) != own &&
	        is_own_state(walk->tick, layout, holder))
		return holder;
	return walk->state;
}

static void find_holder(struct walk *walk)
{
	const struct dp_python_layout *layout = walk->layout;
	bool is_held;
	if (layout->is_free_threaded)
		return; /* there is none */
	if (layout->tstate_current) {
		const uintptr_t holder = *(const uintptr_t *)(walk->library->runtime + layout->tstate_current);
		walk->state = follow_subinterpreter(walk, holder);
		is_held = holder == walk->state;
	} else {
		is_held = *(const uint32_t *)(walk->state + layout->status) & ACTIVE;
	}
	walk->is_held = is_held;
	walk->tick->record_flags |= is_held ? DP_RECORD_GIL_HELD : DP_RECORD_GIL_FREE;
}

/* ---- frames ---- */

/* The leaf half keeps its order, the root half is a ring. */
static struct dp_frame *slot(const struct walk *walk, uint32_t number)
{
	const uint32_t room = DP_MANAGED_MAX - walk->first;
	const uint32_t half = HALF < room ? HALF : room / 2;
	struct dp_frame *frames = walk->tick->frames + walk->first;
	return number < half ? &frames[number] : &frames[half + (number - half) % (room - half)];
}

static void add_frame(struct walk *walk, uint64_t id)
{
	*slot(walk, walk->count++) = (struct dp_frame){.id = id, .place = UINT32_MAX, .runtime = DP_FRAME_PYTHON};
}

static uint32_t place_of(const struct walk *walk, uintptr_t marker)
{
	const uintptr_t distance = marker - walk->tick->sp;
	return marker >= walk->tick->sp && distance / 8 < UINT32_MAX ? (uint32_t)(distance / 8) : UINT32_MAX;
}

/* All frames since the last marker belong to this one's native frame. False: it is not further up than the last. */
static bool end_run(struct walk *walk, uintptr_t marker)
{
	const uint32_t place = place_of(walk, marker);
	uint32_t from = walk->run;
	if (place < walk->lowest)
		return false;
	walk->lowest = place + 1;
	if (walk->count - from > DP_MANAGED_MAX)
		from = walk->count - DP_MANAGED_MAX;
	for (; from < walk->count; from++)
		slot(walk, from)->place = place;
	walk->run = walk->count;
	return true;
}

static bool is_on_stack(const struct walk *walk, uintptr_t address)
{
	return address >= walk->tick->sp && (!walk->tick->stack_high || address < walk->tick->stack_high) && !(address & 7);
}

/* Does the marker lie in a native frame of this library's? True where that is not known. */
static bool is_in_loop(struct walk *walk, uintptr_t marker)
{
	const uint32_t place = place_of(walk, marker);
	const struct dp_managed_tick *tick = walk->tick;
	while (walk->native < tick->native_count && tick->native[walk->native].place <= place)
		walk->native++;
	if (walk->native >= tick->native_count || tick->native[walk->native].place == UINT32_MAX)
		return true;
	const uint64_t pc = tick->native[walk->native].id;
	return pc >= walk->library->start && pc <= walk->library->end;
}

/* Where the instructions begin that the frame's place points into. */
static bool find_instructions(struct walk *walk, uintptr_t frame, uintptr_t code, uintptr_t *start)
{
	/* struct _PyCodeArray: size, entries. */
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t copies, count;
	uint32_t index;
	*start = code + layout->instructions;
	if (!layout->copies)
		return true;
	return read_bytes(walk, frame + layout->copy_index, &index, sizeof index) && read_word(walk, code + layout->copies, &copies) &&
	       read_word(walk, copies, &count) && index < count && read_word(walk, copies + 8 + (uintptr_t)index * 8, start);
}

/* Are its names str and its line table bytes? */
static bool is_code(struct walk *walk, uintptr_t code)
{
	const struct dp_python_layout *layout = walk->layout;
	const uint8_t members[] = {layout->name, layout->file, layout->lines};
	for (unsigned i = 0; i < sizeof members; i++) {
		uintptr_t object, type;
		if (!read_word(walk, code + members[i], &object) || !read_word(walk, object + layout->object - 8, &type) ||
		        type != (members[i] == layout->lines ? walk->library->bytes_type : walk->library->text_type))
			return false;
	}
	return true;
}

static bool add_code(struct walk *walk, uintptr_t code, uintptr_t start, uintptr_t place)
{
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t type;
	if (!look_ahead(walk, code, WINDOW_BYTES) || !read_word(walk, code + layout->object - 8, &type) || type != walk->library->code_type ||
	        (walk->is_trial && walk->count < TRIAL_FRAMES && !is_code(walk, code)))
		return false;
	const uint64_t unit = dp_python_unit(layout, start, place);
	/* A dead object may still look like one, with names that are gone: in doubt they are not followed. */
	walk->last_id = dp_python_id(walk->tick, layout, code, walk->is_doubtful ? walk->window : NULL, unit);
	add_frame(walk, walk->last_id);
	return true;
}

static bool open_frame(struct walk *walk, uintptr_t frame)
{
	return !(frame & 7) && walk->count < WALK_MOST &&
	       look_ahead(walk, frame, walk->layout->minor <= 10 ? FRAME_OBJECT_BYTES : FRAME_BYTES);
}

/* Whose frame it is; 0: an ordinary function's. */
static uintptr_t generator_of(struct walk *walk, uintptr_t frame)
{
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t generator;
	uint8_t owner;
	if (layout->minor <= 10)
		return read_word(walk, frame + layout->frame_generator, &generator) ? generator : 0;
	return read_bytes(walk, frame + layout->owner, &owner, 1) && owner == OWNER_GENERATOR ? frame - layout->coroutine_frame : 0;
}

static void keep_generator(struct walk *walk, uintptr_t generator)
{
	struct dp_python_coroutines *met = dp_python_coroutines(walk->tick);
	const uint64_t at = met->count++ % DP_PYTHON_COROUTINES;
	met->at[at].object = generator;
	met->at[at].frame = walk->count - 1;
}

/* One frame that is open and no shim; and the one that it was called from. */
static bool take_frame(struct walk *walk, uintptr_t frame, uintptr_t *previous)
{
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t code, place, start = 0;
	walk->last = frame;
	if (!read_word(walk, frame + layout->code, &code) || !read_word(walk, frame + layout->previous, previous))
		return false;
	code &= ~(uintptr_t)7; /* from 3.14 on with a tag */
	if (layout->minor <= 10) {
		int32_t index;
		if (!read_bytes(walk, frame + layout->place, &index, sizeof index))
			return false;
		place = (uintptr_t)(intptr_t)index;
	} else if (!read_word(walk, frame + layout->place, &place) || !find_instructions(walk, frame, code, &start)) {
		return false;
	}
	const uintptr_t generator = generator_of(walk, frame);
	if (!add_code(walk, code, start, place))
		return false;
	if (generator)
		keep_generator(walk, generator);
	return true;
}

/* ---- the chains ---- */

static uint32_t count_chain(struct walk *walk, uintptr_t at, uintptr_t offset)
{
	uint32_t count = 0;
	while (at && count < WALK_MOST && read_word(walk, at + offset, &at))
		count++;
	return count;
}

static bool walk_objects(struct walk *walk)
{
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t frame;
	if (!read_word(walk, walk->state + layout->frame, &frame))
		return false;
	while (frame) {
		if (!open_frame(walk, frame) || !take_frame(walk, frame, &frame))
			return false;
	}
	walk->run = walk->count;
	return true;
}

/* The next CFrame of an eval loop; greenlet keeps some of its own. 0: none. */
static uintptr_t next_cframe(struct walk *walk, uintptr_t cframe)
{
	const uintptr_t root = walk->state + walk->layout->root_cframe;
	while (cframe && cframe != root) {
		if (!is_on_stack(walk, cframe))
			return 0;
		if (is_in_loop(walk, cframe))
			return cframe;
		if (!read_word(walk, cframe + walk->layout->cframe_previous, &cframe))
			return 0;
	}
	return 0;
}

/* 3.10. Frames and CFrames are linked one after the other: near the leaf one may have more. */
static bool walk_objects_cframe(struct walk *walk)
{
	enum { CFRAME = 48 };
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t frame, first, cframe;
	if (!read_word(walk, walk->state + layout->frame, &frame) || !read_word(walk, walk->state + CFRAME, &first))
		return false;
	const uint32_t frames = count_chain(walk, frame, layout->previous);
	uint32_t cframes = 0;
	for (cframe = next_cframe(walk, first); cframe && cframes < WALK_MOST; cframes++) {
		uintptr_t previous;
		if (!read_word(walk, cframe + layout->cframe_previous, &previous))
			return false;
		cframe = next_cframe(walk, previous);
	}
	walk->native = 0;
	cframe = next_cframe(walk, first);
	for (; cframes > frames; cframes--)
		if (!cframe || !read_word(walk, cframe + layout->cframe_previous, &cframe))
			return false;
		else
			cframe = next_cframe(walk, cframe);
	for (uint32_t skip = frames - cframes; skip && skip <= 1; skip--) /* on its way out */
		if (!read_word(walk, frame + layout->previous, &frame))
			return false;
	while (frame) {
		if (!open_frame(walk, frame) || !take_frame(walk, frame, &frame))
			return false;
		if (cframe) {
			if (!end_run(walk, cframe) || !read_word(walk, cframe + layout->cframe_previous, &cframe))
				return false;
			cframe = next_cframe(walk, cframe);
		}
	}
	return true;
}

/* In doubt: is the newest CFrame linked as a loop leaves it? What it begins with is whatever lay on the stack before, but
 * then the frame before it is not the one that the next CFrame knows. Else the walk begins at the next. */
static bool newest_cframe(struct walk *walk, uintptr_t *cframe)
{
	enum { RUN_MOST = 64 };
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t previous, before, frame;
	uint8_t end;
	if (!read_word(walk, walk->state + layout->frame, cframe))
		return false;
	if (!walk->is_doubtful || !is_on_stack(walk, *cframe))
		return true;
	if (!read_word(walk, *cframe + layout->cframe_previous, &previous) ||
	        !read_word(walk, previous + layout->cframe_frame, &before))
		return false;
	if (!read_word(walk, *cframe + layout->cframe_frame, &frame))
		frame = 0;
	for (int i = 0; i < RUN_MOST && frame && look_ahead(walk, frame, FRAME_BYTES); i++) {
		const bool has_end = layout->is_entry ? read_bytes(walk, frame + layout->is_entry, &end, 1)
		                                      : read_bytes(walk, frame + layout->owner, &end, 1);
		if (!has_end || !read_word(walk, frame + layout->previous, &frame))
			break;
		if (layout->is_entry ? end == 1 : end >= OWNER_C) {
			if (frame == before)
				return true;
			break;
		}
	}
	*cframe = previous;
	return true;
}

/* 3.11. */
static bool walk_cframes(struct walk *walk)
{
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t cframe;
	if (!newest_cframe(walk, &cframe))
		return false;
	const uintptr_t root = walk->state + layout->root_cframe;
	while (cframe && cframe != root) {
		uintptr_t frame;
		if (!is_on_stack(walk, cframe) || walk->count >= WALK_MOST ||
		        !read_word(walk, cframe + layout->cframe_frame, &frame))
			return false;
		const bool is_loop = is_in_loop(walk, cframe);
		while (frame && is_loop) {
			uint8_t is_entry;
			if (!open_frame(walk, frame) || !read_bytes(walk, frame + layout->is_entry, &is_entry, 1) ||
			        !take_frame(walk, frame, &frame))
				return false;
			if (is_entry)
				break;
		}
		if (!end_run(walk, cframe) || !read_word(walk, cframe + layout->cframe_previous, &cframe))
			return false;
	}
	return true;
}

/* From 3.12 on. */
static bool walk_shims(struct walk *walk)
{
	const struct dp_python_layout *layout = walk->layout;
	uintptr_t frame;
	uint8_t owner;
	if (layout->chain == DP_PYTHON_CFRAME_SHIMS) {
		uintptr_t cframe;
		if (!newest_cframe(walk, &cframe) || !read_word(walk, cframe + layout->cframe_frame, &frame))
			return false;
	} else if (!read_word(walk, walk->state + layout->frame, &frame)) {
		return false;
	}
	while (frame) {
		if (!open_frame(walk, frame) || !read_bytes(walk, frame + layout->owner, &owner, 1))
			return false;
		if (owner >= OWNER_C) {
			if (!is_on_stack(walk, frame))
				return layout->minor >= 15; /* the last of 3.15's chain lies in the thread's state */
			if (!end_run(walk, frame) || !read_word(walk, frame + layout->previous, &frame))
				return false;
		} else if (!take_frame(walk, frame, &frame)) {
			return false;
		}
	}
	return true;
}

/* ---- greenlet ---- */

static bool is_switcher(const struct dp_frame *native)
{
	const uintptr_t pc = native->id - !(native->flags & DP_FRAME_EXACT);
	for (unsigned i = 0; i < DP_PYTHON_SWITCHERS; i++) {
		const uintptr_t start = dp_load_acquire(&dp_python_switchers[i].start);
		if (start && pc >= start && pc < dp_load_relaxed(&dp_python_switchers[i].end))
			return true;
	}
	return false;
}

static bool are_there_switchers(void)
{
	return dp_load_relaxed(&dp_python_switchers[0].start) != 0;
}

/* Behind the first greenlet code from native frame i on; 0: there is none. */
static uint32_t behind_switcher(const struct dp_managed_tick *tick, uint32_t i)
{
	while (i < tick->native_count && !is_switcher(&tick->native[i]))
		i++;
	if (i == tick->native_count)
		return 0;
	while (i < tick->native_count && is_switcher(&tick->native[i]))
		i++;
	return i;
}

static bool is_loop(const struct dp_python_library *library, const struct dp_frame *native)
{
	return native->id - !(native->flags & DP_FRAME_EXACT) - library->loop < library->loop_size;
}

/* Greenlet is at work, with no Python code called by it: behind its frames at the leaf; 0: it is not. */
static uint32_t behind_switch(const struct dp_managed_tick *tick, const struct dp_python_library *library)
{
	for (uint32_t i = 0; i < LEAF_FRAMES && i < tick->native_count && !is_loop(library, &tick->native[i]); i++)
		if (is_switcher(&tick->native[i]))
			return behind_switcher(tick, i);
	return 0;
}

/* The first native frame behind all that hold this walk's frames; 0: it is not known, or not each of them is held by a loop. */
static uint32_t behind_frames(const struct walk *walk, bool is_switching)
{
	const struct dp_managed_tick *tick = walk->tick;
	uint32_t i = 0;
	if (walk->layout->chain == DP_PYTHON_OBJECTS) { /* as many loops as frames, or one more */
		uint32_t loops = 0;
		for (; i < tick->native_count && loops < walk->count; i++)
			loops += is_loop(walk->library, &tick->native[i]);
		for (uint32_t next = i; is_switching && next < tick->native_count && !is_switcher(&tick->native[next]); next++)
			if (is_loop(walk->library, &tick->native[next]))
				return 0; /* between two stacks no loop is just being entered */
		return loops == walk->count ? i : 0;
	}
	uint32_t last = UINT32_MAX;
	for (uint32_t m = walk->first; m < tick->frame_count; m++) {
		const uint32_t place = tick->frames[m].place;
		if (place == UINT32_MAX || place == last)
			continue;
		while (i < tick->native_count && (tick->native[i].place == UINT32_MAX || tick->native[i].place <= place))
			i++;
		if (i == tick->native_count || (walk->library->loop_size && !is_loop(walk->library, &tick->native[i])))
			return 0;
		last = place;
	}
	return last == UINT32_MAX ? 0 : i + 1;
}

static bool has_loops(const struct walk *walk)
{
	bool any = false;
	for (uint32_t i = 0; i < walk->tick->native_count; i++)
		any |= is_loop(walk->library, &walk->tick->native[i]);
	return any;
}

/* A greenlet's stack lies where its starter's stack went on, and whatever is above its first frame there has been, and will be,
 * somebody else's. Its first frames are greenlet's own code; the chain of its Python frames ends below them. And while greenlet
 * changes stacks, the chain may be of one greenlet and the native stack of another, or of two: then the change alone is certain. */
static void end_at_greenlet(const struct walk *walk, bool is_whole)
{
	struct dp_managed_tick *tick = walk->tick;
	const uint32_t leaf = behind_switch(tick, walk->library);
	const uint32_t behind = is_whole && walk->count ? behind_frames(walk, leaf != 0) : 0;
	if (behind) {
		const uint32_t end = behind_switcher(tick, behind); /* what the agent finishes, it looks at for itself */
		if (end)
			tick->native_end = end;
	} else if (leaf && (walk->count || !is_whole || has_loops(walk))) {
		tick->native_end = leaf;
	}
}

/* ---- doubt ---- */

static bool is_doubtful(const struct dp_managed_tick *tick, const struct dp_python_library *library)
{
	if (!tick->native_count)
		return true;
	const uintptr_t pc = tick->native[0].id;
	if (pc >= library->loop && pc < library->loop + ENTRY_BYTES && library->layout.chain != DP_PYTHON_OBJECTS)
		return true;
	return are_there_switchers() && behind_switch(tick, library);
}

static bool walk_chain(struct walk *walk)
{
	switch ((enum dp_python_chain)walk->layout->chain) {
	case DP_PYTHON_OBJECTS:
		return walk_objects(walk);
	case DP_PYTHON_OBJECTS_CFRAME:
		return walk_objects_cframe(walk);
	case DP_PYTHON_CFRAMES:
		return walk_cframes(walk);
	case DP_PYTHON_CFRAME_SHIMS:
	case DP_PYTHON_SHIMS:
		return walk_shims(walk);
	}
	return false;
}

/* ---- deep stacks ---- */

static struct dp_frame missing_frames(uint64_t number, uint32_t place)
{
	return (struct dp_frame){.id = number, .place = place, .runtime = DP_FRAME_PYTHON, .flags = DP_FRAME_MISSING};
}

/* Puts the ring in order, and a frame in the middle that says how many are missing; or at the root where it was not
 * reached. */
static void close_gap(struct walk *walk, bool has_root)
{
	const uint32_t room = DP_MANAGED_MAX - walk->first, half = HALF < room ? HALF : room / 2;
	struct dp_frame *frames = walk->tick->frames + walk->first;
	if (walk->count <= room) {
		walk->tick->frame_count += walk->count;
		if (!has_root && walk->count && walk->count < room) {
			frames[walk->count] = missing_frames(0, frames[walk->count - 1].place);
			walk->tick->frame_count++;
		}
		return;
	}
	const uint32_t size = room - half, turn = (walk->count - half) % size;
	dp_python_reverse(frames + half, 0, turn);
	dp_python_reverse(frames + half, turn, size);
	dp_python_reverse(frames + half, 0, size);
	frames[half] = missing_frames(has_root ? walk->count - room + 1 : 0, frames[half].place);
	walk->tick->losses[DP_MANAGED_MISSING]++;
	walk->tick->frame_count += has_root ? room : half + 1;
}

/* 3.8 and 3.9 are paired by counting: the agent must know what an eval loop's code is. */
static void tell_loop(struct walk *walk)
{
	struct dp_managed_tick *tick = walk->tick;
	if (walk->layout->chain != DP_PYTHON_OBJECTS || tick->frame_count >= DP_MANAGED_MAX || !walk->count)
		return;
	tick->frames[tick->frame_count++] = (struct dp_frame){.id = walk->library->loop,
	        .place = (uint32_t)walk->library->loop_size,
	        .runtime = DP_FRAME_PYTHON,
	        .flags = DP_FRAME_LOOP};
}

static bool walk_once(struct walk *walk, bool is_doubtful)
{
	walk->is_doubtful = is_doubtful;
	walk->count = walk->run = walk->native = walk->lowest = 0;
	walk->reads = is_doubtful ? DOUBTFUL_READS_MOST : READS_MOST;
	walk->window_size = 0;
	dp_python_coroutines(walk->tick)->count = 0;
	return walk_chain(walk);
}

/* The self-test: what a build with other layouts would lead to is met by reads that cannot harm, and is no chain of code. */
static bool try_walk(struct walk *walk, bool is_doubtful)
{
	struct dp_python_library *library = walk->library;
	walk->is_trial = true;
	const bool is_whole = walk_once(walk, true);
	walk->is_trial = false;
	if (is_whole || walk->count >= TRIAL_FRAMES) {
		if (walk->count)
			dp_add_relaxed(&library->good, 1);
		return is_doubtful ? is_whole : walk_once(walk, false);
	}
	if (dp_add_relaxed(&library->torn, 1) + 1 == TORN_MOST) {
		dp_store_relaxed(&library->is_off, true);
		dp_python_refuse(library->layout.minor, " does not keep its frames as this version reads them");
	}
	return false;
}

/* Behind the frame of the task's coroutine. */
static void add_awaiters(struct walk *walk, struct dp_python_reader *reader, uintptr_t task)
{
	enum { AWAIT_READS_MOST = 1024, DOUBTFUL_AWAIT_READS_MOST = 128 };
	const struct dp_python_coroutines *met = dp_python_coroutines(walk->tick);
	const uintptr_t coroutine = dp_python_word(reader, task + walk->layout->task_coroutine);
	reader->reads = reader->is_doubtful ? DOUBTFUL_AWAIT_READS_MOST : AWAIT_READS_MOST;
	for (uint64_t i = 0; i < met->count && i < DP_PYTHON_COROUTINES; i++)
		if (met->at[i].object == coroutine) {
			dp_python_add_awaiters(reader, task, walk->first + (uint32_t)met->at[i].frame);
			return;
		}
}

/* Names are read of a whole chain alone; through the kernel where other threads may change them meanwhile. */
static void take_names(struct walk *walk)
{
	enum { NAME_READS_MOST = 256, DOUBTFUL_NAME_READS_MOST = 96 };
	struct dp_python_reader reader = {.tick = walk->tick, .library = walk->library};
	const bool is_trusted = !walk->is_doubtful && dp_load_relaxed(&walk->library->good) >= TRIALS;
	if (walk->layout->is_free_threaded)
		return; /* nothing there stands still */
	reader.is_doubtful = !is_trusted || !walk->is_held;
	reader.is_rooted = is_trusted;
	reader.reads = reader.is_doubtful ? DOUBTFUL_NAME_READS_MOST : NAME_READS_MOST;
	dp_python_name_thread(&reader, walk->last, (uint32_t)(walk->last_id >> DP_PYTHON_PLACE_BITS));
	reader.reads = reader.is_doubtful ? DOUBTFUL_NAME_READS_MOST : NAME_READS_MOST;
	const uintptr_t task = dp_python_name_task(&reader, walk->state);
	if (task && walk->count <= DP_MANAGED_MAX - walk->first)
		add_awaiters(walk, &reader, task);
}

static void walk_library(struct dp_managed_tick *tick, struct dp_python_library *library)
{
	struct walk walk = {.tick = tick, .library = library, .layout = &library->layout, .first = tick->frame_count,
	        .window = dp_python_window(tick)};
	walk.state = find_state(tick, library);
	if (!walk.state || DP_MANAGED_MAX - walk.first < 16)
		return;
	find_holder(&walk);
	const bool is_in_doubt = is_doubtful(tick, library);
	const bool is_whole = dp_load_relaxed(&library->good) < TRIALS && tick->may_call ? try_walk(&walk, is_in_doubt)
	                                                                                 : walk_once(&walk, is_in_doubt);
	if (!is_whole)
		tick->losses[DP_MANAGED_TORN]++;
	close_gap(&walk, is_whole);
	if (is_whole && walk.count)
		take_names(&walk);
	if (are_there_switchers())
		end_at_greenlet(&walk, is_whole);
	tell_loop(&walk);
}

void dp_python_walk(struct dp_managed_tick *tick)
{
	for (unsigned i = 0; i < DP_PYTHON_LIBRARIES; i++) {
		struct dp_python_library *library = &dp_python_libraries[i];
		if (dp_load_acquire(&library->is_ready) && !dp_load_relaxed(&library->is_off))
			walk_library(tick, library);
	}
}
