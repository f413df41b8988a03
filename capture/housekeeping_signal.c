/* SPDX-License-Identifier: Apache-2.0
 * The rare things: at most one a tick, never where the host would notice. */
#include "capture/helper.h"
#include "capture/host.h"
#include "capture/label.h"
#include "capture/map.h"
#include "capture/module.h"
#include "capture/starter.h"

#include "base/rendezvous.h"
#include "base/syscall.h"
#include "runtimes/name.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
	START_TICK = 3,        /* greet from the first tick, start the agent from this one on */
	ACK_TICKS = 100,       /* an agent that has not answered by then, */
	ACK_MS = 2000,         /* and for so long, is none; */
	HEARTBEAT_TICKS = 64,  /* nor is one whose heart stood still so many ticks */
	HEARTBEAT_MS = 5000,   /* and so long */
	RESTART_MS = 30000,    /* between two starts, and two regions for silent agents */
	GIVEN_UP_MOST = 24,    /* regions; their memory stays */
	SWEEP_TICKS = 100,     /* between two looks for ended threads */
	SWEEP_THREADS = 32,    /* looked at each time */
	LANES_SHORT = 3,       /* ticks without a lane before more are made */
	BACKOFF_MOST = 3000,   /* ticks between attempts in the end, */
	BACKOFF_YOUNG = 8,     /* while an agent may be starting, */
	YOUNG_MS = 3000,       /* for so long */
	UNSEEN_NS = 1000000,   /* CPU time of a thread whose timer came late */
};

static bool may_call_system(void)
{
	return !(dp_load_relaxed(&dp_host.off) & (DP_OFF_SECCOMP | DP_OFF_DISABLED | DP_OFF_ENDED));
}

static bool same_links(const char *one_path, const char *other_path)
{
	char one[64], other[64];
	const long size = DP_SYS4(SYS_readlinkat, AT_FDCWD, one_path, one, sizeof one);
	if (size <= 0)
		return false;
	if (DP_SYS4(SYS_readlinkat, AT_FDCWD, other_path, other, sizeof other) != size)
		return false;
	for (long i = 0; i < size; i++)
		if (one[i] != other[i])
			return false;
	return true;
}

/* After unshare(CLONE_NEWPID) the next child becomes the new name space's init: that must not be ours. Where /proc
 * is not there to ask, no clone either. */
