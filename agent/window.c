/* SPDX-License-Identifier: Apache-2.0
 * From counted stacks to a profile with names. */
#include "agent/deliver.h"
#include "agent/identity.h"
#include "agent/work.h"

#include "base/frame.h"
#include "export/frames.h"
#include "unwind/function_start.h"
#include "unwind/unwind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PROFILE_BYTES = 64 * 1024 * 1024, LINES_MOST = 64 };

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int add_lines(struct dp_profile *profile, const struct dp_symbol *symbols, int count, struct dp_line *lines)
{
	for (int i = 0; i < count; i++) {
		const struct dp_function function = {
		        .name = symbols[i].name,
		        .system_name = symbols[i].system_name,
		        .file = symbols[i].file,
		        .start_line = symbols[i].start_line,
		};
		lines[i].function = dp_profile_function(profile, &function);
		lines[i].line = symbols[i].line;
		if (lines[i].function < 0)
			return lines[i].function;
	}
	return count;
}

static int jit_location(struct dp_process *process, struct dp_profile *profile, uint64_t address)
{
	struct dp_work *work = process->work;
	struct dp_symbol symbol;
	struct dp_line line;
	struct dp_mapping mapping = {
	        .path = dp_profile_text(profile, "[anonymous]"),
	        .build_id = dp_profile_text(profile, ""),
	};
	if (!work->perf_map)
		work->perf_map = dp_perf_map_new(process->pid, process->root);
	const bool is_named = work->perf_map && dp_perf_map_symbolise(work->perf_map, address, &symbol) == 1;
	if (is_named) {
		mapping.path = dp_profile_text(profile, "[jit]");
		mapping.has_functions = true;
	} else {
		work->own_losses[DP_DROP_NO_SYMBOL].count++;
	}
	struct dp_location location = {
	        .mapping = dp_profile_mapping(profile, &mapping), .runtime = DP_FRAME_NATIVE, .address = address};
	if (is_named && add_lines(profile, &symbol, 1, &line) == 1) {
		location.lines = &line;
		location.line_count = 1;
	}
	return location.mapping < 0 ? location.mapping : dp_profile_location(profile, &location);
}

/* Only OpenTelemetry's form has a place for it. */
static bool wants_hash(const struct dp_settings *settings)
{
	return strstr(settings->server, "otlp") || strstr(settings->output, ".otlp");
}

static int add_mapping(struct dp_process *process, struct dp_profile *profile, struct dp_agent_module *module)
{
	struct dp_shared_object *shared = dp_modules_open(module, process->pid);
	struct dp_object *object = shared ? shared->object : NULL;
	struct dp_mapping mapping = {
	        .path = dp_profile_text(profile, *module->path ? module->path : "[unknown]"),
	        .build_id = dp_profile_text(profile, *module->build_id ? module->build_id
	                                             : object          ? dp_object_build_id(object)
	                                                               : ""),
	};
	if (object && wants_hash(process->settings))
		mapping.hash = dp_objects_hash(shared);
	if (object) {
		const struct dp_object_abilities can = dp_object_abilities(object);
		mapping.has_functions = can.has_functions;
		mapping.has_files = can.has_files;
		mapping.has_lines = can.has_lines;
		mapping.has_inlines = can.has_inlines;
	}
	return dp_profile_mapping(profile, &mapping);
}

/* A function without a name is called by where it starts, so that its samples stay together. */
static uint32_t name_by_place(
        struct dp_profile *profile, const struct dp_agent_module *module, uint64_t address, struct dp_line *line)
{
	char name[300];
	uint64_t start;
	if (!module->finish.elf || !dp_function_start(module->finish.elf, module->finish.elf_size, address, &start))
		return 0;
	if (dp_frame_place(module->path, start, name, sizeof name) >= (int)sizeof name)
		return 0;
	const struct dp_symbol symbol = {.name = name, .system_name = "", .file = ""};
	return add_lines(profile, &symbol, 1, line) == 1;
}

