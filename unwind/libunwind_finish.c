/* SPDX-License-Identifier: Apache-2.0
 * Walks a copied stack with libunwind's remote interface: for what a table cannot say, and as its judge.
 *
 * libunwind asks for memory, registers and unwind information by callbacks, so it needs neither the host nor
 * its files: memory is the copied stack, then the bytes of the modules. Its own guesses for code without CFI
 * (it tries a frame pointer, a PLT shape, a signal frame) are not used: such a step is the walker's, so that
 * both give the same frames or none. */
#include "unwind/compile.h"

#include "unwind/cfi.h"

#include <libunwind.h>
#include <stdlib.h>

/* Exported by libunwind for debuggers, declared in none of its public headers. */
#define search_table UNW_OBJ(dwarf_search_unwind_table)
extern int search_table(unw_addr_space_t space, unw_word_t ip, unw_dyn_info_t *info, unw_proc_info_t *found,
	int need_unwind_info, void *context);

enum {
	MODULE_LIMIT = 4096,
	LOWEST_CODE = 0x10000,
	ADDRESS_BITS = 48,
	HEADER_TABLE = 12, /* where the table of an .eh_frame_hdr of the usual encodings begins */
};

/* Tables that we made stand where no program has memory: each module's at its own 8 GiB. */
static const uint64_t own_tables = UINT64_C(0xffff000000000000);
enum { OWN_TABLE_SHIFT = 33 };

/* What .eh_frame_hdr's table holds, both relative to a base. */
struct entry {
	int32_t start, fde;
};

struct module {
	const struct dp_finish_module *source;
	struct dp_elf elf;
	uint64_t low, high;   /* all segments, in the host */
	uint64_t base, table; /* addresses in the host (or in own_tables); table 0: no CFI */
	uint64_t table_size;
	struct entry *own;
};

struct dp_finisher {
	/* libunwind caches rules by a frame's address, but looks a return address up one byte before it, so
	 * that one address can have two rules: interrupted frames and callers have caches of their own. */
	unw_addr_space_t exact, callers;
	struct module *modules[MODULE_LIMIT];
	unsigned module_count;
	/* Of the walk in progress: */
	const struct dp_finish_input *input;
	struct dp_registers registers;
	const struct module *last;
	bool had_no_cfi, had_bad_memory, had_no_file;
};

/* A table of our own, where the file has none or has one that we cannot read. */
static bool build_table(struct module *module, uint64_t base)
{
	struct dp_cfi_section section;
	struct dp_cfi cfi;
	bool ok = false;

	if (dp_cfi_find_eh_frame(&module->elf, &section))
		return false;
	if (!dp_cfi_init(&cfi, &section, module->elf.code_start, module->elf.code_end) && cfi.fde_count)
		module->own = malloc(cfi.fde_count * sizeof *module->own);
	if (module->own) {
		for (uint32_t i = 0; i < cfi.fde_count; i++)
			module->own[i] = (struct entry){
				.start = (int32_t)(cfi.fdes[i].start - base),
				.fde = (int32_t)(section.address + cfi.fdes[i].offset - base),
			};
		module->table_size = (uint64_t)cfi.fde_count * sizeof *module->own;
		ok = true;
	}
	dp_cfi_fini(&cfi);
	return ok;
}

static void find_table(struct module *module, unsigned number)
{
	const struct dp_elf *elf = &module->elf;
	const uint64_t bias = module->source->bias;
	const struct dp_bytes table = dp_elf_frame_table(elf);

	if (table.size) {
		module->base = elf->eh_frame_hdr + bias;
		module->table = module->base + HEADER_TABLE;
		module->table_size = table.size;
	} else if (build_table(module, elf->code_start)) {
		module->base = elf->code_start + bias;
		module->table = own_tables + ((uint64_t)number << OWN_TABLE_SHIFT);
	}
}

static struct module *module_new(const struct dp_finish_module *source, unsigned number)
{
	struct module *module = calloc(1, sizeof *module);