static bool may_clone(void)
{
	if (dp_load_relaxed(&dp_host.off) & DP_OFF_CLONE)
		return false;
	if (!same_links("/proc/self/ns/pid", "/proc/self/ns/pid_for_children"))
		return false;
	char link[64];
	if (DP_SYS4(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/time", link, sizeof link) <= 0)
		return true; /* a kernel without time name spaces */
	return same_links("/proc/self/ns/time", "/proc/self/ns/time_for_children");
}

/* ---- the region ---- */

static bool lease_for_change(struct dp_lane *lane)
{
	for (int i = 0; i < 2000; i++) {
		uint32_t free = 0;
		if (dp_cas(&lane->is_leased, &free, 1))
			return true;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#endif
	}
	return false;
}

static struct dp_ring_view region_view(struct dp_region *region, uint8_t *piece, uint32_t lane)
{
	return (struct dp_ring_view){&region->lanes[lane], piece + dp_lane_offset(lane), DP_LANE_RING_SIZE};
}

/* Whole records, as many as there is room for; the rest is lost and counted. */
static void move_records(const struct dp_ring_view *from, struct dp_region *region, uint8_t *piece, uint32_t lanes)
{
	uint32_t waiting = dp_ring_waiting(from);
	uint32_t lane = 0;
	while (waiting >= sizeof(struct dp_name_record)) {
		struct dp_record record = {0};
		dp_ring_peek(from, 0, &record, sizeof(struct dp_name_record) < sizeof record ? sizeof(struct dp_name_record) : sizeof record);
		const bool is_name = record.flags & DP_RECORD_NAME; /* its loss is no sample's: it is told again */
		struct dp_ring_view to = region_view(region, piece, lane);
		while (!dp_ring_has_room(&to, record.size_bytes) && ++lane < lanes)
			to = region_view(region, piece, lane);
		if (lane == lanes) {
			if (!is_name)
				dp_count_loss(DP_DROP_RING_FULL, record.weight_ns);
			lane = 0;
		} else {
			/* The early ring never wrapped: it is filled once. */
			dp_ring_put(&to, 0, from->bytes + dp_load_relaxed(&from->ring->tail), record.size_bytes);
			dp_ring_commit(&to, record.size_bytes);
		}
		dp_ring_release(from, record.size_bytes);
		waiting -= record.size_bytes;
	}
}

/* A lane that was in use with a region given up may have a tick asleep in it. */
static struct dp_lane *new_lane(uint32_t number, struct dp_region *region, uint8_t *piece)
{
	struct dp_lane *lane = dp_host.lanes[number];
	if (!lane) {
		const long memory = DP_SYS(SYS_mmap, 0, sizeof *lane, PROT_READ | PROT_WRITE,
		        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (memory < 0 && memory > -4096)
			return NULL;
		lane = (struct dp_lane *)memory;
		lane->number = number;
		dp_host.lanes[number] = lane;
	}
	if (!lease_for_change(lane))
		return NULL;
	lane->view = region_view(region, piece, number);
	dp_lane_forget_names(lane);
	dp_store_release(&lane->is_leased, 0);
	return lane;
}

static void list_threads(struct dp_region *region)
{
	for (uint32_t chunk = 0, number = 0; chunk < DP_THREAD_CHUNKS; chunk++) {
		struct dp_thread *threads = dp_load_acquire(&dp_host.thread_chunks[chunk]);
		const uint32_t size = chunk ? DP_THREAD_CHUNK_MORE : DP_THREAD_CHUNK;
		for (uint32_t i = 0; threads && i < size && number < DP_THREAD_MAX; i++, number++)
			if (dp_load_acquire(&threads[i].state) == DP_THREAD_ARMED)
				dp_store_relaxed(&region->threads[number].tid, (uint32_t)threads[i].tid);
	}
}

static uint64_t now_ms(void)
{
	struct timespec now = {0};
	DP_SYS2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t cpu_ns(void)
{
	struct timespec now = {0};
	DP_SYS2(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void return_lanes(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		dp_store_release(&dp_host.lanes[i]->is_leased, 0);
}

/* From now on ticks write where the agent reads. What was written before is moved. False: a tick sleeps in one of the
 * lanes; once more at the next. */
static bool publish_region(uint8_t *piece, uint32_t lanes)
{
	struct dp_region *region = (struct dp_region *)piece;
	const uint32_t lanes_before = dp_load_relaxed(&dp_host.lane_count);

	for (uint32_t i = 0; i < lanes_before; i++)
		if (!lease_for_change(dp_host.lanes[i])) {
			return_lanes(i);
			return false;
		}
	dp_store_release(&dp_host.region, region);
	uint32_t count = 0;
	for (; count < lanes; count++) {
		if (count < lanes_before) {
			struct dp_lane *lane = dp_host.lanes[count];
			if (lane->view.ring >= dp_host.early_rings &&
			        lane->view.ring < dp_host.early_rings + DP_LANES_EARLY)
				move_records(&lane->view, region, piece, lanes);
			lane->view = region_view(region, piece, count);
			dp_lane_forget_names(lane);
		} else if (!new_lane(count, region, piece)) {
			break;
		}
	}
	dp_store_release(&dp_host.lane_count, count);
	dp_store_relaxed(&dp_host.lanes_short, 0);
	if (count >= DP_LANES_EARLY) /* nobody writes there any more */
		DP_SYS3(SYS_madvise, dp_host.early_bytes, sizeof dp_host.early_bytes, MADV_DONTNEED);
	return_lanes(lanes_before);
	/* What a later region tells begins here. */
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		dp_store_relaxed(&dp_host.losses[i].count, 0);
		dp_store_relaxed(&dp_host.losses[i].weight_ns, 0);
	}
	struct timespec now = {0};
	DP_SYS2(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now);
	dp_host.image_start_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	list_threads(region);
	dp_host.tables_taken = 0;
	dp_tell_labels(region, true);
	dp_host.greeted_tick = dp_load_relaxed(&dp_host.ticks);
	dp_host.heartbeat_tick = dp_host.greeted_tick;
	dp_host.heartbeat_ms = now_ms();
	dp_host.heartbeat_seen = 0;
	return true;
}

/* ---- the module log ---- */

static bool tell_module(const struct dp_ring_view *log, const struct dp_module *module, uint32_t number,
        enum dp_module_event event, uint32_t generation)
{
	static const uint8_t zeros[8];
	const uint16_t path_size = event == DP_MODULE_LOADED ? module->path_size : 0;
	const uint8_t id_size = event == DP_MODULE_LOADED ? module->build_id_size : 0;
	struct dp_module_record record = {
	        .event = (uint16_t)event,
	        .path_size = path_size,
	        .module = number,
	        .generation = generation,
	        .bias = module->bias,
	        .start = module->start,
	        .end = module->end,
	        .build_id_size = id_size,
	};
	const uint32_t used = (uint32_t)sizeof record + id_size + path_size;
	record.size_bytes = (used + 7) & ~7u;
	if (!dp_ring_has_room(log, record.size_bytes))
		return false;
	dp_ring_put(log, 0, &record, sizeof record);
	dp_ring_put(log, sizeof record, module->build_id, id_size);
	dp_ring_put(log, (uint32_t)sizeof record + id_size, module->path, path_size);
	dp_ring_put(log, used, zeros, record.size_bytes - used);
	dp_ring_commit(log, record.size_bytes);
	return true;
}

void dp_tell_modules(struct dp_region *region)
{
	const struct dp_ring_view log = {&region->module_log, region->module_log_bytes, DP_MODULE_LOG_SIZE};
	const uint32_t generation = dp_load_acquire(&dp_module_generation);
	const uint32_t count = dp_load_acquire(&dp_module_count);
	for (uint32_t i = 0; i < count; i++) {
		struct dp_module *module = dp_module_at(i);
		const uint32_t born = dp_load_relaxed(&module->born), died = dp_load_relaxed(&module->died);
		if (!(module->told & 1)) {
			if (!tell_module(&log, module, i, DP_MODULE_LOADED, born))
				return;
			module->told |= 1;
		}
		if (died && !(module->told & 2)) {
			if (!tell_module(&log, module, i, DP_MODULE_UNLOADED, died))
				return;
			module->told |= 2;
		}
	}
	dp_host.modules_published = generation;
}

void dp_tell_modules_anew(struct dp_region *region)
{
	dp_host.modules_published = 0;
	for (uint32_t i = 0; i < dp_load_acquire(&dp_module_count); i++)
		dp_module_at(i)->told = 0;
	dp_tell_modules(region);
}

/* ---- one rare thing ---- */

static bool needs_nanny(void)
{
	int is_subreaper = 0;
	DP_SYS2(SYS_prctl, PR_GET_CHILD_SUBREAPER, &is_subreaper);
	if (is_subreaper)
		dp_host.is_subreaper = true;
	return dp_host.pid == 1 || is_subreaper;
}

static void back_off(uint32_t tick)
{
	uint32_t wait = dp_host.attempts < 12 ? 1 : 1u << (dp_host.attempts - 12 < 12 ? dp_host.attempts - 12 : 12);
	if (wait > BACKOFF_MOST)
		wait = BACKOFF_MOST;
	/* One that was just started does not wait long for us. */
	if (wait > BACKOFF_YOUNG && dp_host.has_started && now_ms() - dp_host.started_ms < YOUNG_MS)
		wait = BACKOFF_YOUNG;
	dp_host.attempts++;
	dp_host.next_attempt_tick = tick + wait;
}

/* May an agent be started, after the greeting had this result? A run's own one is started by its command. */
static bool may_start(uint32_t tick, long result)
{
	/* A subreaper's children wait for the agent that it starts. */
	if ((tick < START_TICK && !dp_host.is_subreaper) || dp_host.is_under_reaper || dp_host.use_thread || dp_host.run_socket[0])
		return false;
	if (result != -ECONNREFUSED && result != -EPERM && result != -EAGAIN)
		return false; /* it is there, or nothing of the kind can be here */
	const uint64_t last_ms = dp_host.has_started ? dp_host.started_ms : dp_host.restarted_ms;
	return !last_ms || now_ms() - last_ms >= RESTART_MS;
}

static bool publish(uint8_t *piece, uint32_t lanes)
{
	const bool is_published = publish_region(piece, lanes);
	dp_host.unpublished = is_published ? NULL : piece;
	dp_host.unpublished_lanes = lanes;
	if (is_published)
		dp_tell_modules((struct dp_region *)piece);
	return is_published;
}

/* True: there is a new region. */
static bool find_agent(uint32_t tick)
{
	if ((int32_t)(tick - dp_host.next_attempt_tick) < 0)
		return false;
	if (dp_host.unpublished)
		return publish(dp_host.unpublished, dp_host.unpublished_lanes);
	if (!may_clone()) {
		dp_count_loss(DP_DROP_NO_AGENT, 0);
		back_off(tick);
		return false;
	}
	struct dp_errand errand = {.kind = DP_ERRAND_GREET};
	if (dp_helper_run(&errand) == 0) {
		dp_host.region_name = errand.name;
		dp_host.attempts = 0;
		dp_host.has_started = false;
		return publish(errand.memory, errand.lanes);
	}
	if (may_start(tick, errand.result)) {
		errand = (struct dp_errand){.kind = DP_ERRAND_START, .needs_nanny = needs_nanny()};
		dp_host.has_started = dp_helper_run(&errand) == 0;
		if (!dp_host.has_started)
			dp_count_loss(DP_DROP_NO_AGENT, 0);
		else if (dp_host.started_ms)
			dp_host.started_ms = dp_host.restarted_ms = now_ms();
		else
			dp_host.started_ms = now_ms();
	}
	back_off(tick);
	return false;
}

enum agent_loss { AGENT_IS_THERE, AGENT_HAS_LEFT, AGENT_IS_SILENT };

static enum agent_loss look_for_agent(struct dp_region *region, uint32_t tick)
{
	const uint32_t state = dp_load_acquire(&region->agent_state);
	const uint32_t heartbeat = dp_load_relaxed(&region->heartbeat);
	if (dp_load_relaxed(&region->is_given_up))
		return AGENT_IS_SILENT;
	if (state == DP_AGENT_LEAVING)
		return AGENT_HAS_LEFT;
	if (heartbeat != dp_host.heartbeat_seen) {
		dp_host.heartbeat_seen = heartbeat;
		dp_host.heartbeat_tick = tick;
		dp_host.heartbeat_ms = 0;
		return AGENT_IS_THERE;
	}
	/* Ticks are cheap to count, but at 1000 Hz they pass fast: the clock has a word too. */
	const bool is_new = state == DP_AGENT_NONE;
	if (tick - (is_new ? dp_host.greeted_tick : dp_host.heartbeat_tick) <= (is_new ? ACK_TICKS : HEARTBEAT_TICKS))
		return AGENT_IS_THERE;
	const uint64_t now = now_ms();
	if (!dp_host.heartbeat_ms)
		dp_host.heartbeat_ms = now; /* the first look that finds it still */
	if (now - dp_host.heartbeat_ms < (is_new ? ACK_MS : HEARTBEAT_MS))
		return AGENT_IS_THERE;
	return AGENT_IS_SILENT;
}

/* A new region for the next agent; the old one is given up. Never unmapped: another thread may be writing to it. What
 * the old agent has not sent is lost, and so is what ticks wrote since. */
static void replace_agent(struct dp_region *region, uint32_t tick, bool is_silent)
{
	if (dp_host.given_up >= GIVEN_UP_MOST)
		return;
	if (is_silent && !dp_load_relaxed(&region->is_given_up)) {
		const uint64_t now = now_ms();
		if (dp_host.silence_ms && now - dp_host.silence_ms < RESTART_MS)
			return;
		dp_host.silence_ms = now;
		/* Who took a region and never said so is not asked again. */
		if (dp_load_relaxed(&region->agent_state) == DP_AGENT_NONE)
			dp_host.first_name = (dp_host.region_name + 1) % DP_RENDEZVOUS_NAMES;
		dp_store_release(&region->is_given_up, 1);
	}
	if ((int32_t)(tick - dp_host.next_attempt_tick) < 0)
		return;
	/* The new account begins where the old one's safe part ends; all between is lost. */
	const uint64_t kept_ns = dp_host.image_start_ns, safe_ns = dp_load_acquire(&region->safe_cpu_ns);
	const uint64_t from_ns = safe_ns > region->image_start_ns ? safe_ns : region->image_start_ns, now_ns = cpu_ns();
	dp_zero(dp_host.losses, sizeof dp_host.losses); /* told, or part of what is lost */
	dp_host.losses[DP_DROP_AGENT_LOST].count = 1;
	dp_host.losses[DP_DROP_AGENT_LOST].weight_ns = now_ns > from_ns ? now_ns - from_ns : 0;
	dp_host.image_start_ns = from_ns;
	if (!find_agent(tick)) {
		dp_host.image_start_ns = kept_ns;
		return;
	}
	dp_host.given_up++;
	struct dp_region *next = dp_load_relaxed(&dp_host.region);
	const uint64_t until_ns = cpu_ns();
	dp_store_relaxed(&next->losses[DP_DROP_AGENT_LOST].weight_ns,
	        until_ns > next->image_start_ns ? until_ns - next->image_start_ns : 0);
}

static void fetch_tables(struct dp_region *region, uint32_t ready)
{
	struct dp_errand errand = {.kind = DP_ERRAND_TABLES};
	if (!may_clone())
		return;
	if (dp_helper_run(&errand) == 0)
		dp_store_relaxed(&region->tables_seen, errand.ready);
	else
		dp_store_relaxed(&region->tables_seen, ready - 1); /* once more at a later tick */
	dp_map_rebuild();
}

static void make_lanes(struct dp_region *region, uint8_t *piece, uint32_t end)
{
	uint32_t count = dp_load_relaxed(&dp_host.lane_count);
	while (count < end && new_lane(count, region, piece))
		count++;
	dp_store_relaxed(&region->lane_count, count);
	dp_store_release(&dp_host.lane_count, count);
}

/* The rest of the first piece, for which there was no need before; then further pieces. */
static void add_lanes(struct dp_region *region)
{
	const uint32_t first = dp_load_relaxed(&dp_host.lane_count);
	const uint32_t piece_number = dp_lane_piece(first);
	dp_store_relaxed(&dp_host.lanes_short, 0);
	if (first < DP_LANES_FIRST_PIECE) {
		const uint32_t from = dp_lane_offset(first);
		const long error = DP_SYS3(SYS_madvise, (uint8_t *)region + from, DP_PIECE_SIZE - from, MADV_POPULATE_WRITE);
		if (!error || error == -EINVAL) /* before Linux 5.14 it is all there */
			make_lanes(region, (uint8_t *)region, DP_LANES_FIRST_PIECE);
		return;
	}
	if (first + DP_LANES_MORE_PIECE > DP_LANE_MAX || dp_lane_piece(first - 1) == piece_number || !may_clone())
		return;
	struct dp_errand errand = {.kind = DP_ERRAND_PIECE, .piece = piece_number};
	if (dp_helper_run(&errand) == 0)
		make_lanes(region, errand.memory, first + DP_LANES_MORE_PIECE);
}

/* Threads that the agent found without a timer: created before us, or by a raw clone. */
static void arm_siblings(struct dp_region *region, uint32_t request)
{
	for (unsigned i = 0; i < sizeof region->arm_tids / sizeof region->arm_tids[0]; i++) {
		const int32_t tid = (int32_t)dp_load_relaxed(&region->arm_tids[i]);
		if (tid <= 0 || dp_thread_by_tid(tid))
			continue;
		struct dp_thread *thread = dp_thread_claim();
		if (!thread && dp_thread_grow() == 0)
			thread = dp_thread_claim();
		if (!thread)
			break;
		if (tid == dp_host.pid) {
			thread->stack_low = thread->stack_usable = dp_host.main_stack_low;
			thread->stack_high = dp_host.main_stack_high;
		}
		dp_add_relaxed(&dp_host.siblings_armed, 1);
		if (dp_timer_arm(thread, tid) != 0) {
			dp_count_loss(DP_DROP_TIMER_MISSING, 0);
			dp_thread_release(thread);
		} else if (dp_thread_cpu_ns(tid) > UNSEEN_NS) {
			dp_count_loss(DP_DROP_TIMER_MISSING, 0); /* how much, the agent finds out */
		}
	}
	dp_store_relaxed(&region->arm_seen, request);
}

/* Timers of ended threads are not freed by the kernel: they eat RLIMIT_SIGPENDING. */
static void sweep_ended(void)
{
	for (unsigned looked = 0; looked < SWEEP_THREADS; looked++) {
		const uint32_t number = dp_host.sweep_next++;
		const uint32_t chunk =
		        number < DP_THREAD_CHUNK ? 0 : 1 + (number - DP_THREAD_CHUNK) / DP_THREAD_CHUNK_MORE;
		struct dp_thread *threads =
		        chunk < DP_THREAD_CHUNKS ? dp_load_acquire(&dp_host.thread_chunks[chunk]) : NULL;
		if (!threads) {
			dp_host.sweep_next = 0;
			return;
		}
		struct dp_thread *thread = &threads[number < DP_THREAD_CHUNK
		                                            ? number
		                                            : (number - DP_THREAD_CHUNK) % DP_THREAD_CHUNK_MORE];
		const uint32_t state = dp_load_acquire(&thread->state);
		if ((state == DP_THREAD_ARMED || state == DP_THREAD_IDLE) &&
		        DP_SYS3(SYS_tgkill, dp_host.pid, thread->tid, 0) == -ESRCH && dp_timer_disarm(thread))
			dp_thread_release(thread);
	}
}

/* Ticks met code of no module: a library that no hook has seen, or a JIT's. The pause doubles while there is no new
 * library, and a dlopen ends it. */
static bool is_unknown_due(uint32_t tick)
{
	return dp_load_relaxed(&dp_host.unknown_code) != dp_host.unknown_seen &&
	       (tick - dp_host.discover_tick > dp_host.discover_pause ||
	               dp_host.discover_calls != dp_load_relaxed(&dp_host.loader_calls));
}

static void discover(uint32_t tick)
{
	enum { PAUSE_MOST = 4096 };
	dp_host.unknown_seen = dp_load_relaxed(&dp_host.unknown_code);
	dp_host.discover_calls = dp_load_relaxed(&dp_host.loader_calls);
	dp_host.discover_tick = tick;
	if (dp_modules_discover())
		dp_host.discover_pause = 0;
	else if (dp_host.discover_pause < PAUSE_MOST)
		dp_host.discover_pause = dp_host.discover_pause * 2 + 1;
}

static void do_one_thing(struct dp_region *region, uint32_t tick)
{
	if (!region) {
		find_agent(tick);
		return;
	}
	const uint32_t generation = dp_load_relaxed(&dp_module_generation);
	if (dp_host.modules_published != generation)
		dp_tell_modules(region);
	if (dp_labels_wait())
		dp_tell_labels(region, false);
	if (dp_map_generation() != generation)
		dp_map_rebuild();
	const uint32_t ready = dp_load_acquire(&region->tables_ready);
	const uint32_t request = dp_load_acquire(&region->arm_request);
	const enum agent_loss loss = look_for_agent(region, tick);
	if (loss != AGENT_IS_THERE) {
		replace_agent(region, tick, loss == AGENT_IS_SILENT);
	} else if (ready != dp_load_relaxed(&region->tables_seen)) {
		fetch_tables(region, ready);
	} else if (request != dp_load_relaxed(&region->arm_seen)) {
		arm_siblings(region, request);
	} else if (dp_load_relaxed(&dp_host.lanes_short) >= LANES_SHORT) {
		add_lanes(region);
	} else if (is_unknown_due(tick)) {
		discover(tick);
	} else if (tick - dp_host.sweep_tick > SWEEP_TICKS) {
		dp_host.sweep_tick = tick;
		sweep_ended();
	}
}

/* Is anything due? Loads only: this runs at each tick. */
static bool is_due(struct dp_region *region, uint32_t tick)
{
	if (!region)
		return (int32_t)(tick - dp_host.next_attempt_tick) >= 0;
	return dp_load_relaxed(&region->tables_ready) != dp_load_relaxed(&region->tables_seen) ||
	       dp_load_relaxed(&region->arm_request) != dp_load_relaxed(&region->arm_seen) ||
	       dp_host.modules_published != dp_load_relaxed(&dp_module_generation) ||
	       dp_map_generation() != dp_load_relaxed(&dp_module_generation) ||
	       dp_load_relaxed(&dp_host.lanes_short) >= LANES_SHORT || tick - dp_host.sweep_tick > SWEEP_TICKS ||
	       is_unknown_due(tick) || dp_labels_wait() || dp_load_relaxed(&region->is_given_up) ||
	       dp_load_relaxed(&region->agent_state) != DP_AGENT_SERVING || tick % 64 == 0;
}

void dp_housekeep(struct dp_thread *self)
{
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	const uint32_t tick = dp_load_relaxed(&dp_host.ticks);
	if (region) {
		dp_add_relaxed(&region->ticks, 1);
		if (self->number < DP_THREAD_MAX)
			dp_add_relaxed(&region->threads[self->number].ticks, 1);
	}
	if (!is_due(region, tick) || !may_call_system())
		return;
	uint32_t free = 0;
	if (!dp_cas(&dp_host.is_keeping, &free, 1))
		return;
	/* A tick that was on its way when all was stopped or ended leaves things as they are. */
	if (!(dp_load_acquire(&dp_host.off) & (DP_OFF_STOPPED | DP_OFF_ENDED)))
		do_one_thing(dp_load_acquire(&dp_host.region), tick);
	dp_store_release(&dp_host.is_keeping, 0);
}

/* ---- the end ---- */

enum { KEEPING_TRIES = 100 };

static void pause_ms(long ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
	DP_SYS2(SYS_nanosleep, &pause, 0);
}

static bool take_keeping(int tries)
{
	for (int i = 0; i < tries; i++) {
		uint32_t free = 0;
		if (dp_cas(&dp_host.is_keeping, &free, 1))
			return true;
		pause_ms(1);
	}
	return false;
}

/* Samples that no agent has seen yet: one more try, the agent started if need be. */
static void hand_over_late(void)
{
	enum { TRIES = 60, PAUSE_MS = 5 };
	for (int i = 0; i < TRIES && !dp_load_acquire(&dp_host.region); i++) {
		dp_host.next_attempt_tick = dp_load_relaxed(&dp_host.ticks);
		find_agent(dp_host.next_attempt_tick);
		if (!dp_load_acquire(&dp_host.region)) {
			if (!dp_host.has_started && dp_host.attempts > 1)
				return; /* it cannot be started here */
			pause_ms(PAUSE_MS);
		}
	}
}

static void settle_threads(void)
{
	for (uint32_t chunk = 0; chunk < DP_THREAD_CHUNKS; chunk++) {
		struct dp_thread *threads = dp_load_acquire(&dp_host.thread_chunks[chunk]);
		const uint32_t size = chunk ? DP_THREAD_CHUNK_MORE : DP_THREAD_CHUNK;
		for (uint32_t i = 0; threads && i < size; i++)
			if (dp_load_acquire(&threads[i].state) == DP_THREAD_ARMED)
				dp_timer_settle(&threads[i]);
	}
}

/* More than the log holds at once: the agent looks within 250 ms, and then often. */
static void tell_all_labels(struct dp_region *region)
{
	enum { TRIES = 300, PAUSE_MS = 5 };
	for (int i = 0; i < TRIES && dp_labels_wait(); i++) {
		if (i)
			pause_ms(PAUSE_MS);
		dp_tell_labels(region, false);
	}
}

bool dp_housekeep_end(uint32_t answer_ms)
{
	bool is_answered = false;
	if (!dp_load_relaxed(&dp_host.ticks) || !may_call_system() || !take_keeping(KEEPING_TRIES))
		return false;
	if (!dp_load_acquire(&dp_host.region))
		hand_over_late();
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	if (region) {
		struct timespec now = {0};
		const bool is_last_word = answer_ms && may_clone();
		/* A tick after this would find that the agent has left, and begin another profile of this process. */
		if (is_last_word)
			atomic_fetch_or(&dp_host.off, DP_OFF_ENDED);
		dp_tell_modules(region);
		settle_threads();
		tell_all_labels(region);
		DP_SYS2(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &now);
		dp_store_relaxed(&region->end_cpu_ns, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
		dp_store_release(&region->is_ending, 1);
		if (is_last_word) {
			struct dp_errand errand = {.kind = DP_ERRAND_FLUSH, .timeout_ms = answer_ms};
			is_answered = dp_helper_run(&errand) == 0;
		}
	}
	dp_store_release(&dp_host.is_keeping, 0);
	return is_answered;
}

/* ---- while the program goes on ---- */

int dp_housekeep_flush(uint32_t timeout_ms)
{
	int error = -ENOTCONN;
	if (!may_call_system())
		return -EPERM;
	if (!dp_load_relaxed(&dp_host.ticks))
		return 0;
	if (!take_keeping(KEEPING_TRIES + (int)(timeout_ms < 100000 ? timeout_ms : 100000)))
		return -EBUSY;
	if (!dp_load_acquire(&dp_host.region))
		hand_over_late();
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	if (region && may_clone()) {
		struct dp_errand errand = {.kind = DP_ERRAND_FLUSH, .timeout_ms = timeout_ms, .goes_on = true};
		dp_tell_modules(region);
		tell_all_labels(region);
		error = (int)dp_helper_run(&errand);
	}
	dp_store_release(&dp_host.is_keeping, 0);
	return error;
}

int dp_housekeep_renew(void)
{
	const uint32_t count = dp_load_relaxed(&dp_host.lane_count);
	uint32_t leased = 0;
	if (!may_call_system())
		return -EPERM;
	if (!take_keeping(KEEPING_TRIES))
		return -EBUSY;
	if (!dp_load_acquire(&dp_host.region) && dp_load_relaxed(&dp_host.ticks))
		hand_over_late();
	while (leased < count && lease_for_change(dp_host.lanes[leased]))
		leased++;
	if (leased == count) {
		dp_store_release(&dp_host.region, NULL);
		dp_host.unpublished = NULL;
		dp_host.attempts = 0;
		dp_host.next_attempt_tick = dp_load_relaxed(&dp_host.ticks);
		dp_host.has_started = false;
	}
	for (uint32_t i = 0; i < leased; i++)
		dp_store_release(&dp_host.lanes[i]->is_leased, 0);
	dp_store_release(&dp_host.is_keeping, 0);
	return leased == count ? 0 : -EBUSY;
}
