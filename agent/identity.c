/* SPDX-License-Identifier: Apache-2.0
 * The host says its machine's name and what its environment tells; containers and pods are written into the paths
 * of cgroups and mounts. A container in a cgroup name space of its own (version 2) sees "/" there, but the files
 * that its engine mounts over /etc/hostname and the like still come from a folder named by the container.
 *
 * An agent is shared within one cgroup and one mount name space, so its own files answer for a host that is gone. */
#include "agent/identity.h"

#include "agent/work.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MOST = 256 * 1024, CONTAINER_DIGITS = 64, ECS_DIGITS = 32, UUID_SIZE = 36 };

static size_t hex_digits(const char *text)
{
	return strspn(text, "0123456789abcdef");
}

/* Behind an id comes the end of its word. */
static bool is_end(char c)
{
	return !c || strchr("/. \n:", c);
}

/* The size of the container's id that stands there, 0 for none. */
static size_t id_size(const char *text)
{
	const size_t digits = hex_digits(text);
	if (digits == CONTAINER_DIGITS && is_end(text[digits]))
		return digits;
	if (digits != ECS_DIGITS || text[digits] != '-')
		return 0;
	const size_t number = strspn(text + digits + 1, "0123456789");
	const size_t size = digits + 1 + number;
	return number && size < DP_CONTAINER_ID_BYTES && is_end(text[size]) ? size : 0;
}

static size_t line_size(const char *line)
{
	return strcspn(line, "\n");
}

static const char *next_line(const char *line)
{
	line += line_size(line);
	return *line ? line + 1 : line;
}

/* ---- containers ---- */

/* "0::/system.slice/docker-ID.scope", "…/kubepods/pod…/ID", "…:cri-containerd:ID": the last of a line, so that a
 * container in a container is the inner one. */
static bool find_in_cgroup(const char *cgroup, char *id)
{
	for (const char *line = cgroup; *line; line = next_line(line)) {
		const char *end = line + line_size(line), *found = NULL;
		for (const char *at = line; at < end; at++)
			if ((at == line || strchr("/-:", at[-1])) && id_size(at))
				found = at;
		if (!found)
			continue;
		snprintf(id, DP_CONTAINER_ID_BYTES, "%.*s", (int)id_size(found), found);
		return true;
	}
	return false;
}

/* mountinfo (proc(5)): the root is the fourth field, the mount point the fifth. containerd's "sandboxes/ID" is
 * the pod's own container, not this one. */
static bool find_in_mounts(const char *mountinfo, char *id)
{
	static const char *const folders[] = {"/containers/", "/overlay-containers/"};
	for (const char *line = mountinfo; *line; line = next_line(line)) {
		char root[512], point[64];
		if (sscanf(line, "%*s %*s %*s %511s %63s", root, point) != 2 || strncmp(point, "/etc/", 5) != 0)
			continue;
		for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
			const char *found = strstr(root, folders[i]);
			const char *start = found ? found + strlen(folders[i]) : NULL;
			if (!start || !id_size(start))
				continue;
			snprintf(id, DP_CONTAINER_ID_BYTES, "%.*s", (int)id_size(start), start);
			return true;
		}
	}
	return false;
}

void dp_identity_container(const char *cgroup, const char *mountinfo, char id[DP_CONTAINER_ID_BYTES])
{
	*id = 0;
	if (!find_in_cgroup(cgroup, id))
		find_in_mounts(mountinfo, id);
}

/* ---- pods ---- */

