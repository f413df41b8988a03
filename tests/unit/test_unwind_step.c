/* SPDX-License-Identifier: Apache-2.0
 * The walker and libunwind agree at every single instruction of programs in small.
 *
 * A child is stepped instruction by instruction; at each, its whole stack is walked from its registers by the
 * table and by libunwind over the same copy. Now and then a signal is thrown in, so that handlers interrupt
 * code at any instruction. DEEPPROF_STEPS (default 20000) bounds the instructions of each shape. */
#include "tests/unit/unwind_host.h"
#include "tests/unit/unwind_shapes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FRAMES = 64, COPY = 256 * 1024, RED_ZONE = 128, SIGNAL_EVERY = 997 };

struct tally {
	unsigned long steps, agreed, ended, complex, in_loader, corrected, mismatched;
};

static struct unwind_host host;
static struct dp_finisher *finisher;
static struct dp_rule_cache cache;
static struct dp_frame last[64]; /* the last stack on which both agreed */
static int last_count;
static uint8_t copy[COPY];
static uint64_t loader_entry; /* an address in the dynamic loader */

static void read_registers(pid_t child, struct dp_registers *to)
{
	struct user_regs_struct r;

	assert_int_equal(ptrace(PTRACE_GETREGS, child, NULL, &r), 0);
	*to = (struct dp_registers){{r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9,
		r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip}};
}

static void reread_maps(pid_t child)
{
	assert_int_equal(unwind_host_read(&host, child), 0);
	dp_finisher_flush(finisher);
}

/* The child's main stack from below sp up, and where sp is elsewhere, all that follows it. */
static size_t copy_stack(pid_t child, uint64_t from, uint64_t to)
{
	struct iovec local = {.iov_base = copy, .iov_len = to - from < COPY ? to - from : COPY};
	struct iovec remote = {.iov_base = (void *)from, .iov_len = local.iov_len};
	const ssize_t size = process_vm_readv(child, &local, 1, &remote, 1, 0);

	return size < 0 ? 0 : size;
}

static void print_stack(const char *who, const struct dp_frame *frames, int count, enum dp_stop stop)
{
	print_message("  %s: stop %d\n", who, stop);
	for (int i = 0; i < count; i++) {
		const struct dp_finish_module *module = unwind_host_find(&host, frames[i].id);

		print_message("    %d: %#lx (+%#lx) place %u flags %d\n", i, frames[i].id,
			module ? frames[i].id - module->bias : 0, frames[i].place, frames[i].flags);
	}
}

/* The loader's entry for lazy binding is the one function of ordinary programs whose CFA hangs on rbx. */
static bool is_lazy_binding(uint64_t pc)
{
	const struct dp_finish_module *module = unwind_host_find(&host, pc);

	return module == unwind_host_find(&host, loader_entry);
}

/* gcc says of the last two instructions of code that realigns its stack (lea -8(%r10),%rsp; ret) that rbp is
 * still saved, although it has popped it: libunwind then loses callers that need rbp. There the judge is the
 * stack itself: the callers are those of the instruction before. */
static bool is_after_realigned(pid_t child, uint64_t pc)
{
	static const uint8_t lea[] = {0x49, 0x8d, 0x62, 0xf8};
	const uint64_t words[] = {ptrace(PTRACE_PEEKTEXT, child, (void *)(pc - 4), NULL),
		ptrace(PTRACE_PEEKTEXT, child, (void *)pc, NULL)};

	return !memcmp(&words[1], lea, sizeof lea) ||
	       (!memcmp(&words[0], lea, sizeof lea) && (uint8_t)words[1] == 0xc3);
}

static bool has_last_callers(const struct dp_frame *frames, int count)
{
	if (count != last_count)
		return false;
	for (int i = 1; i < count; i++)
		if (frames[i].id != last[i].id)
			return false;
	return true;
}

static bool same_frame(const struct dp_frame *a, const struct dp_frame *b)
{
	return a->id == b->id && a->place == b->place && a->flags == (b->flags & ~DP_FRAME_AGENT);
}

