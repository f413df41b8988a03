/* SPDX-License-Identifier: Apache-2.0
 * What host and agent agree on about CPython's frames, and the layouts we read.
 *
 * An eval loop is one activation of _PyEval_EvalFrameDefault. Its marker is what it keeps on the native stack and links
 * into the chain of frames: a CFrame (3.10, 3.11) or a shim frame (from 3.12 on). A doubtful walk is one in which the
 * chain may be half written: it reads through the kernel alone. */
#ifndef DEEPPROF_RUNTIMES_PYTHON_PYTHON_H
#define DEEPPROF_RUNTIMES_PYTHON_PYTHON_H

#include "base/syscall.h"
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

/* Where an object keeps its attributes. */
enum dp_python_attributes {
	DP_PYTHON_DICT_POINTER,   /* up to 3.10: in a dict, at the type's tp_dictoffset */
	DP_PYTHON_VALUES_POINTER, /* 3.11: in an array of values before the object, or in a dict */
	DP_PYTHON_TAGGED_POINTER, /* 3.12: one word for both */
	DP_PYTHON_INLINE_VALUES,  /* from 3.13 on: in values behind the object, or in a dict */
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
	/* Objects */
	uint8_t attributes;   /* enum dp_python_attributes */
	uint16_t locals;      /* of a frame: its first variable */
	uint16_t cached_keys; /* PyHeapTypeObject */
	/* asyncio */
	uint16_t modules;         /* PyInterpreterState: sys.modules */
	uint16_t running_task;    /* PyThreadState */
	uint8_t frame_generator;  /* up to 3.10: of a frame, whose it is */
	uint8_t frame_state;      /* 3.10 */
	uint8_t coroutine_frame;  /* PyGenObject: up to 3.10 a pointer to the frame, from 3.11 on the frame */
	uint8_t coroutine_state;  /* from 3.11 on */
	uint8_t task_size, task_coroutine, task_name;
	uint8_t awaited_by;       /* of a future */
	uint8_t closure;          /* PyFunctionObject */
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
	uintptr_t code_type, dict_type; /* PyCode_Type, PyDict_Type */
	uintptr_t text_type, bytes_type; /* PyUnicode_Type, PyBytes_Type */
	uintptr_t coroutine_type, generator_type, function_type, method_type, builtin_type;
	uintptr_t loop;       /* _PyEval_EvalFrameDefault */
	uintptr_t loop_size;  /* as its symbol says */
	uintptr_t start, end; /* the module's code */
	intptr_t tls_offset;  /* of the thread state, from the thread pointer; 0: by the TSS key */
	_Atomic uint32_t tss_at; /* where in _PyRuntime the key was found; 0: nowhere yet */
	_Atomic uint32_t good, torn; /* first walks, by what came of them */
	_Atomic bool is_off;  /* its walks make no sense */
	/* Numbers of the functions at two roots that were met last: of threading's threads, of others. */
	_Atomic uint32_t thread_root, other_root;
	_Atomic uintptr_t task_type; /* _asyncio.Task, once one was met */
	_Atomic uint32_t task_torn;  /* running tasks that were none */
	_Atomic uint32_t module_cursor, module_rest; /* where in sys.modules the search for _asyncio goes on, not before this tick */
	char path[256];
};
/* Is it greenlet's module, which gives Python code other stacks? Its file is _greenlet.*.so. */
static inline bool dp_python_is_switcher(const char *path)
{
	static const char name[] = "_greenlet.";
	const char *base = path;
	for (const char *c = path; *c; c++)
		if (*c == '/')
			base = c + 1;
	for (unsigned i = 0; name[i]; i++)
		if (base[i] != name[i])
			return false;
	return true;
}

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

/* ---- objects ---- */

/* What led to an object at the last tick: words by their addresses, the last one its slot. While they are what they were, it
 * is there. */
