/* SPDX-License-Identifier: Apache-2.0
 * Where a host finds its agent: an abstract socket whose name says everything that the two must have in common.
 * Signal (in a helper) and agent. */
#ifndef DEEPPROF_BASE_RENDEZVOUS_H
#define DEEPPROF_BASE_RENDEZVOUS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

enum { DP_RENDEZVOUS_NAMES = 4 }; /* the name and its substitutes where somebody squats on it */

/* One agent per installation and version of the region, uid, gid, user/pid/mount name space, cgroup, effective
 * capabilities, root directory, and whether there is a seccomp filter and no_new_privs (the network name space is
 * implied by abstract sockets). installation: where the host's library found its agent.
 * name: at least DP_RENDEZVOUS_SIZE bytes; false: /proc is not to be read, there is no name. Makes about ten system
 * calls. The host tells the agent that it starts; nobody else computes it. */
enum { DP_RENDEZVOUS_SIZE = 64 };
bool dp_rendezvous_name(char *name, const char *installation);
/* The address behind a name; which: 0 ... DP_RENDEZVOUS_NAMES - 1. Returns its length. */
uint32_t dp_rendezvous_address(struct sockaddr_un *address, const char *name, unsigned which);
/* The same for an agent of one run: name as in DEEPPROF_RUN_SOCKET. */
uint32_t dp_rendezvous_named(struct sockaddr_un *address, const char *name);

/* Is the process at the other end of this socket ours: same uid, same user, pid and mount name space? anyone_inside:
 * accept another name space (the agent of a run serves what the run started). */
bool dp_rendezvous_is_ours(int socket, bool anyone_inside);

#endif