/* An interpreter's machinery that was inlined into something that stays. */
static int fold_inlined(const struct dp_process *process, struct dp_symbol *symbols, int count)
{
	const struct dp_work *work = process->work;
	int kept = 0;
	bool has_managed = false;
	if (process->settings->internals)
		return count;
	for (unsigned i = 0; i < DP_NAME_RUNTIMES; i++)
		has_managed |= work->has_runtime[i];
	if (!has_managed)
		return count;
	for (int i = 0; i < count; i++)
		if (i == count - 1 || !dp_names_are_machinery(symbols[i].name))
			symbols[kept++] = symbols[i];
	return kept;
}

static int module_location(struct dp_process *process, struct dp_profile *profile, struct dp_agent_module *module,
        uint64_t address, uint64_t look)
{
	struct dp_symbol symbols[LINES_MOST];
	struct dp_line lines[LINES_MOST];
	struct dp_shared_object *shared = dp_modules_open(module, process->pid);
	struct dp_object *object = shared ? shared->object : NULL;
	struct dp_location location = {
	        .mapping = add_mapping(process, profile, module),
	        .runtime = DP_FRAME_NATIVE,
	        .address = address - module->finish.bias,
	};
	if (location.mapping < 0)
		return location.mapping;
	const int named =
	        object ? dp_object_symbolise(object, look - module->finish.bias, symbols, LINES_MOST) : 0;
	if (named > 0) {
		const int added = add_lines(profile, symbols, fold_inlined(process, symbols, named), lines);
		if (added < 0)
			return added;
		location.lines = lines;
		location.line_count = (uint32_t)added;
	} else {
		process->work->own_losses[DP_DROP_NO_SYMBOL].count++;
		location.line_count = name_by_place(profile, module, look - module->finish.bias, lines);
		location.lines = lines;
	}
	return dp_profile_location(profile, &location);
}

static int text_location(struct dp_profile *profile, uint8_t runtime, uint64_t address, const char *text)
{
	const struct dp_symbol symbol = {.name = text, .system_name = text, .file = ""};
	struct dp_line line;
	struct dp_mapping mapping = {.path = dp_profile_text(profile, "[deepprof]"),
	        .build_id = dp_profile_text(profile, ""),
	        .has_functions = true};
	if (add_lines(profile, &symbol, 1, &line) != 1)
		return -ENOMEM;
	struct dp_location location = {.mapping = dp_profile_mapping(profile, &mapping),
	        .runtime = runtime,
	        .address = address,
	        .lines = &line,
	        .line_count = 1};
	return dp_profile_location(profile, &location);
}

static int managed_location(struct dp_process *process, struct dp_profile *profile, uint64_t word, bool *is_machinery)
{
	const unsigned runtime = word >> DP_STACK_RUNTIME_SHIFT & DP_STACK_RUNTIME_MASK;
	const uint64_t id = word & DP_STACK_ADDRESS;
	const struct dp_name_place place = {process->root, process->cwd};
	struct dp_managed_symbol found;
	char text[64];
	if (word & DP_STACK_MISSING) {
		if (id)
			snprintf(text, sizeof text, "[%llu frames missing]", (unsigned long long)id);
		else
			snprintf(text, sizeof text, "[frames missing]");
		return text_location(profile, (uint8_t)runtime, id, text);
	}
	if (word & DP_STACK_AWAITS)
		return text_location(profile, (uint8_t)runtime, 0, "[awaits]");
	if (!dp_names_describe(&process->work->names, runtime, id, &place, &found)) {
		process->work->own_losses[DP_DROP_NO_SYMBOL].count++;
		snprintf(text, sizeof text, "[unnamed %s function]", dp_runtime_name(runtime));
		return text_location(profile, (uint8_t)runtime, 0, text);
	}
	*is_machinery = found.is_machinery;
	const struct dp_symbol symbol = {.name = found.name,
	        .system_name = found.system_name,
	        .file = found.file,
	        .line = found.line,
	        .start_line = found.start_line};
	struct dp_line line;
	snprintf(text, sizeof text, "[%s]", dp_runtime_name(runtime));
	struct dp_mapping mapping = {.path = dp_profile_text(profile, text),
	        .build_id = dp_profile_text(profile, ""),
	        .has_functions = true,
	        .has_files = true,
	        .has_lines = true};
	if (add_lines(profile, &symbol, 1, &line) != 1)
		return -ENOMEM;
	struct dp_location location = {.mapping = dp_profile_mapping(profile, &mapping),
	        .runtime = (uint8_t)runtime,
	        .address = id,
	        .lines = &line,
	        .line_count = 1};
	return location.mapping < 0 ? location.mapping : dp_profile_location(profile, &location);
}

