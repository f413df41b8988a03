/* SPDX-License-Identifier: Apache-2.0
 * The ways into a new program: it inherits the mask and the ignored signals, and shall inherit the
 * application's. */
#include "capture/starter.h"
#include "preload/hooks.h"
#include "preload/real.h"
#include "preload/sigprof.h"

#include <alloca.h>
#include <spawn.h>
#include <stdarg.h>
#include <unistd.h>

extern char **environ;

/* call: a spawn. */
#define WITH_TRUTH(call)                           \
	do {                                       \
		struct dp_sigprof_bracket bracket; \
		dp_sigprof_before_exec(&bracket);  \
		const int result = (call);         \
		dp_sigprof_after_exec(&bracket);   \
		return result;                     \
	} while (0)

/* call: an exec, which comes back only when it failed. */
#define BECOME(call)                               \
	do {                                       \
		struct dp_sigprof_bracket bracket; \
		dp_nanny_before_exec();            \
		dp_sigprof_before_exec(&bracket);  \
		const int result = (call);         \
		dp_sigprof_after_exec(&bracket);   \
		dp_nanny_after_exec();             \
		return result;                     \
	} while (0)

DP_EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	BECOME(DP_REAL(execve)(path, argv, envp));
}

DP_EXPORT int execv(const char *path, char *const argv[])
{
	BECOME(DP_REAL(execve)(path, argv, environ));
}

DP_EXPORT int execvp(const char *file, char *const argv[])
{
	BECOME(DP_REAL(execvp)(file, argv));
}

DP_EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	BECOME(DP_REAL(execvpe)(file, argv, envp));
}

DP_EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	BECOME(DP_REAL(fexecve)(fd, argv, envp));
}

DP_EXPORT int execveat(int directory, const char *path, char *const argv[], char *const envp[], int flags)
{
	BECOME(DP_REAL(execveat)(directory, path, argv, envp, flags));
}

/* Puts the arguments behind first into an array on the caller's stack: no allocation, for a vfork's child. */
#define COLLECT(argv, first, list)                                \
	va_list list;                                             \
	int count = 1;                                            \
	va_start(list, first);                                    \
	while (va_arg(list, char *))                              \
		count++;                                          \
	va_end(list);                                             \
	char **argv = alloca(((size_t)count + 1) * sizeof *argv); \
	argv[0] = (char *)(uintptr_t)first;                       \
	va_start(list, first);                                    \
	for (int i = 1; i <= count; i++)                          \
	argv[i] = va_arg(list, char *)

DP_EXPORT int execl(const char *path, const char *first, ...)
{
	COLLECT(argv, first, list);
	va_end(list);
	return execv(path, argv);
}

DP_EXPORT int execlp(const char *file, const char *first, ...)
{
	COLLECT(argv, first, list);
	va_end(list);
	return execvp(file, argv);
}

DP_EXPORT int execle(const char *path, const char *first, ...)
{
	COLLECT(argv, first, list);
	char *const *envp = va_arg(list, char *const *);
	va_end(list);
	return execve(path, argv, envp);
}

DP_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	WITH_TRUTH(DP_REAL(posix_spawn)(pid, path, actions, attributes, argv, envp));
}

DP_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
	WITH_TRUTH(DP_REAL(posix_spawnp)(pid, file, actions, attributes, argv, envp));
}