enum { DP_PYTHON_STEPS = 7, DP_PYTHON_TEXT_OFFSET_MOST = 72 };
struct dp_python_path {
	uintptr_t root;     /* which it began with; 0: it leads nowhere */
	uint8_t step_count; /* more than there is room for: not kept */
	uint8_t sure_count; /* of them, the first ones, that lie in what the root frame keeps alive */
	/* Of a str: */
	uint8_t offset;     /* of its text, */
	uint8_t width;      /* of one code point, */
	uint32_t size;      /* and of the text, as far as it is shown; bytes */
	uint64_t length;    /* of the str, */
	uint32_t state;     /* and its state */
	uint32_t reserved;
	struct {
		uintptr_t address, value;
	} steps[DP_PYTHON_STEPS];
};
_Static_assert(2 * sizeof(struct dp_python_path) <= DP_RUNTIME_MEMORY * sizeof(uint64_t), "the thread's name and its task's");

static inline struct dp_python_path *dp_python_thread_path(const struct dp_managed_tick *tick)
{
	return (struct dp_python_path *)tick->memory;
}

static inline struct dp_python_path *dp_python_task_path(const struct dp_managed_tick *tick)
{
	return (struct dp_python_path *)tick->memory + 1;
}

static inline void dp_python_reverse(struct dp_frame *frames, uint32_t from, uint32_t to)
{
	while (from + 1 < to) {
		const struct dp_frame frame = frames[from];
		frames[from++] = frames[--to];
		frames[to] = frame;
	}
}

/* How objects are read: plainly while this thread holds the GIL, when nobody changes them; else, in doubt, through the kernel. */
struct dp_python_reader {
	struct dp_managed_tick *tick;
	struct dp_python_library *library;
	uint32_t reads; /* that may still be made */
	bool is_doubtful;
	bool is_rooted; /* the frames are certain, and with them what they keep alive */
	struct dp_python_path *path; /* being laid; NULL: none */
};
static inline bool dp_python_read(struct dp_python_reader *reader, uintptr_t address, void *to, size_t size)
{
	if (address < 4096 || !reader->reads)
		return false;
	reader->reads--;
	if (reader->is_doubtful)
		return dp_tick_probe(reader->tick, address, to, size);
	if (__builtin_constant_p(size))
		__builtin_memcpy(to, (const void *)address, size);
	else
		dp_copy(to, (const void *)address, size);
	return true;
}
/* 0: none. */
static inline uintptr_t dp_python_word(struct dp_python_reader *reader, uintptr_t address)
{
	uintptr_t word;
	return !(address & 7) && dp_python_read(reader, address, &word, sizeof word) ? word : 0;
}
/* A name to look for: where it was found last, as str and as number of an entry. */
struct dp_python_name {
	const char *text;
	_Atomic uintptr_t known;
	_Atomic uint16_t hint;
};
/* Where the object's own attribute of that name is kept; 0: it has none. */
uintptr_t dp_python_slot(struct dp_python_reader *reader, uintptr_t object, struct dp_python_name *name);
/* The same in a dict. */
uintptr_t dp_python_slot_in_dict(struct dp_python_reader *reader, uintptr_t dict, struct dp_python_name *name);
/* The entries of a dict whose values are in its table. False: it is no such. */
struct dp_python_table {
	uintptr_t entries;
	uint64_t count;
	uint8_t entry_size, key, value; /* bytes */
	bool is_split;                  /* values are elsewhere */
	bool may_be_split;              /* up to 3.10 the table does not say */
};
bool dp_python_open_dict(struct dp_python_reader *reader, uintptr_t dict, struct dp_python_table *table);
/* Is it this text, and are there as many bytes? address: of a string in C. */
bool dp_python_is_c_text(struct dp_python_reader *reader, uintptr_t address, const char *text);
/* Is that the name of the object's type, as C has it? */
bool dp_python_has_type(struct dp_python_reader *reader, uintptr_t object, const char *name);
/* Its str. */
void dp_python_take_attribute(
        struct dp_python_reader *reader, uintptr_t object, struct dp_python_name *name, struct dp_tick_text *text);
/* Is it a str of this text, or one that ends so? */
bool dp_python_is_text(struct dp_python_reader *reader, uintptr_t object, const char *text);
bool dp_python_has_end(struct dp_python_reader *reader, uintptr_t object, const char *end);
/* The str in a slot, if it stays there. */
void dp_python_take_text(struct dp_python_reader *reader, uintptr_t slot, struct dp_tick_text *text);

