/* SPDX-License-Identifier: Apache-2.0
 * One tick: see where the thread is, write it down, leave no trace. No system call unless the thread stands on a
 * stack that we do not know. */
#include "capture/host.h"
#include "capture/module.h"
#include "capture/registers.h"
#include "capture/walk.h"

#include "base/syscall.h"

#include <sys/uio.h>

struct dp_host dp_host;
_Alignas(4096) struct dp_owner_page dp_owner;

/* ---- lanes ---- */

static uint32_t room_of(const struct dp_lane *lane)
{
	const struct dp_ring *ring = lane->view.ring;
	return lane->view.size - (dp_load_relaxed(&ring->head) - dp_load_relaxed(&ring->tail));
}

/* The one it had last: its cache is warm. Another where that is leased or has less room. */
static struct dp_lane *lease_one(struct dp_thread *self, uint32_t count, uint32_t room)
{
	uint32_t number = self->last_lane < count ? self->last_lane : 0;
	for (uint32_t tried = 0; tried < count; tried++) {
		struct dp_lane *lane = dp_host.lanes[number];
		uint32_t free = 0;
		if (!dp_load_relaxed(&lane->is_leased) && dp_cas(&lane->is_leased, &free, 1)) {
			if (!room || room_of(lane) >= room) {
				self->last_lane = number;
				return lane;
			}
			dp_store_release(&lane->is_leased, 0);
		}
		if (++number == count)
			number = 0;
	}
	return NULL;
}

void dp_lane_forget_names(struct dp_lane *lane)
{
	if (lane->has_told)
		dp_zero(lane->told, sizeof lane->told);
	lane->has_told = false;
}

enum { NAMES_RESERVE = 8 * 1024 }; /* bytes of a ring that names leave to the sample */

static struct dp_lane *lease_lane(struct dp_thread *self)
{
	enum { USUAL = 4096 }; /* a record of usual depth */
	uint32_t wanted = dp_runtimes_are_there() ? NAMES_RESERVE + USUAL : USUAL;
	const uint32_t count = dp_load_acquire(&dp_host.lane_count), last = self->last_lane;
	struct dp_lane *lane = NULL;
	if (self->wanted_bytes > wanted) /* in an empty ring is what is to be had at most */
		wanted = self->wanted_bytes < DP_LANE_RING_SIZE ? self->wanted_bytes : DP_LANE_RING_SIZE;
	lane = lease_one(self, count, wanted);
	if (!lane && wanted > USUAL)
		lane = lease_one(self, count, USUAL);
	if (!lane)
		lane = lease_one(self, count, 0);
	/* Threads in each other's way: while more lanes cost no more than their memory, before a tick finds none. */
	if (count < DP_LANES_FIRST_PIECE && last < count && self->last_lane != last)
		dp_add_relaxed(&dp_host.lanes_short, 1);
	return lane;
}

/* The rest of the tick will touch these, and by now the program has driven them out of the processor's caches: they are
 * fetched while the walk waits for its own. */
static void fetch_ahead(const struct dp_thread *self, const struct dp_lane *lane, const struct dp_region *region)
{
	enum { LINE = 64, USUAL = 6 * LINE };
	const struct dp_ring_view *ring = &lane->view;
	const uint32_t at = dp_load_relaxed(&ring->ring->head) & (ring->size - 1);
	for (uint32_t i = 0; i < USUAL; i += LINE) {
		__builtin_prefetch(&ring->bytes[(at + i) & (ring->size - 1)], 1);
		__builtin_prefetch((const char *)lane->frames + i, 1);
	}
	if (region) {
		__builtin_prefetch(&region->generation, 1);
		__builtin_prefetch(&region->agent_state);
		__builtin_prefetch(&region->threads[self->number % DP_THREAD_MAX], 1);
	}
	__builtin_prefetch(&dp_module_generation);
}

static void return_lane(struct dp_lane *lane)
{
	dp_store_release(&lane->map, NULL);
	dp_store_release(&lane->is_leased, 0);
}

/* ---- the stack ---- */

/* A coroutine's or a raw clone's stack: what is mapped above sp is not known, and must not be guessed. The kernel
 * copies what there is. */
