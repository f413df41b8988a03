/* SPDX-License-Identifier: Apache-2.0
 * Steps through the VM's own code, from the frame where the native walk met it to the native caller.
 *
 * Frames that have called something are exact: an interpreted one is found by its frame pointer, a compiled one and a
 * runtime stub by its size. The interrupted frame may be half built: there the code around it says how far. */
#include "runtimes/hotspot/hotspot.h"

#include "base/syscall.h"

#if defined(__x86_64__)
#include "runtimes/hotspot/x86_64/hotspot_frame.h"

enum { FRAME_MOST = 1024 * 1024, SCAN_WORDS = 64, NATIVE_WORDS = 8, DOUBTED = 3 };

struct step {
	struct dp_managed_tick *tick;
	struct dp_owned_walk *walk;
	uintptr_t pc, sp, fp;
	bool is_exact; /* this frame was interrupted: registers are its own */
	/* A frame was left by what looks like a return address: what follows may be left-overs. So many frames more are read with
	 * care; a chain in which they all fit is none by chance. */
	unsigned doubted;
	int count;
};

/* ---- the stack ---- */

static bool is_on_stack(const struct step *step, uintptr_t address)
{
	return !(address & 7) && address >= step->walk->stack_low && address < step->walk->stack_high - 7;
}

static bool read_stack(const struct step *step, uintptr_t address, uintptr_t *word)
{
	if (!is_on_stack(step, address))
		return false;
	*word = *(const volatile uintptr_t *)(address + (uintptr_t)step->walk->shift);
	return true;
}

static bool is_return(uintptr_t pc)
{
	uintptr_t to;
	struct dp_jvm_blob blob;
	if (!dp_jvm_is_code(pc))
		return false;
	if (pc == dp_jvm.call_stub || dp_jvm_is_interpreter(pc))
		return true;
	if (!dp_jvm_find_blob(pc, &blob) || pc < blob.code + 8)
		return false;
	uint32_t unused;
	return dp_jvm_is_behind_call(pc, &to) || (blob.kind == DP_JVM_BLOB_NMETHOD && dp_jvm_is_deopt(&blob, pc, &unused));
}

static bool add(struct step *step, uint64_t id, uintptr_t cfa)
{
	struct dp_owned_walk *walk = step->walk;
	const uintptr_t words = (cfa - walk->origin) / 8;
	if (step->count == walk->max) {
		walk->end = DP_OWNED_FULL;
		return false;
	}
	walk->frames[step->count++] = (struct dp_frame){
	        .id = id, .place = cfa >= walk->origin && words < UINT32_MAX ? (uint32_t)words : UINT32_MAX, .runtime = DP_FRAME_JVM};
	return true;
}

static bool go(struct step *step, uintptr_t pc, uintptr_t sp, uintptr_t fp)
{
	if (sp <= step->sp && !(step->is_exact && sp == step->sp))
		return false; /* no frame is empty but an interrupted one that jumps */
	step->pc = pc;
	step->sp = sp;
	step->fp = fp;
	step->is_exact = false;
	return true;
}

/* One more frame fits, and leads to where a call was made. */
static void trust(struct step *step, uintptr_t ret)
{
	if (step->doubted && is_return(ret))
		step->doubted--;
}

static uintptr_t reg(const struct step *step, unsigned number)
{
	return step->walk->registers->value[number];
}

/* ---- interpreted frames ---- */

struct interpreted {
	uintptr_t fp, caller_fp, ret, sender_sp, method, bcp;
};

static intptr_t slot(intptr_t offset)
{
	return dp_jvm.version == 8 && offset <= DP_JVM_LOCALS ? offset + 8 : offset;
}

/* Does all that such a frame keeps fit together? */
static bool read_interpreted(const struct step *step, uintptr_t fp, struct interpreted *frame)
{
	uintptr_t locals;
	frame->fp = fp;
	if (fp < step->sp || fp - step->sp > FRAME_MOST || !read_stack(step, fp, &frame->caller_fp) ||
	        !read_stack(step, fp + 8, &frame->ret) || !read_stack(step, fp + (uintptr_t)(intptr_t)DP_JVM_SENDER_SP, &frame->sender_sp) ||
	        !read_stack(step, fp + (uintptr_t)(intptr_t)DP_JVM_METHOD, &frame->method) ||
	        !read_stack(step, fp + (uintptr_t)slot(DP_JVM_BCP), &frame->bcp) ||
	        !read_stack(step, fp + (uintptr_t)slot(DP_JVM_LOCALS), &locals))
		return false;
	/* From 21 on a number of words above fp. */
	if (locals < 0x20000)
		locals = fp + locals * 8;
	/* A method handle's linker takes its last argument off the stack: then the return address lies where the caller's
	 * stack ended. */
	return frame->sender_sp >= fp + 8 && is_on_stack(step, frame->sender_sp - 8) && locals >= fp + 8 &&
	       is_on_stack(step, locals) && frame->method > 4096 && !(frame->method & 7) && is_return(frame->ret);
}

