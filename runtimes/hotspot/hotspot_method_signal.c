/* SPDX-License-Identifier: Apache-2.0
 * Numbers for methods, and their names told while they are certainly alive.
 *
 * A number stands for what is told: class, method, file and line table, by a hash of 64 bits over all of it. A class that
 * is loaded again, or a hidden class that is spun again for the same lambda, comes back to its number. A method (a Method
 * at some address) that was seen before is known by a few words of it, which change with what is told. Its first sight is
 * by the kernel: no walk is so certain that a wild pointer may be followed. */
#include "runtimes/hotspot/hotspot.h"

#include "base/atomic.h"
#include "base/hash.h"
#include "base/syscall.h"
#include "runtimes/name.h"

enum {
	TRIED_MOST = 64,
	SEEN = 16 * 1024,
	TEXT_MOST = 1024, /* of a class, of a method, of a file */
	TOLD = 1,         /* our set in tick->told */
	NUMBER_BITS = 16,
	UNTOLD = 128,
	UNTOLD_SHIFT = 48,
};

static _Atomic uint64_t numbers[DP_RUNTIME_NUMBERS]; /* hash of what is told; 0: free */
static _Atomic uint64_t seen[SEEN];                  /* a method and its check, hashed, above; its number below */
static _Atomic uintptr_t methods[SEEN];              /* addresses that were methods once */
/* What found no room in a ring: the address of a method, or of a text that stays, its size above. 0: free. */
static _Atomic uint64_t untold[UNTOLD];
static _Atomic uint32_t untold_count;

static uint64_t hash_bytes(uint64_t hash, const uint8_t *bytes, uint32_t size)
{
	uint64_t word = 0;
	for (; size >= 8; bytes += 8, size -= 8) {
		__builtin_memcpy(&word, bytes, 8);
		hash = dp_mix(hash, word);
	}
	word = 0;
	for (uint32_t i = 0; i < size; i++)
		word |= (uint64_t)bytes[i] << i * 8;
	return dp_mix(hash, word ^ (uint64_t)size << 56);
}

/* 0: no room. */
static uint32_t number_of(uint64_t hash)
{
	uint32_t at = (uint32_t)(hash >> 40) % DP_RUNTIME_NUMBERS;
	hash |= !hash;
	for (unsigned i = 0; i < TRIED_MOST; i++, at = (at + 1) % DP_RUNTIME_NUMBERS) {
		uint64_t there = dp_load_relaxed(&numbers[at]);
		if (there == hash || (!there && dp_cas(&numbers[at], &there, hash)) || there == hash)
			return at + 1;
	}
	return 0;
}

/* ---- reading a method ---- */

struct method {
	uintptr_t constant, pool, holder, name, class_name, file; /* ConstMethod, ConstantPool, Klass, Symbols */
	uint32_t name_size, class_size, file_size;
	uint32_t code_size, size; /* of the ConstMethod, bytes */
	bool has_lines;
};

struct reader {
	const struct dp_managed_tick *tick;
	bool is_plain;
};

static bool read(const struct reader *reader, uintptr_t address, void *to, size_t size)
{
	if (!dp_jvm_is_pointer(address))
		return false;
	if (!reader->is_plain)
		return dp_tick_probe(reader->tick, address, to, size);
	__builtin_memcpy(to, (const void *)address, size);
	return true;
}

static bool read_word(const struct reader *reader, uintptr_t address, uintptr_t *word)
{
	return !(address & 7) && read(reader, address, word, sizeof *word) && *word;
}

static bool read_half(const struct reader *reader, uintptr_t address, uint32_t *half)
{
	uint16_t word = 0;
	const bool is_there = read(reader, address, &word, sizeof word);
	*half = word;
	return is_there;
}

static bool read_symbol(const struct reader *reader, const struct method *method, uint32_t index, uintptr_t *symbol, uint32_t *size)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	return read_word(reader, method->pool + (uintptr_t)((at->size_pool + 7) & ~7) + index * 8, symbol) &&
	       read_half(reader, *symbol + (uintptr_t)at->symbol_length, size);
}

