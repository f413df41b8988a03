/* SPDX-License-Identifier: Apache-2.0
 * From bytes of rings to counted stacks. */
#include "agent/work.h"

#include "agent/deliver.h"
#include "agent/tasks.h"
#include "base/log.h"
#include "export/frames.h"
#include "runtimes/name.h"
#include "runtimes/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* CPU time that the process's clock shows and late ticks will still tell: the kernel's tick misses threads that it never
 * finds running, on a busy machine for long. */
#define ON_ITS_WAY_NS UINT64_C(200000000)

/* libunwind's caches are 100 KiB for each host, which needs them in its first moments, after a dlopen, or always (verify):
 * who has not needed them for a while has none. Making them anew costs milliseconds. */
enum { FINISHER_REST_MS = 2000 };
static struct dp_work *finishing; /* those that have one */

enum { WINDOW_BYTES = 8 * 1024 * 1024, HELD_BYTES = 8 * 1024 * 1024, TASKS_MOST = 20000 };

static int64_t realtime_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void drop_finisher(struct dp_work *work)
{
	struct dp_work **at = &finishing;
	if (!work->finisher)
		return;
	while (*at != work)
		at = &(*at)->next_finishing;
	*at = work->next_finishing;
	dp_finisher_free(work->finisher);
	work->finisher = NULL;
}

bool dp_work_rest(uint64_t now_ms)
{
	bool has_given = false;
	for (struct dp_work *work = finishing, *next; work; work = next) {
		next = work->next_finishing;
		if (now_ms - work->finished_ms >= FINISHER_REST_MS) {
			drop_finisher(work);
			has_given = true;
		}
	}
	return has_given;
}

static bool get_finisher(struct dp_work *work)
{
	work->finished_ms = monotonic_ms();
	if (work->finisher)
		return true;
	dp_work_rest(work->finished_ms);
	work->finisher = dp_finisher_new();
	if (!work->finisher)
		return false;
	work->next_finishing = finishing;
	finishing = work;
	return true;
}

int dp_work_init(struct dp_process *process)
{
	struct dp_work *work = calloc(1, sizeof *work);
	if (!work)
		return -ENOMEM;
	process->work = work;
	work->held_end = &work->held;
	work->window_start_ns = (int64_t)process->start_ns;
	return dp_stacks_init(&work->stacks, WINDOW_BYTES);
}

void dp_work_fini(struct dp_process *process)
{
	struct dp_work *work = process->work;
	if (!work)
		return;
	drop_finisher(work);
	dp_stacks_fini(&work->stacks);
	dp_texts_clear(&work->texts);
	dp_modules_fini(&work->modules);
	dp_labels_fini(&work->labels);
	dp_names_free(&work->names);
	dp_perf_map_free(work->perf_map);
	dp_profile_free(work->total);
	dp_places_fini(&work->places);
	while (work->held) {
		struct dp_job *next = work->held->next;
		free(work->held);
		work->held = next;
	}
	free(work->tasks);
	free(work);
	process->work = NULL;
}

/* ---- modules ---- */

static void offer_table(struct dp_process *process, struct dp_agent_module *module)
{
	uint64_t origin = 0;
	struct dp_shared_object *shared = dp_modules_open(module, process->pid);
	const uint32_t table = shared ? dp_tables_of(shared, &origin) : DP_TABLE_NONE;
	pthread_mutex_lock(&process->lock);
	if (process->waiting_count == process->waiting_capacity) {
		const uint32_t capacity = process->waiting_capacity ? process->waiting_capacity * 2 : 64;
		struct dp_waiting_table *more = realloc(process->waiting, capacity * sizeof *more);
		if (more) {
			process->waiting = more;
			process->waiting_capacity = capacity;
		}
	}
	if (process->waiting_count < process->waiting_capacity) {
		bool is_first = false;
		if (table < DP_TABLE_MAX) {
			const uint8_t bit = (uint8_t)(1u << table % 8);
			is_first = !(process->offered[table / 8] & bit);
			process->offered[table / 8] |= bit;
		}
		process->waiting[process->waiting_count++] =
		        (struct dp_waiting_table){module->number, table, origin, is_first};
	}
	pthread_mutex_unlock(&process->lock);
}