static bool add_interpreted(struct step *step, const struct interpreted *frame, uintptr_t bcp, bool is_certain)
{
	const uint32_t number = dp_jvm_method_number(step->tick, frame->method, is_certain);
	if (!number && !is_certain)
		return false;
	int32_t bci = number ? dp_jvm_bci_of(step->tick, frame->method, bcp, is_certain) : -1;
	if (number && bci < 0 && bcp != frame->bcp)
		bci = dp_jvm_bci_of(step->tick, frame->method, frame->bcp, is_certain);
	if (number && bci < 0 && !bcp && !frame->bcp)
		bci = 0; /* before its first bytecode, or a native method */
	return add(step, dp_jvm_id(number, DP_JVM_INTERPRETED, bci), frame->fp + 16);
}

/* A method is being entered: its frame is there in part or not at all. At first the return address lies on top; then it is
 * in rax, while locals are made below where it was; then frame, sp, method and the rest are pushed one by one. */
static bool step_entry(struct step *step)
{
	const uintptr_t method = reg(step, DP_JVM_REG_METHOD), rax = reg(step, DP_JVM_REG_RAX), sp = step->sp, fp = step->fp;
	struct interpreted own = {.fp = fp, .method = method}, full;
	uintptr_t top = 0, next = 0, sender = reg(step, DP_JVM_REG_SENDER_SP);
	const bool is_full = read_interpreted(step, fp, &full);
	step->doubted = DOUBTED;
	if (fp >= sp && fp - sp < DP_JVM_FIXED && read_stack(step, fp, &own.caller_fp) && read_stack(step, fp + 8, &own.ret) &&
	        is_return(own.ret)) {
		if (fp - sp >= 8)
			read_stack(step, fp - 8, &sender);
	} else if (is_full && (full.method == method || full.ret == rax)) {
		return add_interpreted(step, &full, 0, false) && go(step, full.ret, full.sender_sp, full.caller_fp);
	} else {
		own = (struct interpreted){.fp = sp - 8, .caller_fp = fp, .method = method};
		if (read_stack(step, sp, &top) && is_return(top)) {
			own.ret = top;
		} else if (top == fp && read_stack(step, sp + 8, &next) && is_return(next)) {
			own.ret = next;
			own.fp = sp;
		} else if (is_return(rax)) {
			own.ret = rax;
		} else {
			return is_full && add_interpreted(step, &full, 0, false) && go(step, full.ret, full.sender_sp, full.caller_fp);
		}
	}
	if (sender < sp || !is_on_stack(step, sender))
		sender = own.fp + 16;
	return add_interpreted(step, &own, 0, false) && go(step, own.ret, sender, own.caller_fp);
}

/* A method is being left: its frame is gone, the return address on top or in r13, the caller's sp in rbx. */
static bool step_left(struct step *step)
{
	uintptr_t top, sender = reg(step, DP_JVM_REG_METHOD);
	step->doubted = DOUBTED;
	if (read_stack(step, step->sp, &top) && is_return(top))
		return go(step, top, sender > step->sp && is_on_stack(step, sender) ? sender : step->sp + 8, step->fp);
	if (is_return(reg(step, DP_JVM_REG_BCP)))
		return go(step, reg(step, DP_JVM_REG_BCP), step->sp, step->fp);
	return false;
}

static bool step_interpreted(struct step *step)
{
	struct interpreted frame;
	if (step->is_exact) {
		const struct dp_jvm_codelet *codelet = dp_jvm_codelet_at(step->pc);
		if (codelet && codelet->is_entry)
			return step_entry(step);
		if (!read_interpreted(step, step->fp, &frame) || !add_interpreted(step, &frame, reg(step, DP_JVM_REG_BCP), false))
			return step_left(step);
	} else if (!read_interpreted(step, step->fp, &frame) || !add_interpreted(step, &frame, frame.bcp, !step->doubted)) {
		return false;
	} else {
		trust(step, frame.ret);
	}
	return go(step, frame.ret, frame.sender_sp, frame.caller_fp);
}

