/* SPDX-License-Identifier: Apache-2.0
 * Reports for a terminal: the hottest functions and the call tree. */
#include "export/export.h"
#include "export/frames.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One function, or one node of the tree: a name and what it cost, in the profile and in the base. */
struct node {
	char *name;
	double self[2], total[2];
	uint32_t seen; /* sample number + 1 that counted it last: recursion counts once */
	uint32_t parent, first_child, next; /* indices + 1 of a tree */
};

struct nodes {
	struct node *at;
	uint32_t count, capacity;
	uint32_t *slots; /* hash of (parent, name) to index + 1 */
	uint32_t slot_count;
};

static uint64_t hash_of(uint32_t parent, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ parent;
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static int grow_slots(struct nodes *nodes)
{
	const uint32_t size = nodes->slot_count ? nodes->slot_count * 2 : 1024;
	uint32_t *slots = calloc(size, sizeof *slots);
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < nodes->count; i++) {
		uint32_t at = (uint32_t)hash_of(nodes->at[i].parent, nodes->at[i].name) & (size - 1);
		while (slots[at])
			at = (at + 1) & (size - 1);
		slots[at] = i + 1;
	}
	free(nodes->slots);
	nodes->slots = slots;
	nodes->slot_count = size;
	return 0;
}

/* Index of the node with this name under parent (index + 1; 0: the root), or -ENOMEM. */
static int find(struct nodes *nodes, uint32_t parent, const char *name)
{
	if (nodes->count * 2 >= nodes->slot_count && grow_slots(nodes) != 0)
		return -ENOMEM;
	uint32_t at = (uint32_t)hash_of(parent, name) & (nodes->slot_count - 1);
	for (; nodes->slots[at]; at = (at + 1) & (nodes->slot_count - 1)) {
		const struct node *node = &nodes->at[nodes->slots[at] - 1];
		if (node->parent == parent && !strcmp(node->name, name))
			return (int)nodes->slots[at] - 1;
	}
	if (nodes->count == nodes->capacity) {
		const uint32_t capacity = nodes->capacity ? nodes->capacity * 2 : 512;
		struct node *more = realloc(nodes->at, capacity * sizeof *more);
		if (!more)
			return -ENOMEM;
		nodes->at = more;
		nodes->capacity = capacity;
	}
	struct node *node = &nodes->at[nodes->count];
	*node = (struct node){.name = strdup(name), .parent = parent};
	if (!node->name)
		return -ENOMEM;
	if (parent) {
		node->next = nodes->at[parent - 1].first_child;
		nodes->at[parent - 1].first_child = nodes->count + 1;
	}
	nodes->slots[at] = ++nodes->count;
	return (int)nodes->count - 1;
}

static void nodes_fini(struct nodes *nodes)
{
	for (uint32_t i = 0; i < nodes->count; i++)
		free(nodes->at[i].name);
	free(nodes->at);
	free(nodes->slots);
}

/* Adds one profile as column which (0: the profile, 1: the base). is_tree: nodes by path, else by name. */
static int add_profile(struct nodes *nodes, const struct dp_profile *profile, int which, bool is_tree, double *sum)
{
	char made[4200];
	for (uint32_t i = 0; i < profile->samples.count; i++) {
		const struct dp_profile_sample *sample = &profile->samples.at[i];
		const double value = (double)sample->values[dp_main_value(profile)];
		const uint32_t mark = i * 2 + (uint32_t)which + 1;
		int node = -1;
		uint32_t parent = 0;
		*sum += value;
		for (uint32_t j = sample->location_count; j-- > 0;) {
			const struct dp_location *location = &profile->locations.at[sample->locations[j]];
			for (uint32_t k = dp_frame_count(location); k-- > 0;) {
				node = find(nodes, parent, dp_frame_name(profile, location, k, made, sizeof made));
				if (node < 0)
					return node;
				if (nodes->at[node].seen != mark || is_tree)
					nodes->at[node].total[which] += value;
				nodes->at[node].seen = mark;
				if (is_tree)
					parent = (uint32_t)node + 1;
			}
		}
		if (node >= 0)
			nodes->at[node].self[which] += value;
	}
	return 0;
}

/* Names come from files; a terminal would obey their control characters. After the last find(). */
static void make_printable(struct nodes *nodes)
{
	for (uint32_t i = 0; i < nodes->count; i++)
		for (unsigned char *c = (unsigned char *)nodes->at[i].name; *c; c++) {
			if (*c < 0x20 || *c == 0x7f)
				*c = '?';
			else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) /* C1 in UTF-8 */
				c[0] = c[1] = '?';
		}
}

static int by_self(const void *one, const void *other)
{
	const struct node *a = one, *b = other;
	return a->self[0] != b->self[0]     ? (a->self[0] < b->self[0] ? 1 : -1)
	       : a->total[0] != b->total[0] ? (a->total[0] < b->total[0] ? 1 : -1)
	                                    : strcmp(a->name, b->name);
}

static double share_change(const struct node *node, const double *sums)
{
	return (sums[0] ? node->self[0] / sums[0] : 0) - (sums[1] ? node->self[1] / sums[1] : 0);
}

