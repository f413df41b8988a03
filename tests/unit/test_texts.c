/* SPDX-License-Identifier: Apache-2.0
 * A window's texts: each once, by numbers from 1 on. */
#include "agent/texts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint32_t add(struct dp_texts *texts, const char *text)
{
	return dp_texts_add(texts, (const uint8_t *)text, (uint32_t)strlen(text), 1);
}

static void equal_texts_have_one_number(void **state)
{
	struct dp_texts texts = {0};
	(void)state;
	const uint32_t first = add(&texts, "first"), second = add(&texts, "second");
	assert_int_not_equal(first, second);
	assert_int_equal(add(&texts, "first"), first);
	assert_string_equal(dp_texts_at(&texts, first), "first");
	assert_string_equal(dp_texts_at(&texts, second), "second");
	dp_texts_clear(&texts);
}

static void a_text_becomes_utf8_whatever_its_width(void **state)
{
	static const uint8_t latin[] = {0xe9}, two[] = {0x36, 0x04}, four[] = {0x0d, 0xf4, 0x01, 0x00};
	struct dp_texts texts = {0};
	(void)state;
	assert_string_equal(dp_texts_at(&texts, dp_texts_add(&texts, latin, 1, 1)), "\xc3\xa9");
	assert_string_equal(dp_texts_at(&texts, dp_texts_add(&texts, two, 2, 2)), "\xd0\xb6");
	assert_string_equal(dp_texts_at(&texts, dp_texts_add(&texts, four, 4, 4)), "\xf0\x9f\x90\x8d");
	dp_texts_clear(&texts);
}

static void the_same_bytes_of_another_width_are_another_text(void **state)
{
	struct dp_texts texts = {0};
	(void)state;
	assert_int_not_equal(dp_texts_add(&texts, (const uint8_t *)"ab", 2, 1), dp_texts_add(&texts, (const uint8_t *)"ab", 2, 2));
	dp_texts_clear(&texts);
}

static void beyond_the_last_there_is_no_number(void **state)
{
	struct dp_texts texts = {0};
	uint32_t count = 0;
	char text[16];
	(void)state;
	for (; count < 1000000; count++) {
		snprintf(text, sizeof text, "%u", count);
		if (!add(&texts, text))
			break;
	}
	assert_in_range(count, 1000, 100000);
	assert_int_equal(add(&texts, "0"), 1); /* known ones stay */
	assert_null(dp_texts_at(&texts, 0));
	assert_null(dp_texts_at(&texts, count + 1));
	dp_texts_clear(&texts);
	assert_null(dp_texts_at(&texts, 1));
	assert_int_equal(add(&texts, "new"), 1);
	dp_texts_clear(&texts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(equal_texts_have_one_number),
	        cmocka_unit_test(a_text_becomes_utf8_whatever_its_width),
	        cmocka_unit_test(the_same_bytes_of_another_width_are_another_text),
	        cmocka_unit_test(beyond_the_last_there_is_no_number),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
