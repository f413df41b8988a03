/* SPDX-License-Identifier: Apache-2.0
 * The native walk: a rule for each code address, a step for each rule.
 *
 * Why a table and not .eh_frame itself: finding an FDE and running its program costs a few hundred
 * nanoseconds a frame, a row costs thirty, and a row that the cache remembers five. Frame pointers are
 * followed only where there is no CFI: in code that has some, a frame pointer is right by accident. */
#include "unwind/unwind.h"

#include "unwind/step.h"
#include "unwind/table.h"

#include <errno.h>

enum { LOWEST_CODE = 0x10000 }; /* below, a pc is a null pointer that was called */

static uint32_t rule_in_map(const struct dp_code_map *map, uintptr_t address)
{
	const struct dp_code_range *range;
	uint32_t low = 0, count = map->count;

	while (count > 0) { /* the first range that ends behind address */
		const uint32_t half = count / 2;

		if (map->ranges[low + half].end <= address) {
			low += half + 1;
			count -= half + 1;
		} else {
			count = half;
		}
	}
	if (low == map->count || address < map->ranges[low].start)
		return DP_RULE_NO_MAP;
	range = &map->ranges[low];
	if (!range->table)
		return range->flags & DP_CODE_PENDING ? DP_RULE_PENDING : DP_RULE_GAP;
	if (address - range->origin > UINT32_MAX)
		return DP_RULE_GAP;
	return dp_table_find(range->table, address - range->origin);
}

/* The low bits of code addresses are as good as random, and a hash would lengthen the one chain of dependent
 * instructions that the walk is: return address, rule, CFA, return address. */
static inline struct dp_rule_cache_entry *entry_of(struct dp_rule_cache *cache, uintptr_t pc)
{
	return &cache->entries[pc / DP_CODE_ALIGN % DP_RULE_CACHE_SIZE];
}

/* Not inlined: its registers would be the walk's. */
static __attribute__((noinline)) uint32_t find_rule(const struct dp_code_map *map,
	struct dp_rule_cache_entry *entry, uint64_t generation, uintptr_t address)
{
	const uint32_t rule = map ? rule_in_map(map, address) : DP_RULE_NO_MAP;

	if (entry) {
		entry->key = address;
		entry->rule = generation << 32 | rule;
	}
	return rule;
}

static bool is_known_code(const struct dp_code_map *map, uintptr_t address)
{
	const uint32_t rule = map ? rule_in_map(map, address) : DP_RULE_NO_MAP;

	return rule != DP_RULE_NO_MAP;
}

static bool is_in_view(const struct dp_window *window, uintptr_t address)
{
	struct dp_window other = *window;

	return dp_window_turn(&other, address);
}

/* A call into nowhere (a null or wild function pointer): nothing has run there, so the caller is where a call
 * leaves it. */
static int step_from_nowhere(const struct dp_code_map *map, struct dp_walk *walk, struct dp_window *window,
	const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	uintptr_t address = 0;

	*next = *position;
	if (DP_CALL_PUSHES) {
		if (!dp_window_read(window, position->sp, &address))
			return DP_STOP_NO_MAP;
		next->sp += sizeof address;
	} else {
#if defined(__aarch64__)
		address = walk->registers.value[DP_REG_LR];
#endif
	}
	(void)walk;
	address = dp_return_address(address);
	if (address < LOWEST_CODE || !is_known_code(map, address - 1))
		return DP_STOP_NO_MAP;
	next->pc = address;
	next->is_exact = false;
	next->is_guessed = true;
	*cfa = next->sp;
	return DP_STEP_OK;
}

/* Code without CFI: {caller's frame pointer, return address} at the frame pointer, on both CPUs. */
static int step_by_frame_pointer(struct dp_window *window, const struct dp_position *position, int failure,
	struct dp_position *next, uintptr_t *cfa)
{
	const uintptr_t fp = position->fp;
	uintptr_t window_low, address;

	/* Outermost frames clear it (psABI 3.4.1); in a leaf it may be any value. */
	if (!fp)
		return position->is_exact ? failure : DP_STOP_END;
	if (!dp_window_turn(window, position->sp) || fp < position->sp)
		return failure;
	window_low = window->low;
	if (!dp_window_read(window, fp, &next->fp) ||
		!dp_window_read(window, fp + sizeof address, &address) || window->low != window_low)
		return failure;
	address = dp_return_address(address);
	if (!address)
		return DP_STOP_END;
	if (address < LOWEST_CODE || address >> DP_ADDRESS_BITS || is_in_view(window, address))
		return failure;
	next->pc = address;
	next->sp = *cfa = fp + 2 * sizeof address;
	next->is_exact = false;
	next->is_guessed = true;
	return DP_STEP_OK;
}

static int step_without_cfi(const struct dp_code_map *map, struct dp_walk *walk, struct dp_window *window,
	uint32_t rule, const struct dp_position *position, struct dp_position *next, uintptr_t *cfa)
{
	const int failure = rule == DP_RULE_NO_MAP ? DP_STOP_NO_MAP : DP_STOP_NO_CFI;
	const bool may_be_nowhere = position->is_exact && rule == DP_RULE_NO_MAP;
	int ret;

	/* A call does not end in a hole: this address was pushed to begin there (makecontext, a thread's
	 * start). */
	if (rule == DP_RULE_GAP && !position->is_exact && map) {
		const uint32_t here = rule_in_map(map, position->pc);

		if (here != DP_RULE_GAP && here != DP_RULE_NO_MAP && here != DP_RULE_PENDING)
			return DP_STOP_END;
	}
	if (may_be_nowhere && (position->pc < LOWEST_CODE || position->pc >> DP_ADDRESS_BITS))
		return step_from_nowhere(map, walk, window, position, next, cfa);
	ret = step_by_frame_pointer(window, position, failure, next, cfa);
	if (rule == DP_RULE_NO_MAP)
		walk->met_unknown = true;
	if (ret == failure && may_be_nowhere)
		ret = step_from_nowhere(map, walk, window, position, next, cfa);
	return ret;
}

