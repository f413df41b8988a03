/* SPDX-License-Identifier: Apache-2.0
 * The walker on its own process' stacks, beside libunwind's, and on stacks and tables made up to mislead it.
 */
#include "unwind/unwind.h"

#include "tests/unit/unwind_host.h"
#include "tests/unit/unwind_local.h"
#include "tests/unit/unwind_shapes.h"
#include "unwind/table.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

enum { FRAMES = 256, PAGE = 65536 };

static struct unwind_host host;
static struct dp_rule_cache cache;

#if defined(__x86_64__)

static void registers_of(const ucontext_t *context, struct dp_registers *to)
{
	static const int greg_of[DP_REG_USED] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
		REG_RBP, REG_RSP, REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
		REG_RIP};

	for (int i = 0; i < DP_REG_USED; i++)
		to->value[i] = context->uc_mcontext.gregs[greg_of[i]];
}

/* What the handler saw. */
static struct dp_walk walk;
static struct dp_frame frames[FRAMES];
static uint64_t local[FRAMES];
static int count, local_count;
static unsigned long looks, equal, with_signal_frame;

static void on_look(int signo, siginfo_t *info, void *context)
{
	stack_t alternative;

	(void)signo, (void)info;
	walk = (struct dp_walk){
		.stack = {.count = 1, .ranges = {{.low = host.stack_low, .high = host.stack_high}}}};
	registers_of(context, &walk.registers);
	sigaltstack(NULL, &alternative);
	if (!(alternative.ss_flags & SS_DISABLE)) {
		walk.stack.ranges[1] = (struct dp_stack_range){.low = (uintptr_t)alternative.ss_sp,
			.high = (uintptr_t)alternative.ss_sp + alternative.ss_size};
		walk.stack.count = 2;
	}
	walk.stack.ranges[walk.stack.count++] =
		(struct dp_stack_range){.low = (uintptr_t)shape_coroutine_stack,
			.high = (uintptr_t)shape_coroutine_stack + SHAPE_COROUTINE_STACK};
	count = dp_unwind(host.map, &cache, &walk, frames, FRAMES);
	local_count = unwind_local_step(context, local, FRAMES);
	looks++;
	if (walk.stop != DP_STOP_END || count != local_count)
		return;
	for (int i = 0; i < count; i++) {
		if (frames[i].id != local[i])
			return;
		with_signal_frame += i && frames[i].flags & DP_FRAME_EXACT;
	}
	equal++;
}

static void raise_look(void)
{
	kill(getpid(), SIGUSR1);
}

static void a_signal_handler_sees_what_libunwind_sees(void **state)
{
	struct sigaction action = {.sa_sigaction = on_look, .sa_flags = SA_SIGINFO};

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	shape_look = raise_look;
	for (int i = 0; i < unwind_shape_count; i++) {
		assert_int_equal(unwind_host_read(&host, getpid()), 0);
		looks = equal = 0;
		unwind_shapes[i].run();
		if (looks)
			print_message("%-24s %lu stacks, %lu equal, the last of %d frames\n",
				unwind_shapes[i].name, looks, equal, count);
		if (equal != looks)
			for (int k = 0; k < count || k < local_count; k++)
				print_message(" %d %#lx %#lx\n", k, k < count ? frames[k].id : 0,
					k < local_count ? local[k] : 0);
		assert_int_equal(equal, looks);
	}
	shape_look = NULL;
	assert_true(with_signal_frame > 0);
}

/* Made-up worlds: code at CODE, a stack at STACK, a JIT's code at JIT. */
enum { CODE = 0x10000000, OTHER_CODE = 0x20000000, JIT = 0x60000000, STACK = 0x70000000, WORDS = 64 };

struct world {
	struct dp_code_map *map;
	struct dp_table *table;
	uint64_t stack[WORDS];
	struct dp_walk walk;
	struct dp_frame frames[FRAMES];
};

static uint32_t sp_rule(unsigned words)
{
	return DP_RULE_SP | DP_RULE_FP_SAME << 4 | words << 12;
}

static uint32_t fp_rule(void)
{
	return DP_RULE_FP | 2u << 4 | 2u << 12;
}

/* Rows {offset, rule}, one page of code. */
static struct dp_table *make_table(const uint32_t (*rows)[2], uint32_t row_count)
{
	struct dp_table *table = calloc(1, dp_table_size(row_count, 1));