void dp_work_take_modules(struct dp_process *process, const struct dp_job *job)
{
	struct dp_work *work = process->work;
	uint32_t bad = 0;
	const uint32_t before = work->modules.count;
	dp_modules_take_log(&work->modules, job->bytes, job->size, &bad);
	work->own_losses[DP_DROP_BAD_RECORD].count += bad;
	if (!*process->name && work->modules.count) /* it had ended before anyone could ask */
		snprintf(process->name, sizeof process->name, "%s", dp_base_name(work->modules.at[0]->path));
	dp_modules_make_absolute(&work->modules, before, process->pid, process->cwd);
	for (uint32_t i = before; i < work->modules.count; i++)
		offer_table(process, work->modules.at[i]);
	if (work->finisher)
		dp_finisher_flush(work->finisher);
	struct dp_job *held = work->held;
	work->held = NULL;
	work->held_end = &work->held;
	work->held_bytes = 0;
	while (held) {
		struct dp_job *next = held->next;
		dp_work_take_records(process, held);
		free(held);
		held = next;
	}
}

/* ---- records ---- */

struct lookup {
	struct dp_process *process;
	uint32_t generation;
};

static const struct dp_finish_module *find_module(void *context, uint64_t pc)
{
	const struct lookup *lookup = context;
	struct dp_work *work = lookup->process->work;
	struct dp_agent_module *module = dp_modules_find(&work->modules, pc, lookup->generation);
	if (!module && dp_modules_read_maps(&work->modules, lookup->process->pid, monotonic_ms()))
		module = dp_modules_find(&work->modules, pc, lookup->generation);
	if (!module)
		return NULL;
	dp_modules_open(module, lookup->process->pid);
	return module->finish.elf ? &module->finish : NULL;
}

/* Where a record's parts are. */
struct parts {
	struct dp_record record;
	const uint8_t *frames, *managed, *texts, *registers, *slice;
};

static bool take_apart(const uint8_t *bytes, size_t size, struct parts *parts)
{
	struct dp_record *record = &parts->record;
	if (size < sizeof *record)
		return false;
	memcpy(record, bytes, sizeof *record);
	if (record->size_bytes % 8 || record->size_bytes > size || record->frame_count > DP_FRAME_MAX ||
	        record->managed_count > DP_MANAGED_MAX ||
	        record->texts_size % 8 || record->slice_size > DP_SLICE_MAX || record->slice_size % 8)
		return false;
	size_t at = sizeof *record;
	parts->frames = bytes + at;
	at += record->frame_count * sizeof(struct dp_frame);
	parts->managed = bytes + at;
	at += record->managed_count * sizeof(struct dp_frame);
	parts->texts = bytes + at;
	at += record->texts_size;
	if (record->slice_size) {
		parts->registers = bytes + at;
		at += sizeof(struct dp_registers);
		parts->slice = bytes + at;
		at += record->slice_size;
	}
	return at == record->size_bytes;
}

/* from: NULL, or the frame that a gap follows; it is the first that is found again. gap: the first of the gap's. */
static int finish(struct dp_process *process, const struct parts *parts, const struct dp_frame *from, const struct dp_frame *gap,
        uint64_t end_sp, struct dp_frame *frames, int max, enum dp_stop *stop)
{
	struct dp_work *work = process->work;
	struct lookup lookup = {process, parts->record.generation};
	struct dp_finish_input input = {
	        .stack_address = parts->record.slice_address,
	        .stack = parts->slice,
	        .stack_size = parts->record.slice_size,
	        .find = find_module,
	        .context = &lookup,
	};
	if (!get_finisher(work))
		return 0;
	if (work->finisher_generation != parts->record.generation) {
		dp_finisher_flush(work->finisher);
		work->finisher_generation = parts->record.generation;
	}
	memcpy(&input.registers, parts->registers, sizeof input.registers);
	if (from) {
		input.origin = input.registers.value[DP_REG_SP];
		input.end_sp = end_sp;
		input.is_caller = !(from->flags & DP_FRAME_EXACT);
		if (input.is_caller) {
			memset(&input.registers, 0, sizeof input.registers);
			input.registers.value[DP_REG_PC] = from->id;
			input.registers.value[DP_REG_SP] = input.origin + (uint64_t)gap->place * 8;
			input.registers.value[DP_REG_FP] = gap->id;
		}
	}
	return dp_finish(work->finisher, &input, frames, max, stop);
}