static bool copy_foreign_stack(struct dp_lane *lane, uintptr_t sp, struct dp_stack_view *view)
{
	/* The page that sp is on is there; the one below it may not be. */
	const uintptr_t low = dp_lowest_read(sp, sp & ~(uintptr_t)4095);
	size_t size = DP_SLICE_MAX;
	if (dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP)
		return false;
	while (size >= 64) {
		struct iovec to = {lane->foreign, size};
		struct iovec from = {(void *)low, size};
		const long got = DP_SYS(SYS_process_vm_readv, dp_host.pid, &to, 1, &from, 1, 0);
		if (got > 0) {
			dp_view_add(view, low, low + ((size_t)got & ~(size_t)7),
			        (ptrdiff_t)((uintptr_t)lane->foreign - low));
			return true;
		}
		/* Up to the end of this page there must be something: the thread stands on it. */
		const size_t rest = 4096 - (low & 4095);
		if (size == rest)
			return false;
		size = rest;
	}
	return false;
}

/* What of the stack may be read. False: nothing, the leaf must do. */
static bool view_stack(struct dp_thread *self, struct dp_lane *lane, uintptr_t sp, const stack_t *alternate,
        struct dp_stack_view *view, bool *is_foreign)
{
	bool found = false;
	view->count = 0;
	*is_foreign = false;
	if (dp_is_inside(sp, self->stack_low, self->stack_high)) {
		dp_view_add(view, dp_lowest_read(sp, self->stack_low), self->stack_high, 0);
		return true;
	}
	if (!(alternate->ss_flags & SS_DISABLE) && alternate->ss_size) {
		const uintptr_t low = (uintptr_t)alternate->ss_sp;
		if (dp_is_inside(sp, low, low + alternate->ss_size)) {
			dp_view_add(view, dp_lowest_read(sp, low), (low + alternate->ss_size) & ~(uintptr_t)7, 0);
			found = true;
		}
	}
	if (!found) {
		*is_foreign = true;
		found = copy_foreign_stack(lane, sp, view);
	}
	return found;
}

/* ---- the sample ---- */

/* Whole samples go before copies: what is left must hold some without one. */
enum { RESERVE = 6 * 1024 };

/* How much of the stack the agent needs, from *low on. */
static uint32_t whole_slice_size(const struct dp_lane *lane, const struct dp_stack_view *stack, uintptr_t *low)
{
	if (!stack->count)
		return 0;
	const struct dp_stack_range *range = &stack->ranges[0];
	const uintptr_t high = lane->slice_high && lane->slice_high < range->high ? (lane->slice_high + 7) & ~(uintptr_t)7 : range->high;
	*low = lane->slice_low > range->low ? lane->slice_low & ~(uintptr_t)7 : range->low;
	const size_t size = *low < high ? high - *low : 0;
	return size < DP_SLICE_MAX ? (uint32_t)size : DP_SLICE_MAX;
}

/* Of size bytes of the stack as many as there is room for, beside rest. */
static uint32_t slice_size(const struct dp_lane *lane, uint32_t size, uint32_t rest)
{
	if (!size)
		return 0;
	const uint32_t used =
	        dp_load_relaxed(&lane->view.ring->head) - dp_load_acquire(&lane->view.ring->tail);
	const uint32_t room = used < lane->view.size ? lane->view.size - used : 0;
	if (room < rest)
		return 0;
	if (room - rest < RESERVE)
		return 0;
	if (size > room - rest - RESERVE)
		size = room - rest - RESERVE;
	return size & ~7u;
}

static uint32_t padded_size(const struct dp_tick_text *text)
{
	return text->head.size_bytes ? (uint32_t)(sizeof text->head + text->head.size_bytes + 7) & ~7u : 0;
}

/* At offset of the record that is being written. What pads a text is what lay in the lane behind it. */
static void put_texts(const struct dp_lane *lane, uint32_t offset)
{
	for (unsigned i = 0; i < DP_TEXTS; i++) {
		const uint32_t size = padded_size(&lane->texts[i]);
		dp_ring_put(&lane->view, offset, &lane->texts[i], size);
		offset += size;
	}
}

