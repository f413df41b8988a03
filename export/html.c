/* SPDX-License-Identifier: Apache-2.0
 * The flame graph as one self-contained page: the sources in html/ around the profile as JSON. */
#include "export/export.h"
#include "export/frames.h"
#include "export/html_parts.h"
#include "export/html_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Appends until the first error, which it keeps. */
struct page {
	struct dp_buffer *out;
	int error;
};

#define PUT(page, ...) \
	((page)->error = (page)->error ? (page)->error : dp_buffer_format((page)->out, __VA_ARGS__))

static void put_bytes(struct page *page, const void *bytes, size_t size)
{
	if (!page->error)
		page->error = dp_buffer_append(page->out, bytes, size);
}

/* A JSON string that may stand in a <script>: without '<' no name can end it or open a comment in it. */
static void put_json(struct page *page, const char *text)
{
	const char *from = text;
	put_bytes(page, "\"", 1);
	for (; *text; text++) {
		const unsigned char c = (unsigned char)*text;
		if (c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != 0x7f)
			continue;
		put_bytes(page, from, (size_t)(text - from));
		PUT(page, "\\u%04x", c);
		from = text + 1;
	}
	put_bytes(page, from, (size_t)(text - from));
	put_bytes(page, "\"", 1);
}

static void put_html(struct page *page, const char *text)
{
	for (; *text; text++) {
		if (strchr("<>&\"'", *text))
			PUT(page, "&#%d;", *text);
		else
			put_bytes(page, text, 1);
	}
}

/* Objects and files repeat; they are interned, so their pointers tell them apart. */
struct strings {
	const char **at; /* by number */
	uint32_t *slots; /* number + 1; 0 is free */
	uint32_t count, slot_count;
};

static uint32_t number_of(struct strings *strings, const char *text)
{
	const uint32_t mask = strings->slot_count - 1;
	uint32_t at = (uint32_t)((uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15) >> 32) & mask;
	for (; strings->slots[at]; at = (at + 1) & mask)
		if (strings->at[strings->slots[at] - 1] == text)
			return strings->slots[at] - 1;
	strings->at[strings->count] = text;
	strings->slots[at] = ++strings->count;
	return strings->count - 1;
}

static void put_frames(struct page *page, const struct dp_html_tree *tree)
{
	struct strings strings = {.slot_count = 1024};
	const uint32_t count = tree->frames.count;
	while (strings.slot_count < 4 * count)
		strings.slot_count *= 2;
	strings.at = calloc((size_t)2 * count, sizeof *strings.at);
	strings.slots = calloc(strings.slot_count, sizeof *strings.slots);
	if (!strings.at || !strings.slots) {
		page->error = -ENOMEM;
		goto out;
	}
	PUT(page, "\"frames\":{\"name\":[");
	for (uint32_t i = 0; i < count; i++) {
		put_bytes(page, ",\n", i ? 2 : 0);
		put_json(page, tree->frames.at[i].name);
	}
	PUT(page, "],\n\"object\":[");
	for (uint32_t i = 0; i < count; i++)
		PUT(page, i ? ",%u" : "%u", number_of(&strings, tree->frames.at[i].object));
	PUT(page, "],\n\"file\":[");
	for (uint32_t i = 0; i < count; i++)
		PUT(page, i ? ",%u" : "%u", number_of(&strings, tree->frames.at[i].file));
	PUT(page, "],\n\"line\":[");
	for (uint32_t i = 0; i < count; i++)
		PUT(page, i ? ",%u" : "%u", tree->frames.at[i].line);
	PUT(page, "],\n\"kind\":[");
	for (uint32_t i = 0; i < count; i++)
		PUT(page, i ? ",%d" : "%d", tree->frames.at[i].kind);
	PUT(page, "]},\n\"strings\":[");
	for (uint32_t i = 0; i < strings.count; i++) {
		put_bytes(page, ",\n", i ? 2 : 0);
		put_json(page, strings.at[i]);
	}
	PUT(page, "],\n");
out:
	free(strings.at);
	free(strings.slots);
}

/* Nodes in depth-first order; place[] tells each node's number in it. */
static void put_nodes(struct page *page, const struct dp_html_tree *tree, uint32_t *place)
{
	struct dp_buffer depths = {0}, inlined = {0};
	struct page depth_page = {.out = &depths}, inlined_page = {.out = &inlined};
	uint32_t at = 0, depth = 0, count = 0;
	PUT(page, "\"nodes\":{\"frame\":[");
	for (;;) {
		const struct dp_html_node *node = &tree->nodes.at[at];
		place[at] = count;
		PUT(page, count ? ",%u" : "%u", node->frame);
		PUT(&depth_page, count ? ",%u" : "%u", depth);
		if (node->is_inlined)
			PUT(&inlined_page, inlined.size ? ",%u" : "%u", count);
		count++;
		if (node->first_child) {
			at = node->first_child;
			depth++;
			continue;
		}
		while (at && !tree->nodes.at[at].next) {
			at = tree->nodes.at[at].parent;
			depth--;
		}
		if (!at)
			break;
		at = tree->nodes.at[at].next;
	}
	if (!page->error)
		page->error = depth_page.error ? depth_page.error : inlined_page.error;
	PUT(page, "],\n\"depth\":[");
	put_bytes(page, depths.bytes, depths.size);
	PUT(page, "],\n\"inlined\":[");
	put_bytes(page, inlined.bytes, inlined.size);
	PUT(page, "]},\n");
	dp_buffer_fini(&depths);
	dp_buffer_fini(&inlined);
}

