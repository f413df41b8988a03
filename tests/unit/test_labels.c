/* SPDX-License-Identifier: Apache-2.0
 * The label log as a host writes it, and as a broken or hostile one does. */
#include "agent/labels.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t bytes[64 * 1024];
static size_t used;

static void begin(void)
{
	used = 0;
}

/* text: strings with their NULs, size bytes. */
static void record(uint32_t number, const char *text, uint32_t size)
{
	const struct dp_label_record one = {
	        .size_bytes = (uint32_t)(sizeof one + size + 7) & ~7u, .number = number, .text_size = size};
	memset(bytes + used, 0xee, one.size_bytes);
	memcpy(bytes + used, &one, sizeof one);
	memcpy(bytes + used + sizeof one, text, size);
	used += one.size_bytes;
}
#define RECORD(number, text) record((number), (text), sizeof(text)) /* the last NUL ends the last string */

static void a_set_is_told_by_its_number(void **state)
{
	struct dp_labels labels = {0};
	struct dp_label pairs[DP_LABEL_PAIRS_MAX];
	(void)state;
	begin();
	RECORD(1, "colour\0red");
	RECORD(4095, "colour\0blue\0size\0");
	assert_int_equal(dp_labels_take_log(&labels, bytes, used), 0);
	assert_int_equal(dp_labels_of(&labels, 0, pairs), 0);
	assert_int_equal(dp_labels_of(&labels, 1, pairs), 1);
	assert_string_equal(pairs[0].key, "colour");
	assert_string_equal(pairs[0].text, "red");
	assert_int_equal(dp_labels_of(&labels, 4095, pairs), 2);
	assert_string_equal(pairs[1].key, "size");
	assert_string_equal(pairs[1].text, "");
	assert_int_equal(dp_labels_of(&labels, 2, pairs), -ENOENT);
	assert_int_equal(dp_labels_of(&labels, 4096, pairs), -ENOENT);
	assert_int_equal(dp_labels_of(&labels, UINT32_MAX, pairs), -ENOENT);
	dp_labels_fini(&labels);
}

static void a_set_told_again_stays_as_it_was(void **state)
{
	struct dp_labels labels = {0};
	struct dp_label pairs[DP_LABEL_PAIRS_MAX];
	(void)state;
	begin();
	RECORD(1, "colour\0red");
	RECORD(1, "colour\0blue");
	assert_int_equal(dp_labels_take_log(&labels, bytes, used), 0);
	assert_int_equal(dp_labels_of(&labels, 1, pairs), 1);
	assert_string_equal(pairs[0].text, "red");
	dp_labels_fini(&labels);
}

static void what_is_no_set_is_passed_over_and_counted(void **state)
{
	struct dp_labels labels = {0};
	struct dp_label pairs[DP_LABEL_PAIRS_MAX];
	(void)state;
	begin();
	RECORD(0, "the\0empty set has no text");
	RECORD(4096, "number\0too large");
	RECORD(1, "key alone");
	RECORD(2, "\0value alone");
	RECORD(3, "a\0\0\0b"); /* a key of no bytes in the middle */
	RECORD(4, "tid\0ours");
	RECORD(5, "process\0ours");
	record(6, "colour\0red without an end", 25);
	RECORD(7, "1\0x\0002\0x\0003\0x\0004\0x\0005\0x\0006\0x\0007\0x\0008\0x\0009\0x");
	record(8, "", 0);
	RECORD(9, "colour\0red");
	assert_int_equal(dp_labels_take_log(&labels, bytes, used), 10);
	for (uint32_t i = 0; i < 9; i++)
		assert_int_equal(dp_labels_of(&labels, i, pairs), i ? -ENOENT : 0);
	assert_int_equal(dp_labels_of(&labels, 9, pairs), 1);
	dp_labels_fini(&labels);
}

static void sizes_that_lie_end_the_reading(void **state)
{
	static const uint32_t sizes[] = {0, 4, 15, 17, 24 + 8, 0x80000000, UINT32_MAX, UINT32_MAX - 7};
	struct dp_labels labels = {0};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		/* A copy that ends where the log ends, for the address sanitizer. */
		begin();
		RECORD(1, "k\0v");
		memcpy(bytes, &sizes[i], sizeof sizes[i]);
		uint8_t *copy = malloc(used);
		memcpy(copy, bytes, used);
		assert_int_equal(dp_labels_take_log(&labels, copy, used), 1);
		free(copy);
	}
	/* A text longer than its record. */
	begin();
	RECORD(1, "k\0v");
	((struct dp_label_record *)(void *)bytes)->text_size = 9;
	assert_int_equal(dp_labels_take_log(&labels, bytes, used), 1);
	/* Half a header. */
	assert_int_equal(dp_labels_take_log(&labels, bytes, 8), 1);
	dp_labels_fini(&labels);
}

static void any_bytes_do_no_harm(void **state)
{
	struct dp_labels labels = {0};
	struct dp_label pairs[DP_LABEL_PAIRS_MAX];
	uint64_t x = 88172645463325252u;
	(void)state;
	for (int round = 0; round < 2000; round++) {
		begin();
		for (int i = 0; i < 20; i++)
			RECORD((uint32_t)i, "colour\0red\0size\0large");
		for (int i = 0; i < 40; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			bytes[x % used] = (uint8_t)(x >> 40);
		}
		uint8_t *copy = malloc(used);
		memcpy(copy, bytes, used);
		dp_labels_take_log(&labels, copy, used);
		free(copy);
		for (uint32_t i = 0; i < 64; i++)
			assert_true(dp_labels_of(&labels, i, pairs) <= DP_LABEL_PAIRS_MAX);
		dp_labels_fini(&labels);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_set_is_told_by_its_number),
	        cmocka_unit_test(a_set_told_again_stays_as_it_was),
	        cmocka_unit_test(what_is_no_set_is_passed_over_and_counted),
	        cmocka_unit_test(sizes_that_lie_end_the_reading),
	        cmocka_unit_test(any_bytes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
