/* SPDX-License-Identifier: Apache-2.0
 * A chained hash table in an arena: hash by all, compare by all, so that no two stacks are ever merged by chance. */
#include "agent/stacks.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BUCKETS = 256 };

int dp_stacks_init(struct dp_stacks *stacks, size_t cap_bytes)
{
	*stacks = (struct dp_stacks){0};
	dp_arena_init(&stacks->arena, cap_bytes);
	stacks->buckets = calloc(FIRST_BUCKETS, sizeof *stacks->buckets);
	stacks->bucket_count = stacks->buckets ? FIRST_BUCKETS : 0;
	return stacks->buckets ? 0 : -ENOMEM;
}

static uint64_t frame_word(const struct dp_frame *frame)
{
	const uint64_t runtime = (uint64_t)(frame->runtime & DP_STACK_RUNTIME_MASK) << DP_STACK_RUNTIME_SHIFT;
	if (frame->flags & DP_FRAME_MISSING)
		return (frame->id & DP_STACK_ADDRESS) | runtime | DP_STACK_MISSING;
	if (frame->flags & DP_FRAME_AWAITS)
		return runtime | DP_STACK_AWAITS;
	return (frame->id & DP_STACK_ADDRESS) | runtime | (frame->flags & DP_FRAME_EXACT ? DP_STACK_EXACT : 0) |
	       (frame->flags & DP_FRAME_GUESSED ? DP_STACK_GUESSED : 0);
}

static void grow(struct dp_stacks *stacks)
{
	const uint32_t size = stacks->bucket_count * 2;
	struct dp_stack **buckets = calloc(size, sizeof *buckets);
	if (!buckets)
		return; /* longer chains, nothing worse */
	for (uint32_t i = 0; i < stacks->bucket_count; i++)
		for (struct dp_stack *stack = stacks->buckets[i], *next; stack; stack = next) {
			next = stack->next;
			stack->next = buckets[stack->hash % size];
			buckets[stack->hash % size] = stack;
		}
	free(stacks->buckets);
	stacks->buckets = buckets;
	stacks->bucket_count = size;
}

static int is_same(
        const struct dp_stack *stack, const struct dp_stack_key *key, const struct dp_frame *frames, unsigned count)
{
	if (memcmp(stack->texts, key->texts, sizeof stack->texts) != 0)
		return 0;
	if (stack->tid != key->tid || stack->generation != key->generation || stack->stop != key->stop ||
	        stack->labels != key->labels || stack->flags != key->flags || stack->frame_count != count)
		return 0;
	for (unsigned i = 0; i < count; i++)
		if (stack->frames[i] != frame_word(&frames[i]))
			return 0;
	return 1;
}

void dp_stacks_add(struct dp_stacks *stacks, const struct dp_stack_key *key, const struct dp_frame *frames,
        unsigned count, uint64_t weight_ns, uint64_t samples)
{
	uint64_t hash = dp_mix((uint64_t)key->tid << 32 | key->generation,
	        (uint64_t)key->labels << 32 | (uint64_t)key->stop << 16 | (uint64_t)key->flags << 20 | count);
	for (unsigned i = 0; i < DP_TEXTS; i++)
		hash = dp_mix(hash, key->texts[i]);
	for (unsigned i = 0; i < count; i++)
		hash = dp_mix(hash, frame_word(&frames[i]));
	struct dp_stack *stack = stacks->buckets[hash % stacks->bucket_count];
	while (stack && (stack->hash != hash || !is_same(stack, key, frames, count)))
		stack = stack->next;
	if (!stack) {
		stack = dp_arena_alloc(&stacks->arena, sizeof *stack + count * sizeof stack->frames[0]);
		if (!stack) {
			stacks->overflow_count += samples;
			stacks->overflow_weight_ns += weight_ns;
			return;
		}
		stack->hash = hash;
		stack->tid = key->tid;
		stack->generation = key->generation;
		stack->stop = key->stop;
		stack->labels = key->labels;
		stack->flags = key->flags;
		memcpy(stack->texts, key->texts, sizeof stack->texts);
		stack->frame_count = (uint16_t)count;
		for (unsigned i = 0; i < count; i++)
			stack->frames[i] = frame_word(&frames[i]);
		if (++stacks->count > stacks->bucket_count)
			grow(stacks);
		stack->next = stacks->buckets[hash % stacks->bucket_count];
		stacks->buckets[hash % stacks->bucket_count] = stack;
	}
	stack->count += samples;
	stack->weight_ns += weight_ns;
}

void dp_stacks_fini(struct dp_stacks *stacks)
{
	free(stacks->buckets);
	dp_arena_fini(&stacks->arena);
	*stacks = (struct dp_stacks){0};
}