	*table = (struct dp_table){.magic = DP_TABLE_MAGIC,
		.version = DP_TABLE_VERSION,
		.machine = DP_ELF_MACHINE,
		.row_count = row_count,
		.page_count = 1};
	table->words[1] = row_count - 1;
	for (uint32_t i = 0; i < row_count; i++) {
		((uint16_t *)dp_table_offsets(table))[i] = (uint16_t)rows[i][0];
		((uint32_t *)dp_table_rules(table))[i] = rows[i][1];
	}
	assert_int_equal(dp_table_check(table, dp_table_size(row_count, 1)), 0);
	return table;
}

static void make_world(struct world *world, const uint32_t (*rows)[2], uint32_t row_count)
{
	static uint32_t generation = 1 << 20;

	memset(world, 0, sizeof *world);
	world->table = make_table(rows, row_count);
	world->map = calloc(1, sizeof *world->map + 2 * sizeof world->map->ranges[0]);
	*world->map = (struct dp_code_map){.generation = ++generation, .count = 1};
	world->map->ranges[0] = (struct dp_code_range){
		.start = CODE, .end = CODE + 4096, .origin = CODE, .table = world->table};
	world->walk.stack.count = 1;
	world->walk.stack.ranges[0] = (struct dp_stack_range){
		.low = STACK, .high = STACK + sizeof world->stack, .shift = (uintptr_t)world->stack - STACK};
}

static int walk_from(struct world *world, uint64_t pc, unsigned sp_word, uint64_t fp, int max)
{
	world->walk.is_caller = false;
	world->walk.registers.value[DP_REG_PC] = pc;
	world->walk.registers.value[DP_REG_SP] = STACK + sp_word * 8;
	world->walk.registers.value[DP_REG_FP] = fp;
	return dp_unwind(world->map, &cache, &world->walk, world->frames, max);
}

static void end_world(struct world *world)
{
	free(world->map);
	free(world->table);
}

