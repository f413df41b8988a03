/* SPDX-License-Identifier: Apache-2.0
 * The frame tree behind the flame graph: merged by function and object, sorted heaviest first. */
#include "export/html_tree.h"
#include "base/frame.h"
#include "base/hash.h"
#include "export/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	return dp_mix(hash, 0);
}

/* Hashes of entries already in a table, for an index that grows. */
typedef uint64_t hash_at(const struct dp_html_tree *tree, int column, uint32_t number);

static uint64_t hash_frame(const char *name, const char *object)
{
	return hash_text(hash_text(1, name), object);
}

static uint64_t frame_at(const struct dp_html_tree *tree, int column, uint32_t number)
{
	(void)column;
	return hash_frame(tree->frames.at[number].name, tree->frames.at[number].object);
}

static uint64_t node_at(const struct dp_html_tree *tree, int column, uint32_t number)
{
	(void)column;
	return dp_mix(dp_mix(2, tree->nodes.at[number].parent), tree->nodes.at[number].frame);
}

static uint64_t thread_at(const struct dp_html_tree *tree, int column, uint32_t number)
{
	const struct dp_html_thread *thread = &tree->threads[column].at[number];
	return hash_text(dp_mix(3, (uint64_t)thread->tid), thread->name);
}

static uint64_t cell_at(const struct dp_html_tree *tree, int column, uint32_t number)
{
	const struct dp_html_cell *cell = &tree->cells[column].at[number];
	return dp_mix(dp_mix(4, cell->node), cell->thread);
}

/* Keeps the index at most half full. 0 or -ENOMEM. */
static int make_room(struct dp_html_tree *tree, struct dp_html_index *index, int column, hash_at *hash)
{
	if (index->used * 2 < index->slot_count)
		return 0;
	const uint32_t size = index->slot_count ? index->slot_count * 2 : 256;
	uint32_t *slots = calloc(size, sizeof *slots);
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < index->used; i++) {
		uint32_t at = (uint32_t)hash(tree, column, i) & (size - 1);
		while (slots[at])
			at = (at + 1) & (size - 1);
		slots[at] = i + 1;
	}
	free(index->slots);
	index->slots = slots;
	index->slot_count = size;
	return 0;
}

/* A zeroed entry at the end of a table, whose pointer is at place. */
static void *push(void *place, uint32_t *count, uint32_t *capacity, size_t size)
{
	char *at;
	memcpy(&at, place, sizeof at);
	if (*count == *capacity) {
		const uint32_t more = *capacity ? *capacity * 2 : 256;
		at = realloc(at, more * size);
		if (!at)
			return NULL;
		memcpy(place, &at, sizeof at);
		*capacity = more;
	}
	return memset(at + (size_t)(*count)++ * size, 0, size);
}
#define PUSH(table) push(&(table).at, &(table).count, &(table).capacity, sizeof *(table).at)

static enum dp_html_kind kind_of(const char *name, const char *object, uint8_t runtime, bool is_named)
{
	if (!strncmp(name, "[incomplete", 11) || !strcmp(name, "[overflow]"))
		return DP_HTML_INCOMPLETE;
	if (runtime == DP_FRAME_PYTHON)
		return DP_HTML_PYTHON;
	if (runtime == DP_FRAME_JVM)
		return DP_HTML_JVM;
	if (!strcmp(object, "[kernel]") || !strcmp(object, "[kernel.kallsyms]") || !strcmp(object, "vmlinux"))
		return DP_HTML_KERNEL;
	return is_named ? DP_HTML_NATIVE : DP_HTML_UNNAMED;
}