/* libunwind's word against the table's. A copy that ended early can only speak of its part. */
static void verify(struct dp_process *process, const struct parts *parts, const struct dp_frame *frames, int count)
{
	static struct dp_frame other[DP_FRAME_MAX];
	struct dp_work *work = process->work;
	enum dp_stop stop = DP_STOP_END;
	const int others = finish(process, parts, NULL, NULL, 0, other, DP_FRAME_MAX, &stop);
	int compared = count < others ? count : others;
	bool is_equal = true;
	for (int i = 0; i < compared; i++)
		if (frames[i].id != other[i].id)
			is_equal = false;
	if (stop == DP_STOP_BAD_MEMORY)
		work->short_copies++;
	else if (count != others)
		is_equal = false;
	work->verified++;
	if (!is_equal) {
		work->mismatched++;
		struct dp_registers at;
		memcpy(&at, parts->registers, sizeof at);
		dp_debug("verify: %d frames by table (stop %u), %d by libunwind (stop %d); tid %u, sample %llu, sp %llx, "
		         "fp %llx, copy %llx + %u",
		        count, parts->record.stop, others, stop, parts->record.tid, (unsigned long long)work->samples,
		        (unsigned long long)at.value[DP_REG_SP], (unsigned long long)at.value[DP_REG_FP],
		        (unsigned long long)parts->record.slice_address, parts->record.slice_size);
		for (int i = 0; i < count || i < others; i++)
			dp_debug("  %2d %llx %llx", i, i < count ? (unsigned long long)frames[i].id : 0,
			        i < others ? (unsigned long long)other[i].id : 0);
	}
}

static void note_task(struct dp_process *process, uint32_t tid)
{
	struct dp_work *work = process->work;
	for (uint32_t i = work->task_count; i-- > 0;) {
		struct dp_task *task = &work->tasks[i];
		if (task->tid != tid)
			continue;
		if (!task->is_fresh) {
			char name[sizeof task->name];
			dp_task_name(process->pid, tid, name, sizeof name);
			if (*name)
				memcpy(task->name, name, sizeof name);
			task->is_fresh = true;
		}
		return;
	}
	if (work->task_count == work->task_capacity) {
		const uint32_t capacity = work->task_capacity ? work->task_capacity * 2 : 16;
		struct dp_task *tasks = capacity <= TASKS_MOST ? realloc(work->tasks, capacity * sizeof *tasks) : NULL;
		if (!tasks)
			return;
		work->tasks = tasks;
		work->task_capacity = capacity;
	}
	struct dp_task *task = &work->tasks[work->task_count++];
	task->tid = tid;
	task->is_fresh = true;
	dp_task_name(process->pid, tid, task->name, sizeof task->name);
}

static void count_stop(struct dp_work *work, enum dp_stop stop)
{
	static const enum dp_drop reasons[] = {
	        [DP_STOP_TRUNCATED] = DP_DROP_TRUNCATED,
	        [DP_STOP_NO_MAP] = DP_DROP_NO_MAP,
	        [DP_STOP_NO_CFI] = DP_DROP_NO_CFI,
	        [DP_STOP_BAD_MEMORY] = DP_DROP_SLICE_SHORT,
	        [DP_STOP_NO_PROGRESS] = DP_DROP_NO_PROGRESS,
	        [DP_STOP_PENDING] = DP_DROP_NO_CFI,
	        [DP_STOP_COMPLEX] = DP_DROP_COMPLEX,
	        [DP_STOP_TORN] = DP_DROP_MANAGED_TORN,
	};
	if (stop != DP_STOP_END)
		work->own_losses[reasons[stop]].count++;
}

