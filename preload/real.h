/* SPDX-License-Identifier: Apache-2.0
 * The functions that we interpose, as the next object in line has them. */
#ifndef DEEPPROF_PRELOAD_REAL_H
#define DEEPPROF_PRELOAD_REAL_H

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/select.h>
#include <sys/wait.h>

struct epoll_event;
struct rusage;

/* Each: return type, name, arguments. A libc may lack some (musl: bsd_signal and others): then NULL. */
#define DP_REAL_MAP(XX)                                                                                    \
	XX(int, pthread_create, (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))          \
	XX(void *, dlopen, (const char *, int))                                                            \
	XX(int, dlclose, (void *))                                                                         \
	XX(void *, dlmopen, (long, const char *, int))                                                     \
	XX(long, syscall, (long, ...))                                                                     \
	XX(int, prctl, (int, ...))                                                                         \
	XX(pid_t, waitpid, (pid_t, int *, int))                                                            \
	XX(pid_t, wait4, (pid_t, int *, int, struct rusage *))                                             \
	XX(int, waitid, (idtype_t, id_t, siginfo_t *, int))                                                \
	XX(long, ptrace, (int, ...))                                                                       \
	XX(int, sigaltstack, (const stack_t *, stack_t *))                                                 \
	/* SIGPROF */                                                                                      \
	XX(int, sigaction, (int, const struct sigaction *, struct sigaction *))                            \
	XX(dp_sighandler *, signal, (int, dp_sighandler *))                                                \
	XX(dp_sighandler *, bsd_signal, (int, dp_sighandler *))                                            \
	XX(dp_sighandler *, ssignal, (int, dp_sighandler *))                                               \
	XX(dp_sighandler *, __sysv_signal, (int, dp_sighandler *))                                         \
	XX(dp_sighandler *, sigset, (int, dp_sighandler *))                                                \
	XX(int, sigignore, (int))                                                                          \
	XX(int, siginterrupt, (int, int))                                                                  \
	XX(void, __monstartup, (unsigned long, unsigned long))                                             \
	/* masks */                                                                                        \
	XX(int, sigprocmask, (int, const sigset_t *, sigset_t *))                                          \
	XX(int, pthread_sigmask, (int, const sigset_t *, sigset_t *))                                      \
	XX(int, sighold, (int))                                                                            \
	XX(int, sigrelse, (int))                                                                           \
	XX(int, sigwait, (const sigset_t *, int *))                                                        \
	XX(int, sigwaitinfo, (const sigset_t *, siginfo_t *))                                              \
	XX(int, sigtimedwait, (const sigset_t *, siginfo_t *, const struct timespec *))                    \
	XX(int, raise, (int))                                                                              \
	XX(int, pthread_kill, (pthread_t, int))                                                            \
	XX(int, sigsuspend, (const sigset_t *))                                                            \
	XX(int, pselect, (int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *))   \
	XX(int, ppoll, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *))               \
	XX(int, __ppoll_chk, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t)) \
	XX(int, epoll_pwait, (int, struct epoll_event *, int, int, const sigset_t *))                      \
	XX(int, epoll_pwait2, (int, struct epoll_event *, int, const struct timespec *, const sigset_t *)) \
	XX(int, signalfd, (int, const sigset_t *, int))                                                    \
	/* new programs */                                                                                 \
	XX(int, execve, (const char *, char *const *, char *const *))                                      \
	XX(int, execvp, (const char *, char *const *))                                                     \
	XX(int, execvpe, (const char *, char *const *, char *const *))                                     \
	XX(int, fexecve, (int, char *const *, char *const *))                                              \
	XX(int, execveat, (int, const char *, char *const *, char *const *, int))                          \
	XX(int, posix_spawn,                                                                               \
		(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,     \
			char *const *, char *const *))                                                     \
	XX(int, posix_spawnp,                                                                              \
		(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,     \
			char *const *, char *const *))

typedef void dp_sighandler(int);

struct dp_real {
#define XX(type, name, arguments) type(*name) arguments;
	DP_REAL_MAP(XX)
#undef XX
};
extern struct dp_real dp_real;

/* Hook. Resolves them all; the constructor does, or the first hook that is called before it. */
void dp_real_init(void);

#define DP_REAL(name) (dp_real.name ? dp_real.name : (dp_real_init(), dp_real.name))

#endif
