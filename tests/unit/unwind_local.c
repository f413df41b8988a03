/* SPDX-License-Identifier: Apache-2.0
 * For tests and benches: libunwind in this process, as its users call it. */
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "tests/unit/unwind_local.h"


int unwind_local_step(void *ucontext, uint64_t *addresses, int max)
{
	unw_cursor_t cursor;
	unw_word_t ip;
	int count = 0;

	if (unw_init_local2(&cursor, ucontext, UNW_INIT_SIGNAL_FRAME))
		return 0;
	do {
		if (unw_get_reg(&cursor, UNW_REG_IP, &ip) || !ip)
			break;
		addresses[count++] = ip;
	} while (count < max && unw_step(&cursor) > 0);
	return count;
}

int unwind_local_backtrace(void **addresses, int max)
{
	return unw_backtrace(addresses, max);
}
