/* SPDX-License-Identifier: Apache-2.0
 * Label sets interned, and the calling thread's one.
 *
 * Finding a set that is known takes no lock: sets are only ever added, and a slot names a set after it is
 * written. */
#include "capture/label.h"

#include "base/syscall.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* How full the table may be for sets as they were given, with one folded value, with all of them folded. */
static const uint32_t sets_most[] = {DP_LABEL_SET_MAX - 192, DP_LABEL_SET_MAX - 64, DP_LABEL_SET_MAX};
static const uint32_t bytes_most[] = {DP_LABEL_STORE - 64 * 1024, DP_LABEL_STORE - 24 * 1024, DP_LABEL_STORE};

static _Atomic uint32_t is_locked;

/* The record is another's as soon as its tid is. */
static __thread struct {
	struct dp_thread *record;
	int32_t tid;
	uint32_t labels, siblings_seen;
} self;

/* A set being made. */
struct draft {
	char text[DP_LABEL_TEXT_MAX];
	uint32_t size, pair_count;
};

static void lock(void)
{
	uint32_t free = 0;
	while (!dp_cas(&is_locked, &free, 1)) {
		DP_SYS0(SYS_sched_yield);
		free = 0;
	}
}

static void unlock(void)
{
	dp_store_release(&is_locked, 0);
}

static struct dp_label_table *open_table(void)
{
	struct dp_label_table *table = dp_load_acquire(&dp_label_table);
	if (table)
		return table;
	const long memory = DP_SYS(SYS_mmap, 0, sizeof *table, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory < 0 && memory > -4096)
		return NULL;
	DP_SYS2(SYS_munlock, memory, sizeof *table); /* mlockall(MCL_FUTURE) is not for us */
	struct dp_label_table *made = (struct dp_label_table *)memory;
	made->told = 1;
	dp_store_relaxed(&made->count, 1);
	if (dp_cas(&dp_label_table, &table, made))
		return made;
	DP_SYS2(SYS_munmap, memory, sizeof *made);
	return table;
}

/* ---- sets ---- */

static uint32_t hash_of(const struct draft *draft)
{
	uint32_t hash = 0x811c9dc5;
	for (uint32_t i = 0; i < draft->size; i++)
		hash = (hash ^ (uint8_t)draft->text[i]) * 0x01000193; /* FNV-1a */
	return hash ^ hash >> 15;
}

/* The set's number; 0: not known, and *slot is where it would be. */
static uint32_t find(struct dp_label_table *table, const struct draft *draft, uint32_t hash, uint32_t *slot)
{
	for (*slot = hash % DP_LABEL_SLOTS;; *slot = (*slot + 1) % DP_LABEL_SLOTS) {
		const uint32_t number = dp_load_acquire(&table->slots[*slot]);
		const struct dp_label_set *set = &table->sets[number];
		if (!number)
			return 0;
		if (set->hash == hash && set->size == draft->size &&
			!memcmp(table->text + set->offset, draft->text, draft->size))
			return number;
	}
}

static uint32_t add(struct dp_label_table *table, const struct draft *draft, uint32_t hash, unsigned folds)
{
	uint32_t slot, number;
	lock();
	number = find(table, draft, hash, &slot);
	const uint32_t count = dp_load_relaxed(&table->count);
	if (!number && count < sets_most[folds] && table->used + draft->size <= bytes_most[folds]) {
		number = count;
		table->sets[number] = (struct dp_label_set){hash, table->used, (uint16_t)draft->size};
		memcpy(table->text + table->used, draft->text, draft->size);
		table->used += draft->size;
		dp_store_release(&table->count, count + 1);
		dp_store_release(&table->slots[slot], (uint16_t)number);
	}
	unlock();
	return number;
}

/* The agent hears of it before a sample carries it, unless somebody else is at it: then a tick tells. */
static void tell(void)
{
	uint32_t free = 0;
	struct dp_region *region = dp_load_acquire(&dp_host.region);
	if (!region || !dp_cas(&dp_host.is_keeping, &free, 1))
		return;
	region = dp_load_acquire(&dp_host.region);
	if (region)
		dp_tell_labels(region, false);
	dp_store_release(&dp_host.is_keeping, 0);
}

static uint32_t intern(struct dp_label_table *table, const struct draft *draft, unsigned folds)
{
	uint32_t slot;
	const uint32_t hash = hash_of(draft);
	const uint32_t known = find(table, draft, hash, &slot);
	if (known)
		return known;
	const uint32_t number = add(table, draft, hash, folds);
	if (number)
		tell();
	return number;
}

/* ---- pairs ---- */

