/* SPDX-License-Identifier: Apache-2.0
 * Hostile ELF files and DWARF: whatever the bytes are, questions end, and names are texts. */
#include "symbols/symbols.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what an answer points to, so that a text that does not end is seen. */
static void use(const struct dp_symbol *symbols, int count, int max)
{
	if (count < 0 || count > max)
		abort();
	for (int i = 0; i < count; i++) {
		if (!symbols[i].name || !symbols[i].system_name)
			abort();
		if (strlen(symbols[i].name) + strlen(symbols[i].system_name) > 1 << 20)
			abort();
		if (symbols[i].file && strlen(symbols[i].file) > 1 << 20)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dp_symbol symbols[16];
	uint64_t address;
	size_t bytes_size;
	int error;
	struct dp_object *object = dp_object_from_memory(data, size, "fuzz", &error);
	if (!object)
		return 0;
	dp_object_build_id(object);
	if (!dp_object_bytes(object, &bytes_size) || bytes_size != size)
		abort();
	dp_object_abilities(object);
	for (int turn = 0; turn < 2; turn++) {
		for (uint64_t offset = 0; offset < size; offset += 1 + size / 64)
			if (dp_object_address_of_offset(object, offset, &address))
				use(symbols, dp_object_symbolise(object, address, symbols, 16), 16);
		for (address = 0; address < 0x1000; address += 11)
			use(symbols, dp_object_symbolise(object, address, symbols, 1 + (int)(address % 3)),
				1 + (int)(address % 3));
		if (dp_object_symbolise(object, UINT64_MAX, symbols, 16) > 16 || !dp_object_memory(object))
			abort();
		dp_object_trim(object);
	}
	dp_object_free(object);
	return 0;
}
