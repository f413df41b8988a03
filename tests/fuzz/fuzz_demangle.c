/* SPDX-License-Identifier: Apache-2.0
 * Hostile symbol names: readable or not, the answer is a text of bounded size. */
#include "symbols/demangle.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* What libiberty holds while we leave it by longjmp: demangle.c. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
	return "leak:print_ident\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *mangled = malloc(size + 3), name[DP_NAME_BYTES_MOST], few[17];
	if (!mangled)
		return 0;
	static const char *const starts[] = {"", "_Z", "_R"};
	for (int i = 0; i < 3; i++) {
		strcpy(mangled, starts[i]);
		const size_t at = strlen(mangled);
		memcpy(mangled + at, data, size);
		mangled[at + size] = '\0';
		memset(name, 'x', sizeof name);
		dp_demangle(mangled, name, sizeof name);
		if (strnlen(name, sizeof name) == sizeof name)
			abort();
		memset(few, 'x', sizeof few);
		dp_demangle(mangled, few, sizeof few - 1);
		if (strnlen(few, sizeof few) >= sizeof few - 1 || few[16] != 'x')
			abort();
	}
	free(mangled);
	return 0;
}