static bool is_machinery(const struct dp_profile *profile, int location)
{
	const struct dp_location *at = &profile->locations.at[location];
	return at->line_count && dp_names_are_machinery(profile->functions.at[at->lines[at->line_count - 1].function].name);
}

static int native_location(
        struct dp_process *process, struct dp_profile *profile, uint64_t word, uint32_t generation, bool *is_lasting)
{
	struct dp_work *work = process->work;
	const uint64_t address = word & DP_STACK_ADDRESS;
	const uint64_t look = word & DP_STACK_EXACT ? address : address - 1;
	struct dp_agent_module *module = dp_modules_find(&work->modules, look, generation);
	if (!module && dp_modules_read_maps(&work->modules, process->pid, monotonic_ms()))
		module = dp_modules_find(&work->modules, look, generation);
	*is_lasting = module && *module->path;
	return *is_lasting ? module_location(process, profile, module, address, look)
	                   : jit_location(process, profile, look);
}

/* Where the word stands in the profile; what has no name is looked for again in the next window, and counted again. */
static int location_of(struct dp_process *process, struct dp_profile *profile, struct dp_places *places, uint64_t word,
        uint32_t generation, bool *is_folded)
{
	struct dp_place *place = dp_places_find(places, word, generation);
	if (!place)
		return -ENOMEM;
	if (place->location < 0) {
		const uint64_t unnamed = process->work->own_losses[DP_DROP_NO_SYMBOL].count;
		const bool is_managed = word >> DP_STACK_RUNTIME_SHIFT & DP_STACK_RUNTIME_MASK;
		place->is_lasting = is_managed;
		const int location =
		        is_managed ? managed_location(process, profile, word, &place->is_machinery)
		                   : native_location(process, profile, word, generation, &place->is_lasting);
		if (location < 0)
			return location;
		place->location = location;
		if (!is_managed)
			place->is_machinery = is_machinery(profile, location);
		if (process->work->own_losses[DP_DROP_NO_SYMBOL].count != unnamed)
			place->is_lasting = false;
	}
	*is_folded = place->is_machinery;
	return place->location;
}

/* A stack whose upper part is missing says so where the missing part would be. */
static int incomplete_location(struct dp_profile *profile, enum dp_stop stop)
{
	static const char *const names[] = {
	        [DP_STOP_TRUNCATED] = "[truncated]",
	        [DP_STOP_PENDING] = "[incomplete: no table yet]",
	        [DP_STOP_COMPLEX] = "[incomplete: complex rule]",
	        [DP_STOP_NO_MAP] = "[incomplete: unknown code]",
	        [DP_STOP_NO_CFI] = "[incomplete: no unwind information]",
	        [DP_STOP_BAD_MEMORY] = "[incomplete: stack not readable]",
	        [DP_STOP_NO_PROGRESS] = "[incomplete: stack not readable]",
	        [DP_STOP_TORN] = "[incomplete: managed code]",
	};
	return text_location(profile, DP_FRAME_NATIVE, (uint64_t)stop, names[stop]);
}

static const char *task_name(const struct dp_process *process, uint32_t tid)
{
	const struct dp_work *work = process->work;
	for (uint32_t i = 0; i < work->task_count; i++)
		if (work->tasks[i].tid == tid && *work->tasks[i].name)
			return work->tasks[i].name;
	return process->name;
}

