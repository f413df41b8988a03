/* SPDX-License-Identifier: Apache-2.0
 * Readable names of linker symbols, by libiberty, which knows C++ (Itanium) and Rust (legacy and v0).
 *
 * Names are foreign: a few hundred bytes of back references can mean more text than there is memory.
 * libiberty hands the text over in pieces and offers no way to stop, so we leave it by longjmp. Its callback
 * interface keeps its state on the stack; only Rust's punycode holds a small block while it calls, lost in
 * that case. */
#include "symbols/demangle.h"

#include <ctype.h>
#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

struct output {
	char *text;
	size_t used, size;
	jmp_buf too_long;
};

static void take(const char *text, size_t size, void *context)
{
	struct output *output = context;
	if (size >= output->size - output->used)
		longjmp(output->too_long, 1);
	if (size) /* an empty piece may be nowhere */
		memcpy(output->text + output->used, text, size);
	output->used += size;
}

static bool is_rust_legacy(const char *name, size_t size)
{
	/* ...17h + 16 hex digits + E */
	if (size < 20 || name[size - 1] != 'E' || memcmp(name + size - 20, "17h", 3))
		return false;
	for (size_t i = size - 17; i < size - 1; i++)
		if (!isxdigit((unsigned char)name[i]))
			return false;
	return true;
}

typedef int demangler(const char *, int, demangle_callbackref, void *);

/* false: not a name of that language, or too long a story. */
static bool expand_by(demangler *demangle, const char *mangled, int options, char *text, size_t size)
{
	struct output output = {.text = text, .size = size};

	if (setjmp(output.too_long) || !demangle(mangled, options, take, &output) || !output.used)
		return false;
	text[output.used] = 0;
	return true;
}

static bool expand(const char *mangled, size_t mangled_size, char *text, size_t size)
{
	const bool is_v0 = !strncmp(mangled, "_R", 2);
	if (!is_v0 && strncmp(mangled, "_Z", 2))
		return false;
	if ((is_v0 || is_rust_legacy(mangled, mangled_size)) &&
		expand_by(rust_demangle_callback, mangled, 0, text, size))
		return true;
	return !is_v0 && expand_by(cplus_demangle_v3_callback, mangled, DMGL_ANSI, text, size);
}

/* Is text[0..size) one suffix of a clone: .isra.0, .cold, .cold.2, .llvm.123456 ...? */
static bool is_suffix(const char *text, size_t size)
{
	static const char *const words[] = {
		".isra", ".part", ".constprop", ".cold", ".lto_priv", ".llvm", ".localalias", ".warm"};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		const size_t length = strlen(words[i]);
		if (size < length || memcmp(text, words[i], length))
			continue;
		if (size == length)
			return true;
		if (text[length] != '.' || size == length + 1)
			continue;
		size_t digit = length + 1;
		while (digit < size && isdigit((unsigned char)text[digit]))
			digit++;
		if (digit == size)
			return true;
	}
	return false;
}

/* The size of the name without clones' suffixes; suffixes can be stacked. */
static size_t bare_size(const char *name, size_t size)
{
	for (size_t dot = size; dot-- > 1;) {
		if (name[dot] != '.')
			continue;
		if (is_suffix(name + dot, size - dot))
			size = dot;
		else if (!isdigit((unsigned char)name[dot + 1]))
			break; /* .0 alone: its word stands before it */
	}
	return size;
}

void dp_demangle(const char *system_name, char *name, size_t size)
{
	char bare[DP_NAME_BYTES_MOST];
	const char *plt = "";
	size_t length = strnlen(system_name, sizeof bare);

	if (size > DP_NAME_BYTES_MOST)
		size = DP_NAME_BYTES_MOST;
	if (length < sizeof bare) {
		const char *at = memchr(system_name, '@', length);
		if (at && at > system_name) {
			plt = strcmp(at, "@plt") ? "" : "@plt";
			length = (size_t)(at - system_name);
		}
		length = bare_size(system_name, length);
		memcpy(bare, system_name, length);
		bare[length] = 0;
		if (!expand(bare, length, name, size)) {
			length = length < size ? length : size - 1;
			memcpy(name, bare, length);
			name[length] = 0;
		}
		strncat(name, plt, size - strlen(name) - 1);
		return;
	}
	length = length < size ? length : size - 1;
	memcpy(name, system_name, length);
	name[length] = 0;
}