/* ---- compiled frames ---- */

/* is_body: the frame is there, and something of the method runs. */
static uint32_t depth_of(const struct step *step, const struct dp_jvm_blob *blob, bool *is_body, bool *is_over)
{
	const uint32_t whole = (blob->frame_size - 1) * 8;
	*is_body = !step->is_exact;
	*is_over = false;
	if (!step->is_exact)
		return whole;
	const uintptr_t entry = dp_jvm_verified_entry(blob);
	if (step->pc < entry)
		return 0;
	if (step->pc < blob->frame_complete) {
		uint32_t depth = dp_jvm_entry_depth(entry, step->pc, blob->end);
		if (depth == UINT32_MAX) {
			const uintptr_t start = dp_jvm_frame_start(entry, blob->frame_complete + 8);
			depth = start && step->pc <= start ? 0 : start ? dp_jvm_entry_depth(start, step->pc, blob->end) : UINT32_MAX;
		}
		return depth < whole ? depth : whole;
	}
	const uint32_t depth = dp_jvm_exit_depth(step->pc, blob->code, blob->end);
	*is_over = depth != UINT32_MAX || dp_jvm_is_exit(step->pc, blob->code, blob->end);
	*is_body = !*is_over;
	return depth == UINT32_MAX ? whole : depth;
}

static bool add_compiled(struct step *step, const struct dp_jvm_blob *blob, uintptr_t pc, uintptr_t cfa)
{
	const uint64_t *ids;
	const uint32_t count = dp_jvm_scopes(step->tick, blob, pc, !step->doubted, &ids);
	for (uint32_t i = 0; i < count; i++)
		if (!add(step, ids[i], cfa))
			return false;
	return true;
}

static bool step_compiled(struct step *step, const struct dp_jvm_blob *blob)
{
	bool is_body, is_over;
	uint32_t depth = depth_of(step, blob, &is_body, &is_over), pc_offset;
	uintptr_t ret, caller_fp = step->fp, pc = step->pc;
	if (!blob->frame_size || (step->doubted && !step->tick->may_call))
		return false; /* what only looks like a frame is not read without the kernel */
	if (!step->is_exact && dp_jvm_is_deopt(blob, pc, &pc_offset) && !read_stack(step, step->sp + pc_offset, &pc))
		return false;
	if (!read_stack(step, step->sp + depth, &ret) || (step->is_exact && !is_return(ret)))
		return false;
	if (depth >= 8 && !read_stack(step, step->sp + depth - 8, &caller_fp))
		return false;
	/* Entry and exit are noted as nobody's: what stands behind them in the code is some other place. */
	if (!is_body ? !add(step, dp_jvm_whole_scope(step->tick, blob, is_over ? -1 : 0, !step->doubted), step->sp + depth + 8)
	             : !add_compiled(step, blob, pc, step->sp + depth + 8))
		return false;
	trust(step, ret);
	return go(step, ret, step->sp + depth + 8, caller_fp);
}

/* ---- stubs ---- */

static bool add_stub(struct step *step, const struct dp_jvm_blob *blob, uintptr_t cfa)
{
	uint32_t size;
	const char *name = dp_jvm_stub_name(step->pc, blob, &size);
	return add(step, dp_jvm_id(dp_jvm_text_number(step->tick, name, size), DP_JVM_STUB, -1), cfa);
}

/* C++ calls some as functions. */
static bool is_native_return(uintptr_t pc)
{
	uintptr_t to;
	return pc - dp_jvm.start < dp_jvm.end - dp_jvm.start && pc - dp_jvm.start > 8 && dp_jvm_is_behind_call(pc, &to) && !to;
}

/* The word above sp that stands behind a call of this very stub: its return address, whatever has been pushed below. 0: none,
 * or the call was patched meanwhile. */
static uintptr_t find_call(const struct step *step, const struct dp_jvm_blob *blob, unsigned words)
{
	uintptr_t word, to;
	for (unsigned i = 0; i < words && read_stack(step, step->sp + i * 8, &word); i++)
		if (dp_jvm_is_code(word) && !dp_jvm_is_interpreter(word) && is_return(word) && dp_jvm_is_behind_call(word, &to) &&
		        to >= blob->code && to < blob->end && (blob->kind == DP_JVM_BLOB_RUNTIME || to <= step->pc))
			return step->sp + i * 8;
	return 0;
}

