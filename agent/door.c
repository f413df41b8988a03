/* SPDX-License-Identifier: Apache-2.0
 * The door: the socket at the rendezvous, and who may stand there before us. */
#include "agent/agent.h"

#include "base/rendezvous.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	TRIES = 20,       /* at one name, while whoever has it is leaving */
	PAUSE_MS = 100,
	ANSWER_MS = 1000, /* from one that lives; its ears are never busy for so long */
};

enum holder { HOLDER_SERVES, HOLDER_LEAVES, HOLDER_IS_STRANGE };

static bool answers(int fd)
{
	const struct dp_message question = {.kind = DP_MESSAGE_STATUS, .version = DP_REGION_VERSION};
	struct pollfd poll_fd = {fd, POLLIN, 0};
	char answer[128];
	return send(fd, &question, sizeof question, MSG_NOSIGNAL) == sizeof question &&
	       poll(&poll_fd, 1, ANSWER_MS) == 1 && recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0;
}

/* Who has the name that we could not have? */
static enum holder look_at_holder(const struct sockaddr_un *address, socklen_t length)
{
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	enum holder holder = HOLDER_IS_STRANGE;
	if (fd < 0)
		return holder;
	if (connect(fd, (const struct sockaddr *)address, length) != 0)
		holder = errno == ECONNREFUSED ? HOLDER_LEAVES : HOLDER_IS_STRANGE;
	else if (dp_rendezvous_is_ours(fd, false) && answers(fd))
		holder = HOLDER_SERVES;
	close(fd);
	return holder;
}

/* The socket, -EAGAIN: not this name, or -errno. */
static int bind_name(const struct sockaddr_un *address, socklen_t length, bool is_only_one)
{
	for (int i = 0; i < TRIES; i++) {
		const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return -errno;
		if (bind(fd, (const struct sockaddr *)address, length) == 0 && listen(fd, 1024) == 0)
			return fd;
		const int error = errno;
		close(fd);
		if (error != EADDRINUSE || is_only_one)
			return -error;
		const enum holder holder = look_at_holder(address, length);
		if (holder != HOLDER_LEAVES)
			return holder == HOLDER_SERVES ? -EADDRINUSE : -EAGAIN;
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
	}
	return -EAGAIN;
}

int dp_door_open(const struct dp_agent_options *options)
{
	struct sockaddr_un address;
	if (options->run_socket) {
		const uint32_t length = dp_rendezvous_named(&address, options->run_socket);
		return bind_name(&address, length, true);
	}
	for (unsigned which = 0; which < DP_RENDEZVOUS_NAMES; which++) {
		const uint32_t length = dp_rendezvous_address(&address, options->name, which);
		const int fd = bind_name(&address, length, false);
		if (fd != -EAGAIN)
			return fd;
	}
	return -EADDRINUSE;
}
