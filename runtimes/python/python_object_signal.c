/* SPDX-License-Identifier: Apache-2.0
 * Attributes and texts of objects, as the interpreter keeps them (Objects/dictobject.c, Include/internal/pycore_dict.h,
 * pycore_object.h of each minor version).
 *
 * The interrupted thread may itself be in the middle of changing what is read here. A field of a live object holds a live
 * object or none at every moment, and what is put together elsewhere is published when it is whole; the one exception, a
 * dict between its old and its new table, is seen by the kind of its table and has no attributes for that moment. */
#include "runtimes/python/python.h"

#include "base/atomic.h"
#include "base/syscall.h"

enum {
	TYPE = 8, /* PyObject.ob_type */
	/* PyTypeObject */
	TYPE_BASIC_SIZE = 32,
	TYPE_FLAGS = 168,
	TYPE_DICT_OFFSET = 288,
	/* its flags */
	HAS_INLINE_VALUES = 1 << 2,
	HAS_MANAGED_DICT = 1 << 4,
	/* PyDictObject */
	DICT_KEYS = 32,
	DICT_VALUES = 40,
	ENTRIES_MOST = 256, /* looked at for a name by its address, */
	TEXTS_MOST = 64,    /* and by its text */
	NAME_MOST = 32,
	TEXT_HEAD = 36,    /* bytes of a str up to its state's */
};

/* ---- texts ---- */

struct text {
	uintptr_t bytes;
	uint64_t length; /* code points */
	uint8_t width;
	bool is_ascii;
	uint32_t state;
};

static bool find_text(struct dp_python_reader *reader, uintptr_t object, struct text *text)
{
	/* PyASCIIObject: length at 16, state at 32: kind in bits 2 to 4, compact 5, ascii 6. */
	struct {
		uintptr_t count, type, length, hash;
		uint32_t state;
	} head;
	if (object & 7 || !dp_python_read(reader, object, &head, TEXT_HEAD) || head.type != reader->library->text_type)
		return false;
	text->width = head.state >> 2 & 7;
	text->is_ascii = head.state & 0x40;
	text->length = head.length;
	text->state = head.state;
	text->bytes = object + (text->is_ascii ? reader->library->layout.ascii : reader->library->layout.compact);
	return head.state & 0x20 && (text->width == 1 || text->width == 2 || text->width == 4);
}

static bool has_text_at(struct dp_python_reader *reader, const struct text *text, uint64_t from, const char *wanted, uint32_t size)
{
	char copy[NAME_MOST];
	const char *there = reader->is_doubtful ? copy : (const char *)(text->bytes + from);
	if (!text->is_ascii || size > sizeof copy || text->length < size || from > text->length - size)
		return false;
	if (reader->is_doubtful && !dp_python_read(reader, text->bytes + from, copy, size))
		return false;
	for (uint32_t i = 0; i < size; i++)
		if (there[i] != wanted[i])
			return false;
	return true;
}

static uint32_t size_of(const char *text)
{
	uint32_t size = 0;
	while (text[size])
		size++;
	return size;
}

bool dp_python_is_c_text(struct dp_python_reader *reader, uintptr_t address, const char *wanted)
{
	char copy[NAME_MOST];
	const uint32_t size = size_of(wanted) + 1;
	const char *there = reader->is_doubtful ? copy : (const char *)address;
	if (size > sizeof copy || address < 4096 || (reader->is_doubtful && !dp_python_read(reader, address, copy, size)))
		return false;
	for (uint32_t i = 0; i < size; i++)
		if (there[i] != wanted[i])
			return false;
	return true;
}

bool dp_python_has_type(struct dp_python_reader *reader, uintptr_t object, const char *name)
{
	enum { TYPE_NAME = 24 };
	const uintptr_t type = dp_python_word(reader, object + TYPE);
	return type && dp_python_is_c_text(reader, dp_python_word(reader, type + TYPE_NAME), name);
}

bool dp_python_is_text(struct dp_python_reader *reader, uintptr_t object, const char *wanted)
{
	const uint32_t size = size_of(wanted);
	struct text text;
	return find_text(reader, object, &text) && text.length == size && has_text_at(reader, &text, 0, wanted, size);
}

bool dp_python_has_end(struct dp_python_reader *reader, uintptr_t object, const char *end)
{
	const uint32_t size = size_of(end);
	struct text text;
	return find_text(reader, object, &text) && text.length >= size &&
	       has_text_at(reader, &text, text.length - size, end, size);
}

