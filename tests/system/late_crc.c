/* SPDX-License-Identifier: Apache-2.0
 * A library for late_library.c to open. */
__attribute__((visibility("default"))) unsigned long crc32(
        unsigned long value, const unsigned char *bytes, unsigned size);

unsigned long crc32(unsigned long value, const unsigned char *bytes, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		for (unsigned bit = 0; bit < 8; bit++)
			value = value >> 1 ^ ((value ^ bytes[i] >> bit) & 1 ? 0xedb88320ul : 0);
	return value;
}