/* Frames of the native stack, some runtimes' among them. */
static int take_frames(struct dp_work *work, const struct parts *parts, struct dp_frame *frames)
{
	int count = 0;
	memcpy(frames, parts->frames, parts->record.frame_count * sizeof *frames);
	for (unsigned i = 0; i < parts->record.frame_count; i++) {
		if (frames[i].runtime >= DP_NAME_RUNTIMES || (frames[i].flags & DP_FRAME_GAP && frames[i].runtime != DP_FRAME_NATIVE))
			continue;
		if (frames[i].runtime != DP_FRAME_NATIVE)
			work->has_runtime[frames[i].runtime] = true;
		frames[count++] = frames[i];
	}
	return count;
}

/* Managed frames from a record, as far as they make sense. */
static unsigned take_managed(struct dp_work *work, const struct parts *parts, struct dp_frame *managed)
{
	unsigned count = 0;
	for (unsigned i = 0; i < parts->record.managed_count; i++) {
		struct dp_frame *frame = &managed[count];
		memcpy(frame, parts->managed + i * sizeof *frame, sizeof *frame);
		if (frame->runtime == DP_FRAME_NATIVE || frame->runtime >= DP_NAME_RUNTIMES)
			continue;
		work->has_runtime[frame->runtime] = true;
		count++;
	}
	return count;
}

/* asyncio calls a task that was given no name Task-17: there may be one for each request, and none of them tells more than
 * the others. */
#define DEFAULT_TASK "Task-N"

static bool is_default_task(const uint8_t *bytes, uint32_t size, unsigned width)
{
	enum { START = sizeof "Task-" - 1 };
	if (width != 1 || size <= START || memcmp(bytes, DEFAULT_TASK, START) != 0)
		return false;
	for (uint32_t i = START; i < size; i++)
		if (bytes[i] < '0' || bytes[i] > '9')
			return false;
	return true;
}

/* The texts of a record, as far as they make sense, by their numbers. */
static void take_texts(struct dp_work *work, const struct parts *parts, uint32_t *numbers)
{
	struct dp_record_text head;
	for (uint32_t at = 0; at + sizeof head <= parts->record.texts_size;) {
		const uint8_t *bytes = parts->texts + at;
		memcpy(&head, bytes, sizeof head);
		at += ((uint32_t)sizeof head + head.size_bytes + 7) & ~7u;
		if (at > parts->record.texts_size || head.kind >= DP_TEXTS ||
		        (head.width != 1 && head.width != 2 && head.width != 4)) {
			work->own_losses[DP_DROP_BAD_RECORD].count++;
			return;
		}
		bytes += sizeof head;
		uint32_t size = head.size_bytes;
		if (head.kind == DP_TEXT_TASK && is_default_task(bytes, size, head.width))
			bytes = (const uint8_t *)DEFAULT_TASK, size = sizeof DEFAULT_TASK - 1;
		numbers[head.kind] = dp_texts_add(&work->texts, bytes, size, head.width);
		work->own_losses[DP_DROP_LABELS].count += !numbers[head.kind];
	}
}

static struct dp_frame missing_frames(void)
{
	return (struct dp_frame){.runtime = DP_FRAME_JVM, .place = UINT32_MAX, .flags = DP_FRAME_MISSING};
}

/* What the host left out of a stack where its table could not go on, from the copy of the stack. */
static int fill_gaps(
        struct dp_process *process, const struct parts *parts, const struct dp_frame *frames, int count, struct dp_frame *out, enum dp_stop *stop)
{
	struct dp_work *work = process->work;
	int filled = 0;
	for (int i = 0; i < count && filled < DP_FRAME_MAX; i++) {
		if (!(frames[i].flags & DP_FRAME_GAP)) {
			out[filled++] = frames[i];
			continue;
		}
		const bool has_end = i + 1 < count && (frames[i + 1].flags & DP_FRAME_GAP) && frames[i + 1].flags & DP_FRAME_EXACT;
		enum dp_stop part = parts->record.slice_size ? DP_STOP_NO_CFI : *stop;
		if (parts->record.slice_size && filled && out[filled - 1].runtime == DP_FRAME_NATIVE) {
			const struct dp_frame from = out[--filled];
			filled += finish(process, parts, &from, &frames[i], has_end ? frames[i + 1].id : 0, out + filled, DP_FRAME_MAX - filled, &part);
		}
		if (!has_end) {
			*stop = part;
		} else if (part != DP_STOP_OWNED) {
			count_stop(work, part);
			if (filled < DP_FRAME_MAX)
				out[filled++] = missing_frames();
		}
		i += has_end;
	}
	return filled;
}