/* systemd's names of cgroups have _ for -. */
static bool is_uuid(const char *text)
{
	for (int i = 0; i < UUID_SIZE; i++) {
		const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
		if (is_dash ? text[i] != '-' && text[i] != '_' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

static bool find_uid(const char *text, const char *before, char *uid)
{
	while ((text = strstr(text, before))) {
		text += strlen(before);
		if (!is_uuid(text))
			continue;
		for (int i = 0; i < UUID_SIZE; i++)
			uid[i] = text[i] == '_' ? '-' : text[i];
		uid[UUID_SIZE] = 0;
		return true;
	}
	return false;
}

void dp_identity_pod(const char *cgroup, const char *mountinfo, char uid[DP_POD_UID_BYTES])
{
	*uid = 0;
	/* "kubepods-burstable-podUID.slice", "kubepods/burstable/podUID"; /var/lib/kubelet/pods/UID/etc-hosts */
	if (!find_uid(cgroup, "-pod", uid) && !find_uid(cgroup, "/pod", uid))
		find_uid(mountinfo, "/pods/", uid);
}

/* ---- files ---- */

/* As text, "" when it cannot be read. */
static char *read_text(const char *path)
{
	char *text = malloc(FILE_MOST + 1);
	const int fd = text ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	size_t size = 0;
	ssize_t got = 0;
	if (!text)
		return NULL;
	while (fd >= 0 && size < FILE_MOST && (got = read(fd, text + size, FILE_MOST - size)) > 0)
		size += (size_t)got;
	if (fd >= 0)
		close(fd);
	text[size] = 0;
	return text;
}

static char *read_own(int pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	char *text = read_text(path);
	if (text && *text)
		return text;
	free(text);
	snprintf(path, sizeof path, "/proc/self/%s", name);
	return read_text(path);
}

/* In a pod this file holds its name space. */
static void read_namespace(const struct dp_process *process, char *to, size_t size)
{
	char path[128];
	snprintf(path, sizeof path, "%s/var/run/secrets/kubernetes.io/serviceaccount/namespace", process->root);
	char *text = read_text(path);
	const size_t length = text ? strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;
	if (length && length < size)
		snprintf(to, size, "%.*s", (int)length, text);
	free(text);
}

static void read_container(struct dp_process *process)
{
	struct dp_work *work = process->work;
	char *cgroup = read_own(process->pid, "cgroup"), *mountinfo = read_own(process->pid, "mountinfo");
	if (cgroup && mountinfo) {
		dp_identity_container(cgroup, mountinfo, work->container_id);
		dp_identity_pod(cgroup, mountinfo, work->pod_uid);
	}
	if (*work->pod_uid)
		read_namespace(process, work->pod_namespace, sizeof work->pod_namespace);
	free(cgroup);
	free(mountinfo);
}

/* ---- the profile ---- */

static void add(struct dp_profile *profile, const char *key, const char *value)
{
	char text[600];
	for (uint32_t i = 0; i < profile->resource.count; i++)
		if (!strcmp(profile->resource.at[i].key, key))
			return; /* what was said before counts */
	if (!*value)
		return;
	dp_profile_add_resource(profile, key, value);
	snprintf(text, sizeof text, "%s=%s", key, value);
	dp_profile_add_comment(profile, text);
}

/* One of this process alone, the same in all its windows (RFC 9562, 5.8: of our own making). */
static void add_instance(const struct dp_process *process, struct dp_profile *profile)
{
	uint64_t high = process->identity, low = process->start_ns * UINT64_C(0x9e3779b97f4a7c15) ^ process->identity;
	char text[40];
	high = (high & ~UINT64_C(0xf000)) | 0x8000;
	low = (low & ~(UINT64_C(3) << 62)) | UINT64_C(2) << 62;
	snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xffff),
	        (unsigned)(high & 0xffff), (unsigned)(low >> 48), (unsigned long long)(low & 0xffffffffffff));
	add(profile, "service.instance.id", text);
}

/* A pod's own name is not taken from its machine's: one in its node's network has the node's. */
void dp_identity_describe(struct dp_process *process, struct dp_profile *profile)
{
	struct dp_work *work = process->work;
	const struct dp_settings *settings = process->settings;
	char key[128];
	for (const char *pair = NULL; (pair = dp_settings_next_resource(settings, pair));) {
		const char *equals = strchr(pair, '=');
		if (!equals || (size_t)(equals - pair) >= sizeof key)
			continue;
		snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
		add(profile, key, equals + 1);
	}
	if (!work->has_container) {
		work->has_container = true;
		read_container(process);
	}
	add(profile, "host.name", process->host_name);
	add(profile, "container.id", work->container_id);
	add(profile, "k8s.pod.uid", work->pod_uid);
	add(profile, "k8s.namespace.name", work->pod_namespace);
	add_instance(process, profile);
}