static int add_stack(
        struct dp_process *process, struct dp_profile *profile, struct dp_places *places, const struct dp_stack *stack)
{
	int32_t locations[DP_STITCHED_MAX + 1];
	uint32_t count = 0;
	bool has_managed = false;
	for (uint32_t i = 0; i < stack->frame_count; i++)
		has_managed |= (stack->frames[i] >> DP_STACK_RUNTIME_SHIFT & DP_STACK_RUNTIME_MASK) != 0;
	for (uint32_t i = 0; i < stack->frame_count; i++) {
		bool is_folded;
		const int location = location_of(process, profile, places, stack->frames[i], stack->generation, &is_folded);
		if (location < 0)
			return location;
		if (!has_managed || !is_folded || process->settings->internals)
			locations[count++] = location;
	}
	if (stack->stop != DP_STOP_END) {
		const int location = incomplete_location(profile, stack->stop);
		if (location >= 0)
			locations[count++] = location;
	}
	/* Which process it was matters only where several are in one profile. */
	const bool is_merged = dp_deliver_is_merged();
	const char *thread = dp_texts_at(&process->work->texts, stack->texts[DP_TEXT_THREAD]);
	const char *task = dp_texts_at(&process->work->texts, stack->texts[DP_TEXT_TASK]);
	struct dp_label labels[6 + DP_LABEL_PAIRS_MAX] = {
	        {.key = "thread", .text = thread ? thread : task_name(process, stack->tid), .unit = ""},
	        {.key = "tid", .number = stack->tid, .unit = ""},
	        {.key = "pid", .number = process->pid, .unit = ""},
	        {.key = "process", .text = process->name, .unit = ""},
	};
	uint32_t common = is_merged ? 4 : 2;
	if (stack->flags & (DP_RECORD_GIL_HELD | DP_RECORD_GIL_FREE))
		labels[common++] = (struct dp_label){
		        .key = "python.gil", .text = stack->flags & DP_RECORD_GIL_HELD ? "held" : "released", .unit = ""};
	if (task)
		labels[common++] = (struct dp_label){.key = "python.task", .text = task, .unit = ""};
	const int own = dp_labels_of(&process->work->labels, stack->labels, labels + common);
	if (own < 0)
		process->work->own_losses[DP_DROP_LABELS].count += stack->count;
	const struct dp_profile_sample sample = {
	        .locations = locations,
	        .location_count = count,
	        .labels = labels,
	        .label_count = common + (uint32_t)(own > 0 ? own : 0),
	        .values = {(int64_t)stack->count, (int64_t)stack->weight_ns},
	};
	return dp_profile_sample(profile, &sample);
}

/* The language's runtime; a program without one is native. */
static void describe_runtime(const struct dp_work *work, struct dp_profile *profile)
{
	const char *name = "native";
	char version[32] = "", text[64];
	for (unsigned i = 0; i < DP_NAME_RUNTIMES; i++)
		if (work->has_runtime[i])
			name = dp_names_runtime(&work->names, i, version, sizeof version);
	dp_profile_add_identity(profile, "process.runtime.name", name);
	if (!*version)
		return;
	dp_profile_add_identity(profile, "process.runtime.version", version);
	snprintf(text, sizeof text, "runtime_version=%s %s", name, version);
	dp_profile_add_comment(profile, text);
}

static void describe(struct dp_process *process, struct dp_profile *profile)
{
	struct dp_work *work = process->work;
	const struct dp_settings *settings = process->settings;
	char text[512];

	dp_profile_add_identity(profile, "service_name", *settings->service ? settings->service : process->name);
	for (const char *label = NULL; (label = dp_settings_next_label(settings, label));) {
		const char *equals = strchr(label, '=');
		snprintf(text, sizeof text, "%.*s", equals ? (int)(equals - label) : 0, label);
		if (equals)
			dp_profile_add_identity(profile, text, equals + 1);
	}
	snprintf(text, sizeof text, "pid=%d", process->pid);
	dp_profile_add_comment(profile, text);
	dp_profile_add_resource(profile, "process.pid", text + strlen("pid="));
	snprintf(text, sizeof text, "program=%s", process->name);
	dp_profile_add_comment(profile, text);
	dp_profile_add_resource(profile, "process.executable.name", process->name);
	if (!dp_deliver_is_merged())
		dp_identity_describe(process, profile);
	snprintf(text, sizeof text, "runtime=native");
	for (unsigned i = 0; i < DP_NAME_RUNTIMES; i++)
		if (work->has_runtime[i]) {
			const size_t used = strlen(text);
			snprintf(text + used, sizeof text - used, ",%s", dp_runtime_name(i));
		}
	dp_profile_add_comment(profile, text);
	describe_runtime(work, profile);
	const struct dp_stitch_counts *stitched = &work->stitched;
	if (stitched->aligned + stitched->misaligned + stitched->unknown) {
		work->own_losses[DP_DROP_MANAGED_ORDER].count += stitched->misaligned + stitched->unknown;
		snprintf(text, sizeof text, "stitch aligned=%llu misaligned=%llu unknown=%llu", (unsigned long long)stitched->aligned,
		        (unsigned long long)stitched->misaligned, (unsigned long long)stitched->unknown);
		dp_profile_add_comment(profile, text);
	}
	if (work->verified) {
		snprintf(text, sizeof text, "verify total=%llu mismatched=%llu short_copies=%llu",
		        (unsigned long long)work->verified, (unsigned long long)work->mismatched,
		        (unsigned long long)work->short_copies);
		dp_profile_add_comment(profile, text);
	}
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		profile->losses[i].count +=
		        work->losses[i][0] - work->losses_told[i][0] + work->own_losses[i].count;
		profile->losses[i].weight_ns +=
		        work->losses[i][1] - work->losses_told[i][1] + work->own_losses[i].weight_ns;
	}
}