static bool is_method_or_return(uintptr_t pc)
{
	struct dp_jvm_blob blob;
	return is_return(pc) || (dp_jvm_is_code(pc) && dp_jvm_find_blob(pc, &blob) && blob.kind == DP_JVM_BLOB_NMETHOD);
}

/* at: where the return address lies. If rbp was pushed right below and is the stub's own now, the caller's is there. */
static bool leave_stub(struct step *step, const struct dp_jvm_blob *blob, uintptr_t at)
{
	uintptr_t ret, caller_fp = step->fp;
	step->doubted = DOUBTED;
	if (!read_stack(step, at, &ret) || (at > step->sp && step->fp == at - 8 && !read_stack(step, at - 8, &caller_fp)))
		return false;
	return add_stub(step, blob, at + 8) && go(step, ret, at + 8, caller_fp);
}

static bool step_by_fp(struct step *step, const struct dp_jvm_blob *blob)
{
	return step->fp >= step->sp && leave_stub(step, blob, step->fp + 8);
}

/* Code without a frame of known size, or that was interrupted in building it. */
static bool step_stub(struct step *step, const struct dp_jvm_blob *blob)
{
	uintptr_t word;
	const unsigned words = blob->frame_size ? blob->frame_size + 2 : SCAN_WORDS;
	const uintptr_t called = find_call(step, blob, words);
	if (called)
		return leave_stub(step, blob, called);
	if (step->is_exact && dp_jvm_is_last(step->pc) && read_stack(step, step->sp, &word) && is_method_or_return(word))
		return leave_stub(step, blob, step->sp);
	if (step->fp >= step->sp && step->fp - step->sp < words * 8 && read_stack(step, step->fp + 8, &word) && is_method_or_return(word))
		return step_by_fp(step, blob);
	if (read_stack(step, step->sp, &word) && is_return(word))
		return leave_stub(step, blob, step->sp);
	for (unsigned i = 0; i < NATIVE_WORDS && read_stack(step, step->sp + i * 8, &word); i++)
		if (is_native_return(word))
			return leave_stub(step, blob, step->sp + i * 8);
	return false;
}

/* C++ calls Java here: it has a frame pointer once it is built. */
static bool step_call_stub(struct step *step, const struct dp_jvm_blob *blob)
{
	uintptr_t ret, caller_fp;
	step->tick->mark = step->fp;
	if (step->fp < step->sp || !read_stack(step, step->fp, &caller_fp) || !read_stack(step, step->fp + 8, &ret))
		return false;
	return add_stub(step, blob, step->fp + 16) && go(step, ret, step->fp + 16, caller_fp);
}

static bool step_runtime(struct step *step, const struct dp_jvm_blob *blob)
{
	const uint32_t depth = (blob->frame_size - 1) * 8;
	uintptr_t ret, caller_fp;
	if (step->is_exact && step_stub(step, blob))
		return true;
	if (!read_stack(step, step->sp + depth, &ret) || !read_stack(step, step->sp + depth - 8, &caller_fp))
		return false;
	return add_stub(step, blob, step->sp + depth + 8) && go(step, ret, step->sp + depth + 8, caller_fp);
}

static bool step_once(struct step *step)
{
	struct dp_jvm_blob blob;
	if (dp_jvm_is_interpreter(step->pc))
		return step_interpreted(step);
	if (!dp_jvm_find_blob(step->pc, &blob))
		return false;
	switch (blob.kind) {
	case DP_JVM_BLOB_NMETHOD:
		return step_compiled(step, &blob);
	case DP_JVM_BLOB_RUNTIME:
		return step_runtime(step, &blob);
	case DP_JVM_BLOB_UPCALL:
		return step_by_fp(step, &blob);
	case DP_JVM_BLOB_STUBS:
		break;
	}
	return !step->is_exact && step->pc == dp_jvm.call_stub ? step_call_stub(step, &blob) : step_stub(step, &blob);
}