static void write_record(struct dp_thread *self, struct dp_lane *lane, struct dp_record *record,
        const struct dp_registers *registers, const struct dp_stack_view *stack, uint64_t weight_ns)
{
	const uint32_t frames_size = record->frame_count * (uint32_t)sizeof(struct dp_frame);
	const uint32_t managed_size = record->managed_count * (uint32_t)sizeof(struct dp_frame);
	uint32_t at = sizeof *record + frames_size + managed_size + record->texts_size;
	self->wanted_bytes = at;
	if (record->flags & (DP_RECORD_SLICE | DP_RECORD_VERIFY)) {
		uintptr_t low = 0;
		const uint32_t whole_size = whole_slice_size(lane, stack, &low);
		self->wanted_bytes += (uint32_t)sizeof *registers + whole_size + RESERVE;
		record->slice_size = slice_size(lane, whole_size, at + sizeof *registers);
		if (record->slice_size < 64) {
			if (record->flags & DP_RECORD_SLICE && record->stop != DP_STOP_END)
				dp_count_loss(DP_DROP_SLICE_FULL, 0);
			record->flags &= (uint16_t) ~(DP_RECORD_SLICE | DP_RECORD_VERIFY);
			record->slice_size = 0;
		} else {
			record->slice_address = low;
		}
	}
	record->size_bytes = at + (record->slice_size ? (uint32_t)sizeof *registers + record->slice_size : 0);
	if (!dp_ring_has_room(&lane->view, record->size_bytes)) {
		dp_count_loss(DP_DROP_RING_FULL, weight_ns);
		return;
	}
	dp_ring_put(&lane->view, 0, record, sizeof *record);
	dp_ring_put(&lane->view, sizeof *record, lane->frames, frames_size);
	dp_ring_put(&lane->view, (uint32_t)sizeof *record + frames_size, lane->managed_frames, managed_size);
	if (record->texts_size)
		put_texts(lane, (uint32_t)sizeof *record + frames_size + managed_size);
	if (record->slice_size) {
		dp_ring_put(&lane->view, at, registers, sizeof *registers);
		at += sizeof *registers;
		dp_ring_put(&lane->view, at,
		        (const uint8_t *)(record->slice_address + (uintptr_t)stack->ranges[0].shift),
		        record->slice_size);
	}
	dp_ring_commit(&lane->view, record->size_bytes);
}

/* Where it is a runtime that made the thread, or took it in, it knows the stack. Asked now and then. */
static void ask_for_stack(struct dp_thread *self, struct dp_lane *lane, uintptr_t sp)
{
	uintptr_t low, high, usable;
	if (self->stack_asked == DP_STACK_TOLD)
		return;
	const uint32_t asked = self->stack_asked++;
	if (asked & (asked - 1) || !dp_runtimes_stack(&lane->managed, &low, &high, &usable) || !dp_is_inside(sp, low, high))
		return;
	if (!self->stack_high) {
		self->stack_low = low;
		self->stack_high = high;
	}
	if (usable > self->stack_usable)
		self->stack_usable = usable;
	self->stack_asked = DP_STACK_TOLD;
}

/* For managed frames. Their names go into the ring before the sample, as far as that leaves room for it. */
static void prepare_managed(struct dp_thread *self, struct dp_lane *lane, uintptr_t sp, uint32_t tick)
{
	enum { NAMES_MOST = 16 * 1024 };
	struct dp_managed_tick *managed = &lane->managed;
	const uint32_t used = dp_ring_waiting(&lane->view);
	const uint32_t room = used < lane->view.size ? lane->view.size - used : 0;
	dp_zero(managed, sizeof *managed);
	managed->sp = sp;
	managed->stack_high = dp_is_inside(sp, self->stack_low, self->stack_high) ? self->stack_high : 0;
	managed->tick = tick;
	managed->pid = dp_host.pid;
	managed->tid = self->tid;
	managed->may_call = !(dp_load_relaxed(&dp_host.off) & DP_OFF_SECCOMP);
	managed->ring = &lane->view;
	managed->name_room = room < NAMES_RESERVE ? 0 : room - NAMES_RESERVE < NAMES_MOST ? room - NAMES_RESERVE : NAMES_MOST;
	managed->told = lane->told;
	lane->has_told = true;
	managed->frames = lane->managed_frames;
	managed->texts = lane->texts;
	managed->scratch = lane->scratch;
	managed->memory = self->memory;
	managed->owned = lane->owned;
	for (unsigned i = 0; i < DP_TEXTS; i++)
		lane->texts[i].head = (struct dp_record_text){.kind = (uint8_t)i};
}

