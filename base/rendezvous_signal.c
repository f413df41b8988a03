/* SPDX-License-Identifier: Apache-2.0
 * The rendezvous' name, by system calls alone. */
#include "base/rendezvous.h"

#include "base/region.h"
#include "base/syscall.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void mix(uint64_t *hash, const void *bytes, size_t size)
{
	const uint8_t *b = bytes;
	while (size--)
		*hash = (*hash ^ *b++) * UINT64_C(0x100000001b3); /* FNV-1a */
}

static bool mix_link(uint64_t *hash, const char *path)
{
	char link[64];
	const long size = DP_SYS4(SYS_readlinkat, AT_FDCWD, path, link, sizeof link);
	if (size <= 0)
		return false;
	mix(hash, link, (size_t)size);
	return true;
}

static void mix_file(uint64_t *hash, const char *path)
{
	char bytes[512];
	const long fd = DP_SYS4(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return;
	const long size = DP_SYS3(SYS_read, fd, bytes, sizeof bytes);
	if (size > 0)
		mix(hash, bytes, (size_t)size);
	DP_SYS1(SYS_close, fd);
}

static char *put_text(char *at, const char *text)
{
	while (*text)
		*at++ = *text++;
	return at;
}

static char *put_hex(char *at, uint64_t value)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*at++ = "0123456789abcdef"[value >> shift & 15];
	return at;
}

static uint32_t address_length(const struct sockaddr_un *address, const char *end)
{
	return (uint32_t)(end - (const char *)address);
}

bool dp_rendezvous_name(char *name, const char *installation)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	struct {
		uint32_t uid, gid;
		struct __user_cap_data_struct caps[2];
		uint64_t root_device, root_inode;
		uint32_t has_filter, has_no_new_privileges; /* an agent would have them too */
	} who;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct stat root;

	dp_zero(&who, sizeof who);
	who.uid = (uint32_t)DP_SYS0(SYS_geteuid);
	who.gid = (uint32_t)DP_SYS0(SYS_getegid);
	DP_SYS2(SYS_capget, &header, who.caps);
	who.has_filter = (uint32_t)DP_SYS1(SYS_prctl, PR_GET_SECCOMP);
	who.has_no_new_privileges = (uint32_t)DP_SYS(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0);
	for (int i = 0; i < 2; i++)
		who.caps[i].permitted = who.caps[i].inheritable = 0;
	if (DP_SYS4(SYS_newfstatat, AT_FDCWD, "/", &root, 0) == 0) {
		who.root_device = root.st_dev;
		who.root_inode = root.st_ino;
	}
	mix(&hash, &who, sizeof who);
	for (; *installation; installation++)
		mix(&hash, installation, 1);
	if (!mix_link(&hash, "/proc/self/ns/user") || !mix_link(&hash, "/proc/self/ns/pid") ||
	        !mix_link(&hash, "/proc/self/ns/mnt"))
		return false;
	mix_file(&hash, "/proc/self/cgroup");

	/* An agent of the same place but of another version serves hosts of its own until they end. */
	char *at = put_text(name, "deepprof/");
	*at++ = (char)('0' + DP_REGION_VERSION % 10);
	*at++ = '/';
	at = put_hex(at, hash);
	*at++ = '/';
	*at = 0;
	return true;
}

uint32_t dp_rendezvous_address(struct sockaddr_un *address, const char *name, unsigned which)
{
	uint32_t length = dp_rendezvous_named(address, name);
	((char *)address)[length++] = (char)('0' + which);
	return length;
}

uint32_t dp_rendezvous_named(struct sockaddr_un *address, const char *name)
{
	address->sun_family = AF_UNIX;
	char *at = address->sun_path;
	*at++ = 0;
	for (unsigned i = 0; name[i] && i < sizeof address->sun_path - 2; i++)
		*at++ = name[i];
	return address_length(address, at);
}

static bool same_link(const char *self, char *peer_path, size_t at, const char *name)
{
	char one[64], other[64];
	char *end = put_text(peer_path + at, name);
	*end = 0;
	const long size = DP_SYS4(SYS_readlinkat, AT_FDCWD, self, one, sizeof one);
	if (size <= 0 || DP_SYS4(SYS_readlinkat, AT_FDCWD, peer_path, other, sizeof other) != size)
		return false;
	for (long i = 0; i < size; i++)
		if (one[i] != other[i])
			return false;
	return true;
}

bool dp_rendezvous_is_ours(int socket, bool anyone_inside)
{
	struct ucred peer = {0};
	uint32_t length = sizeof peer;
	char path[64], digits[12];

	if (DP_SYS(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &length, 0) != 0)
		return false;
	if (peer.uid != (uint32_t)DP_SYS0(SYS_geteuid) && !(anyone_inside && peer.uid == 0))
		return false;
	if (anyone_inside)
		return true;
	if (peer.pid <= 0)
		return false; /* a process that our pid name space does not show */
	char *at = put_text(path, "/proc/");
	int count = 0;
	for (int32_t rest = peer.pid; rest; rest /= 10)
		digits[count++] = (char)('0' + rest % 10);
	while (count)
		*at++ = digits[--count];
	at = put_text(at, "/ns/");
	const size_t name_at = (size_t)(at - path);
	return same_link("/proc/self/ns/user", path, name_at, "user") &&
	       same_link("/proc/self/ns/pid", path, name_at, "pid") &&
	       same_link("/proc/self/ns/mnt", path, name_at, "mnt");
}
