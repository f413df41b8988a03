/* SPDX-License-Identifier: Apache-2.0
 * java -agentpath:…/libdeepprof.so=OPTIONS, and the same library loaded into a running VM.
 *
 * The VM's entry points (JVM TI, "Agent Start-Up"): all that is needed of them is when to start and with which options. The
 * VM itself is read, not asked. */
#define DEEPPROF_LINKED
#include "deepprof.h"

#include "preload/hooks.h"

/* A VM that is not started at all would be the price of any other answer. */
enum { JNI_OK = 0 };

/* Options on the command line go before what LD_PRELOAD began with. Where that was another copy of us, these are its
 * functions. */
static int begin(const char *options)
{
	const int saved_errno = errno;
	if (deepprof_start(options) == -EALREADY) {
		deepprof_stop();
		deepprof_start(options);
	}
	errno = saved_errno;
	return JNI_OK;
}

DP_EXPORT int Agent_OnLoad(void *vm, char *options, void *reserved);
DP_EXPORT int Agent_OnLoad(void *vm, char *options, void *reserved)
{
	(void)vm, (void)reserved;
	return begin(options);
}

DP_EXPORT int Agent_OnAttach(void *vm, char *options, void *reserved);
DP_EXPORT int Agent_OnAttach(void *vm, char *options, void *reserved)
{
	(void)vm, (void)reserved;
	return begin(options);
}