	if (!module)
		return NULL;
	module->source = source;
	if (!source->elf || dp_elf_read(&module->elf, source->elf, source->elf_size))
		return module;
	module->low = UINT64_MAX;
	for (unsigned i = 0; i < module->elf.load_count; i++) {
		const struct dp_elf_load *load = &module->elf.loads[i];
		const uint64_t start = load->address + source->bias;

		if (start < module->low)
			module->low = start;
		if (start + load->memory_size > module->high)
			module->high = start + load->memory_size;
	}
	find_table(module, number);
	return module;
}

static const struct module *module_of(struct dp_finisher *finisher, uint64_t pc)
{
	const struct dp_finish_module *source;

	if (finisher->last && pc >= finisher->last->source->start && pc < finisher->last->source->end)
		return finisher->last;
	source = finisher->input->find(finisher->input->context, pc);
	if (!source)
		return NULL;
	for (unsigned i = 0; i < finisher->module_count; i++)
		if (finisher->modules[i]->source == source)
			return finisher->last = finisher->modules[i];
	if (finisher->module_count == MODULE_LIMIT)
		return NULL;
	finisher->last = module_new(source, finisher->module_count);
	if (finisher->last)
		finisher->modules[finisher->module_count++] = (struct module *)finisher->last;
	return finisher->last;
}

static bool read_own_table(const struct dp_finisher *finisher, uint64_t address, uint64_t *value)
{
	const uint64_t number = (address - own_tables) >> OWN_TABLE_SHIFT;
	const uint64_t offset = address & ((UINT64_C(1) << OWN_TABLE_SHIFT) - 1);
	const struct module *module = number < finisher->module_count ? finisher->modules[number] : NULL;

	if (!module || !module->own || offset >= module->table_size ||
		module->table_size - offset < sizeof *value)
		return false;
	memcpy(value, (const uint8_t *)module->own + offset, sizeof *value);
	return true;
}

/* Words at the end of a segment are filled up with zeroes, and so is what the file does not hold: libunwind
 * reads the personality's address through a pointer that only the running program has. */
static bool read_module(const struct module *module, uint64_t address, uint64_t *value)
{
	const uint64_t at = address - module->source->bias;
	struct dp_bytes bytes;

	if (address < module->low || address >= module->high)
		return false;
	bytes = dp_elf_at(&module->elf, at, sizeof *value);
	*value = 0;
	memcpy(value, bytes.start ? bytes.start : (const uint8_t *)value, bytes.size);
	return true;
}

static bool read_memory(struct dp_finisher *finisher, uint64_t address, uint64_t *value)
{
	const struct dp_finish_input *input = finisher->input;

	if (address >= input->stack_address && input->stack_size >= sizeof *value &&
		address - input->stack_address <= input->stack_size - sizeof *value) {
		memcpy(value, input->stack + (address - input->stack_address), sizeof *value);
		return true;
	}
	if (address >= own_tables)
		return read_own_table(finisher, address, value);
	if (finisher->last && read_module(finisher->last, address, value))
		return true;
	for (unsigned i = 0; i < finisher->module_count; i++)
		if (read_module(finisher->modules[i], address, value))
			return true;
	return false;
}

static int access_mem(
	unw_addr_space_t space, unw_word_t address, unw_word_t *value, int is_write, void *context)
{
	struct dp_finisher *finisher = context;

	(void)space;
	if (is_write)
		return -UNW_EINVAL;
	if (read_memory(finisher, address, value))
		return 0;
	finisher->had_bad_memory = true;
	return -UNW_EINVAL;
}

static int find_proc_info(
	unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *found, int need_unwind_info, void *context)
{
	struct dp_finisher *finisher = context;
	const struct module *module = module_of(finisher, ip);
	unw_dyn_info_t info = {.format = UNW_INFO_FORMAT_REMOTE_TABLE};
	int ret = -UNW_ENOINFO;

	if (module && module->table) {
		info.start_ip = module->source->start;
		info.end_ip = module->source->end;
		info.u.rti.segbase = module->base;
		info.u.rti.table_data = module->table;
		info.u.rti.table_len = module->table_size / sizeof(unw_word_t);
		ret = search_table(space, ip, &info, found, need_unwind_info, context);
	}
	if (ret == -UNW_ENOINFO)
		finisher->had_no_cfi = true;
	if (module && !module->source->elf)
		finisher->had_no_file = true;
	return ret;
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *info, void *context)
{
	(void)space, (void)info, (void)context;
}

