/* SPDX-License-Identifier: Apache-2.0
 * Programs that use SIGPROF themselves: each prints what it sees of it. */
#include "torture.h"

#include <poll.h>
#include <setjmp.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

extern char **environ;
extern int sighold(int), sigrelse(int), sigignore(int), siginterrupt(int, int);
extern void (*sigset(int, void (*)(int)))(int);
extern void (*sysv_signal(int, void (*)(int)))(int);
extern void (*bsd_signal(int, void (*)(int)))(int);

static volatile sig_atomic_t count, last_code, last_value, is_blocked_inside;

static uint64_t mask_bits(const sigset_t *set)
{
	uint64_t bits;
	memcpy(&bits, set, sizeof bits);
	return bits;
}

static uint64_t mask_now(void)
{
	sigset_t set;
	sigemptyset(&set);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return mask_bits(&set);
}

static void on_signal(int signo)
{
	(void)signo;
	count++;
}

static void on_info(int signo, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	(void)signo;
	count++;
	last_code = info->si_code;
	last_value = info->si_value.sival_int;
	is_blocked_inside = (mask_now() & 1u << (SIGPROF - 1)) != 0;
	if (mask_bits(&c->uc_sigmask) & 1u << (SIGPROF - 1))
		say("the interrupted mask has SIGPROF");
}

static const char *name_of(void (*handler)(int))
{
	return handler == SIG_DFL                          ? "default"
	       : handler == SIG_IGN                        ? "ignore"
	       : handler == SIG_HOLD                       ? "hold"
	       : handler == SIG_ERR                        ? "error"
	       : handler == on_signal                      ? "on_signal"
	       : handler == (void (*)(int))(void *)on_info ? "on_info"
							   : "unknown";
}

static void show_action(const char *when)
{
	struct sigaction action;
	must(sigaction(SIGPROF, NULL, &action) == 0, "sigaction");
	say("%s: %s flags %#x mask %#llx restorer %d", when, name_of(action.sa_handler), action.sa_flags,
		(unsigned long long)mask_bits(&action.sa_mask), action.sa_restorer != NULL);
}

static void show_mask(const char *when)
{
	say("%s: mask %#llx", when, (unsigned long long)mask_now());
}

static void show_pending(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigpending(&set);
	say("pending %#llx", (unsigned long long)mask_bits(&set));
}

static void install(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
	must(sigaction(SIGPROF, &action, NULL) == 0, "sigaction");
}

static sigset_t set_of(int signo)
{
	sigset_t set;
	sigemptyset(&set);
	if (signo)
		sigaddset(&set, signo);
	else
		sigfillset(&set);
	return set;
}

/* signo 0: everything. */
static void block(int signo)
{
	const sigset_t set = set_of(signo);
	must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0, "block");
}

static void unblock(int signo)
{
	const sigset_t set = set_of(signo);
	must(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0, "unblock");
}