static bool read_method(const struct reader *reader, uintptr_t address, struct method *method)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	uint32_t index, file_index, flags, size = 0;
	int32_t length = 0;
	if (!read_word(reader, address + (uintptr_t)at->method_const, &method->constant) ||
	        !read_word(reader, method->constant + (uintptr_t)at->const_constants, &method->pool) ||
	        !read_word(reader, method->pool + (uintptr_t)at->pool_holder, &method->holder) ||
	        !read(reader, method->pool + (uintptr_t)at->pool_length, &length, sizeof length) ||
	        !read_half(reader, method->constant + (uintptr_t)at->const_name_index, &index) ||
	        !read_half(reader, method->constant + (uintptr_t)at->const_code_size, &method->code_size) ||
	        !read_half(reader, method->constant + (uintptr_t)(at->const_flags >= 0 ? at->const_flags : at->const_flags_21), &flags) ||
	        !read(reader, method->constant + (uintptr_t)at->const_size, &size, sizeof size) ||
	        !read_word(reader, method->holder + (uintptr_t)at->klass_name, &method->class_name) ||
	        !read_half(reader, method->class_name + (uintptr_t)at->symbol_length, &method->class_size))
		return false;
	const uintptr_t file = at->pool_source_file >= 0 ? method->pool + (uintptr_t)at->pool_source_file
	                                                 : method->holder + (uintptr_t)at->class_source_file;
	if (length <= 0 || length > 65535 || !index || index >= (uint32_t)length || size > 1024 * 1024 ||
	        !read_symbol(reader, method, index, &method->name, &method->name_size) || !read_half(reader, file, &file_index))
		return false;
	method->size = size * 8;
	method->has_lines = flags & 1;
	method->file = 0;
	method->file_size = 0;
	if (file_index && (file_index >= (uint32_t)length ||
	                          !read_symbol(reader, method, file_index, &method->file, &method->file_size)))
		return false;
	return method->name_size && method->class_size && (uint32_t)at->size_const + method->code_size <= method->size;
}

/* Over what changes when the address comes to be another method. */
static uint64_t check_of(uintptr_t address, const struct method *method)
{
	uint64_t hash = dp_mix(dp_mix(address, method->constant), method->pool);
	uint64_t first = 0, last = 0;
	const uintptr_t body = method->class_name + (uintptr_t)dp_jvm.layout.symbol_body;
	const uint32_t size = method->class_size;
	hash = dp_mix(dp_mix(hash, method->holder), method->name);
	hash = dp_mix(dp_mix(hash, method->class_name), (uint64_t)size << 32 | method->code_size << 16 | method->name_size);
	if (size >= 8) {
		__builtin_memcpy(&first, (const void *)body, 8);
		__builtin_memcpy(&last, (const void *)(body + size - 8), 8);
	}
	return dp_mix(dp_mix(hash, first), last);
}

/* ---- texts ---- */