void dp_python_take_text(struct dp_python_reader *reader, uintptr_t slot, struct dp_tick_text *to)
{
	const uintptr_t object = dp_python_kept_word(reader, slot);
	struct text text;
	if (!object || !find_text(reader, object, &text))
		return;
	uint64_t length = text.length < DP_LABEL_VALUE_MAX ? text.length : DP_LABEL_VALUE_MAX;
	if (length * text.width > DP_TEXT_MAX)
		length = DP_TEXT_MAX / text.width;
	const uint16_t size = (uint16_t)(length * text.width);
	if (!size || !dp_python_read(reader, text.bytes, to->bytes, size))
		return;
	/* Another thread may have put another one there, so that this one's memory may be anything's. */
	if (reader->is_doubtful && dp_python_word(reader, slot) != object)
		return;
	to->head.size_bytes = size;
	to->head.width = text.width;
	dp_python_keep_text(reader, text.bytes - object, text.length, text.state, &to->head);
}

/* ---- the table of a dict ---- */

static bool open_table(struct dp_python_reader *reader, uintptr_t keys, struct dp_python_table *table)
{
	enum { GENERAL, UNICODE, SPLIT };
	uint8_t head[40];
	uint64_t size;
	if (keys & 7 || !dp_python_read(reader, keys, head, sizeof head))
		return false;
	*table = (struct dp_python_table){.entry_size = 24, .key = 8, .value = 16};
	if (reader->library->layout.minor <= 10) {
		/* dk_size 8, dk_nentries 32, dk_indices 40 */
		__builtin_memcpy(&size, head + 8, sizeof size);
		__builtin_memcpy(&table->count, head + 32, sizeof table->count);
		if (!size || size & (size - 1) || size > UINT32_MAX)
			return false;
		table->entries = keys + 40 + size * (size <= 0xff ? 1 : size <= 0xffff ? 2 : 4);
		table->may_be_split = true;
	} else {
		/* dk_log2_index_bytes 9, dk_kind 10, dk_nentries 24, dk_indices 32 */
		__builtin_memcpy(&table->count, head + 24, sizeof table->count);
		if (head[9] > 32 || head[10] > SPLIT)
			return false;
		table->entries = keys + 32 + (UINT64_C(1) << head[9]);
		table->is_split = head[10] == SPLIT;
		if (head[10] != GENERAL)
			table->entry_size = 16, table->key = 0, table->value = 8;
	}
	return true;
}

static uintptr_t key_of(struct dp_python_reader *reader, const struct dp_python_table *table, uint64_t number)
{
	return dp_python_word(reader, table->entries + number * table->entry_size + table->key);
}

/* Names in source code are interned: looked for by its address, one is found without a look at the others. -1: none. */
static int find_key(struct dp_python_reader *reader, const struct dp_python_table *table, uintptr_t key)
{
	enum { AT_ONCE = DP_PYTHON_BUFFER_WORDS / 3 }; /* words of an entry, at most */
	const uint64_t count = table->count < ENTRIES_MOST ? table->count : ENTRIES_MOST;
	const unsigned step = table->entry_size / 8u, first = table->key / 8u;
	uintptr_t *words = dp_python_buffer(reader->tick);
	for (uint64_t from = 0; key && from < count; from += AT_ONCE) {
		const uint64_t here = count - from < AT_ONCE ? count - from : AT_ONCE;
		if (!dp_python_read(reader, table->entries + from * table->entry_size, words, here * table->entry_size))
			return -1;
		for (unsigned i = 0; i < here; i++)
			if (words[i * step + first] == key)
				return (int)(from + i);
	}
	return -1;
}

static int find_text_key(struct dp_python_reader *reader, const struct dp_python_table *table, struct dp_python_name *name)
{
	for (uint64_t i = 0; i < table->count && i < TEXTS_MOST; i++) {
		const uintptr_t key = key_of(reader, table, i);
		if (dp_python_is_text(reader, key, name->text)) {
			dp_store_relaxed(&name->known, key);
			return (int)i;
		}
	}
	return -1;
}

/* The number of the entry; -1: none. */
static int find_entry(struct dp_python_reader *reader, const struct dp_python_table *table, struct dp_python_name *name)
{
	const uint16_t hint = dp_load_relaxed(&name->hint);
	if (hint < table->count && dp_python_is_text(reader, key_of(reader, table, hint), name->text))
		return hint;
	const uintptr_t known = dp_load_relaxed(&name->known);
	int number = find_key(reader, table, known);
	if (number >= 0 && !dp_python_is_text(reader, key_of(reader, table, (unsigned)number), name->text))
		number = -1;
	if (number < 0 && (!known || !reader->is_doubtful)) /* in doubt each step is a system call */
		number = find_text_key(reader, table, name);
	if (number >= 0)
		dp_store_relaxed(&name->hint, (uint16_t)number);
	return number;
}

bool dp_python_open_dict(struct dp_python_reader *reader, uintptr_t dict, struct dp_python_table *table)
{
	uintptr_t inside[(DICT_VALUES + 8) / 8];
	return dict && !(dict & 7) && dp_python_read(reader, dict, inside, sizeof inside) &&
	       inside[TYPE / 8] == reader->library->dict_type && !inside[DICT_VALUES / 8] &&
	       open_table(reader, inside[DICT_KEYS / 8], table) && !table->is_split;
}

