/* SPDX-License-Identifier: Apache-2.0
 * Hostile cgroup and mountinfo texts: an id is one, or there is none. The first half is one, the second the other. */
#include "agent/identity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const size_t half = size / 2;
	char id[DP_CONTAINER_ID_BYTES], uid[DP_POD_UID_BYTES];
	char *cgroup = strndup((const char *)bytes, half), *mounts = strndup((const char *)bytes + half, size - half);
	if (!cgroup || !mounts)
		abort();
	dp_identity_container(cgroup, mounts, id);
	dp_identity_pod(cgroup, mounts, uid);
	if (strspn(id, "0123456789abcdef-") != strlen(id) || (*id && strlen(id) < 34))
		abort();
	if (*uid && (strlen(uid) != 36 || uid[8] != '-' || uid[23] != '-'))
		abort();
	free(cgroup);
	free(mounts);
	return 0;
}