static void queries(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK}, old;
	burn(100);
	show_action("at start");
	sigaddset(&action.sa_mask, SIGUSR1);
	sigaddset(&action.sa_mask, SIGKILL);
	must(sigaction(SIGPROF, &action, &old) == 0, "sigaction");
	say("before: %s", name_of(old.sa_handler));
	show_action("sigaction");
	say("signal gave %s", name_of(signal(SIGPROF, on_signal)));
	show_action("signal");
	say("sysv_signal gave %s", name_of(sysv_signal(SIGPROF, on_signal)));
	show_action("sysv_signal");
	say("bsd_signal gave %s", name_of(bsd_signal(SIGPROF, SIG_IGN)));
	show_action("bsd_signal");
	say("siginterrupt gave %d", siginterrupt(SIGPROF, 1));
	show_action("siginterrupt");
	signal(SIGPROF, on_signal);
	show_action("signal, interrupting");
	siginterrupt(SIGPROF, 0);
	show_action("siginterrupt off");
	say("sigset gave %s", name_of(sigset(SIGPROF, on_signal)));
	show_action("sigset");
	say("sigset gave %s", name_of(sigset(SIGPROF, SIG_HOLD)));
	show_mask("held");
	say("sigset gave %s", name_of(sigset(SIGPROF, on_signal)));
	show_mask("not held");
	say("sigignore gave %d", sigignore(SIGPROF));
	show_action("sigignore");
	errno = 0;
	say("signal(SIG_ERR) gave %s %d", name_of(signal(SIGPROF, SIG_ERR)), errno);
	errno = 0;
	const int bad_signal = sigaction(SIGKILL, &action, NULL);
	say("sigaction(SIGKILL) gave %d %d", bad_signal, errno);
	const sigset_t set = set_of(0);
	errno = 0;
	const int bad_how = sigprocmask(77, &set, NULL);
	say("bad how gave %d %d", bad_how, errno);
	say("bad how gave %d", pthread_sigmask(77, &set, NULL));
	burn(50);
	show_action("at end");
	show_mask("at end");
}

static void old_masks(void)
{
	say("sighold %d", sighold(SIGPROF));
	burn(50);
	show_mask("sighold");
	say("sigrelse %d", sigrelse(SIGPROF));
	show_mask("sigrelse");
	say("sigblock %#x", sigblock(1 << (SIGPROF - 1) | 1 << (SIGUSR1 - 1)));
	say("siggetmask %#x", siggetmask());
	say("sigsetmask %#x", sigsetmask(-1));
	burn(100);
	say("siggetmask %#x", siggetmask());
	say("sigsetmask %#x", sigsetmask(0));
	show_mask("end");
}

static void raised(void)
{
	install(on_info, 0);
	for (int i = 0; i < 20; i++) {
		burn(10);
		raise(SIGPROF);
	}
	say("count %d code %d blocked inside %d", count, last_code, is_blocked_inside);
	install(on_info, SA_NODEFER);
	kill(getpid(), SIGPROF);
	say("count %d code %d blocked inside %d", count, last_code, is_blocked_inside);
	sigqueue(getpid(), SIGPROF, (union sigval){.sival_int = 4711});
	say("count %d code %d value %d", count, last_code, last_value);
	pthread_sigqueue(pthread_self(), SIGPROF, (union sigval){.sival_int = 4712});
	say("count %d code %d value %d", count, last_code, last_value);
	show_mask("end");
}

static void raised_default(void)
{
	burn(100);
	say("before");
	raise(SIGPROF);
	say("after: never");
}

static void killed_default(void)
{
	burn(100);
	say("before");
	kill(getpid(), SIGPROF);
	for (;;)
		burn(1);
}

static void raised_ignored(void)
{
	signal(SIGPROF, SIG_IGN);
	burn(100);
	raise(SIGPROF);
	kill(getpid(), SIGPROF);
	say("alive");
}

static void once(void)
{
	install(on_info, (int)SA_RESETHAND);
	burn(100);
	raise(SIGPROF);
	say("count %d", count);
	show_action("after");
	burn(50);
	raise(SIGPROF);
	say("never");
}

static volatile int depth;
static volatile bool nests;

static void nest(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	depth++;
	if (count++ < 4)
		raise(SIGPROF);
	if (nests)
		burn(20);
	say("back from %d", depth--);
}

static void nested(void)
{
	install(nest, SA_NODEFER);
	nests = true;
	raise(SIGPROF);
	nests = false;
	install(nest, 0);
	count = 0;
	raise(SIGPROF);
	say("depth %d", depth);
}

