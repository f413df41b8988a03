/* SPDX-License-Identifier: Apache-2.0
 * agent=thread: the agent's code in one of the host's own threads (and the hands in a second). The only thing that
 * libdeepprof-agent.so exports; it touches the host through the region like the process does. */
#include "agent/agent.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct dp_agent_options options;
static char socket_name[64];

static void *serve(void *unused)
{
	(void)unused;
	const int error = dp_ears_run(&options);
	if (error)
		dp_error("agent=thread: %s", strerror(-error));
	return NULL;
}

/* Starts the threads with all signals blocked. name: of the socket to serve. 0 or -errno. */
__attribute__((visibility("default"))) int deepprof_agent_start(const char *name)
{
	sigset_t all, before;
	pthread_t thread;
	snprintf(socket_name, sizeof socket_name, "%s", name);
	options = (struct dp_agent_options){.run_socket = socket_name, .is_thread = true};
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	const int error = pthread_create(&thread, NULL, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_detach(thread);
	return -error;
}
