/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct dp_ring ring;
static uint8_t bytes[64];
static const struct dp_ring_view view = {&ring, bytes, sizeof bytes};

static int fresh(void **state)
{
	(void)state;
	memset(&ring, 0, sizeof ring);
	return 0;
}

static void put(const char *text)
{
	dp_ring_put(&view, 0, text, (uint32_t)strlen(text));
	dp_ring_commit(&view, (uint32_t)strlen(text));
}

static void what_is_written_is_read_also_around_the_end(void **state)
{
	char out[48];
	(void)state;
	for (int round = 0; round < 1000; round++) {
		assert_true(dp_ring_has_room(&view, 40));
		put("0123456789abcdef0123456789abcdef01234567");
		assert_int_equal(dp_ring_waiting(&view), 40);
		dp_ring_peek(&view, 0, out, 40);
		assert_memory_equal(out, "0123456789abcdef0123456789abcdef01234567", 40);
		dp_ring_release(&view, 40);
	}
}

static void a_full_ring_has_no_room_and_an_empty_one_has_all(void **state)
{
	(void)state;
	assert_true(dp_ring_has_room(&view, 64));
	assert_false(dp_ring_has_room(&view, 65));
	put("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	assert_false(dp_ring_has_room(&view, 1));
	dp_ring_release(&view, 8);
	assert_true(dp_ring_has_room(&view, 8));
	assert_false(dp_ring_has_room(&view, 9));
}

static void counters_may_wrap(void **state)
{
	char out[8];
	(void)state;
	dp_store_relaxed(&ring.head, UINT32_MAX - 3);
	dp_store_relaxed(&ring.tail, UINT32_MAX - 3);
	put("abcdefgh");
	assert_int_equal(dp_ring_waiting(&view), 8);
	dp_ring_peek(&view, 0, out, 8);
	assert_memory_equal(out, "abcdefgh", 8);
}

static void a_tail_that_ran_ahead_gives_no_room(void **state)
{
	(void)state;
	dp_store_relaxed(&ring.tail, 8); /* a hostile reader */
	assert_false(dp_ring_has_room(&view, 1));
}

enum { RECORDS = 200000 };

static void *write_records(void *unused)
{
	(void)unused;
	for (uint64_t i = 0; i < RECORDS;) {
		if (!dp_ring_has_room(&view, 16))
			continue;
		const uint64_t record[2] = {i, ~i};
		dp_ring_put(&view, 0, record, 16);
		dp_ring_commit(&view, 16);
		i++;
	}
	return NULL;
}

static void a_reader_in_another_thread_sees_every_record_whole_and_in_order(void **state)
{
	pthread_t writer;
	(void)state;
	assert_int_equal(pthread_create(&writer, NULL, write_records, NULL), 0);
	for (uint64_t i = 0; i < RECORDS;) {
		uint64_t record[2];
		if (dp_ring_waiting(&view) < 16)
			continue;
		dp_ring_peek(&view, 0, record, 16);
		dp_ring_release(&view, 16);
		assert_int_equal(record[0], i);
		assert_int_equal(record[1], ~i);
		i++;
	}
	pthread_join(writer, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(what_is_written_is_read_also_around_the_end, fresh),
	        cmocka_unit_test_setup(a_full_ring_has_no_room_and_an_empty_one_has_all, fresh),
	        cmocka_unit_test_setup(counters_may_wrap, fresh),
	        cmocka_unit_test_setup(a_tail_that_ran_ahead_gives_no_room, fresh),
	        cmocka_unit_test_setup(a_reader_in_another_thread_sees_every_record_whole_and_in_order, fresh),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