static bool put_pair(struct draft *draft, const char *key, const char *value, size_t value_size)
{
	const size_t key_size = strlen(key) + 1;
	if (draft->pair_count == DP_LABEL_PAIRS_MAX)
		return false;
	memcpy(draft->text + draft->size, key, key_size);
	memcpy(draft->text + draft->size + key_size, value, value_size);
	draft->size += (uint32_t)(key_size + value_size);
	draft->text[draft->size++] = 0;
	draft->pair_count++;
	return true;
}

/* Without the half of a character that a cut at the limit may leave. */
static size_t cut_value(const char *value)
{
	size_t size = strnlen(value, DP_LABEL_VALUE_MAX + 1);
	if (size <= DP_LABEL_VALUE_MAX)
		return size;
	size = DP_LABEL_VALUE_MAX;
	while (size > DP_LABEL_VALUE_MAX - 4 && ((unsigned char)value[size] & 0xc0) == 0x80)
		size--;
	return size;
}

/* The base's pairs and this one, in order of keys. Folds: 1 its value is "other", 2 all values are. */
static bool compose(const struct dp_label_table *table, uint32_t base, const char *key, const char *value,
	unsigned folds, struct draft *draft)
{
	static const char other[] = "other";
	const struct dp_label_set *set = &table->sets[base];
	const char *at = table->text + set->offset, *end = at + set->size;
	bool is_placed = !value || !*value;
	draft->size = draft->pair_count = 0;
	while (at < end || !is_placed) {
		const int order = is_placed  ? (at < end ? strcmp(at, key) : 0)
				  : at < end ? strcmp(at, key)
					     : 1;
		if (!is_placed && order >= 0) {
			if (!put_pair(draft, key, folds ? other : value,
				    folds ? sizeof other - 1 : cut_value(value)))
				return false;
			is_placed = true;
		}
		if (at < end) {
			const char *old = at + strlen(at) + 1;
			if (strcmp(at, key) != 0 && !put_pair(draft, at, folds > 1 ? other : old,
							    folds > 1 ? sizeof other - 1 : strlen(old)))
				return false;
			at = old + strlen(old) + 1;
		}
	}
	return true;
}

/* What begins with two underscores or "pprof::" is others' (pprof's profile.proto). */
static bool is_key(const char *key)
{
	static const char *const ours[] = {"thread", "tid", "process", "pid"};
	const size_t size = key ? strnlen(key, DP_LABEL_KEY_MAX + 1) : 0;
	if (!size || size > DP_LABEL_KEY_MAX || !strncmp(key, "__", 2) || !strncmp(key, "pprof::", 7))
		return false;
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (!strcmp(key, ours[i]))
			return false;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)key[i] < ' ' || key[i] == 0x7f)
			return false;
	return true;
}

int dp_labels_make(uint32_t base, const char *key, const char *value)
{
	struct draft draft;
	if (!is_key(key))
		return -EINVAL;
	struct dp_label_table *table = open_table();
	if (!table)
		return -ENOMEM;
	if (base >= dp_load_acquire(&table->count))
		return -EINVAL;
	for (unsigned folds = 0; folds < 3; folds++) {
		if (!compose(table, base, key, value, folds, &draft))
			return -ENOSPC;
		const uint32_t number = draft.size ? intern(table, &draft, folds) : 0;
		if (number || !draft.size)
			return (int)number;
		if (folds == 0)
			dp_count_loss(DP_DROP_LABELS, 0);
	}
	return 0;
}

/* ---- the thread's own ---- */

static struct dp_thread *own_record(void)
{
	const uint32_t siblings = dp_load_relaxed(&dp_host.siblings_armed);
	if (!self.record && siblings != self.siblings_seen) {
		/* Older than us, or by a raw clone: another thread has given it a record meanwhile. */
		self.siblings_seen = siblings;
		self.tid = (int32_t)DP_SYS0(SYS_gettid);
		self.record = dp_thread_by_tid(self.tid);
	}
	if (self.record && self.record->tid != self.tid)
		self.record = NULL;
	return self.record;
}

uint32_t dp_labels_get(void)
{
	return self.labels;
}

int dp_labels_set(uint32_t set)
{
	const struct dp_label_table *table = dp_load_acquire(&dp_label_table);
	if (set && (!table || set >= dp_load_acquire(&table->count)))
		return -EINVAL;
	self.labels = set;
	struct dp_thread *record = own_record();
	if (record)
		dp_store_relaxed(&record->labels, set);
	return 0;
}

void dp_labels_attach(struct dp_thread *thread)
{
	self.record = thread;
	self.tid = thread->tid;
	dp_store_relaxed(&thread->labels, self.labels);
}

void dp_labels_after_fork(void)
{
	unlock();
	self.record = NULL; /* records begin anew */
}