static bool has_gap(const struct dp_frame *frames, int count)
{
	bool any = false;
	for (int i = 0; i < count; i++)
		any |= (frames[i].flags & DP_FRAME_GAP) != 0;
	return any;
}

/* The host could not, where the walk was ours to finish. */
static void mark_switchers(struct dp_work *work, struct dp_frame *frames, int count, uint32_t generation)
{
	for (int i = 0; i < count; i++) {
		const uint64_t look = frames[i].flags & DP_FRAME_EXACT ? frames[i].id : frames[i].id - 1;
		const struct dp_agent_module *module = dp_modules_find(&work->modules, look, generation);
		if (module && dp_names_are_of_switcher(module->path))
			frames[i].flags |= DP_FRAME_SWITCHER;
	}
}

static void take_record(struct dp_process *process, const struct parts *parts)
{
	static struct dp_frame frames[DP_FRAME_MAX];
	struct dp_work *work = process->work;
	const struct dp_record *record = &parts->record;
	int count = record->frame_count;
	enum dp_stop stop = record->stop <= DP_STOP_TORN ? record->stop : DP_STOP_NO_MAP;
	bool is_ours = false; /* to count, if the stack is not whole; else the host has */

	count = take_frames(work, parts, frames);
	if (has_gap(frames, count)) {
		static struct dp_frame filled[DP_FRAME_MAX];
		const enum dp_stop before = stop;
		dp_store_relaxed(&process->slices_ms, monotonic_ms());
		count = fill_gaps(process, parts, frames, count, filled, &stop);
		memcpy(frames, filled, (size_t)count * sizeof frames[0]);
		is_ours = stop != before || !record->slice_size;
	} else if (record->slice_size && record->flags & DP_RECORD_VERIFY) {
		verify(process, parts, frames, count);
	} else if (record->slice_size && record->flags & DP_RECORD_SLICE) {
		static struct dp_frame finished[DP_FRAME_MAX];
		enum dp_stop finished_stop = DP_STOP_END;
		dp_store_relaxed(&process->slices_ms, monotonic_ms());
		const int more = finish(process, parts, NULL, NULL, 0, finished, DP_FRAME_MAX, &finished_stop);
		if (more >= count || finished_stop == DP_STOP_END) {
			memcpy(frames, finished, (size_t)more * sizeof frames[0]);
			count = more;
			stop = finished_stop;
		}
		if (record->managed_count)
			mark_switchers(work, frames, count, record->generation);
		is_ours = true;
	}
	if (!count) {
		if (is_ours)
			count_stop(work, stop);
		return;
	}
	note_task(process, record->tid);
	work->samples++;
	work->weight_ns += record->weight_ns;
	struct dp_stack_key key = {record->tid, record->generation, (uint16_t)stop, record->labels,
	        record->flags & (DP_RECORD_GIL_HELD | DP_RECORD_GIL_FREE), {0}};
	take_texts(work, parts, key.texts);
	const struct dp_frame *stack = frames;
	if (record->managed_count) {
		static struct dp_frame managed[DP_MANAGED_MAX], stitched[DP_STITCHED_MAX];
		const unsigned managed_count = take_managed(work, parts, managed);
		bool is_whole = stop == DP_STOP_END;
		count = (int)dp_stitch(frames, (unsigned)count, &is_whole, managed, managed_count, process->settings->internals,
		        stitched, &work->stitched);
		if (is_whole)
			stop = DP_STOP_END;
		stack = stitched;
	}
	if (is_ours)
		count_stop(work, stop);
	key.stop = (uint16_t)stop;
	dp_stacks_add(&work->stacks, &key, stack, (unsigned)count, record->weight_ns, record->weight_ns / process->period_ns);
}

