/* SPDX-License-Identifier: Apache-2.0
 * A program in a bad place: what it is asked to, then half a second of work and one line. bad_input WHAT [ARGUMENT...] */
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long burnt;

__attribute__((noinline)) static void work(void)
{
	struct timespec now;
	do {
		for (int i = 0; i < 100000; i++)
			burnt = burnt * 6364136223846793005ul + 1442695040888963407ul;
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec == 0 && now.tv_nsec < 500000000);
}

/* The filter is there before the next program: as a sandbox's is. */
static int without_timers(char **argv)
{
	struct sock_filter code[] = {
	        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timer_create, 0, 1),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof code / sizeof code[0], code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 3;
	execv(argv[0], argv);
	return 4;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "without_timers"))
		return without_timers(argv + 2);
	if (argc > 2 && !strcmp(argv[1], "open")) {
		void *handle = dlopen(argv[2], RTLD_NOW);
		void (*run)(long) = NULL;
		if (handle)
			*(void **)&run = dlsym(handle, "library_run");
		if (run)
			run(300);
		printf("open %d\n", run != NULL);
	}
	work();
	puts("done");
	return 7;
}