/* Frames of runtimes that keep them beside the stack. */
static void walk_runtimes(struct dp_lane *lane)
{
	static const enum dp_drop reasons[DP_RUNTIME_LOSSES] = {DP_DROP_MANAGED_TORN, DP_DROP_MANAGED_MISSING, DP_DROP_MANAGED_NAME};
	struct dp_managed_tick *managed = &lane->managed;
	struct dp_record *record = &lane->record;
	managed->native = lane->frames;
	managed->native_count = record->frame_count;
	dp_runtimes_walk(managed);
	for (unsigned i = 0; i < DP_TEXTS; i++)
		record->texts_size = (uint16_t)(record->texts_size + padded_size(&lane->texts[i]));
	record->managed_count = (uint16_t)managed->frame_count;
	record->flags |= managed->record_flags;
	if (managed->native_end) {
		record->frame_count = (uint16_t)managed->native_end;
		record->stop = DP_STOP_END;
	}
	for (unsigned i = 0; i < DP_RUNTIME_LOSSES; i++)
		if (managed->losses[i])
			dp_count_losses(reasons[i], managed->losses[i]);
}

/* Where the walk ended: does the agent go on, is it to look again? */
static void settle_stop(struct dp_lane *lane, uint32_t tick, bool is_agents, bool may_verify)
{
	struct dp_record *record = &lane->record;
	if (lane->stack.count && is_agents)
		record->flags |= DP_RECORD_SLICE;
	else if (record->stop != DP_STOP_END)
		dp_count_loss(dp_loss_of_stop((enum dp_stop)record->stop), 0);
	if (may_verify && lane->stack.count && dp_host.verify_every && tick % dp_host.verify_every == 0 &&
	        !(record->flags & DP_RECORD_SLICE))
		record->flags |= DP_RECORD_VERIFY;
}

static void record_sample(struct dp_thread *self, struct dp_lane *lane, const ucontext_t *context,
        uint64_t weight_ns, uint32_t tick)
{
	struct dp_walk *walk = &lane->walk;
	struct dp_record *record = &lane->record;
	struct dp_region *region = dp_load_relaxed(&dp_host.region);
	bool is_foreign;

	fetch_ahead(self, lane, region);
	dp_zero(record, sizeof *record);
	record->tid = (uint32_t)self->tid;
	record->weight_ns = weight_ns;
	record->labels = (uint16_t)dp_load_relaxed(&self->labels);
	record->generation = region ? dp_load_relaxed(&region->generation) : 0;
	dp_registers_of(context, &walk->registers);
	walk->is_caller = false;
	walk->owned_low = walk->owned_high = 0;
	const bool is_managed = dp_runtimes_are_there();
	if (is_managed) {
		prepare_managed(self, lane, dp_sp_of(context), tick);
		dp_runtimes_own(&lane->managed, &walk->owned_low, &walk->owned_high);
		ask_for_stack(self, lane, dp_sp_of(context));
	}
	if (!view_stack(self, lane, walk->registers.value[DP_REG_SP], &context->uc_stack, &walk->stack, &is_foreign))
		dp_count_loss(DP_DROP_FOREIGN_STACK, 0);
	if (is_foreign)
		record->flags |= DP_RECORD_FOREIGN_STACK;
	dp_copy(&lane->stack, &walk->stack, sizeof lane->stack);
	bool is_agents;
	record->frame_count = (uint16_t)dp_walk_stack(self, lane, walk, &is_agents);
	record->stop = (uint16_t)walk->stop;
	if (is_managed)
		walk_runtimes(lane);
	const bool is_cut = is_managed && lane->managed.native_end;
	/* What a runtime had a say in, libunwind does not know. */
	settle_stop(lane, tick, is_agents && !is_cut, !is_cut && !(is_managed && lane->managed.has_stepped));
	if (record->flags & (DP_RECORD_SLICE | DP_RECORD_VERIFY))
		dp_registers_of(context, &walk->registers);
	write_record(self, lane, record, &walk->registers, &lane->stack, weight_ns);
}

