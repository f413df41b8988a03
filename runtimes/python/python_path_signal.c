/* SPDX-License-Identifier: Apache-2.0
 * The way to a name, kept from one tick of a thread to the next: a few words to compare instead of a search; and one system
 * call instead of many where other threads may change them.
 *
 * Each step is an address that the one before it led to, so that it may be read plainly when all before it are what they
 * were and this thread holds the GIL. Else the text is read first and the steps after it, through the kernel where their memory
 * may be gone: what they lead to then is what was read, unless a name came and went and came to the same address within that
 * microsecond. */
#include "runtimes/python/python.h"

/* What a str begins with. */
struct head {
	uintptr_t count, type, length, hash;
	uint32_t state;
} __attribute__((packed));

void dp_python_begin_path(struct dp_python_reader *reader, struct dp_python_path *path)
{
	reader->path = path;
	path->root = 0;
	path->step_count = path->sure_count = 0;
	path->size = 0;
}

void dp_python_keep(struct dp_python_reader *reader, uintptr_t address, uintptr_t value)
{
	struct dp_python_path *path = reader->path;
	if (!path)
		return;
	if (path->step_count < DP_PYTHON_STEPS) {
		path->steps[path->step_count].address = address;
		path->steps[path->step_count].value = value;
	}
	if (path->step_count <= DP_PYTHON_STEPS)
		path->step_count++;
}

void dp_python_keep_text(
        struct dp_python_reader *reader, uintptr_t offset, uint64_t length, uint32_t state, const struct dp_record_text *head)
{
	struct dp_python_path *path = reader->path;
	if (!path || offset < sizeof(struct head) || offset > DP_PYTHON_TEXT_OFFSET_MOST)
		return;
	path->offset = (uint8_t)offset;
	path->size = head->size_bytes;
	path->width = head->width;
	path->length = length;
	path->state = state;
}

void dp_python_be_sure(struct dp_python_reader *reader, bool is_all)
{
	struct dp_python_path *path = reader->path;
	if (path)
		path->sure_count = is_all ? DP_PYTHON_STEPS : path->step_count;
}

void dp_python_end_path(struct dp_python_reader *reader, uintptr_t root, bool is_whole)
{
	struct dp_python_path *path = reader->path;
	reader->path = NULL;
	if (path && is_whole && path->step_count && path->step_count <= DP_PYTHON_STEPS)
		path->root = root;
}

static bool is_same_text(const struct dp_python_reader *reader, const struct dp_python_path *path, const struct head *head)
{
	return head->type == reader->library->text_type && head->length == path->length && head->state == path->state;
}

static bool hold_plainly(const struct dp_python_path *path, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (*(const uintptr_t *)path->steps[i].address != path->steps[i].value)
			return false;
	return true;
}

/* text: NULL where there is none. */
static __attribute__((noinline)) bool hold_by_kernel(
        const struct dp_python_reader *reader, const struct dp_python_path *path, struct head *head, uint8_t *text)
{
	uintptr_t *words = dp_python_buffer(reader->tick);
	const unsigned count = path->step_count;
	const unsigned sure = !reader->is_rooted ? 0 : path->sure_count < count ? path->sure_count : count;
	const size_t words_size = (count - sure) * sizeof *words, text_size = text ? path->offset + path->size : 0;
	uint8_t between[DP_PYTHON_TEXT_OFFSET_MOST - sizeof *head];
	const struct iovec to[] = {{head, sizeof *head}, {between, path->offset - sizeof *head}, {text, path->size}, {words, words_size}};
	struct iovec from[1 + DP_PYTHON_STEPS] = {{(void *)path->steps[count - 1].value, text_size}};
	for (unsigned i = sure; i < count; i++)
		from[1 + i - sure] = (struct iovec){(void *)path->steps[i].address, sizeof *words};
	const unsigned first_to = text ? 0 : 3, first_from = text ? 0 : 1;
	if (text_size + words_size && !dp_tick_gather(reader->tick, to + first_to, 4 - first_to, from + first_from,
	                                      1 + count - sure - first_from, text_size + words_size))
		return false;
	for (unsigned i = sure; i < count; i++)
		if (words[i - sure] != path->steps[i].value)
			return false;
	return hold_plainly(path, sure);
}

bool dp_python_holds(struct dp_python_reader *reader, const struct dp_python_path *path, uintptr_t root)
{
	if (!path->root || path->root != root)
		return false;
	return reader->is_doubtful ? hold_by_kernel(reader, path, NULL, NULL) : hold_plainly(path, path->step_count);
}

bool dp_python_follow(
        struct dp_python_reader *reader, const struct dp_python_path *path, uintptr_t root, struct dp_tick_text *text)
{
	struct head head;
	if (!path->root || path->root != root || !path->size)
		return false;
	if (reader->is_doubtful) {
		if (!hold_by_kernel(reader, path, &head, text->bytes) || !is_same_text(reader, path, &head))
			return false;
	} else {
		if (!hold_plainly(path, path->step_count))
			return false;
		const uintptr_t object = path->steps[path->step_count - 1].value;
		if (!is_same_text(reader, path, (const struct head *)object))
			return false;
		dp_copy(text->bytes, (const void *)(object + path->offset), path->size);
	}
	text->head.size_bytes = path->size;
	text->head.width = path->width;
	return true;
}
