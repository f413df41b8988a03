/* SPDX-License-Identifier: Apache-2.0
 * Two libraries from one text: the same size, another name at the same place. */
#include <time.h>

#define JOIN(a, b) a##b
#define WORK(name) JOIN(name, _work)

static volatile unsigned long burnt;

static long cpu_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((noinline)) static void WORK(NAME)(long ms)
{
	for (const long end = cpu_ms() + ms; cpu_ms() < end;)
		for (int i = 0; i < 20000; i++)
			burnt = burnt * 6364136223846793005ul + 1442695040888963407ul;
}

void library_run(long ms);
void library_run(long ms)
{
	WORK(NAME)(ms);
	burnt++; /* no tail call */
}
