/* SPDX-License-Identifier: Apache-2.0
 * The mill's packer: run-length over a move-to-front transform, in plain C without frame pointers. */
#include "mill.h"

#include <string.h>

static unsigned move_to_front(unsigned char *order, unsigned char byte)
{
	unsigned place = 0;
	while (order[place] != byte)
		place++;
	memmove(order + 1, order, place);
	order[0] = byte;
	return place;
}

unsigned long mill_pack(const char *text, unsigned long size)
{
	unsigned char order[256];
	unsigned long packed = 0, run = 0;
	unsigned previous = 256;
	for (unsigned i = 0; i < 256; i++)
		order[i] = (unsigned char)i;
	for (unsigned long i = 0; i < size; i++) {
		const unsigned place = move_to_front(order, (unsigned char)text[i]);
		if (place != previous || run == 255) {
			packed += 2;
			run = 0;
		}
		run++;
		previous = place;
	}
	return packed;
}