/* Any step, with all checks and everything that may happen. */
static __attribute__((noinline)) int step_slowly(const struct dp_code_map *map, struct dp_walk *walk,
	struct dp_window *window, uint32_t rule, const struct dp_position *position, struct dp_position *next,
	uintptr_t *cfa)
{
	if (rule == DP_RULE_PENDING)
		return DP_STOP_PENDING;
	if (rule == DP_RULE_NO_MAP && position->pc - walk->owned_low < walk->owned_high - walk->owned_low)
		return DP_STOP_OWNED;
	if (rule == DP_RULE_GAP || rule == DP_RULE_NO_MAP)
		return step_without_cfi(map, walk, window, rule, position, next, cfa);
	return dp_step(walk, window, rule, position, next, cfa);
}

static inline uint32_t place_of(uintptr_t cfa, uintptr_t origin)
{
	const uintptr_t words = (cfa - origin) / sizeof(uintptr_t);

	return cfa >= origin && words < UINT32_MAX ? (uint32_t)words : UINT32_MAX;
}

static inline unsigned flags_of(const struct dp_position *position)
{
	return (position->is_exact ? DP_FRAME_EXACT : 0) | (position->is_guessed ? DP_FRAME_GUESSED : 0);
}

/* Writes the fields behind id at once; base/frame.h runs on little-endian machines alone. */
static inline void write_frame(struct dp_frame *frame, uintptr_t pc, uint32_t place, unsigned flags)
{
	const uint64_t rest = (uint64_t)DP_FRAME_NATIVE << 32 | (uint64_t)flags << 40 | place;

	_Static_assert(offsetof(struct dp_frame, place) == 8 && offsetof(struct dp_frame, flags) == 13, "");
	frame->id = pc;
	__builtin_memcpy(&frame->place, &rest, sizeof rest);
}

int dp_unwind(const struct dp_code_map *map, struct dp_rule_cache *cache, struct dp_walk *walk,
	struct dp_frame *frames, int max)
{
	/* Whoever has his address taken lives in memory; what the loop turns on lives in registers. */
	struct dp_position at = {
		.pc = walk->registers.value[DP_REG_PC],
		.sp = walk->registers.value[DP_REG_SP],
		.fp = walk->registers.value[DP_REG_FP],
		.is_exact = !walk->is_caller,
	};
	const uintptr_t origin = walk->place_origin ? walk->place_origin : at.sp;
	const uint64_t generation = map ? map->generation : 0;
	struct dp_window window = {.view = &walk->stack};
	int count = 0, stop = DP_STOP_TRUNCATED;

	walk->met_unknown = false;
	dp_window_turn(&window, at.sp); /* so that the first step, too, is seen to stay on its stack */
	if (!map)
		cache = NULL; /* generation 0 would match a cache of zeroes */
	while (count < max) {
		struct dp_frame *frame = &frames[count++];
		struct dp_rule_cache_entry *entry = cache ? entry_of(cache, at.pc) : NULL;
		const uintptr_t look = at.pc - !at.is_exact;
		struct dp_position next;
		uintptr_t cfa;
		uint32_t rule;

		if (entry && entry->key == look && entry->rule >> 32 == generation)
			rule = entry->rule;
		else
			rule = find_rule(map, entry, generation, look);
		if (!dp_step_plainly(&window, rule, &at, &next, &cfa)) {
			struct dp_position position = at, caller;
			uintptr_t slow_cfa;

			stop = step_slowly(map, walk, &window, rule, &position, &caller, &slow_cfa);
			if (stop != DP_STEP_OK) {
				if (stop == DP_STOP_OWNED || (stop == DP_STOP_NO_MAP && at.is_guessed && count > 1))
					count--; /* a guess that led into no code and no further is none */
				else
					write_frame(frame, at.pc, UINT32_MAX, flags_of(&at));
				break;
			}
			next = caller;
			cfa = slow_cfa;
		}
		write_frame(frame, at.pc, place_of(cfa, origin), flags_of(&at));
		if (count == max) {
			stop = DP_STOP_TRUNCATED;
			break;
		}
		at = next;
	}
	walk->registers.value[DP_REG_PC] = at.pc;
	walk->registers.value[DP_REG_SP] = at.sp;
	walk->registers.value[DP_REG_FP] = at.fp;
	walk->is_caller = !at.is_exact;
	walk->stop = stop;
	return count;
}

int dp_table_check(const void *memory, size_t size)
{
	const struct dp_table *table = memory;

	if (size < sizeof *table || (uintptr_t)memory & (sizeof(uint32_t) - 1))
		return -EBADMSG;
	if (table->magic != DP_TABLE_MAGIC || table->version != DP_TABLE_VERSION ||
		table->machine != DP_ELF_MACHINE)
		return -EBADMSG;
	if (!table->row_count || dp_table_size(table->row_count, table->page_count) > size)
		return -EBADMSG;
	return 0;
}