static int by_place(const void *left, const void *right, void *context)
{
	const struct dp_html_cell *a = left, *b = right;
	const uint32_t *place = context;
	if (a->node != b->node)
		return place[a->node] < place[b->node] ? -1 : 1;
	return a->thread < b->thread ? -1 : a->thread > b->thread;
}

/* Threads, and what each spent in each node itself: (node - node before, thread, value) ... */
static void put_cells(struct page *page, struct dp_html_tree *tree, int column, uint32_t *place)
{
	const uint32_t count = tree->cells[column].count;
	uint32_t before = 0;
	PUT(page, "\"threads\":[");
	for (uint32_t i = 0; i < tree->threads[column].count; i++) {
		const struct dp_html_thread *thread = &tree->threads[column].at[i];
		PUT(page, i ? ",[" : "[");
		put_json(page, thread->name);
		PUT(page, ",%lld,%lld]", (long long)thread->tid, (long long)thread->total);
	}
	PUT(page, "],\n\"cells\":[");
	if (count)
		qsort_r(tree->cells[column].at, count, sizeof *tree->cells[column].at, by_place, place);
	for (uint32_t i = 0; i < count; i++) {
		const struct dp_html_cell *cell = &tree->cells[column].at[i];
		PUT(page, i ? ",%u,%u,%lld" : "%u,%u,%lld", place[cell->node] - before, cell->thread,
			(long long)cell->value);
		before = place[cell->node];
	}
	PUT(page, "]");
}

static void put_facts(struct page *page, const struct dp_profile *profile)
{
	int64_t samples = 0;
	for (uint32_t i = 0; i < profile->samples.count && profile->types.count > 1; i++)
		samples += profile->samples.at[i].values[0];
	PUT(page, "\"time\":%lld,\"duration\":%lld,\"period\":%lld,\"samples\":%lld,\n",
		(long long)profile->time_ns, (long long)profile->duration_ns, (long long)profile->period,
		(long long)samples);
}

static void put_header(struct page *page, const struct dp_profile *profile)
{
	const uint32_t main_value = dp_main_value(profile);
	const bool is_typed = profile->types.count != 0;
	PUT(page, "\"version\":\"" DEEPPROF_VERSION "\",\"type\":");
	put_json(page, is_typed ? profile->types.at[main_value].type : "");
	PUT(page, ",\"unit\":");
	put_json(page, is_typed ? profile->types.at[main_value].unit : "");
	PUT(page, ",\n");
	put_facts(page, profile);
	PUT(page, "\"identity\":[");
	for (uint32_t i = 0; i < profile->identity.count; i++) {
		PUT(page, i ? ",[" : "[");
		put_json(page, profile->identity.at[i].key);
		PUT(page, ",");
		put_json(page, profile->identity.at[i].value);
		PUT(page, "]");
	}
	PUT(page, "],\n\"comments\":[");
	for (uint32_t i = 0; i < profile->comments.count; i++) {
		PUT(page, i ? "," : "");
		put_json(page, profile->comments.at[i]);
	}
	PUT(page, "],\n\"losses\":[");
	for (int i = 0, is_first = 1; i < DP_DROP_COUNT; i++) {
		if (!profile->losses[i].count)
			continue;
		PUT(page, is_first ? "[" : ",[");
		put_json(page, dp_drop_name(i));
		PUT(page, ",");
		put_json(page, dp_drop_text(i));
		PUT(page, ",%llu,%llu]", (unsigned long long)profile->losses[i].count,
			(unsigned long long)profile->losses[i].weight_ns);
		is_first = 0;
	}
	PUT(page, "],\n");
}

static void put_data(struct page *page, const struct dp_profile *profile, const struct dp_profile *base)
{
	struct dp_html_tree tree = {0};
	uint32_t *place = NULL;
	page->error = page->error ? page->error : dp_html_tree_init(&tree, profile, base);
	if (!page->error) {
		place = calloc(tree.nodes.count, sizeof *place);
		page->error = place ? 0 : -ENOMEM;
	}
	if (!page->error) {
		PUT(page, "{");
		put_header(page, profile);
		put_frames(page, &tree);
		put_nodes(page, &tree, place);
		put_cells(page, &tree, 0, place);
		if (base) {
			PUT(page, ",\n\"base\":{");
			put_facts(page, base);
			put_cells(page, &tree, 1, place);
			PUT(page, "}");
		}
		PUT(page, "}");
	}
	free(place);
	dp_html_tree_fini(&tree);
}

int dp_html_encode(const struct dp_profile *profile, const struct dp_profile *base, const char *title,
	struct dp_buffer *out)
{
	struct page page = {.out = out};
	const char *at = (const char *)dp_embedded_page;
	const char *const end = at + dp_embedded_page_size;
	while (at < end) {
		const char *mark = memchr(at, '@', (size_t)(end - at));
		const size_t left = mark ? (size_t)(end - mark) : 0;
		put_bytes(&page, at, (size_t)((mark ? mark : end) - at));
		if (!mark)
			break;
		at = (const char *)memchr(mark + 1, '@', left - 1) + 1; /* marks come in pairs */
		if (!strncmp(mark, "@TITLE@", 7))
			put_html(&page, title);
		else if (!strncmp(mark, "@STYLE@", 7))
			put_bytes(&page, dp_embedded_style, dp_embedded_style_size);
		else if (!strncmp(mark, "@SCRIPT@", 8))
			put_bytes(&page, dp_embedded_script, dp_embedded_script_size);
		else if (!strncmp(mark, "@DATA@", 6))
			put_data(&page, profile, base);
	}
	return page.error;
}