static bool has_at(const uint8_t *text, uint32_t size, uint32_t at, const char *what)
{
	for (; *what; what++, at++)
		if (at >= size || text[at] != (uint8_t)*what)
			return false;
	return true;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* A class as people name it, and the same in every process: without the address of a hidden class, without the numbers
 * of what the VM makes as it goes. Returns the new size. */
static uint32_t make_stable(uint8_t *text, uint32_t size)
{
	static const char *const counted[] = {"$$Lambda$", "/$Proxy", "jdk/proxy", "/GeneratedMethodAccessor", "/GeneratedConstructorAccessor",
	        "/GeneratedSerializationConstructorAccessor"};
	enum { COUNTED = sizeof counted / sizeof *counted };
	uint32_t to = 0;
	for (uint32_t from = 0; from < size; from++) {
		if (has_at(text, size, from, "+0x") || has_at(text, size, from, "/0x"))
			break;
		bool is_counted = false;
		for (unsigned i = 0; i < COUNTED && is_digit(text[from]); i++) {
			uint32_t length = 0;
			while (counted[i][length])
				length++;
			is_counted |= to >= length && has_at(text, to, to - length, counted[i]);
		}
		if (is_counted) {
			while (from + 1 < size && is_digit(text[from + 1]))
				from++;
			continue;
		}
		text[to++] = text[from];
	}
	if (to && text[to - 1] == '$' && has_at(text, to, to >= 9 ? to - 9 : 0, "$$Lambda$"))
		to--;
	for (uint32_t i = 0; i < to; i++)
		if (text[i] == '/')
			text[i] = '.';
	return to;
}

/* ---- telling ---- */

/* name, file and lines lie behind each other in scratch. False: no room. */
static bool put_name(struct dp_managed_tick *tick, struct dp_name_record *record, const uint8_t *bytes)
{
	static const uint8_t zeros[8];
	const uint32_t size = record->name_size + record->file_size + record->lines_size;
	const uint32_t at = (uint32_t)sizeof *record + size;
	record->size_bytes = (at + 7) & ~7u;
	if (record->size_bytes > tick->name_room || !dp_ring_has_room(tick->ring, record->size_bytes))
		return false;
	dp_ring_put(tick->ring, 0, record, sizeof *record);
	dp_ring_put(tick->ring, sizeof *record, bytes, size);
	dp_ring_put(tick->ring, at, zeros, record->size_bytes - at);
	dp_ring_commit(tick->ring, record->size_bytes);
	tick->name_room -= record->size_bytes;
	return true;
}

/* For a later tick of any thread. */
static void keep_untold(struct dp_managed_tick *tick, uintptr_t address, uint32_t size)
{
	const uint64_t wanted = (uint64_t)size << UNTOLD_SHIFT | address;
	for (unsigned i = 0; i < UNTOLD; i++)
		if (dp_load_relaxed(&untold[i]) == wanted)
			return;
	for (unsigned i = 0; i < UNTOLD; i++) {
		uint64_t none = 0;
		if (!dp_load_relaxed(&untold[i]) && dp_cas(&untold[i], &none, wanted)) {
			dp_add_relaxed(&untold_count, 1);
			return;
		}
	}
	tick->losses[DP_MANAGED_NAME]++;
}

static bool is_told(const struct dp_managed_tick *tick, uint32_t number)
{
	return tick->told[TOLD][(number - 1) / 8] >> (number - 1) % 8 & 1;
}

static void set_told(const struct dp_managed_tick *tick, uint32_t number)
{
	tick->told[TOLD][(number - 1) / 8] |= (uint8_t)(1u << (number - 1) % 8);
}

/* A line table: bytes, or 0xff and two numbers; 0 ends it (compressedStream.hpp, CompressedLineNumberWriteStream). */
static uint32_t end_of_lines(const uint8_t *bytes, uint32_t size)
{
	uint32_t at = 0;
	while (at < size) {
		const uint8_t next = bytes[at++];
		if (!next)
			return at;
		if (next == 0xff) {
			dp_jvm_unsigned5(bytes, size, &at, dp_jvm.has_excess);
			dp_jvm_unsigned5(bytes, size, &at, dp_jvm.has_excess);
		}
	}
	return size;
}

/* It stands behind the bytecodes (constMethod.hpp), other tables behind it. */
static uint32_t read_lines(const struct reader *reader, const struct method *method, uint8_t *to, bool *is_cut)
{
	const uint32_t start = (uint32_t)dp_jvm.layout.size_const + method->code_size;
	uint32_t size = method->has_lines ? method->size - start : 0;
	*is_cut = size > DP_NAME_LINES_MAX;
	if (*is_cut)
		size = DP_NAME_LINES_MAX;
	if (!size || !read(reader, method->constant + start, to, size))
		return 0;
	const uint32_t end = end_of_lines(to, size);
	*is_cut &= end == size;
	return end;
}

/* The number of what the method is called now, told. */
static uint32_t tell_method(struct dp_managed_tick *tick, const struct reader *reader, uintptr_t address, const struct method *method)
{
	const uintptr_t body = (uintptr_t)dp_jvm.layout.symbol_body;
	uint8_t *text = (uint8_t *)tick->scratch;
	const uint32_t class_size = method->class_size < TEXT_MOST ? method->class_size : TEXT_MOST;
	const uint32_t name_size = method->name_size < TEXT_MOST ? method->name_size : TEXT_MOST;
	const uint32_t file_size = method->file_size < TEXT_MOST ? method->file_size : TEXT_MOST;
	bool is_cut;
	_Static_assert(3 * TEXT_MOST + 1 + DP_NAME_LINES_MAX <= DP_RUNTIME_SCRATCH * 8, "");
	if (!read(reader, method->class_name + body, text, class_size))
		return 0;
	uint32_t at = make_stable(text, class_size);
	text[at++] = '.';
	if (!read(reader, method->name + body, text + at, name_size))
		return 0;
	at += name_size;
	struct dp_name_record record = {
	        .flags = DP_RECORD_NAME,
	        .runtime = DP_FRAME_JVM,
	        .version = (uint8_t)dp_jvm.version,
	        .name_size = at,
	        .file_size = file_size,
	};
	if (file_size && !read(reader, method->file + body, text + at, file_size))
		return 0;
	at += file_size;
	record.lines_size = read_lines(reader, method, text + at, &is_cut);
	record.is_cut = is_cut;
	record.number = number_of(dp_mix(hash_bytes(record.name_size, text, at + record.lines_size), file_size));
	if (!record.number)
		tick->losses[DP_MANAGED_NAME]++;
	else if (!is_told(tick, record.number)) {
		if (put_name(tick, &record, text))
			set_told(tick, record.number);
		else
			keep_untold(tick, address, 0);
	}
	return record.number;
}

uint32_t dp_jvm_method_number(struct dp_managed_tick *tick, uintptr_t address, bool is_certain)
{
	struct method method;
	struct reader reader = {tick, false};
	if (!address || address & 7)
		return 0;
	_Atomic uintptr_t *was_method = &methods[dp_mix(address >> 4, 0) >> 40 & (SEEN - 1)];
	const bool is_known = dp_load_relaxed(was_method) == address;
	reader.is_plain = is_certain && (is_known || !tick->may_call);
	if (!read_method(&reader, address, &method))
		return 0;
	if (!reader.is_plain) { /* it is one: what it leads to is there */
		dp_store_relaxed(was_method, address);
		reader.is_plain = is_certain;
	}
	if (!is_certain)
		return tell_method(tick, &reader, address, &method);
	const uint64_t check = check_of(address, &method);
	_Atomic uint64_t *entry = &seen[check & (SEEN - 1)];
	const uint64_t word = dp_load_relaxed(entry);
	uint32_t number = (uint32_t)(word & ((1 << NUMBER_BITS) - 1));
	if (number && !((word ^ check) >> NUMBER_BITS) && is_told(tick, number))
		return number;
	number = tell_method(tick, &reader, address, &method);
	if (number)
		dp_store_relaxed(entry, (check & ~(uint64_t)((1 << NUMBER_BITS) - 1)) | number);
	return number;
}

uint32_t dp_jvm_text_number(struct dp_managed_tick *tick, const char *text, uint32_t size)
{
	struct dp_name_record record = {
	        .flags = DP_RECORD_NAME,
	        .runtime = DP_FRAME_JVM,
	        .version = (uint8_t)dp_jvm.version,
	        .name_size = size,
	        .number = number_of(hash_bytes(size, (const uint8_t *)text, size)),
	};
	if (!record.number)
		tick->losses[DP_MANAGED_NAME]++;
	else if (!is_told(tick, record.number)) {
		if (put_name(tick, &record, (const uint8_t *)text))
			set_told(tick, record.number);
		else
			keep_untold(tick, (uintptr_t)text, size);
	}
	return record.number;
}

int32_t dp_jvm_bci_of(struct dp_managed_tick *tick, uintptr_t method, uintptr_t bcp, bool is_certain)
{
	const struct dp_jvm_layout *at = &dp_jvm.layout;
	const struct reader reader = {tick, is_certain};
	uintptr_t constant;
	uint32_t code_size;
	if (!bcp || !read_word(&reader, method + (uintptr_t)at->method_const, &constant) ||
	        !read_half(&reader, constant + (uintptr_t)at->const_code_size, &code_size))
		return -1;
	const uintptr_t code = constant + (uintptr_t)at->size_const;
	return bcp >= code && bcp - code < code_size ? (int32_t)(bcp - code) : -1;
}

/* What was a method then may be none now: it is read with care, and what it is called now is what is told. */
void dp_jvm_tell_untold(struct dp_managed_tick *tick)
{
	enum { USUAL = 1024, MOST = 16 }; /* a name's bytes in the ring; names of one tick, some ten system calls each */
	unsigned told = 0;
	if (!dp_load_relaxed(&untold_count) || !tick->may_call)
		return;
	for (unsigned i = 0; i < UNTOLD && told < MOST && tick->name_room > USUAL; i++) {
		uint64_t word = dp_load_relaxed(&untold[i]);
		if (!word || !dp_cas(&untold[i], &word, 0)) /* another thread's now */
			continue;
		dp_add_relaxed(&untold_count, -1u);
		told++;
		const uintptr_t address = word & (((uint64_t)1 << UNTOLD_SHIFT) - 1);
		const uint32_t size = (uint32_t)(word >> UNTOLD_SHIFT);
		if (size)
			dp_jvm_text_number(tick, (const char *)address, size);
		else
			dp_jvm_method_number(tick, address, false);
	}
}
