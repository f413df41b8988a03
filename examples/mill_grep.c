/* SPDX-License-Identifier: Apache-2.0
 * The mill's plug-in, opened by dlopen: counts matches with the C library's regular expressions. */
#include "mill.h"

#include <regex.h>
#include <string.h>

unsigned long mill_grep(const char *text, unsigned long size)
{
	regex_t pattern;
	unsigned long found = 0;
	char line[128];
	if (regcomp(&pattern, "(wheat|rye) [a-z]+s (and|or) (flour|bran)", REG_EXTENDED | REG_NOSUB) != 0)
		return 0;
	for (unsigned long at = 0; at + sizeof line < size; at += sizeof line - 1) {
		memcpy(line, text + at, sizeof line - 1);
		line[sizeof line - 1] = 0;
		found += regexec(&pattern, line, 0, 0, 0) == 0;
	}
	regfree(&pattern);
	return found;
}
