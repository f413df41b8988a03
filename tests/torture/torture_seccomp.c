/* SPDX-License-Identifier: Apache-2.0
 * Programs that forbid themselves system calls. What they may call is what they call; a guest's call kills
 * them. */
#include "torture.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const int allowed[] = {SYS_write, SYS_exit_group, SYS_exit, SYS_rt_sigreturn, SYS_clock_gettime,
	SYS_read, SYS_futex, SYS_munmap, SYS_madvise, SYS_close, SYS_rt_sigprocmask, SYS_sched_yield};

static void install(unsigned flags, bool by_prctl)
{
	enum { COUNT = sizeof allowed / sizeof *allowed };
	struct sock_filter code[3 + 2 * COUNT];
	int n = 0;
	code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < COUNT; i++) {
		code[n++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	const struct sock_fprog program = {(unsigned short)n, code};
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	if (by_prctl)
		must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "prctl");
	else
		must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0, "seccomp");
}

static void at_once(void)
{
	install(0, false);
	burn(300);
	say("done");
}

static void at_once_by_prctl(void)
{
	install(0, true);
	burn(300);
	say("done");
}

static void after_a_while(void)
{
	burn(200);
	install(0, false);
	burn(300);
	say("done");
}

static void *busy(void *unused)
{
	burn(300);
	return unused;
}

static void all_threads(void)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, busy, NULL);
	burn(60);
	install(SECCOMP_FILTER_FLAG_TSYNC, false);
	burn(200);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	say("done");
}

static void strict(void)
{
	burn(150);
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0, "strict");
	work(300000000);
	say("done");
	syscall(SYS_exit, 7);
}

static void strict_at_once(void)
{
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0, "strict");
	work(300000000);
	say("done");
	syscall(SYS_exit, 7);
}

static void forbidden_call(void)
{
	install(0, false);
	burn(100);
	say("before");
	syscall(SYS_getppid);
	say("never");
}

int main(int argc, char **argv)
{
	static const struct torture cases[] = {{"at_once", at_once}, {"at_once_by_prctl", at_once_by_prctl},
		{"after_a_while", after_a_while}, {"all_threads", all_threads}, {"strict", strict},
		{"strict_at_once", strict_at_once}, {"forbidden_call", forbidden_call}, {0}};
	return run_torture(cases, argc, argv);
}