/* Its own statistical profiler, as profilers were: the number of ticks is what it would be. */
static void own_itimer(void)
{
	const struct itimerval every = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
	install(on_info, SA_RESTART);
	setitimer(ITIMER_PROF, &every, NULL);
	burn(400);
	setitimer(ITIMER_PROF, &never, NULL);
	/* 40, if the kernel did not count this timer by whole ticks of its own, of 4 ms, in which others ran, too.
	 * A second source of ticks would make it 80. */
	const bool is_right = count >= 26 && count <= 60;
	say("ticks are right: %d, code %d", is_right, last_code);
	if (!is_right)
		say("ticks: %d", count);
	show_mask("end");
}

/* Dies of its own timer, as it would. */
static void own_itimer_default(void)
{
	const struct itimerval every = {{0, 10000}, {0, 50000}};
	setitimer(ITIMER_PROF, &every, NULL);
	burn(1000);
	say("never");
}

static void own_timer(void)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF, .sigev_value.sival_int = 1234};
	const struct itimerspec every = {{0, 10000000}, {0, 10000000}}, never = {{0, 0}, {0, 0}};
	timer_t timer;
	install(on_info, SA_RESTART);
	must(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0, "timer_create");
	timer_settime(timer, 0, &every, NULL);
	burn(300);
	timer_settime(timer, 0, &never, NULL);
	say("ticked %d code %d value %d", count > 20 && count < 40, last_code, last_value);
	timer_delete(timer);
}

static void blocked_alone(void)
{
	install(on_info, 0);
	block(SIGPROF);
	burn(100);
	show_mask("blocked");
	show_pending();
	raise(SIGPROF);
	raise(SIGPROF);
	burn(50);
	show_pending();
	say("count %d", count);
	unblock(SIGPROF);
	say("count %d code %d", count, last_code);
	show_mask("end");
	show_pending();
}

static void blocked_all(void)
{
	install(on_info, 0);
	block(0);
	burn(100);
	show_mask("blocked");
	show_pending();
	raise(SIGPROF);
	kill(getpid(), SIGPROF);
	burn(50);
	show_pending();
	say("count %d", count);
	unblock(SIGPROF);
	say("count %d", count);
	show_mask("unblocked");
	raise(SIGPROF);
	say("count %d", count);
	unblock(0);
	show_mask("end");
	block(0);
	burn(50);
	raise(SIGPROF);
	say("count %d", count);
	show_mask("blocked again");
	unblock(SIGVTALRM);
	say("count %d", count);
	show_mask("without SIGVTALRM");
	unblock(0);
	say("count %d", count);
}

static void blocked_all_default(void)
{
	block(0);
	burn(100);
	raise(SIGPROF);
	say("alive");
	burn(50);
	unblock(0);
	say("never");
}

/* By the kernel's own calls: nobody else is told. */
static void send_raw(bool to_this_thread, int code, uint64_t value)
{
	siginfo_t info = {.si_signo = SIGPROF, .si_code = code};
	info.si_pid = getpid();
	info.si_value.sival_ptr = (void *)(uintptr_t)value;
	must((to_this_thread ? syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGPROF, &info)
			     : syscall(SYS_rt_sigqueueinfo, getpid(), SIGPROF, &info)) == 0,
		"send");
}

/* A tick is pending when the first signal of the program's own meets its block of everything. To the kernel the two are
 * one signal, and the program would wait for its own in vain. The signal is the thread's and the tick (by the cookie of
 * capture/thread_signal.c, of no thread) the process's, so that the kernel delivers them in this order. */
static void blocked_beside_a_tick(void)
{
	const uint64_t sigprof = UINT64_C(1) << (SIGPROF - 1);
	block(0);
	burn(20);
	must(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &sigprof, NULL, sizeof sigprof) == 0, "block");
	send_raw(false, SI_TIMER, UINT64_C(0xd9f000000000ffff));
	send_raw(true, SI_QUEUE, 4713);
	must(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &sigprof, NULL, sizeof sigprof) == 0, "unblock");
	unblock(0);
	say("never");
}

