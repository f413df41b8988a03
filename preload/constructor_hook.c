/* SPDX-License-Identifier: Apache-2.0
 * LD_PRELOAD's way in: read the settings, arm one timer, start nothing. */
#include "capture/host.h"
#include "capture/module.h"
#include "preload/hooks.h"
#include "preload/real.h"
#include "preload/sigprof.h"

#include "base/syscall.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

static void set_agent_paths(void)
{
	static const char *const beside[2] = {"deepprof/deepprof-agent", "deepprof-agent"};
	const char *self = dp_modules_self_path();
	const char *slash = self ? strrchr(self, '/') : NULL;
	const size_t directory = slash ? (size_t)(slash - self) + 1 : 0;
	for (unsigned i = 0; i < 2; i++)
		if (directory && directory + strlen(beside[i]) < sizeof dp_host.agent_path[i]) {
			memcpy(dp_host.agent_path[i], self, directory);
			strcpy(dp_host.agent_path[i] + directory, beside[i]);
		}
}

__attribute__((constructor)) static void on_load(void)
{
	if (getauxval(AT_SECURE))
		return; /* a setuid program is nobody's to look into */
	dp_real_init();
	const char *rate = getenv("DEEPPROF_RATE");
	const uint64_t hz = rate ? strtoul(rate, NULL, 10) : 100;
	const char *verify = getenv("DEEPPROF_VERIFY");
	dp_host.verify_every = verify ? (uint32_t)strtoul(verify, NULL, 10) : 0;
	const char *run = getenv("DEEPPROF_RUN_SOCKET");
	if (run)
		strncpy(dp_host.run_socket, run, sizeof dp_host.run_socket - 1);
	dp_host_init(1000000000 / (hz ? hz : 100));
	set_agent_paths();
	dp_threads_init();
	dp_fork_init();
	dp_sigprof_install(dp_on_tick);
	dp_host_arm();
}

__attribute__((destructor)) static void on_unload(void)
{
	dp_host_end();
}