static void compare_here(pid_t child, const char *name, struct tally *tally)
{
	struct dp_frame mine[FRAMES], theirs[FRAMES];
	struct dp_walk walk = {0};
	struct dp_finish_input input = {.stack = copy, .find = unwind_host_find, .context = &host};
	int count, their_count, compared;
	enum dp_stop their_stop;
	uint64_t from;

	read_registers(child, &walk.registers);
	if (!unwind_host_find(&host, walk.registers.value[DP_REG_PC]))
		reread_maps(child);
	input.registers = walk.registers;
	from = (walk.registers.value[DP_REG_SP] - RED_ZONE) & ~(uint64_t)7;
	input.stack_address = from;
	/* The main stack's end, or for a stack in data, as far as it goes; both walkers see the same bytes.
	 */
	input.stack_size = copy_stack(child, from,
		from < host.stack_high && from >= host.stack_low - COPY ? host.stack_high : from + COPY);
	walk.stack.count = 1;
	walk.stack.ranges[0] = (struct dp_stack_range){.low = from,
		.high = from + input.stack_size,
		.shift = (ptrdiff_t)(uintptr_t)copy - (ptrdiff_t)from};

	count = dp_unwind(host.map, &cache, &walk, mine, FRAMES);
	their_count = dp_finish(finisher, &input, theirs, FRAMES, &their_stop);
	tally->steps++;
	tally->complex += walk.stop == DP_STOP_COMPLEX;
	tally->in_loader += walk.stop == DP_STOP_COMPLEX && is_lazy_binding(mine[count - 1].id);
	tally->ended += walk.stop == DP_STOP_END;
	compared = count < their_count ? count : their_count;
	for (int i = 0; i < compared; i++) {
		const bool is_cut = walk.stop == DP_STOP_COMPLEX && i == count - 1;

		if (is_cut ? mine[i].id != theirs[i].id : !same_frame(&mine[i], &theirs[i]))
			goto mismatch;
	}
	if (walk.stop != DP_STOP_COMPLEX && (count != their_count || walk.stop != their_stop))
		goto mismatch;
	tally->agreed++;
	memcpy(last, mine, sizeof last);
	last_count = count;
	return;
mismatch:
	if (walk.stop == DP_STOP_END && is_after_realigned(child, mine[0].id) &&
		has_last_callers(mine, count)) {
		tally->corrected++;
		return;
	}
	if (tally->mismatched++ < 3) {
		print_message("%s: step %lu\n", name, tally->steps);
		print_stack("table", mine, count, walk.stop);
		print_stack("libunwind", theirs, their_count, their_stop);
	}
}

static void on_thrown_signal(int signo)
{
	(void)signo;
}

static void step_through(const struct unwind_shape *shape, unsigned long limit, struct tally *tally)
{
	const pid_t child = fork();
	int status, signo = 0;

	assert_true(child >= 0);
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		signal(SIGUSR1, on_thrown_signal);
		raise(SIGSTOP);
		shape->run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	reread_maps(child);
	for (unsigned long i = 0; i < limit; i++) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, (void *)(long)signo), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSTOPPED(status)) {
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			return;
		}
		signo = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		if (!signo && i % SIGNAL_EVERY == SIGNAL_EVERY - 1)
			signo = SIGUSR1;
		compare_here(child, shape->name, tally);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
}

static void every_instruction_of_every_shape_unwinds_as_libunwind_does(void **state)
{
	const char *setting = getenv("DEEPPROF_STEPS");
	const unsigned long limit = setting ? strtoul(setting, NULL, 0) : 20000;
	struct tally all = {0};

	(void)state;
	for (int i = 0; i < unwind_shape_count; i++) {
		struct tally tally = {0};

		step_through(&unwind_shapes[i], limit, &tally);
		print_message("%-24s %7lu instructions, %7lu equal, %7lu whole, %lu complex\n",
			unwind_shapes[i].name, tally.steps, tally.agreed, tally.ended, tally.complex);
		all.steps += tally.steps;
		all.agreed += tally.agreed;
		all.ended += tally.ended;
		all.complex += tally.complex;
		all.corrected += tally.corrected;
		all.in_loader += tally.in_loader;
		all.mismatched += tally.mismatched;
		assert_true(tally.steps > 100);
	}
	print_message("%-24s %7lu instructions, %7lu equal, %7lu whole, %lu complex\n", "all", all.steps,
		all.agreed, all.ended, all.complex);
	assert_int_equal(all.mismatched, 0);
	/* setcontext and longjmp are complex in their last instructions, too. */
	assert_true(all.complex - all.in_loader <= all.steps / 1000);
	assert_true(all.ended > all.steps * 2 / 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_instruction_of_every_shape_unwinds_as_libunwind_does),
	};

	loader_entry = getauxval(AT_BASE) + 0x1000;
	finisher = dp_finisher_new();
	return finisher ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
