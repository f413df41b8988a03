/* SPDX-License-Identifier: Apache-2.0
 * Opens, runs and closes libraries that take each other's place. names ALPHA BETA SCRATCH_FILE */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void copy_over(const char *from, const char *to)
{
	char temporary[4200], bytes[65536];
	snprintf(temporary, sizeof temporary, "%s.new", to);
	FILE *in = fopen(from, "rb"), *out = fopen(temporary, "wb");
	size_t size;
	if (!in || !out)
		exit(3);
	while ((size = fread(bytes, 1, sizeof bytes, in)) > 0)
		fwrite(bytes, 1, size, out);
	fclose(in);
	fclose(out);
	if (rename(temporary, to) != 0)
		exit(3);
}

static void *open_library(const char *path, void (**run)(long))
{
	void *handle = dlopen(path, RTLD_NOW);
	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		exit(3);
	}
	*(void **)run = dlsym(handle, "library_run");
	return handle;
}

__attribute__((noinline)) static void take_turns(const char *alpha, const char *beta)
{
	void (*run)(long), (*other)(long);
	int same = 0;
	for (int i = 0; i < 12; i++) {
		void *handle = open_library(alpha, &run);
		run(100);
		dlclose(handle);
		handle = open_library(beta, &other);
		same += run == other;
		other(50);
		dlclose(handle);
	}
	printf("same %d\n", same);
}

__attribute__((noinline)) static void replaced(const char *alpha, const char *beta, const char *path)
{
	void (*run)(long);
	copy_over(alpha, path);
	void *handle = open_library(path, &run);
	run(300);
	copy_over(beta, path); /* as a package manager does */
	run(300);
	dlclose(handle);
	handle = open_library(path, &run);
	run(300);
	unlink(path);
	run(300);
	dlclose(handle);
}

__attribute__((noinline)) static void ask_the_time(void)
{
	struct timespec now, start;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	do
		for (int i = 0; i < 1000; i++)
			clock_gettime(CLOCK_MONOTONIC, &now);
	while (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0 &&
	        (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 400);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	take_turns(argv[1], argv[2]);
	ask_the_time();
	replaced(argv[1], argv[2], argv[3]);
	return 0;
}