/* Where there is no room to walk: the interrupted instruction alone. */
static void record_leaf(struct dp_thread *self, struct dp_lane *lane, const ucontext_t *context, uint64_t weight_ns)
{
	struct dp_record *record = &lane->record;
	struct dp_region *region = dp_load_relaxed(&dp_host.region);
	dp_zero(record, sizeof *record);
	dp_zero(&lane->frames[0], sizeof lane->frames[0]);
	record->tid = (uint32_t)self->tid;
	record->weight_ns = weight_ns;
	record->labels = (uint16_t)dp_load_relaxed(&self->labels);
	record->generation = region ? dp_load_relaxed(&region->generation) : 0;
	record->frame_count = 1;
	record->stop = DP_STOP_BAD_MEMORY;
	lane->frames[0].id = dp_pc_of(context);
	lane->frames[0].place = UINT32_MAX;
	lane->frames[0].flags = DP_FRAME_EXACT;
	dp_count_loss(DP_DROP_TINY_STACK, 0);
	write_record(self, lane, record, &lane->walk.registers, &lane->stack, weight_ns);
}

/* Bytes between here and the end of the stack that the handler runs on. */
static uintptr_t stack_left(const struct dp_thread *self, const ucontext_t *context)
{
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	const uintptr_t alternate = (uintptr_t)context->uc_stack.ss_sp;
	if (dp_is_inside(here, self->stack_low, self->stack_high))
		return here > self->stack_usable ? here - self->stack_usable : 0;
	if (!(context->uc_stack.ss_flags & SS_DISABLE) && dp_is_inside(here, alternate, alternate + context->uc_stack.ss_size))
		return here - alternate;
	return UINTPTR_MAX; /* not known */
}

/* Apart, so that its frame is not needed before it is known to fit. */
static __attribute__((noinline)) void take_tick(struct dp_thread *self, const ucontext_t *context, uint64_t weight_ns, uintptr_t left)
{
	enum { WALK_BYTES = 1408, HOUSEKEEPING_BYTES = 4096 };
	const uint32_t tick = dp_add_relaxed(&dp_host.ticks, 1) + 1;
	struct dp_lane *lane = lease_lane(self);
	if (lane) {
		if (left >= WALK_BYTES)
			record_sample(self, lane, context, weight_ns, tick);
		else
			record_leaf(self, lane, context, weight_ns);
		return_lane(lane);
	} else {
		dp_count_loss(DP_DROP_NO_LANE, weight_ns);
		dp_add_relaxed(&dp_host.lanes_short, 1);
	}
	if (left >= HOUSEKEEPING_BYTES)
		dp_housekeep(self);
}

static void count_tick(struct dp_thread *self, const siginfo_t *info, const ucontext_t *ucontext)
{
	/* The kernel's own frame may have taken all but a few words: processors with large registers push 3 to 11 KiB. */
	enum { LEAF_BYTES = 640 };
	const uintptr_t left = stack_left(self, ucontext);
	const int overrun = info->si_overrun > 0 ? info->si_overrun : 0;
	const uint64_t weight_ns = dp_host.period_ns * (1 + (uint64_t)overrun);
	dp_store_relaxed(&self->expired, dp_load_relaxed(&self->expired) + 1 + (uint64_t)overrun);
	if (left >= LEAF_BYTES)
		take_tick(self, ucontext, weight_ns, left);
	else
		dp_count_loss(DP_DROP_TINY_STACK, weight_ns);
}

void dp_on_tick(int signo, siginfo_t *info, void *ucontext)
{
	struct dp_thread *self = dp_thread_of(info);
	if (!self) {
		if (dp_host.on_foreign)
			dp_host.on_foreign(signo, info, ucontext);
		return;
	}
	if (dp_load_relaxed(&dp_owner.pid) != dp_host.pid)
		return;
	if (!(dp_load_relaxed(&dp_host.off) & (DP_OFF_DISABLED | DP_OFF_STOPPED | DP_OFF_ENDED)))
		count_tick(self, info, ucontext);
	if (dp_load_relaxed(&dp_host.is_aimed))
		dp_host.on_aimed(signo, ucontext);
}