static int put_head(const struct dp_profile *profile, double sum, struct dp_buffer *out)
{
	char total[64], seconds[64];
	int64_t samples = 0;
	for (uint32_t i = 0; i < profile->samples.count; i++)
		samples += profile->samples.at[i].values[0];
	const struct dp_value_type none = {"", ""};
	const struct dp_value_type *type = profile->types.count ? &profile->types.at[dp_main_value(profile)] : &none;
	dp_human_value(type, sum, total, sizeof total);
	dp_human_value(&(struct dp_value_type){"", "nanoseconds"}, (double)profile->duration_ns, seconds, sizeof seconds);
	int error = dp_buffer_format(out, "%s of %s in %s, %lld samples\n", total, type->type, seconds, (long long)samples);
	for (int i = 0; i < DP_DROP_COUNT && !error; i++)
		if (profile->losses[i].count) {
			char weight[64] = "";
			if (profile->losses[i].weight_ns) {
				strcpy(weight, ", ");
				dp_human_value(&(struct dp_value_type){"", "nanoseconds"},
				        (double)profile->losses[i].weight_ns, weight + 2, sizeof weight - 2);
			}
			error = dp_buffer_format(out, "lost: %s %llu%s (%s)\n", dp_drop_name(i),
			        (unsigned long long)profile->losses[i].count, weight, dp_drop_text(i));
		}
	return error;
}

int dp_top_encode(const struct dp_profile *profile, const struct dp_profile *base, unsigned most, struct dp_buffer *out)
{
	struct nodes nodes = {0};
	double sums[2] = {0, 0};
	int error = add_profile(&nodes, profile, 0, false, &sums[0]);
	if (!error && base)
		error = add_profile(&nodes, base, 1, false, &sums[1]);
	make_printable(&nodes);
	if (!error)
		error = put_head(profile, sums[0], out);
	if (nodes.count)
		qsort(nodes.at, nodes.count, sizeof *nodes.at, by_self);
	if (!error)
		error = dp_buffer_format(out, "%s   self   total  function\n", base ? " change" : "");
	for (uint32_t i = 0; i < nodes.count && i < most && !error; i++) {
		const struct node *node = &nodes.at[i];
		if (base)
			error = dp_buffer_format(out, "%+6.1f%%", 100 * share_change(node, sums));
		if (!error)
			error = dp_buffer_format(out, "%6.1f%% %6.1f%%  %s\n", sums[0] ? 100 * node->self[0] / sums[0] : 0,
			        sums[0] ? 100 * node->total[0] / sums[0] : 0, node->name);
	}
	nodes_fini(&nodes);
	return error;
}

static const struct nodes *sorting;

static int by_total(const void *one, const void *other)
{
	const struct node *a = &sorting->at[*(const uint32_t *)one], *b = &sorting->at[*(const uint32_t *)other];
	return a->total[0] != b->total[0] ? (a->total[0] < b->total[0] ? 1 : -1) : strcmp(a->name, b->name);
}

/* Children of a node, hottest first; those below half a per cent are summed up in silence. */
static const double SHARE_LEAST = 0.005; /* of all: smaller functions would bury the others */

static int put_children(const struct nodes *nodes, uint32_t parent, unsigned depth, const double *sums, bool has_base,
        struct dp_buffer *out)
{
	enum { DEPTH_MOST = 400 };
	double hidden = 0;
	uint32_t count = 0, capacity = 16, hidden_count = 0;
	uint32_t *children = malloc(capacity * sizeof *children);
	int error = children ? 0 : -ENOMEM;
	for (uint32_t i = parent ? nodes->at[parent - 1].first_child : nodes->count > 0; i && !error;
		i = parent             ? nodes->at[i - 1].next
		    : i < nodes->count ? i + 1
				       : 0) {
		if (!parent && nodes->at[i - 1].parent)
			continue;
		if (count == capacity) {
			uint32_t *more = realloc(children, 2 * capacity * sizeof *more);
			if (!more) {
				error = -ENOMEM;
				break;
			}
			children = more;
			capacity *= 2;
		}
		children[count++] = i - 1;
	}
	sorting = nodes;
	if (!error)
		qsort(children, count, sizeof *children, by_total);
	for (uint32_t i = 0; i < count && !error; i++) {
		const struct node *node = &nodes->at[children[i]];
		const double share = sums[0] ? node->total[0] / sums[0] : 0;
		if (share < SHARE_LEAST || depth > DEPTH_MOST) {
			hidden += share;
			hidden_count++;
			continue;
		}
		if (has_base)
			error = dp_buffer_format(out, "%+6.1f%% ", 100 * (share - (sums[1] ? node->total[1] / sums[1] : 0)));
		if (!error)
			error = dp_buffer_format(out, "%6.1f%% %6.1f%%  %*s%s\n", 100 * share,
			        sums[0] ? 100 * node->self[0] / sums[0] : 0, (int)(depth * 2), "", node->name);
		if (!error)
			error = put_children(nodes, children[i] + 1, depth + 1, sums, has_base, out);
	}
	if (!error && hidden >= SHARE_LEAST)
		error = dp_buffer_format(out, "%s%6.1f%%          %*s(%u more)\n", has_base ? "        " : "",
		        100 * hidden, (int)(depth * 2), "", hidden_count);
	free(children);
	return error;
}

int dp_tree_encode(const struct dp_profile *profile, const struct dp_profile *base, struct dp_buffer *out)
{
	struct nodes nodes = {0};
	double sums[2] = {0, 0};
	int error = add_profile(&nodes, profile, 0, true, &sums[0]);
	if (!error && base)
		error = add_profile(&nodes, base, 1, true, &sums[1]);
	make_printable(&nodes);
	if (!error)
		error = put_head(profile, sums[0], out);
	if (!error)
		error = dp_buffer_format(out, "%s  total    self  function\n", base ? " change " : "");
	if (!error)
		error = put_children(&nodes, 0, 0, sums, base != NULL, out);
	if (!error)
		error = dp_buffer_format(out, "(functions below %.1f %% are not shown)\n", 100 * SHARE_LEAST);
	nodes_fini(&nodes);
	return error;
}