/* False: no memory, or a host that tells no modules and never will: its records go without names. */
static bool hold(struct dp_work *work, const struct dp_job *job)
{
	struct dp_job *copy = work->held_bytes + job->size <= HELD_BYTES ? malloc(sizeof *copy + job->size) : NULL;
	if (!copy)
		return false;
	work->held_bytes += job->size;
	memcpy(copy, job, sizeof *copy + job->size);
	copy->next = NULL;
	*work->held_end = copy;
	work->held_end = &copy->next;
	return true;
}

void dp_work_take_account(struct dp_process *process, const struct dp_job *job)
{
	struct dp_work *work = process->work;
	memcpy(work->losses, job->losses, sizeof work->losses);
	work->cpu_ns = job->cpu_ns;
	work->has_bare_threads = job->has_bare_threads;
}

void dp_work_take_records(struct dp_process *process, const struct dp_job *job)
{
	struct dp_work *work = process->work;
	dp_work_take_account(process, job);
	if (!work->modules.count && hold(work, job))
		return; /* the module log is on its way */
	size_t at = 0;
	while (at < job->size) {
		struct parts parts = {0};
		struct dp_name_record head;
		if (job->size - at >= sizeof head) {
			memcpy(&head, job->bytes + at, sizeof head);
			if (head.flags & DP_RECORD_NAME) {
				if (head.size_bytes % 8 || head.size_bytes < sizeof head || head.size_bytes > job->size - at ||
				        !dp_names_take(&work->names, job->bytes + at, head.size_bytes)) {
					work->own_losses[DP_DROP_BAD_RECORD].count++;
					return;
				}
				at += head.size_bytes;
				continue;
			}
		}
		if (!take_apart(job->bytes + at, job->size - at, &parts)) {
			work->own_losses[DP_DROP_BAD_RECORD].count++;
			return;
		}
		take_record(process, &parts);
		at += parts.record.size_bytes;
	}
}

/* ---- the window ---- */

/* Where the kernel refused a timer, or threads were there before they got one: what the process used and neither
 * samples nor losses tell. Only where that is known to be so: else the difference is how sampling differs from the
 * truth, which is nobody's loss. */
static void count_missing(struct dp_process *process)
{
	struct dp_work *work = process->work;
	uint64_t told_ns = work->weight_ns + work->missing_told_ns;
	if ((!work->has_bare_threads && !work->losses[DP_DROP_TIMER_MISSING][0]) || work->held)
		return;
	for (int i = 0; i < DP_DROP_COUNT; i++)
		told_ns += work->losses[i][1];
	const uint64_t used_ns = work->cpu_ns > process->image_start_ns ? work->cpu_ns - process->image_start_ns : 0;
	if (!work->is_over)
		told_ns += ON_ITS_WAY_NS;
	if (used_ns <= told_ns)
		return;
	if (!work->losses[DP_DROP_TIMER_MISSING][0])
		work->own_losses[DP_DROP_TIMER_MISSING].count++;
	work->own_losses[DP_DROP_TIMER_MISSING].weight_ns += used_ns - told_ns;
	work->missing_told_ns += used_ns - told_ns;
}

struct dp_profile *dp_work_close_window(struct dp_process *process)
{
	struct dp_work *work = process->work;
	const int64_t now = realtime_ns();
	count_missing(process);
	struct dp_profile *profile = NULL;
	if (dp_deliver_is_one_file(process))
		dp_window_into_total(process, now);
	else
		profile = dp_window_profile(process, now);
	dp_stacks_fini(&work->stacks);
	dp_stacks_init(&work->stacks, WINDOW_BYTES);
	dp_texts_clear(&work->texts);
	memcpy(work->losses_told, work->losses, sizeof work->losses_told);
	memset(work->own_losses, 0, sizeof work->own_losses);
	work->stitched = (struct dp_stitch_counts){0};
	work->verified = work->mismatched = work->short_copies = 0;
	work->window_start_ns = now;
	for (uint32_t i = 0; i < work->task_count; i++)
		work->tasks[i].is_fresh = false;
	return profile;
}