static int no_dynamic_info(unw_addr_space_t space, unw_word_t *address, void *context)
{
	(void)space, (void)address, (void)context;
	return -UNW_ENOINFO;
}

static int access_reg(
	unw_addr_space_t space, unw_regnum_t number, unw_word_t *value, int is_write, void *context)
{
	const struct dp_finisher *finisher = context;

	(void)space;
	if (is_write || number < 0 || number >= DP_REG_USED)
		return -UNW_EBADREG;
	*value = finisher->registers.value[number];
	return 0;
}

static int access_fpreg(
	unw_addr_space_t space, unw_regnum_t number, unw_fpreg_t *value, int is_write, void *context)
{
	(void)space, (void)number, (void)value, (void)is_write, (void)context;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *context)
{
	(void)space, (void)cursor, (void)context;
	return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t space, unw_word_t address, char *buffer, size_t size, unw_word_t *offset,
	void *context)
{
	(void)space, (void)address, (void)buffer, (void)size, (void)offset, (void)context;
	return -UNW_EUNSPEC;
}

static void forget_modules(struct dp_finisher *finisher)
{
	for (unsigned i = 0; i < finisher->module_count; i++) {
		free(finisher->modules[i]->own);
		free(finisher->modules[i]);
	}
	finisher->module_count = 0;
	finisher->last = NULL;
}

struct dp_finisher *dp_finisher_new(void)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = no_dynamic_info,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = no_resume,
		.get_proc_name = no_name,
	};
	struct dp_finisher *finisher = calloc(1, sizeof *finisher);

	if (!finisher)
		return NULL;
	finisher->exact = unw_create_addr_space(&accessors, 0);
	finisher->callers = unw_create_addr_space(&accessors, 0);
	if (!finisher->exact || !finisher->callers) {
		dp_finisher_free(finisher);
		return NULL;
	}
	unw_set_caching_policy(finisher->exact, UNW_CACHE_GLOBAL);
	unw_set_caching_policy(finisher->callers, UNW_CACHE_GLOBAL);
	return finisher;
}

void dp_finisher_flush(struct dp_finisher *finisher)
{
	unw_flush_cache(finisher->exact, 0, 0);
	unw_flush_cache(finisher->callers, 0, 0);
	forget_modules(finisher);
}

void dp_finisher_free(struct dp_finisher *finisher)
{
	if (!finisher)
		return;
	forget_modules(finisher);
	if (finisher->exact)
		unw_destroy_addr_space(finisher->exact);
	if (finisher->callers)
		unw_destroy_addr_space(finisher->callers);
	free(finisher);
}

/* A walk in progress. */
struct finish {
	struct dp_finisher *finisher;
	unw_cursor_t cursor;
	uint64_t pc, sp;
	bool is_exact, is_guessed;
};

static bool is_in_stack(const struct dp_finish_input *input, uint64_t address)
{
	return address >= input->stack_address && address - input->stack_address < input->stack_size;
}

/* In the part of the stack that was not copied, as far as anyone can tell. */
static bool is_behind_copy(const struct dp_finish_input *input, uint64_t address)
{
	enum { STACK_MOST = 8 << 20 };
	const uint64_t end = input->stack_address + input->stack_size;

	return address + 16 > end && address - input->stack_address < STACK_MOST;
}

/* Points the cursor at finish->pc with the finisher's registers. libunwind takes the first pc of a walk as it
 * is, so for a caller it is given one inside the call. */
static bool begin(struct finish *finish)
{
	struct dp_finisher *finisher = finish->finisher;

	finisher->registers.value[DP_REG_PC] = finish->pc - !finish->is_exact;
	return !unw_init_remote(
		&finish->cursor, finish->is_exact ? finisher->exact : finisher->callers, finisher);
}