/* Before any Java runs, C++ calls stubs that it has just made. Not even what they are called is known. */
static bool leave_early_stub(struct step *step)
{
	uintptr_t word, caller_fp = step->fp;
	for (unsigned i = 0; i < NATIVE_WORDS && read_stack(step, step->sp + i * 8, &word); i++)
		if (is_native_return(word)) {
			if (i && step->fp == step->sp + (i - 1) * 8 && !read_stack(step, step->fp, &caller_fp))
				return false;
			return go(step, word, step->sp + i * 8 + 8, caller_fp);
		}
	return false;
}

int dp_jvm_step(struct dp_managed_tick *tick, struct dp_owned_walk *walk)
{
	struct dp_registers *registers = walk->registers;
	struct step step = {
	        .tick = tick,
	        .walk = walk,
	        .pc = registers->value[DP_REG_PC],
	        .sp = registers->value[DP_REG_SP],
	        .fp = registers->value[DP_REG_FP],
	        .is_exact = walk->is_exact,
	};
	walk->end = DP_OWNED_TORN;
	if (!dp_jvm_is_ready(step.pc)) {
		if (!leave_early_stub(&step))
			return 0;
		walk->end = DP_OWNED_CALLER;
	}
	while (walk->end != DP_OWNED_CALLER && step_once(&step)) {
		if (dp_jvm_is_code(step.pc))
			continue;
		walk->end = step.pc ? DP_OWNED_CALLER : DP_OWNED_END;
		break;
	}
	registers->value[DP_REG_PC] = step.pc;
	registers->value[DP_REG_SP] = step.sp;
	registers->value[DP_REG_FP] = step.fp;
	walk->is_exact = step.is_exact;
	return step.count;
}

/* ---- where Java was left ---- */

struct anchor {
	uintptr_t sp, pc, fp;
};

/* What the VM noted when Java called it: the thread has the newest, each call of Java from C++ keeps the one before. */
static bool read_anchor(struct step *step, struct anchor *anchor)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	uintptr_t wrapper;
	if (step->tick->mark) {
		const uintptr_t from = (uintptr_t)at->wrapper_anchor;
		return at->wrapper_anchor >= 0 && at->anchor_sp >= 0 &&
		       read_stack(step, step->tick->mark + (uintptr_t)(intptr_t)DP_JVM_WRAPPER, &wrapper) &&
		       read_stack(step, wrapper + from + (uintptr_t)at->anchor_sp, &anchor->sp) &&
		       read_stack(step, wrapper + from + (uintptr_t)at->anchor_pc, &anchor->pc) &&
		       read_stack(step, wrapper + from + (uintptr_t)at->anchor_fp, &anchor->fp);
	}
	const uintptr_t thread = dp_jvm_thread(step->tick);
	return thread && at->thread_anchor >= 0 && at->anchor_sp >= 0 && at->anchor_pc >= 0 && at->anchor_fp >= 0 && dp_tick_probe(step->tick, thread + (uintptr_t)(at->thread_anchor + at->anchor_sp), &anchor->sp, 8) &&
	       dp_tick_probe(step->tick, thread + (uintptr_t)(at->thread_anchor + at->anchor_pc), &anchor->pc, 8) &&
	       dp_tick_probe(step->tick, thread + (uintptr_t)(at->thread_anchor + at->anchor_fp), &anchor->fp, 8);
}

bool dp_jvm_resume(struct dp_managed_tick *tick, struct dp_owned_walk *walk)
{
	struct dp_registers *registers = walk->registers;
	struct step step = {.tick = tick, .walk = walk};
	struct anchor anchor;
	if (!read_anchor(&step, &anchor) || anchor.sp <= registers->value[DP_REG_SP] || !is_on_stack(&step, anchor.sp))
		return false;
	if (!anchor.pc && !read_stack(&step, anchor.sp - 8, &anchor.pc))
		return false;
	if (!dp_jvm_is_ready(anchor.pc) || !dp_jvm_is_code(anchor.pc))
		return false;
	registers->value[DP_REG_PC] = anchor.pc;
	registers->value[DP_REG_SP] = anchor.sp;
	registers->value[DP_REG_FP] = anchor.fp;
	return true;
}

#else
bool dp_jvm_resume(struct dp_managed_tick *tick, struct dp_owned_walk *walk)
{
	(void)tick, (void)walk;
	return false;
}

int dp_jvm_step(struct dp_managed_tick *tick, struct dp_owned_walk *walk)
{
	(void)tick;
	walk->end = DP_OWNED_TORN;
	return 0;
}
#endif