static int find_frame(struct dp_html_tree *tree, const struct dp_profile *profile,
	const struct dp_location *location, uint32_t i)
{
	char made[4200];
	const char *name = dp_frame_name(profile, location, i, made, sizeof made);
	const char *object =
		location->mapping >= 0 ? dp_base_name(profile->mappings.at[location->mapping].path) : "";
	if (make_room(tree, &tree->frame_index, 0, frame_at) != 0)
		return -ENOMEM;
	const uint32_t mask = tree->frame_index.slot_count - 1;
	uint32_t at = (uint32_t)hash_frame(name, object) & mask;
	for (; tree->frame_index.slots[at]; at = (at + 1) & mask) {
		const struct dp_html_frame *frame = &tree->frames.at[tree->frame_index.slots[at] - 1];
		if (!strcmp(frame->name, name) && !strcmp(frame->object, object))
			return (int)tree->frame_index.slots[at] - 1;
	}
	char *copy = strdup(name);
	struct dp_html_frame *frame = copy ? PUSH(tree->frames) : NULL;
	if (!frame) {
		free(copy);
		return -ENOMEM;
	}
	*frame = (struct dp_html_frame){.name = copy, .object = object, .file = ""};
	if (i < location->line_count) {
		const struct dp_function *function = &profile->functions.at[location->lines[i].function];
		frame->file = function->file;
		frame->line = function->start_line ? function->start_line : location->lines[i].line;
	}
	frame->kind = kind_of(name, object, location->runtime, !dp_frame_is_place(profile, location));
	tree->frame_index.slots[at] = ++tree->frame_index.used;
	return (int)tree->frames.count - 1;
}

static int find_node(struct dp_html_tree *tree, uint32_t parent, uint32_t frame, bool is_inlined)
{
	if (make_room(tree, &tree->node_index, 0, node_at) != 0)
		return -ENOMEM;
	const uint32_t mask = tree->node_index.slot_count - 1;
	uint32_t at = (uint32_t)dp_mix(dp_mix(2, parent), frame) & mask;
	for (; tree->node_index.slots[at]; at = (at + 1) & mask) {
		struct dp_html_node *node = &tree->nodes.at[tree->node_index.slots[at] - 1];
		/* The root is its own parent; a slot that holds it is no child's. */
		if (node->parent == parent && node->frame == frame && tree->node_index.slots[at] != 1) {
			node->is_inlined &= is_inlined;
			return (int)tree->node_index.slots[at] - 1;
		}
	}
	struct dp_html_node *node = PUSH(tree->nodes);
	if (!node)
		return -ENOMEM;
	*node = (struct dp_html_node){.parent = parent, .frame = frame, .is_inlined = is_inlined};
	tree->node_index.slots[at] = ++tree->node_index.used;
	node->next = tree->nodes.at[parent].first_child;
	tree->nodes.at[parent].first_child = tree->nodes.count - 1;
	return (int)tree->nodes.count - 1;
}

static int find_thread(struct dp_html_tree *tree, int column, const struct dp_profile_sample *sample)
{
	const char *name = dp_sample_thread(sample);
	int64_t tid = 0;
	for (uint32_t i = 0; i < sample->label_count; i++)
		if (!sample->labels[i].text && !strcmp(sample->labels[i].key, "tid"))
			tid = sample->labels[i].number;
	struct dp_html_index *index = &tree->thread_index[column];
	if (make_room(tree, index, column, thread_at) != 0)
		return -ENOMEM;
	const uint32_t mask = index->slot_count - 1;
	uint32_t at = (uint32_t)hash_text(dp_mix(3, (uint64_t)tid), name) & mask;
	for (; index->slots[at]; at = (at + 1) & mask) {
		const struct dp_html_thread *thread = &tree->threads[column].at[index->slots[at] - 1];
		if (thread->tid == tid && !strcmp(thread->name, name))
			return (int)index->slots[at] - 1;
	}
	struct dp_html_thread *thread = PUSH(tree->threads[column]);
	if (!thread)
		return -ENOMEM;
	*thread = (struct dp_html_thread){.name = name, .tid = tid};
	index->slots[at] = ++index->used;
	return (int)tree->threads[column].count - 1;
}

static int add_cell(struct dp_html_tree *tree, int column, uint32_t node, uint32_t thread, int64_t value)
{
	struct dp_html_index *index = &tree->cell_index[column];
	if (make_room(tree, index, column, cell_at) != 0)
		return -ENOMEM;
	const uint32_t mask = index->slot_count - 1;
	uint32_t at = (uint32_t)dp_mix(dp_mix(4, node), thread) & mask;
	for (; index->slots[at]; at = (at + 1) & mask) {
		struct dp_html_cell *cell = &tree->cells[column].at[index->slots[at] - 1];
		if (cell->node == node && cell->thread == thread) {
			cell->value += value;
			return 0;
		}
	}
	struct dp_html_cell *cell = PUSH(tree->cells[column]);
	if (!cell)
		return -ENOMEM;
	*cell = (struct dp_html_cell){.node = node, .thread = thread, .value = value};
	index->slots[at] = ++index->used;
	return 0;
}

