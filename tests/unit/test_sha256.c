/* SPDX-License-Identifier: Apache-2.0
 * Digests as coreutils' sha256sum has them. */
#include "base/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void is_what_sha256sum_says(size_t size)
{
	char command[256], theirs[65] = "", ours[65];
	uint8_t *bytes = malloc(size + 1), digest[DP_SHA256_BYTES];
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	snprintf(command, sizeof command, "python3 -c \"import sys; sys.stdout.buffer.write(bytes((i * 7 + 3) %% 256 for i in range(%zu)))\" | sha256sum", size);
	FILE *pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%64s", theirs), 1);
	pclose(pipe);
	dp_sha256(bytes, size, digest);
	for (int i = 0; i < DP_SHA256_BYTES; i++)
		sprintf(ours + 2 * i, "%02x", digest[i]);
	assert_string_equal(ours, theirs);
	free(bytes);
}

static void every_way_to_end_a_block_is_right(void **state)
{
	static const size_t sizes[] = {0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 8200};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		is_what_sha256sum_says(sizes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_way_to_end_a_block_is_right)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
