/* SPDX-License-Identifier: Apache-2.0
 * late_object PLUGIN: computes, opens an object, and computes in it: no call that we hook follows. */
#include <dlfcn.h>
#include <stdio.h>
#include <time.h>

static double cpu_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static __attribute__((noinline)) unsigned long early_spin(void)
{
	unsigned long x = 1;
	while (cpu_s() < 0.3)
		for (int i = 0; i < 100000; i++)
			x = x * 6364136223846793005ul + 1;
	return x;
}

int main(int argc, char **argv)
{
	const unsigned long early = early_spin();
	void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	unsigned long (*late_spin)(double) = NULL;
	if (plugin)
		*(void **)&late_spin = dlsym(plugin, "late_spin");
	if (!late_spin)
		return 1;
	printf("%d\n", early + late_spin(1.5) != 0);
	return 0;
}
