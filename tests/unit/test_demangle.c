/* SPDX-License-Identifier: Apache-2.0
 * Names as people read them. */
#include "symbols/demangle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void assert_reads(const char *system_name, const char *wanted)
{
	char name[DP_NAME_BYTES_MOST];
	dp_demangle(system_name, name, sizeof name);
	assert_string_equal(name, wanted);
}

static void cpp_names_lose_their_parameters_and_keep_their_templates(void **state)
{
	(void)state;
	assert_reads("_ZN3app4workERSt6vectorIiSaIiEE", "app::work");
	assert_reads("_ZN3BoxIlE5twiceEv", "Box<long>::twice");
	assert_reads("_ZNK3BoxIlE5twiceEv", "Box<long>::twice");
	assert_reads("_ZN3BoxC2Ev", "Box::Box");
	assert_reads("_ZN3BoxD0Ev", "Box::~Box");
	assert_reads(
		"_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back");
	assert_reads("_ZN3app12_GLOBAL__N_16Hidden3runEi", "app::(anonymous namespace)::Hidden::run");
	assert_reads("_Z3maxIiET_S0_S0_", "max<int>");
	assert_reads("_ZlsRSoRK3Box", "operator<<");
}

static void rust_names_lose_their_hash(void **state)
{
	(void)state;
	assert_reads("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
	assert_reads("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$"
		     "3bar17h930b740aa94f1d3aE",
		"<Test + 'static as foo::Bar<Test>>::bar");
	assert_reads("_RNvC6_123foo3bar", "123foo::bar");
	assert_reads("_RNvCs1234_7mycrate3foo", "mycrate::foo");
}

static void clones_have_their_functions_name(void **state)
{
	(void)state;
	assert_reads("parse.isra.0", "parse");
	assert_reads("parse.constprop.0.isra.0", "parse");
	assert_reads("parse.part.12.cold", "parse");
	assert_reads("main.cold", "main");
	assert_reads("table.lto_priv.0", "table");
	assert_reads("_ZN3app4workEi.cold.3", "app::work");
	assert_reads("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE.llvm.1234567890",
		"core::fmt::Formatter::pad");
}

static void other_names_stay(void **state)
{
	(void)state;
	assert_reads("malloc", "malloc");
	assert_reads("__memmove_avx_unaligned_erms", "__memmove_avx_unaligned_erms");
	assert_reads("main.main.func1.2", "main.main.func1.2"); /* Go */
	assert_reads("a.partition", "a.partition");
	assert_reads("", "");
	assert_reads(".cold", ".cold");
	assert_reads("_Z", "_Z");
	assert_reads("_ZN", "_ZN");
	assert_reads("_R", "_R");
}

static void stubs_say_so_and_versions_go(void **state)
{
	(void)state;
	assert_reads("malloc@plt", "malloc@plt");
	assert_reads("_ZN3app4workEi@plt", "app::work@plt");
	assert_reads("memcpy@@GLIBC_2.14", "memcpy");
}

/* f<A, B<A, A>, B<B<A, A>, B<A, A> >, ...>: each level is twice the one before. */
static void write_bomb(char *mangled, int levels)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char *at = stpcpy(mangled, "_Z1fI1A1BIS0_S0_E"); /* S_ f, S0_ A, S1_ B, S2_ B<A, A> */
	for (int level = 2; level <= levels; level++)
		at += sprintf(at, "S1_IS%c_S%c_E", digits[level], digits[level]);
	strcpy(at, "Evv");
}

static void a_name_that_unfolds_without_end_stays_mangled(void **state)
{
	(void)state;
	char mangled[1024];
	write_bomb(mangled, 2);
	assert_reads(mangled, "f<A, B<A, A>, B<B<A, A>, B<A, A> > >");
	write_bomb(mangled, 30); /* 3 GiB of text */
	const clock_t start = clock();
	assert_reads(mangled, mangled);
	assert_true(clock() - start < CLOCKS_PER_SEC / 10);
}

static void a_name_is_cut_to_the_room_there_is(void **state)
{
	(void)state;
	char name[8];
	dp_demangle("a_function_with_a_long_name", name, sizeof name);
	assert_string_equal(name, "a_funct");
	dp_demangle("malloc@plt", name, sizeof name);
	assert_string_equal(name, "malloc@");
}

static void very_long_and_deep_names_end(void **state)
{
	(void)state;
	const size_t size = 1 << 20;
	char *mangled = malloc(size + 1), name[DP_NAME_BYTES_MOST];
	assert_non_null(mangled);
	static const char *const pieces[] = {"P", "N1aE", "IJ", "F", "K", "T_", "S_", "XL", "C1", "A1_"};
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		const size_t length = strlen(pieces[i]);
		for (size_t bytes = 64; bytes <= size; bytes *= 4) {
			memcpy(mangled, i & 1 ? "_RNvC" : "_Z1f", 5);
			for (size_t at = 4; at + length <= bytes; at += length)
				memcpy(mangled + at, pieces[i], length);
			mangled[bytes - bytes % length] = '\0';
			dp_demangle(mangled, name, sizeof name);
			assert_true(strlen(name) < sizeof name);
		}
	}
	free(mangled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpp_names_lose_their_parameters_and_keep_their_templates),
		cmocka_unit_test(rust_names_lose_their_hash),
		cmocka_unit_test(clones_have_their_functions_name),
		cmocka_unit_test(other_names_stay),
		cmocka_unit_test(stubs_say_so_and_versions_go),
		cmocka_unit_test(a_name_that_unfolds_without_end_stays_mangled),
		cmocka_unit_test(a_name_is_cut_to_the_room_there_is),
		cmocka_unit_test(very_long_and_deep_names_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