/* The registers of the cursor's frame become the finisher's. */
static void take_registers(struct finish *finish)
{
	struct dp_registers registers = {0};
	unw_word_t value;

	for (int i = 0; i < DP_REG_USED; i++)
		if (!unw_get_reg(&finish->cursor, i, &value))
			registers.value[i] = value;
	finish->finisher->registers = registers;
}

/* Begins anew from a caller that a frame pointer led to. */
static int restart(struct finish *finish, uint64_t pc, uint64_t sp, uint64_t fp)
{
	take_registers(finish);
	finish->finisher->registers.value[DP_REG_SP] = sp;
	finish->finisher->registers.value[DP_REG_FP] = fp;
	finish->pc = pc;
	finish->sp = sp;
	finish->is_exact = false;
	finish->is_guessed = true;
	return begin(finish) ? -1 : DP_STOP_NO_CFI;
}

static int step_by_frame_pointer(struct finish *finish, int failure)
{
	struct dp_finisher *finisher = finish->finisher;
	unw_word_t fp, next_fp, address;

	if (unw_get_reg(&finish->cursor, DP_REG_FP, &fp))
		return failure;
	if (!fp)
		return finish->is_exact ? failure : DP_STOP_END;
	if (fp & 7 || fp < finish->sp)
		return failure;
	if (is_behind_copy(finisher->input, fp))
		return DP_STOP_BAD_MEMORY;
	if (!is_in_stack(finisher->input, fp) || !read_memory(finisher, fp, &next_fp) ||
		!read_memory(finisher, fp + 8, &address))
		return failure;
	if (!address)
		return DP_STOP_END;
	if (address < LOWEST_CODE || address >> ADDRESS_BITS || is_in_stack(finisher->input, address))
		return failure;
	return restart(finish, address, fp + 16, next_fp);
}

/* A call into nowhere; see unwind_signal.c. */
static int step_from_nowhere(struct finish *finish)
{
	struct dp_finisher *finisher = finish->finisher;
	unw_word_t address, fp;
	uint64_t sp = finish->sp;

#if defined(__x86_64__)
	if (!is_in_stack(finisher->input, sp) || !read_memory(finisher, sp, &address))
		return DP_STOP_NO_MAP;
	sp += 8;
#else
	if (unw_get_reg(&finish->cursor, DP_REG_LR, &address))
		return DP_STOP_NO_MAP;
#endif
	if (address < LOWEST_CODE || !module_of(finisher, address - 1) ||
		unw_get_reg(&finish->cursor, DP_REG_FP, &fp))
		return DP_STOP_NO_MAP;
	return restart(finish, address, sp, fp);
}

/* A return address without CFI before it, but with some from it on, was pushed and not called; see
 * unwind_signal.c. */
static bool is_pushed(struct finish *finish)
{
	struct dp_finisher *finisher = finish->finisher;
	unw_proc_info_t info;

	return !find_proc_info(finisher->callers, finish->pc, &info, 0, finisher);
}

static int step_without_cfi(struct finish *finish)
{
	const bool is_mapped = module_of(finish->finisher, finish->pc - !finish->is_exact) != NULL;
	const int failure = is_mapped ? DP_STOP_NO_CFI : DP_STOP_NO_MAP;
	const bool may_be_nowhere = finish->is_exact && !is_mapped;
	int ret;

	if (finish->finisher->had_no_file)
		return DP_STOP_NO_CFI;
	if (!finish->is_exact && is_pushed(finish))
		return DP_STOP_END;
	if (may_be_nowhere && (finish->pc < LOWEST_CODE || finish->pc >> ADDRESS_BITS))
		return step_from_nowhere(finish);
	ret = step_by_frame_pointer(finish, failure);
	if (ret == failure && may_be_nowhere)
		ret = step_from_nowhere(finish);
	return ret;
}

/* Is this where a signal handler returns to? unw_is_signal_frame() tells it of different frames in different
 * versions, so the code itself is asked: it loads the number of rt_sigreturn and calls the kernel. */