static void blocks_told_apart(void)
{
	install(on_info, 0);
	block(SIGVTALRM);
	burn(50);
	show_mask("SIGVTALRM");
	raise(SIGPROF);
	say("count %d", count);
	block(0);
	burn(50);
	unblock(SIGPROF);
	show_mask("all but SIGPROF");
	raise(SIGPROF);
	say("count %d", count);
}

static void waited(void)
{
	const struct timespec soon = {0, 1000000};
	siginfo_t info;
	int signo = 0;
	for (int all = 0; all < 2; all++) {
		const sigset_t set = set_of(all ? 0 : SIGPROF);
		block(all ? 0 : SIGPROF);
		burn(50);
		errno = 0;
		say("nothing: %d", sigtimedwait(&set, &info, &soon));
		say("errno %d", errno);
		burn(50);
		raise(SIGPROF);
		say("sigwait %d", sigwait(&set, &signo));
		say("signal %d", signo);
		kill(getpid(), SIGPROF);
		burn(20);
		const int got = sigwaitinfo(&set, &info);
		say("sigwaitinfo %d code %d", got, info.si_code);
		sigqueue(getpid(), SIGPROF, (union sigval){.sival_int = 99});
		const int got_too = sigtimedwait(&set, &info, &soon);
		say("sigtimedwait %d code %d value %d", got_too, info.si_code, info.si_value.sival_int);
		show_mask("after");
		unblock(0);
	}
}

/* The usual shape of a server: everything blocked everywhere, one thread waits for signals. */
static volatile bool is_over;

static void *burn_on(void *unused)
{
	while (!is_over)
		burn(5);
	return unused;
}

static int acknowledged[2];

static void *wait_for_signals(void *unused)
{
	const sigset_t set = set_of(0);
	int signo;
	for (int i = 0; i < 50; i++) {
		sigwait(&set, &signo);
		const char byte = (char)signo;
		must(write(acknowledged[1], &byte, 1) == 1, "write");
	}
	return unused;
}

static void signal_thread(void)
{
	pthread_t threads[4];
	int seen = 0;
	must(pipe(acknowledged) == 0, "pipe");
	block(0);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, burn_on, NULL);
	pthread_create(&threads[3], NULL, wait_for_signals, NULL);
	burn(100);
	for (int i = 0; i < 50; i++) {
		char byte = 0;
		kill(getpid(), i % 5 ? SIGPROF : SIGUSR1);
		must(read(acknowledged[0], &byte, 1) == 1, "read");
		seen += byte == (i % 5 ? SIGPROF : SIGUSR1);
	}
	is_over = true;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	say("signals %d", seen);
	show_pending();
	show_mask("end");
}

static void descriptor(void)
{
	struct signalfd_siginfo info;
	for (int all = 0; all < 2; all++) {
		const sigset_t set = set_of(all ? 0 : SIGPROF);
		block(all ? 0 : SIGPROF);
		burn(50);
		const int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
		must(fd >= 0, "signalfd");
		burn(50);
		say("nothing: %zd", read(fd, &info, sizeof info));
		raise(SIGPROF);
		burn(50);
		struct pollfd ready = {fd, POLLIN, 0};
		say("poll %d", poll(&ready, 1, 0));
		say("read %zd signal %u code %d", read(fd, &info, sizeof info), info.ssi_signo,
			info.ssi_code);
		say("nothing: %zd", read(fd, &info, sizeof info));
		show_mask("after");
		close(fd);
		unblock(0);
	}
}

static void suspended(void)
{
	const sigset_t none = {0};
	const struct timespec soon = {0, 20000000};
	struct epoll_event event;
	install(on_info, 0);
	const int epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int all = 0; all < 2; all++) {
		block(all ? 0 : SIGPROF);
		burn(50);
		raise(SIGPROF);
		say("sigsuspend %d %d, count %d", sigsuspend(&none), errno, count);
		errno = 0;
		say("ppoll %d %d, count %d", ppoll(NULL, 0, &soon, &none), errno, count);
		burn(20);
		raise(SIGPROF);
		say("ppoll %d %d, count %d", ppoll(NULL, 0, &soon, &none), errno, count);
		burn(20);
		raise(SIGPROF);
		say("pselect %d %d, count %d", pselect(0, NULL, NULL, NULL, &soon, &none), errno, count);
		burn(20);
		raise(SIGPROF);
		say("epoll_pwait %d %d, count %d", epoll_pwait(epoll, &event, 1, 20, &none), errno, count);
		show_mask("after");
		unblock(0);
		say("count %d", count);
	}
}