static void a_call_through_null_shows_its_caller(void **state)
{
	const uint32_t rows[][2] = {{0, DP_RULE_END}};
	struct world world;

	(void)state;
	make_world(&world, rows, 1);
	world.stack[4] = CODE + 100;
	assert_int_equal(walk_from(&world, 0, 4, 0, FRAMES), 2);
	assert_int_equal(world.walk.stop, DP_STOP_END);
	assert_int_equal(world.frames[0].flags, DP_FRAME_EXACT);
	assert_int_equal(world.frames[1].id, CODE + 100);
	assert_int_equal(world.frames[1].flags, DP_FRAME_GUESSED);
	world.stack[4] = JIT; /* no known code: no guess */
	assert_int_equal(walk_from(&world, 0, 4, 0, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_NO_MAP);
	end_world(&world);
}

static void code_of_a_jit_is_left_by_its_frame_pointer(void **state)
{
	const uint32_t rows[][2] = {{0, fp_rule()}};
	struct world world;

	(void)state;
	make_world(&world, rows, 1);
	world.stack[8] = STACK + 12 * 8; /* the JIT's frame: caller's fp, return address */
	world.stack[9] = JIT + 0x500;
	world.stack[12] = STACK + 20 * 8; /* another one, called from code with CFI */
	world.stack[13] = CODE + 50;
	world.stack[20] = 0; /* the end of the chain */
	world.stack[21] = 0;
	assert_int_equal(walk_from(&world, JIT, 6, STACK + 8 * 8, FRAMES), 3);
	assert_int_equal(world.walk.stop, DP_STOP_END);
	assert_int_equal(world.frames[1].id, JIT + 0x500);
	assert_int_equal(world.frames[1].flags, DP_FRAME_GUESSED);
	assert_int_equal(world.frames[1].place, 8);
	assert_int_equal(world.frames[2].id, CODE + 50);
	assert_int_equal(world.frames[2].flags, DP_FRAME_GUESSED);
	end_world(&world);
}

static void a_frame_pointer_that_does_not_grow_is_not_followed(void **state)
{
	const uint32_t rows[][2] = {{0, DP_RULE_GAP}};
	struct world world;

	(void)state;
	make_world(&world, rows, 1);
	world.stack[8] = STACK + 6 * 8;
	world.stack[9] = CODE + 30;
	assert_int_equal(walk_from(&world, CODE, 6, STACK + 8 * 8, FRAMES), 2);
	assert_int_equal(world.walk.stop, DP_STOP_NO_CFI);
	assert_int_equal(walk_from(&world, CODE, 6, STACK + 4 * 8, FRAMES), 1);
	assert_int_equal(walk_from(&world, CODE, 6, STACK + 8 * 8 + 1, FRAMES), 1);
	assert_int_equal(walk_from(&world, CODE, 6, 12345, FRAMES), 1);
	world.stack[9] = STACK + 30; /* not code: an address of the stack */
	assert_int_equal(walk_from(&world, CODE, 6, STACK + 8 * 8, FRAMES), 1);
	end_world(&world);
}

static void each_reason_to_stop_is_told(void **state)
{
	const uint32_t rows[][2] = {{0, sp_rule(1)}, {16, DP_RULE_COMPLEX}, {32, sp_rule(0)},
		{48, sp_rule(1000)}, {64, DP_RULE_END}, {80, fp_rule()}};
	struct world world;

	(void)state;
	make_world(&world, rows, 6);
	world.stack[1] = CODE + 5;
	world.stack[2] = 0;
	assert_int_equal(walk_from(&world, CODE + 3, 1, 0, FRAMES), 2);
	assert_int_equal(world.walk.stop, DP_STOP_END); /* a zero return address */
	assert_int_equal(walk_from(&world, CODE + 16, 1, 0, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_COMPLEX);
	assert_int_equal(walk_from(&world, CODE + 33, 2, 0, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_NO_PROGRESS);
	assert_int_equal(walk_from(&world, CODE + 50, 2, 0, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_BAD_MEMORY);
	assert_int_equal(walk_from(&world, CODE + 64, 2, 0, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_END);
	assert_int_equal(walk_from(&world, CODE + 80, 2, UINT64_MAX - 7, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_BAD_MEMORY);
	world.map->ranges[0].table = NULL;
	world.map->ranges[0].flags = DP_CODE_PENDING;
	world.map->generation += 1 << 10;
	assert_int_equal(walk_from(&world, CODE + 3, 1, 0, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_PENDING);
	world.walk.registers.value[DP_REG_PC] = CODE + 3;
	assert_int_equal(dp_unwind(NULL, &cache, &world.walk, world.frames, FRAMES), 1);
	assert_int_equal(world.walk.stop, DP_STOP_NO_MAP);
	end_world(&world);
}

static void a_cache_does_not_serve_the_rules_of_another_map(void **state)
{
	const uint32_t first[][2] = {{0, sp_rule(1)}}, second[][2] = {{0, sp_rule(2)}};
	struct world a, b;

	(void)state;
	make_world(&a, first, 1);
	make_world(&b, second, 1);
	for (int i = 0; i < WORDS; i++)
		a.stack[i] = b.stack[i] = CODE + i;
	for (int round = 0; round < 2; round++) {
		walk_from(&a, CODE, 0, 0, 2);
		assert_int_equal(a.frames[1].id, CODE);
		assert_int_equal(a.frames[0].place, 1);
		walk_from(&b, CODE, 0, 0, 2);
		assert_int_equal(b.frames[1].id, CODE + 1);
		assert_int_equal(b.frames[0].place, 2);
	}
	end_world(&a);
	end_world(&b);
}

static void a_walk_in_two_pieces_is_the_walk_in_one(void **state)
{
	const uint32_t rows[][2] = {{0, sp_rule(2)}, {32, DP_RULE_END}};
	struct world world;
	struct dp_frame whole[FRAMES];
	int all, n;

	(void)state;
	make_world(&world, rows, 2);
	for (int i = 0; i < 40; i++)
		world.stack[i] = CODE + 1 + i % 17;
	world.stack[21] = CODE + 40;
	all = walk_from(&world, CODE, 0, 0, FRAMES);
	assert_int_equal(world.walk.stop, DP_STOP_END);
	assert_int_equal(all, 12);
	memcpy(whole, world.frames, sizeof whole);
	n = walk_from(&world, CODE, 0, 0, 5);
	assert_int_equal(n, 5);
	assert_int_equal(world.walk.stop, DP_STOP_TRUNCATED);
	assert_memory_equal(world.frames, whole, 5 * sizeof *whole);
	assert_true(world.walk.is_caller);
	assert_int_equal(world.walk.registers.value[DP_REG_PC], whole[4].id);
	world.walk.place_origin = STACK;
	n = dp_unwind(world.map, &cache, &world.walk, world.frames, FRAMES);
	assert_int_equal(n, 8); /* the fifth again, and the rest */
	assert_memory_equal(world.frames, whole + 4, 8 * sizeof *whole);
	end_world(&world);
}

static void what_is_no_table_is_refused(void **state)
{
	const uint32_t rows[][2] = {{0, sp_rule(1)}, {16, DP_RULE_COMPLEX}};
	struct dp_table *table = make_table(rows, 2);
	const size_t size = dp_table_size(2, 1);

	(void)state;
	assert_int_not_equal(dp_table_check(table, size - 1), 0);
	assert_int_not_equal(dp_table_check(table, 3), 0);
	table->magic++;
	assert_int_not_equal(dp_table_check(table, size), 0);
	table->magic--;
	table->machine++;
	assert_int_not_equal(dp_table_check(table, size), 0);
	table->machine--;
	table->row_count = UINT32_MAX;
	assert_int_not_equal(dp_table_check(table, size), 0);
	table->row_count = 0;
	assert_int_not_equal(dp_table_check(table, size), 0);
	free(table);
}

static uint64_t random_state = 42;
static uint64_t next_random(void)
{
	uint64_t z = (random_state += 0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	return z ^ z >> 27;
}

/* Memory that ends at an unreadable page. */
static uint8_t *guarded(size_t size)
{
	uint8_t *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED && size <= PAGE);
	assert_int_equal(mprotect(memory + PAGE, PAGE, PROT_NONE), 0);
	return memory + PAGE - size;
}

static void hostile_tables_lead_nowhere_else(void **state)
{
	enum { ROWS = 24, PAGES = 3, ROUNDS = 300000 };
	const size_t size = dp_table_size(ROWS, PAGES);
	struct dp_table *table = (struct dp_table *)guarded(size);
	uint64_t *stack = (uint64_t *)guarded(WORDS * 8);
	const uint64_t base = (uint64_t)stack - (uint64_t)stack % PAGE;
	unsigned long taken = 0, walked = 0;
	struct world world;

	(void)state;
	make_world(&world, (const uint32_t[][2]){{0, 0}}, 1);
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t *words = (uint32_t *)table;

		*table = (struct dp_table){.magic = DP_TABLE_MAGIC,
			.version = DP_TABLE_VERSION,
			.machine = DP_ELF_MACHINE,
			.row_count = ROWS,
			.page_count = PAGES};
		for (size_t i = sizeof *table / 4; i < size / 4; i++)
			words[i] = next_random() % 4 ? next_random() % (i < 12 ? ROWS : 4096 * PAGES)
						     : next_random();
		for (int i = 0; i < ROWS; i++) /* near rules, so that walks go some way */
			table->words[PAGES + 1 + i] = next_random() % 12 | (next_random() % 8 << 4) |
						      (next_random() % 6 << 12) |
						      (next_random() % 3 << 16);
		if (next_random() % 4 == 0)
			words[next_random() % 6] ^= 1u << next_random() % 32;
		if (dp_table_check(table, size))
			continue;
		taken++;
		for (int i = 0; i < WORDS; i++)
			stack[i] = next_random() % 2   ? CODE + next_random() % (PAGES * 4096)
				   : next_random() % 2 ? (uint64_t)(stack + next_random() % WORDS)
						       : next_random();
		world.map->generation++;
		world.map->ranges[0] = (struct dp_code_range){
			.start = CODE, .end = CODE + PAGES * 4096 + 64, .origin = CODE, .table = table};
		world.walk = (struct dp_walk){
			.stack = {.count = 1,
				.ranges = {{.low = (uintptr_t)stack, .high = (uintptr_t)(stack + WORDS)}}}};
		for (int i = 0; i < DP_REG_USED; i++)
			world.walk.registers.value[i] = (uint64_t)(stack + next_random() % WORDS);
		world.walk.registers.value[DP_REG_PC] = CODE + next_random() % (PAGES * 4096);
		walked += dp_unwind(
			world.map, next_random() % 2 ? &cache : NULL, &world.walk, world.frames, FRAMES);
	}
	print_message("%lu tables taken, %lu frames\n", taken, walked);
	assert_true(taken > ROUNDS / 2 && walked > taken);
	munmap((void *)((uintptr_t)table / PAGE * PAGE), 2 * PAGE);
	munmap((void *)base, 2 * PAGE);
	end_world(&world);
}

#endif

int main(void)
{
#if defined(__x86_64__)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_handler_sees_what_libunwind_sees),
		cmocka_unit_test(a_call_through_null_shows_its_caller),
		cmocka_unit_test(code_of_a_jit_is_left_by_its_frame_pointer),
		cmocka_unit_test(a_frame_pointer_that_does_not_grow_is_not_followed),
		cmocka_unit_test(each_reason_to_stop_is_told),
		cmocka_unit_test(a_cache_does_not_serve_the_rules_of_another_map),
		cmocka_unit_test(a_walk_in_two_pieces_is_the_walk_in_one),
		cmocka_unit_test(what_is_no_table_is_refused),
		cmocka_unit_test(hostile_tables_lead_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
#else
	return 77;
#endif
}
