/* SPDX-License-Identifier: Apache-2.0
 * Numbers for code objects, and their names told while they are certainly alive.
 *
 * A code object's address comes back for another function soon after it died: the key is the address and a check over
 * what a name is made of, so that a stale hit would need the same name, file and line table. The table only grows. */
#include "runtimes/python/python.h"

#include "base/atomic.h"
#include "base/hash.h"
#include "runtimes/name.h"

enum { TRIED_MOST = 64, IS_BEING_WRITTEN = 1 };

static struct {
	_Atomic uintptr_t code; /* 0: free; | IS_BEING_WRITTEN */
	_Atomic uint64_t check;
} slots[DP_RUNTIME_NUMBERS];

static uintptr_t word_at(uintptr_t address)
{
	return *(const uintptr_t *)address;
}

/* ---- numbers ---- */

static uint64_t check_of(const struct dp_python_layout *layout, const uint8_t *code)
{
	uintptr_t file, name, lines;
	uint32_t first_line;
	__builtin_memcpy(&file, code + layout->file, sizeof file);
	__builtin_memcpy(&name, code + layout->name, sizeof name);
	__builtin_memcpy(&lines, code + layout->lines, sizeof lines);
	__builtin_memcpy(&first_line, code + layout->first_line, sizeof first_line);
	return dp_mix(dp_mix(dp_mix(file, name), lines), first_line);
}

/* Slot + 1; 0: no room. */
static uint32_t number_of(uintptr_t code, uint64_t check)
{
	uint32_t at = (uint32_t)(dp_mix(code >> 4, check) >> 40) % DP_RUNTIME_NUMBERS;
	for (unsigned i = 0; i < TRIED_MOST; i++, at = (at + 1) % DP_RUNTIME_NUMBERS) {
		uintptr_t there = dp_load_acquire(&slots[at].code);
		if (there == code && dp_load_relaxed(&slots[at].check) == check)
			return at + 1;
		if (there)
			continue; /* also where another tick writes: two numbers for one function do no harm */
		if (!dp_cas(&slots[at].code, &there, code | IS_BEING_WRITTEN))
			continue;
		dp_store_relaxed(&slots[at].check, check);
		dp_store_release(&slots[at].code, code);
		return at + 1;
	}
	return 0;
}

/* ---- names ---- */

/* A str that is compact, as all names of code are. */
struct text {
	const void *bytes;
	uint32_t size;
	uint8_t width;
};

/* PyASCIIObject, behind its head: state: kind in the first three of its bits, compact, ascii. */
struct text_head {
	uint64_t length, hash;
	uint32_t state;
} __attribute__((packed));

static bool find_text(const struct dp_python_layout *layout, uintptr_t object, const struct text_head *head, struct text *text)
{
	enum { COMPACT = 8, ASCII = 16 };
	const uint32_t state = head->state >> layout->state_shift;
	const uint64_t length = head->length;
	const unsigned kind = state & 7;
	if (!(state & COMPACT) || (kind != 1 && kind != 2 && kind != 4) || length > UINT32_MAX / 4)
		return false;
	const uint64_t size = length * kind;
	text->bytes = (const void *)(object + (state & ASCII ? layout->ascii : layout->compact));
	text->size = (uint32_t)(size < DP_NAME_TEXT_MAX ? size : DP_NAME_TEXT_MAX);
	text->width = (uint8_t)kind;
	return true;
}

/* In the ring, the record's head alone; false: there is no room for all of it. */
static bool begin_record(struct dp_managed_tick *tick, const struct dp_python_layout *layout, uint32_t number, uint32_t first_line,
        const struct text *name, const struct text *file, uint64_t lines_size, struct dp_name_record *to)
{
	struct dp_name_record record = {
	        .flags = DP_RECORD_NAME,
	        .runtime = DP_FRAME_PYTHON,
	        .version = layout->minor,
	        .number = number,
	        .first_line = first_line,
	        .name_size = name->size,
	        .file_size = file->size,
	        .lines_size = lines_size <= DP_NAME_LINES_MAX ? (uint32_t)lines_size : 0,
	        .name_width = name->width,
	        .file_width = file->width,
	        .is_cut = lines_size > DP_NAME_LINES_MAX,
	};
	record.size_bytes = ((uint32_t)sizeof record + name->size + file->size + record.lines_size + 7) & ~7u;
	*to = record;
	if (record.size_bytes > tick->name_room || !dp_ring_has_room(tick->ring, record.size_bytes)) {
		tick->losses[DP_MANAGED_NAME]++;
		return false;
	}
	dp_ring_put(tick->ring, 0, &record, sizeof record);
	return true;
}

static void end_record(struct dp_managed_tick *tick, const struct dp_name_record *record)
{
	static const uint8_t zeros[8];
	const uint32_t used = (uint32_t)sizeof *record + record->name_size + record->file_size + record->lines_size;
	dp_ring_put(tick->ring, used, zeros, record->size_bytes - used);
	dp_ring_commit(tick->ring, record->size_bytes);
	tick->name_room -= record->size_bytes;
	(*tick->told)[(record->number - 1) / 8] |= (uint8_t)(1u << (record->number - 1) % 8);
}