/* ---- inheritance ---- */

static void print_self(void)
{
	burn(60);
	show_action("mine");
	show_mask("mine");
	show_pending();
	raise(SIGPROF);
	say("raised");
	unblock(0);
	say("alive");
}

static void *print_thread(void *unused)
{
	burn(20);
	show_mask("thread");
	raise(SIGPROF);
	say("count %d", count);
	unblock(SIGPROF);
	say("count %d", count);
	return unused;
}

static void threads_inherit(void)
{
	pthread_t thread;
	install(on_info, 0);
	for (int i = 0; i < 3; i++) {
		if (i)
			block(i == 1 ? SIGPROF : 0);
		pthread_create(&thread, NULL, print_thread, NULL);
		pthread_join(thread, NULL);
		show_mask("main");
		unblock(0);
	}
	pthread_attr_t attributes;
	const sigset_t set = set_of(0);
	pthread_attr_init(&attributes);
	pthread_attr_setsigmask_np(&attributes, &set);
	pthread_create(&thread, &attributes, print_thread, NULL);
	pthread_join(thread, NULL);
	show_mask("main");
}

static void forks_inherit(void)
{
	int status;
	for (int i = 0; i < 4; i++) {
		if (i == 3)
			signal(SIGPROF, SIG_IGN);
		else if (i)
			block(i == 1 ? SIGPROF : 0);
		const pid_t child = fork();
		if (!child) {
			print_self();
			_exit(3);
		}
		waitpid(child, &status, 0);
		say("child: %s", ending(status));
		show_mask("parent");
		unblock(0);
	}
}

static void execs_inherit(void)
{
	static char self[] = "/proc/self/exe", name[] = "print_self";
	char *const arguments[] = {self, name, NULL};
	int status;
	for (volatile int how = 0; how < 9; how++)
		for (volatile int i = 0; i < 4; i++) {
			pid_t child;
			signal(SIGPROF, i == 3 ? SIG_IGN : i == 2 ? on_signal : SIG_DFL);
			if (i == 1 || i == 2)
				block(i == 1 ? SIGPROF : 0);
			burn(5);
			if (how == 7) {
				must(posix_spawn(&child, self, NULL, NULL, arguments, environ) == 0,
					"posix_spawn");
			} else if (how == 8) {
				must(posix_spawnp(&child, self, NULL, NULL, arguments, environ) == 0,
					"posix_spawnp");
			} else {
				child = how % 2 ? vfork() : fork();
				if (!child) {
					if (how == 0)
						execve(self, arguments, environ);
					if (how == 1)
						execv(self, arguments);
					if (how == 2)
						execvp(self, arguments);
					if (how == 3)
						execl(self, self, name, NULL);
					if (how == 4)
						execlp(self, self, name, NULL);
					if (how == 5)
						execle(self, self, name, NULL, environ);
					if (how == 6)
						execvpe(self, arguments, environ);
					_exit(4);
				}
			}
			waitpid(child, &status, 0);
			say("%d.%d: %s", how, i, ending(status));
			show_action("parent");
			show_mask("parent");
			unblock(0);
		}
}

static void failed_exec(void)
{
	static char nowhere[] = "/nowhere/at/all";
	char *const arguments[] = {nowhere, NULL};
	signal(SIGPROF, SIG_IGN);
	block(0);
	burn(50);
	for (int i = 0; i < 3; i++) {
		execv(nowhere, arguments);
		say("errno %d", errno);
		burn(20);
	}
	show_action("after");
	show_mask("after");
	raise(SIGPROF);
	unblock(0);
	say("alive");
}

