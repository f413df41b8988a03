/* SPDX-License-Identifier: Apache-2.0
 * A program that looks like CPython to who looks at its dynamic symbols, and is none: FAKE_VERSION is its Py_Version,
 * FAKE_DEBUG makes it a debug build. Its thread state (of 3.12) leads to no frame. usage: fake_python SECONDS */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED const uint32_t Py_Version = FAKE_VERSION;
EXPORTED uintptr_t _PyRuntime[2048];
EXPORTED uintptr_t PyCode_Type[64], PyUnicode_Type[64], PyBytes_Type[64];
#ifdef FAKE_DEBUG
EXPORTED void _Py_NegativeRefcount(void)
{
}
#endif
EXPORTED __attribute__((noinline)) uint64_t _PyEval_EvalFrameDefault(double seconds)
{
	uint64_t sum = 0;
	struct timespec now;
	do {
		for (int i = 0; i < 100000; i++)
			__asm__ volatile("" : "+r"(sum));
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while ((double)now.tv_sec + (double)now.tv_nsec / 1e9 < seconds);
	return sum;
}

int main(int argc, char **argv)
{
	enum { TSS_KEY = 1544, THREAD_ID = 136, CFRAME = 56 }; /* 3.12.1 */
	static uintptr_t state[64], frame[16], code[32];
	pthread_key_t key;
	const uintptr_t self = (uintptr_t)pthread_self();
	if (argc < 2 || pthread_key_create(&key, NULL) || pthread_setspecific(key, state))
		return 1;
	const uint32_t tss[2] = {1, key};
	memcpy((char *)_PyRuntime + TSS_KEY, tss, sizeof tss);
	uintptr_t cframe[2] = {(uintptr_t)frame, 0};
	frame[0] = (uintptr_t)code;
	memcpy((char *)state + THREAD_ID, &self, sizeof self);
	state[CFRAME / 8] = (uintptr_t)cframe;
	_PyEval_EvalFrameDefault(atof(argv[1]));
	puts("done");
	return 0;
}