static bool has_anything(const struct dp_work *work)
{
	bool has_loss = false;
	for (int i = 0; i < DP_DROP_COUNT; i++)
		has_loss |= work->losses[i][1] != work->losses_told[i][1] || work->own_losses[i].weight_ns;
	return work->stacks.count || work->stacks.overflow_count || has_loss;
}

static struct dp_profile *new_profile(struct dp_process *process)
{
	struct dp_work *work = process->work;
	struct dp_profile *profile = dp_profile_new(DP_PROFILE_CPU, PROFILE_BYTES);
	if (!profile)
		return NULL;
	dp_profile_add_type(profile, "samples", "count");
	dp_profile_add_type(profile, "cpu", "nanoseconds");
	profile->period_type = (struct dp_value_type){
	        dp_profile_text(profile, "cpu"), dp_profile_text(profile, "nanoseconds")};
	profile->period = (int64_t)process->period_ns;
	profile->time_ns = work->window_start_ns;
	profile->sequence = work->windows++;
	/* pprof takes the first mapping for the program itself. */
	if (work->modules.count)
		add_mapping(process, profile, work->modules.at[0]);
	return profile;
}

static void add_window(struct dp_process *process, struct dp_profile *profile, struct dp_places *places, int64_t now_ns)
{
	struct dp_work *work = process->work;
	uint32_t runtimes = 0;
	for (unsigned i = 0; i < DP_NAME_RUNTIMES; i++)
		runtimes |= (uint32_t)work->has_runtime[i] << i;
	dp_places_begin(places, runtimes);
	profile->duration_ns = now_ns > profile->time_ns ? now_ns - profile->time_ns : 1;
	uint64_t lost_count = work->stacks.overflow_count, lost_ns = work->stacks.overflow_weight_ns;
	for (uint32_t i = 0; i < work->stacks.bucket_count; i++)
		for (const struct dp_stack *stack = work->stacks.buckets[i]; stack; stack = stack->next)
			if (add_stack(process, profile, places, stack) < 0) {
				lost_count += stack->count;
				lost_ns += stack->weight_ns;
			}
	if (lost_count) {
		work->own_losses[DP_DROP_TABLE_FULL].count += lost_count;
		work->own_losses[DP_DROP_TABLE_FULL].weight_ns += lost_ns;
	}
	describe(process, profile);
}

struct dp_profile *dp_window_profile(struct dp_process *process, int64_t now_ns)
{
	struct dp_places places = {0};
	struct dp_profile *profile = has_anything(process->work) ? new_profile(process) : NULL;
	if (!profile)
		return NULL;
	add_window(process, profile, &places, now_ns);
	dp_places_fini(&places);
	return profile;
}

void dp_window_into_total(struct dp_process *process, int64_t now_ns)
{
	struct dp_work *work = process->work;
	if (!has_anything(work))
		return;
	if (!work->total)
		work->total = new_profile(process);
	if (work->total)
		add_window(process, work->total, &work->places, now_ns);
}
