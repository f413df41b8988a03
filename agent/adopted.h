/* SPDX-License-Identifier: Apache-2.0
 * An agent that became its own host's child. Ears. */
#ifndef DEEPPROF_AGENT_ADOPTED_H
#define DEEPPROF_AGENT_ADOPTED_H

#include <stdbool.h>
#include <stdint.h>

/* Does this process wait for its children while we are the only one that lives? Never true of one that is not our
 * parent. */
bool dp_is_waited_for_by(int32_t pid);

#endif