static bool is_told(const struct dp_managed_tick *tick, uint32_t number)
{
	return (*tick->told)[(number - 1) / 8] >> (number - 1) % 8 & 1;
}

static void tell(struct dp_managed_tick *tick, const struct dp_python_layout *layout, uintptr_t code, uint32_t number)
{
	struct dp_name_record record;
	struct text name, file;
	const uintptr_t name_object = word_at(code + layout->name), file_object = word_at(code + layout->file);
	if (!find_text(layout, name_object, (const struct text_head *)(name_object + layout->object), &name) ||
	        !find_text(layout, file_object, (const struct text_head *)(file_object + layout->object), &file))
		return;
	/* PyBytesObject: size, hash, bytes. */
	const uintptr_t lines = word_at(code + layout->lines);
	if (!begin_record(tick, layout, number, *(const uint32_t *)(code + layout->first_line), &name, &file,
	            word_at(lines + layout->object), &record))
		return;
	dp_ring_put(tick->ring, sizeof record, name.bytes, name.size);
	dp_ring_put(tick->ring, (uint32_t)sizeof record + name.size, file.bytes, file.size);
	dp_ring_put(tick->ring, (uint32_t)sizeof record + name.size + file.size, (const void *)(lines + layout->object + 16), record.lines_size);
	end_record(tick, &record);
}

void dp_python_tell(struct dp_managed_tick *tick, const struct dp_python_layout *layout, const uint8_t *copy, uint64_t id)
{
	const uint32_t number = (uint32_t)(id >> DP_PYTHON_PLACE_BITS);
	uintptr_t objects[3];
	uint32_t first_line;
	struct text_head head;
	struct text texts[2];
	uint64_t lines_size;
	struct dp_name_record record;
	if (!number || is_told(tick, number))
		return;
	__builtin_memcpy(&objects[0], copy + layout->name, sizeof *objects);
	__builtin_memcpy(&objects[1], copy + layout->file, sizeof *objects);
	__builtin_memcpy(&objects[2], copy + layout->lines, sizeof *objects);
	__builtin_memcpy(&first_line, copy + layout->first_line, sizeof first_line);
	for (unsigned i = 0; i < 2; i++)
		if (!dp_tick_probe(tick, objects[i] + layout->object, &head, sizeof head) || !find_text(layout, objects[i], &head, &texts[i]))
			return;
	if (!dp_tick_probe(tick, objects[2] + layout->object, &lines_size, sizeof lines_size) ||
	        !begin_record(tick, layout, number, first_line, &texts[0], &texts[1], lines_size, &record))
		return;
	/* Straight into the ring, around its end if need be; seen by nobody before it is whole. */
	const struct dp_ring_view *ring = tick->ring;
	const uint32_t size = record.name_size + record.file_size + record.lines_size;
	const uint32_t at = (dp_load_relaxed(&ring->ring->head) + (uint32_t)sizeof record) & (ring->size - 1);
	const uint32_t first = size < ring->size - at ? size : ring->size - at;
	const struct iovec to[] = {{ring->bytes + at, first}, {ring->bytes, size - first}};
	const struct iovec from[] = {{(void *)texts[0].bytes, record.name_size}, {(void *)texts[1].bytes, record.file_size},
	        {(void *)(objects[2] + layout->object + 16), record.lines_size}};
	if (dp_tick_gather(tick, to, 2, from, 3, size))
		end_record(tick, &record);
}

uint64_t dp_python_id(struct dp_managed_tick *tick, const struct dp_python_layout *layout, uintptr_t code, const uint8_t *copy,
        uint64_t place)
{
	const uint32_t number = number_of(code, check_of(layout, copy ? copy : (const uint8_t *)code));
	if (!number) {
		tick->losses[DP_MANAGED_NAME]++;
		return 0;
	}
	if (copy)
		return (uint64_t)number << DP_PYTHON_PLACE_BITS | place;
	if (!is_told(tick, number))
		tell(tick, layout, code, number);
	/* A table too large to be told is read here. */
	const uintptr_t lines = word_at(code + layout->lines);
	const uint64_t size = word_at(lines + layout->object);
	if (size > DP_NAME_LINES_MAX && place) {
		enum { READ_MOST = 256 * 1024 };
		const uint32_t first_line = *(const uint32_t *)(code + layout->first_line);
		const uint32_t line = dp_python_line(layout->minor, (const uint8_t *)(lines + layout->object + 16),
		        size < READ_MOST ? (uint32_t)size : READ_MOST, first_line, (int64_t)place - 1);
		place = (line & (DP_PYTHON_PLACE_MASK)) | DP_PYTHON_PLACE_LINE;
	}
	return (uint64_t)number << DP_PYTHON_PLACE_BITS | place;
}
