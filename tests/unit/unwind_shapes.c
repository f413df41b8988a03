/* SPDX-License-Identifier: Apache-2.0
 * Programs in small: recursion, variable arrays, frame pointers, realigned stacks, callbacks, signals. */
#include "tests/unit/unwind_shapes.h"

#include <alloca.h>
#include <netdb.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <zlib.h>

void (*volatile shape_look)(void);
static volatile unsigned sink;

static void look(void)
{
	if (shape_look)
		shape_look();
}

static __attribute__((noinline)) unsigned recurse(unsigned depth)
{
	volatile char room[40];

	room[depth % sizeof room] = depth;
	if (!depth) {
		look();
		return 1;
	}
	return recurse(depth - 1) * 3 + room[0];
}

static void shape_recursion(void)
{
	sink += recurse(12);
}

static __attribute__((noinline)) unsigned variable_array(unsigned size)
{
	char array[size];
	char *more = alloca(size * 2);

	memset(array, size, size);
	memset(more, 7, size * 2);
	look();
	sink += recurse(2);
	return array[size / 2] + more[size];
}

static void shape_variable_array(void)
{
	for (unsigned size = 1; size < 200; size += 37)
		sink += variable_array(size);
}

static __attribute__((noinline, optimize("no-omit-frame-pointer"))) unsigned with_frame_pointer(unsigned n)
{
	look();
	return n ? with_frame_pointer(n - 1) + recurse(1) : 1;
}

static void shape_frame_pointer(void)
{
	sink += with_frame_pointer(4);
}

struct aligned {
	_Alignas(64) char bytes[128];
};

#if defined(__x86_64__)
__attribute__((force_align_arg_pointer))
#endif
static __attribute__((noinline)) unsigned
realigned(unsigned n, int a, int b, int c, int d, int e, int f, int g)
{
	struct aligned here;
	char *more = alloca(n * 16 + 1);

	memset(&here, n, sizeof here);
	more[n] = a + b + c + d + e + f + g;
	look();
	sink += here.bytes[n] + more[n];
	return n ? realigned(n - 1, a, b, c, d, e, f, g) + here.bytes[0] : recurse(1);
}

static void shape_realigned(void)
{
	sink += realigned(3, 1, 2, 3, 4, 5, 6, 7);
}

static int compare(const void *a, const void *b)
{
	const int x = *(const int *)a, y = *(const int *)b;

	if (x == 77)
		look();
	return (x > y) - (x < y);
}

static void shape_qsort(void)
{
	int values[60];

	for (unsigned i = 0; i < 60; i++)
		values[i] = i * 7919 % 101;
	qsort(values, 60, sizeof *values, compare);
	sink += values[3];
}

static void shape_format(void)
{
	char text[200];

	snprintf(text, sizeof text, "%d %s %.17g %Lf %p %-20s|", 42, "words", 3.25e-200, 1.5L, (void *)text,
		"x");
	sink += strtod(text + 3, NULL) + strlen(text);
	sink += memcmp(text, "42", 2) + (strchr(text, '|') != NULL);
	memmove(text + 3, text, 100);
}

static void shape_regex(void)
{
	regex_t regex;

	if (regcomp(&regex, "^(a|b)*c[[:alpha:]]+(d{2,3})$", REG_EXTENDED))
		abort();
	sink += regexec(&regex, "ababcxyzddd", 0, NULL, 0);
	regfree(&regex);
}

static void shape_inflate(void)
{
	static unsigned char text[3000], packed[4000], again[3000];
	uLongf packed_size = sizeof packed, size = sizeof again;

	for (unsigned i = 0; i < sizeof text; i++)
		text[i] = "unwinding "[i * i % 10];
	if (compress(packed, &packed_size, text, sizeof text) ||
		uncompress(again, &size, packed, packed_size) || memcmp(text, again, size))
		abort();
}

static void shape_resolver(void)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST};
	struct addrinfo *found = NULL;

	if (!getaddrinfo("127.0.0.1", "80", &hints, &found))
		freeaddrinfo(found);
	sink += getservbyname("http", "tcp") !=
		NULL; /* opens a library: the code map is not the one at the start */
}

static void shape_clock(void)
{
	struct timespec now;

	for (int i = 0; i < 5; i++)
		clock_gettime(CLOCK_MONOTONIC, &now);
	sink += now.tv_nsec + time(NULL);
}

static void shape_malloc(void)
{
	void *pieces[30];

	for (unsigned i = 0; i < 30; i++)
		pieces[i] = malloc(i * i * 97 + 1);
	for (unsigned i = 0; i < 30; i += 2)
		pieces[i] = realloc(pieces[i], i * 5000 + 1);
	for (unsigned i = 0; i < 30; i++)
		free(pieces[i]);
}

static jmp_buf after;
static void shape_longjmp(void)
{
	volatile int turns = 0;

	if (setjmp(after) < 3 && turns++ < 3)
		longjmp(after, turns);
}

static void on_signal(int signo)
{
	(void)signo;
	look();
	sink += recurse(2);
}

static void send_signals(int flags)
{
	static char stack[65536];
	const stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack},
		      none = {.ss_flags = SS_DISABLE};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags}, old;

	sigaltstack(&alternative, NULL);
	sigaction(SIGUSR2, &action, &old);
	raise(SIGUSR2);
	kill(getpid(), SIGUSR2);
	sigaction(SIGUSR2, &old, NULL);
	sigaltstack(&none, NULL);
}

static void shape_signal(void)
{
	send_signals(0);
}

static void shape_signal_on_its_own_stack(void)
{
	send_signals(SA_ONSTACK);
}

static ucontext_t back, there;
static void coroutine(void)
{
	sink += recurse(3);
	swapcontext(&there, &back);
	sink += recurse(1);
}

char shape_coroutine_stack[SHAPE_COROUTINE_STACK];

static void shape_coroutine(void)
{
	getcontext(&there);
	there.uc_stack.ss_sp = shape_coroutine_stack;
	there.uc_stack.ss_size = sizeof shape_coroutine_stack;
	there.uc_link = &back;
	makecontext(&there, coroutine, 0);
	swapcontext(&back, &there);
	swapcontext(&back, &there);
}

const struct unwind_shape unwind_shapes[] = {
	{"recursion", shape_recursion},
	{"variable_array", shape_variable_array},
	{"frame_pointer", shape_frame_pointer},
	{"realigned", shape_realigned},
	{"qsort", shape_qsort},
	{"format", shape_format},
	{"regex", shape_regex},
	{"inflate", shape_inflate},
	{"clock", shape_clock},
	{"malloc", shape_malloc},
	{"longjmp", shape_longjmp},
	{"signal", shape_signal},
	{"signal_on_its_own_stack", shape_signal_on_its_own_stack},
	{"coroutine", shape_coroutine},
	{"exceptions", shape_exceptions},
	{"resolver", shape_resolver},
};
const int unwind_shape_count = sizeof unwind_shapes / sizeof *unwind_shapes;