/* ---- attributes ---- */

/* values: where the first one of a split table is; 0: they are in the table. */
static uintptr_t slot_in(
        struct dp_python_reader *reader, uintptr_t keys, uintptr_t values, struct dp_python_name *name)
{
	struct dp_python_table table;
	if (!open_table(reader, keys, &table))
		return 0;
	if (!table.may_be_split && table.is_split != (values != 0))
		return 0;
	const int number = find_entry(reader, &table, name);
	if (number < 0)
		return 0;
	const uintptr_t own = table.entries + (unsigned)number * table.entry_size + table.value;
	if (!values)
		return own;
	return table.may_be_split && dp_python_word(reader, own) ? 0 : values + (unsigned)number * 8;
}

uintptr_t dp_python_slot_in_dict(struct dp_python_reader *reader, uintptr_t dict, struct dp_python_name *name)
{
	const unsigned values_head = reader->library->layout.minor >= 13 ? 8 : 0; /* sizes, before the values */
	uintptr_t inside[(DICT_VALUES + 8) / 8];
	if (!dict || dict & 7 || !dp_python_read(reader, dict, inside, sizeof inside) ||
	        inside[TYPE / 8] != reader->library->dict_type)
		return 0;
	const uintptr_t values = inside[DICT_VALUES / 8];
	dp_python_keep(reader, dict + DICT_KEYS, inside[DICT_KEYS / 8]);
	dp_python_keep(reader, dict + DICT_VALUES, values);
	return slot_in(reader, inside[DICT_KEYS / 8], values ? values + values_head : 0, name);
}

uintptr_t dp_python_slot(struct dp_python_reader *reader, uintptr_t object, struct dp_python_name *name)
{
	const struct dp_python_layout *layout = &reader->library->layout;
	const uintptr_t type = dp_python_kept_word(reader, object + TYPE);
	if (!type)
		return 0;
	const uintptr_t flags = dp_python_word(reader, type + TYPE_FLAGS);
	if (!(flags & HAS_MANAGED_DICT) || layout->attributes == DP_PYTHON_DICT_POINTER) {
		const uintptr_t offset = dp_python_word(reader, type + TYPE_DICT_OFFSET);
		if (!offset || offset >= 4096)
			return 0;
		const uintptr_t dict = dp_python_kept_word(reader, object + offset);
		dp_python_be_sure(reader, false);
		return dp_python_slot_in_dict(reader, dict, name);
	}
	uintptr_t values = 0;
	if (layout->attributes == DP_PYTHON_VALUES_POINTER) {
		values = dp_python_word(reader, object - 32);
		if (values)
			dp_python_keep(reader, object - 32, values);
	} else if (layout->attributes == DP_PYTHON_TAGGED_POINTER) {
		const uintptr_t tagged = dp_python_word(reader, object - 24);
		values = tagged & 1 ? tagged + 1 : 0;
		if (values)
			dp_python_keep(reader, object - 24, tagged);
	} else if (flags & HAS_INLINE_VALUES) {
		const uintptr_t inside = object + dp_python_word(reader, type + TYPE_BASIC_SIZE);
		const uintptr_t head = dp_python_word(reader, inside); /* four bytes: capacity, size, is embedded, is valid */
		values = (head >> 24 & 0xff) == 1 ? inside + 8 : 0;
		if (values)
			dp_python_keep(reader, inside, head);
	}
	/* So far all lies in the object, and so do inline values. */
	dp_python_be_sure(reader, values && layout->attributes == DP_PYTHON_INLINE_VALUES);
	if (values)
		return slot_in(reader, dp_python_word(reader, type + layout->cached_keys), values, name);
	return dp_python_slot_in_dict(reader, dp_python_kept_word(reader, object - 24), name);
}

static bool take_attribute(
        struct dp_python_reader *reader, uintptr_t object, struct dp_python_name *name, struct dp_tick_text *text)
{
	struct dp_python_path *path = reader->path;
	const uintptr_t slot = dp_python_slot(reader, object, name);
	if (!slot)
		return false;
	dp_python_take_text(reader, slot, text);
	/* The table may have been left meanwhile, and be another object's. */
	reader->path = NULL;
	if (reader->is_doubtful && dp_python_slot(reader, object, name) != slot)
		text->head.size_bytes = 0;
	reader->path = path;
	return text->head.size_bytes != 0;
}

void dp_python_take_attribute(
        struct dp_python_reader *reader, uintptr_t object, struct dp_python_name *name, struct dp_tick_text *text)
{
	enum { ATTEMPTS_MOST = 3 }; /* where another thread may be at it */
	const uint8_t steps = reader->path ? reader->path->step_count : 0;
	for (int i = 0; i < ATTEMPTS_MOST && !take_attribute(reader, object, name, text) && reader->is_doubtful; i++)
		if (reader->path)
			reader->path->step_count = steps;
}