static bool is_signal_frame_at(struct dp_finisher *finisher, uint64_t pc)
{
	enum {
		X86_64_LOAD = 7,
		AARCH64_LOAD = 4
	}; /* sizes of the first instruction: the pc may stand behind it */
	uint64_t code;

#if defined(__x86_64__)
	return (read_memory(finisher, pc, &code) && code == UINT64_C(0x0f0000000fc0c748)) ||
	       (read_memory(finisher, pc - X86_64_LOAD, &code) && code == UINT64_C(0x0f0000000fc0c748));
#else
	return (read_memory(finisher, pc, &code) && code == UINT64_C(0xd4000001d2801168)) ||
	       (read_memory(finisher, pc - AARCH64_LOAD, &code) && code == UINT64_C(0xd4000001d2801168));
#endif
}

/* Leaves one frame: -1, or why the walk ends. */
static int step(struct finish *finish)
{
	struct dp_finisher *finisher = finish->finisher;
	const unw_cursor_t before = finish->cursor;
	const bool was_exact = finish->is_exact;
	bool is_signal_frame;
	unw_word_t value;
	int ret;

	if (finish->is_exact && !module_of(finisher, finish->pc))
		return step_without_cfi(finish);
	is_signal_frame = is_signal_frame_at(finisher, finish->pc);
	finisher->had_no_cfi = finisher->had_bad_memory = finisher->had_no_file = false;
	ret = unw_step(&finish->cursor);
	if (finisher->had_no_cfi && !is_signal_frame) {
		finish->cursor = before;
		return step_without_cfi(finish);
	}
	if (ret < 0)
		return finisher->had_bad_memory ? DP_STOP_BAD_MEMORY : DP_STOP_NO_CFI;
	if (!ret)
		return DP_STOP_END;
	unw_get_reg(&finish->cursor, UNW_REG_IP, &value);
	finish->pc = value;
	unw_get_reg(&finish->cursor, UNW_REG_SP, &value);
	finish->sp = value;
	finish->is_exact = is_signal_frame;
	finish->is_guessed = false;
	if (!finish->pc)
		return DP_STOP_END;
	if (was_exact == finish->is_exact)
		return -1;
	take_registers(finish);
	return begin(finish) ? -1 : DP_STOP_NO_CFI;
}

int dp_finish(struct dp_finisher *finisher, const struct dp_finish_input *input, struct dp_frame *frames,
	int max, enum dp_stop *stop)
{
	const uint64_t origin = input->origin ? input->origin : input->registers.value[DP_REG_SP];
	struct finish finish = {
		.finisher = finisher,
		.pc = input->registers.value[DP_REG_PC],
		.sp = input->registers.value[DP_REG_SP],
		.is_exact = !input->is_caller,
	};
	int count = 0, ret = DP_STOP_NO_CFI;

	finisher->input = input;
	finisher->registers = input->registers;
	if (max <= 0) {
		*stop = DP_STOP_TRUNCATED;
		return 0;
	}
	if (begin(&finish))
		ret = -1;
	for (;;) {
		struct dp_frame *frame = &frames[count++];

		*frame = (struct dp_frame){
			.id = finish.pc,
			.place = UINT32_MAX,
			.runtime = DP_FRAME_NATIVE,
			.flags = DP_FRAME_AGENT | (finish.is_exact ? DP_FRAME_EXACT : 0) |
				 (finish.is_guessed ? DP_FRAME_GUESSED : 0),
		};
		if (ret < 0)
			ret = step(&finish);
		if (ret >= 0) {
			if (ret == DP_STOP_NO_MAP && finish.is_guessed && count > 1)
				count--; /* see unwind_signal.c */
			break;
		}
		if (finish.sp >= origin && (finish.sp - origin) / 8 < UINT32_MAX)
			frame->place = (finish.sp - origin) / 8;
		if (input->end_sp && (finish.sp >= input->end_sp || !module_of(finisher, finish.pc - !finish.is_exact))) {
			ret = DP_STOP_OWNED;
			break;
		}
		if (count == max) {
			ret = DP_STOP_TRUNCATED;
			break;
		}
	}
	*stop = ret;
	return count;
}