static int add_sample(struct dp_html_tree *tree, int column, const struct dp_profile *profile,
	const struct dp_profile_sample *sample)
{
	const int64_t value = sample->values[dp_main_value(profile)];
	uint32_t at = 0;
	if (value <=
		0) /* a page of negative widths says nothing; pprof differences are made by base instead */
		return 0;
	tree->nodes.at[0].total[column] += value;
	for (uint32_t i = sample->location_count; i-- > 0;) {
		const struct dp_location *location = &profile->locations.at[sample->locations[i]];
		for (uint32_t j = dp_frame_count(location); j-- > 0;) {
			const int frame = find_frame(tree, profile, location, j);
			const int node = frame < 0 ? frame
						   : find_node(tree, at, (uint32_t)frame,
							     j + 1 < location->line_count);
			if (node < 0)
				return node;
			at = (uint32_t)node;
			tree->nodes.at[at].total[column] += value;
		}
	}
	const int thread = find_thread(tree, column, sample);
	if (thread < 0)
		return thread;
	tree->threads[column].at[thread].total += value;
	return add_cell(tree, column, at, (uint32_t)thread, value);
}

static int heavier_first(const void *left, const void *right, void *context)
{
	const struct dp_html_tree *tree = context;
	const struct dp_html_node *a = &tree->nodes.at[*(const uint32_t *)left];
	const struct dp_html_node *b = &tree->nodes.at[*(const uint32_t *)right];
	for (int i = 0; i < 2; i++)
		if (a->total[i] != b->total[i])
			return a->total[i] > b->total[i] ? -1 : 1;
	const int order = strcmp(tree->frames.at[a->frame].name, tree->frames.at[b->frame].name);
	return order ? order : strcmp(tree->frames.at[a->frame].object, tree->frames.at[b->frame].object);
}

static void sort_children(struct dp_html_tree *tree, uint32_t *room)
{
	for (uint32_t i = 0; i < tree->nodes.count; i++) {
		uint32_t count = 0;
		for (uint32_t child = tree->nodes.at[i].first_child; child;
			child = tree->nodes.at[child].next)
			room[count++] = child;
		qsort_r(room, count, sizeof *room, heavier_first, tree);
		for (uint32_t j = 0; j < count; j++)
			tree->nodes.at[room[j]].next = j + 1 < count ? room[j + 1] : 0;
		tree->nodes.at[i].first_child = count ? room[0] : 0;
	}
}

int dp_html_tree_init(
	struct dp_html_tree *tree, const struct dp_profile *profile, const struct dp_profile *base)
{
	const struct dp_profile *const profiles[] = {profile, base};
	*tree = (struct dp_html_tree){0};
	char *all = strdup("all");
	struct dp_html_frame *frame = all ? PUSH(tree->frames) : NULL;
	if (!frame) {
		free(all);
		return -ENOMEM;
	}
	*frame = (struct dp_html_frame){.name = all, .object = "", .file = ""};
	if (!PUSH(tree->nodes))
		return -ENOMEM;
	/* An index numbers what its table holds, the root too. */
	tree->frame_index.used = tree->node_index.used = 1;
	int error = 0;
	for (int column = 0; column < 2 && profiles[column]; column++)
		for (uint32_t i = 0; i < profiles[column]->samples.count && !error; i++)
			error = add_sample(tree, column, profiles[column], &profiles[column]->samples.at[i]);
	uint32_t *room = error ? NULL : calloc(tree->nodes.count, sizeof *room);
	if (!error && !room)
		error = -ENOMEM;
	if (!error)
		sort_children(tree, room);
	free(room);
	return error;
}

void dp_html_tree_fini(struct dp_html_tree *tree)
{
	for (uint32_t i = 0; i < tree->frames.count; i++)
		free(tree->frames.at[i].name);
	free(tree->frames.at);
	free(tree->nodes.at);
	free(tree->frame_index.slots);
	free(tree->node_index.slots);
	for (int column = 0; column < 2; column++) {
		free(tree->threads[column].at);
		free(tree->cells[column].at);
		free(tree->thread_index[column].slots);
		free(tree->cell_index[column].slots);
	}
}
