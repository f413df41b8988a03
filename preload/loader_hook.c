/* SPDX-License-Identifier: Apache-2.0
 * What the loader adds and removes.
 *
 * dlopen looks at its caller by return address (RUNPATH, $ORIGIN, name space), so our hook may only run before it and
 * then jump: what it loaded is seen at the next loader call or thread, or by the agent, whichever comes first. */
#include "capture/map.h"
#include "capture/module.h"
#include "preload/hooks.h"
#include "preload/real.h"

#include <errno.h>

#if defined(__x86_64__)
#include "preload/x86_64/loader_stub.h"
#elif defined(__aarch64__)
#include "preload/aarch64/loader_stub.h"
#endif

/* Read by the stubs. */
__attribute__((visibility("hidden"))) void *dp_real_dlopen, *dp_real_dlmopen;

void dp_loader_refresh(void)
{
	const int saved_errno = errno;
	const bool is_on = dp_hooks_are_on();
	if (is_on && dp_modules_refresh()) {
		uint32_t free = 0;
		if (dp_cas(&dp_host.is_keeping, &free, 1)) {
			dp_map_rebuild();
			dp_store_release(&dp_host.is_keeping, 0);
		}
	}
	if (is_on)
		dp_say_refusal();
	errno = saved_errno;
}

__attribute__((visibility("hidden"), used)) void dp_before_dlopen(void)
{
	dp_real_dlopen = (void *)DP_REAL(dlopen);
	dp_real_dlmopen = (void *)DP_REAL(dlmopen);
	dp_loader_refresh();
	dp_store_relaxed(&dp_host.loader_calls, dp_load_relaxed(&dp_host.loader_calls) + 1);
}

DP_TAIL_HOOK(dlopen, dp_real_dlopen, dp_before_dlopen);
DP_TAIL_HOOK(dlmopen, dp_real_dlmopen, dp_before_dlopen);

DP_EXPORT int dlclose(void *handle)
{
	const int saved_errno = errno;
	if (dp_hooks_are_on())
		dp_runtimes_pin();
	errno = saved_errno;
	const int result = DP_REAL(dlclose)(handle);
	dp_loader_refresh();
	return result;
}