/* Lays a path: its steps; the text at its end; and that it is whole, and begins at root. */
void dp_python_begin_path(struct dp_python_reader *reader, struct dp_python_path *path);
void dp_python_keep(struct dp_python_reader *reader, uintptr_t address, uintptr_t value);
/* Reads a word and keeps it. */
static inline uintptr_t dp_python_kept_word(struct dp_python_reader *reader, uintptr_t address)
{
	const uintptr_t word = dp_python_word(reader, address);
	dp_python_keep(reader, address, word);
	return word;
}
/* What was kept so far, or all, is sure. */
void dp_python_be_sure(struct dp_python_reader *reader, bool is_all);
void dp_python_end_path(struct dp_python_reader *reader, uintptr_t root, bool is_whole);
void dp_python_keep_text(
        struct dp_python_reader *reader, uintptr_t offset, uint64_t length, uint32_t state, const struct dp_record_text *head);
/* Does it lead where it did? And the text at its end. */
bool dp_python_holds(struct dp_python_reader *reader, const struct dp_python_path *path, uintptr_t root);
bool dp_python_follow(struct dp_python_reader *reader, const struct dp_python_path *path, uintptr_t root, struct dp_tick_text *text);

/* The thread's name, where its root frame is that of a threading.Thread: number stands for the root's function. */
void dp_python_name_thread(struct dp_python_reader *reader, uintptr_t root, uint32_t number);

/* ---- asyncio ---- */

/* Generators and coroutines whose frames were met, the last ones, and which frame of the walk it was. */
enum { DP_PYTHON_COROUTINES = 16 };
struct dp_python_coroutines {
	uint64_t count;
	struct {
		uintptr_t object;
		uint64_t frame;
	} at[DP_PYTHON_COROUTINES];
};

static inline struct dp_python_coroutines *dp_python_coroutines(const struct dp_managed_tick *tick)
{
	return (struct dp_python_coroutines *)tick->scratch;
}

/* What is read on the way and forgotten at once; not on the interrupted thread's stack. */
enum { DP_PYTHON_BUFFER_WORDS = 24, DP_PYTHON_WINDOW_WORDS = DP_PYTHON_CODE_BYTES / 8 };
_Static_assert(sizeof(struct dp_python_coroutines) / 8 + DP_PYTHON_BUFFER_WORDS + DP_PYTHON_WINDOW_WORDS <= DP_RUNTIME_SCRATCH, "in the lane");

static inline uintptr_t *dp_python_buffer(const struct dp_managed_tick *tick)
{
	return (uintptr_t *)(dp_python_coroutines(tick) + 1);
}

/* The walk's, for what it reads through the kernel. */
static inline uint8_t *dp_python_window(const struct dp_managed_tick *tick)
{
	return (uint8_t *)(dp_python_buffer(tick) + DP_PYTHON_BUFFER_WORDS);
}

bool dp_python_is_task(struct dp_python_reader *reader, uintptr_t object);
/* The task that the thread runs, and its name; 0: none that is known. */
uintptr_t dp_python_name_task(struct dp_python_reader *reader, uintptr_t state);
/* Puts the coroutines of the tasks that await this one, as they are suspended, rootward of the task's own, which is
 * tick->frames[at]. */
void dp_python_add_awaiters(struct dp_python_reader *reader, uintptr_t task, uint32_t at);

/* Of a frame's place, start: of the instructions: before the first one 0, or the code unit + 1. */
static inline uint64_t dp_python_unit(const struct dp_python_layout *layout, uintptr_t start, uintptr_t place)
{
	uintptr_t unit;
	if (layout->minor <= 9)
		unit = (uintptr_t)((intptr_t)(int32_t)place / 2 + ((int32_t)place >= 0));
	else if (layout->minor == 10)
		unit = (uintptr_t)((intptr_t)(int32_t)place + 1);
	else
		unit = place + 2 >= start ? (place + 2 - start) / 2 : 0;
	return unit < DP_PYTHON_PLACE_LINE ? unit : 0;
}

/* Signal. Tells the name of an id made of a copy, where what the code points to is certain to be the code's, but may be gone: through
 * the kernel. */
void dp_python_tell(struct dp_managed_tick *tick, const struct dp_python_layout *layout, const uint8_t *copy, uint64_t id);

/* The line of a code unit: unit < 0 is before the first instruction. Any context; lines: any bytes. */
uint32_t dp_python_line(unsigned minor, const uint8_t *lines, uint32_t size, uint32_t first_line, int64_t unit);

#endif