/* A vfork's child that tidies up before exec has the parent's memory: the parent's handler stays. */
static void vfork_tidies(void)
{
	int status;
	install(on_info, 0);
	const sigset_t none = {0};
	const pid_t child = vfork();
	if (!child) {
		for (int signo = 1; signo < 32; signo++)
			signal(signo, SIG_DFL);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execl("/proc/self/exe", "x", "print_self", NULL);
		_exit(4);
	}
	waitpid(child, &status, 0);
	say("child: %s", ending(status));
	show_action("parent");
	burn(50);
	raise(SIGPROF);
	say("count %d", count);
}

/* ---- jumps ---- */

static sigjmp_buf back;

static void jump(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)info, (void)context;
	count++;
	siglongjmp(back, 1);
}

static void jumps(void)
{
	volatile int rounds = 0;
	install(jump, 0);
	while (rounds < 2000) {
		if (!sigsetjmp(back, 1)) {
			work(50000);
			raise(SIGPROF);
			say("never");
		}
		rounds++;
	}
	say("count %d", count);
	show_mask("end");
}

static void jumps_by_itimer(void)
{
	const struct itimerval every = {{0, 4000}, {0, 4000}}, never = {{0, 0}, {0, 0}};
	install(jump, 0);
	setitimer(ITIMER_PROF, &every, NULL);
	while (count < 50)
		if (!sigsetjmp(back, 1))
			for (;;)
				work(1000);
	setitimer(ITIMER_PROF, &never, NULL);
	show_mask("end");
}

static void jumps_over_masks(void)
{
	install(on_info, 0);
	if (!sigsetjmp(back, 1)) {
		block(0);
		burn(50);
		show_mask("blocked");
		siglongjmp(back, 1);
	}
	show_mask("back");
	burn(50);
	raise(SIGPROF);
	say("count %d", count);
	block(0);
	if (!sigsetjmp(back, 1)) {
		unblock(0);
		raise(SIGPROF);
		say("count %d", count);
		siglongjmp(back, 1);
	}
	show_mask("blocked again");
	raise(SIGPROF);
	say("count %d", count);
	unblock(0);
	say("count %d", count);
}

static ucontext_t main_context, other_context;

static void other(void)
{
	for (int i = 0; i < 3; i++) {
		show_mask("other");
		burn(20);
		raise(SIGPROF);
		say("count %d", count);
		swapcontext(&other_context, &main_context);
	}
}

static void contexts(void)
{
	static char stack[65536];
	install(on_info, 0);
	getcontext(&other_context);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = sizeof stack;
	other_context.uc_link = &main_context;
	makecontext(&other_context, other, 0);
	block(0);
	for (int i = 0; i < 3; i++) {
		burn(20);
		swapcontext(&main_context, &other_context);
		show_mask("main");
	}
	unblock(0);
	say("count %d", count);
}

/* ---- stacks and interrupted calls ---- */

static char alternate[65536];
static volatile int was_on_alternate;

static void where(int signo, siginfo_t *info, void *context)
{
	char here;
	(void)signo, (void)info, (void)context;
	was_on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
	stack_t stack;
	sigaltstack(NULL, &stack);
	count = stack.ss_flags;
}

static void stacks(void)
{
	const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
	sigaltstack(&stack, NULL);
	install(where, 0);
	burn(50);
	raise(SIGPROF);
	say("without SA_ONSTACK: %d %d", was_on_alternate, count);
	install(where, SA_ONSTACK);
	burn(50);
	raise(SIGPROF);
	say("with SA_ONSTACK: %d %d", was_on_alternate, count);
}

