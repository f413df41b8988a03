/* SPDX-License-Identifier: Apache-2.0
 * Where a host runs: machine, container, pod. What is not to be found out is left out. Hands only. */
#ifndef DEEPPROF_AGENT_IDENTITY_H
#define DEEPPROF_AGENT_IDENTITY_H

#include "agent/agent.h"
#include "base/profile.h"

enum { DP_CONTAINER_ID_BYTES = 72, DP_POD_UID_BYTES = 40 };

/* Reads what it needs the first time. Resource attributes by OpenTelemetry's names, the same as comments. */
void dp_identity_describe(struct dp_process *process, struct dp_profile *profile);

/* What /proc/PID/cgroup and mountinfo tell; foreign bytes. "" where they do not. A container's id is 64 digits (32 and
 * a number on ECS), a pod's uid a UUID. */
void dp_identity_container(const char *cgroup, const char *mountinfo, char id[DP_CONTAINER_ID_BYTES]);
void dp_identity_pod(const char *cgroup, const char *mountinfo, char uid[DP_POD_UID_BYTES]);

#endif