/* Until the process sleeps in a kernel function of such a name; 5 s at most, where names are hidden. */
static void wait_until_in(pid_t pid, const char *function)
{
	char path[64], channel[64];
	snprintf(path, sizeof path, "/proc/%d/wchan", pid);
	for (int i = 0; i < 500; i++) {
		const int fd = open(path, O_RDONLY);
		const ssize_t got = fd < 0 ? 0 : read(fd, channel, sizeof channel - 1);
		channel[got > 0 ? got : 0] = 0;
		close(fd);
		if (strstr(channel, function))
			return;
		usleep(10000);
	}
}

static void interrupted(void)
{
	int ends[2], status;
	for (int restarts = 0; restarts < 2; restarts++) {
		char byte = 0;
		must(pipe(ends) == 0, "pipe");
		install(on_info, restarts ? SA_RESTART : 0);
		const pid_t parent = getpid(), child = fork();
		if (!child) {
			wait_until_in(parent, "pipe_read");
			kill(parent, SIGPROF);
			wait_until_in(parent, restarts ? "pipe_read" : "do_wait");
			_exit(write(ends[1], "x", 1) != 1);
		}
		burn(20);
		errno = 0;
		const ssize_t got = read(ends[0], &byte, 1);
		say("read %zd %d count %d code %d", got, errno, count, last_code);
		waitpid(child, &status, 0);
		say("child: %s", ending(status));
	}
}

static pthread_t aim;
static volatile bool hit_the_aim;

static void on_aimed(int signo)
{
	(void)signo;
	hit_the_aim = pthread_equal(pthread_self(), aim);
	count++;
}

static void aimed(void)
{
	signal(SIGPROF, on_aimed);
	pthread_create(&aim, NULL, burn_on, NULL);
	for (int i = 1; i <= 50; i++) {
		pthread_kill(aim, SIGPROF);
		while (count < i)
			sched_yield();
		if (!hit_the_aim)
			say("another thread");
	}
	is_over = true;
	pthread_join(aim, NULL);
	say("count %d", count);
}

static void frees_usr1(int signo, siginfo_t *info, void *context)
{
	ucontext_t *c = context;
	(void)signo, (void)info;
	sigdelset(&c->uc_sigmask, SIGUSR1);
	sigaddset(&c->uc_sigmask, SIGUSR2);
	sigaddset(&c->uc_sigmask, SIGPROF);
}

static void handler_changes_mask(void)
{
	install(frees_usr1, 0);
	block(SIGUSR1);
	burn(50);
	raise(SIGPROF);
	show_mask("after");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "print_self")) {
		print_self();
		return 3;
	}
	static const struct torture cases[] = {{"queries", queries}, {"old_masks", old_masks},
		{"raised", raised}, {"raised_default", raised_default}, {"killed_default", killed_default},
		{"raised_ignored", raised_ignored}, {"once", once}, {"nested", nested},
		{"own_itimer", own_itimer}, {"own_itimer_default", own_itimer_default},
		{"own_timer", own_timer}, {"blocked_alone", blocked_alone}, {"blocked_all", blocked_all},
		{"blocked_all_default", blocked_all_default},
		{"blocked_beside_a_tick", blocked_beside_a_tick}, {"blocks_told_apart", blocks_told_apart},
		{"waited", waited}, {"signal_thread", signal_thread}, {"descriptor", descriptor},
		{"suspended", suspended}, {"threads_inherit", threads_inherit},
		{"forks_inherit", forks_inherit}, {"execs_inherit", execs_inherit},
		{"failed_exec", failed_exec}, {"vfork_tidies", vfork_tidies}, {"jumps", jumps},
		{"jumps_by_itimer", jumps_by_itimer}, {"jumps_over_masks", jumps_over_masks},
		{"contexts", contexts}, {"stacks", stacks}, {"interrupted", interrupted}, {"aimed", aimed},
		{"handler_changes_mask", handler_changes_mask}, {0}};
	return run_torture(cases, argc, argv);
}
