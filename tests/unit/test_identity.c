/* SPDX-License-Identifier: Apache-2.0
 * Container and pod by the files of /proc, as engines were seen to write them. */
#include "agent/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define ID    "4c01db0b339c1d0a5d4f3a8a1d7d1b5f3f1a3c6d9e8f7a6b5c4d3e2f1a0b9c8d"
#define OTHER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define UID   "9c2f4b1e-0a3d-4e5f-8a6b-7c8d9e0f1a2b"
#define UID_  "9c2f4b1e_0a3d_4e5f_8a6b_7c8d9e0f1a2b"

static const char *container(const char *cgroup, const char *mountinfo)
{
	static char id[DP_CONTAINER_ID_BYTES];
	dp_identity_container(cgroup, mountinfo, id);
	return id;
}

static const char *pod(const char *cgroup, const char *mountinfo)
{
	static char uid[DP_POD_UID_BYTES];
	dp_identity_pod(cgroup, mountinfo, uid);
	return uid;
}

static void a_cgroup_names_its_container_in_each_engine_s_way(void **state)
{
	(void)state;
	assert_string_equal(container("12:cpu:/docker/" ID "\n11:pids:/docker/" ID "\n", ""), ID);
	assert_string_equal(container("0::/system.slice/docker-" ID ".scope\n", ""), ID);
	assert_string_equal(container("0::/machine.slice/libpod-" ID ".scope/container\n", ""), ID);
	assert_string_equal(container("1:name=systemd:/kubepods/burstable/pod" UID "/" ID "\n", ""), ID);
	assert_string_equal(container("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	                              ".slice/cri-containerd-" ID ".scope\n", ""), ID);
	assert_string_equal(container("0::/system.slice/containerd.service/kubepods-pod" UID_ ".slice:cri-containerd:" ID "\n", ""), ID);
	assert_string_equal(container("9:memory:/ecs/0123/34dc0b5e626f2c5c4c5170e34b10e765-1234567890\n", ""),
	        "34dc0b5e626f2c5c4c5170e34b10e765-1234567890");
}

static void the_inner_of_two_containers_counts(void **state)
{
	(void)state;
	assert_string_equal(container("0::/docker/" OTHER "/docker/" ID "\n", ""), ID);
}

static void mounts_tell_where_a_cgroup_name_space_hides_it(void **state)
{
	(void)state;
	assert_string_equal(container("0::/\n", "1 2 0:30 / / rw - overlay overlay rw\n"
	                                        "3 2 8:1 /var/lib/docker/containers/" ID "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"), ID);
	assert_string_equal(container("0::/\n", "3 2 0:24 /containers/overlay-containers/" ID "/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"), ID);
	/* The pod's own container is another one. */
	assert_string_equal(container("0::/\n", "3 2 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" OTHER
	                                        "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"), "");
	/* A folder that is mounted somewhere says nothing. */
	assert_string_equal(container("0::/\n", "3 2 8:1 /var/lib/docker/containers/" OTHER "/x /data rw - ext4 /dev/sda1 rw\n"), "");
}

static void what_only_looks_like_an_id_is_none(void **state)
{
	(void)state;
	assert_string_equal(container("", ""), "");
	assert_string_equal(container("0::/user.slice/user-1000.slice/session-2.scope\n", ""), "");
	assert_string_equal(container("0::/" ID "0\n", ""), "");
	assert_string_equal(container("0::/x" ID "\n", ""), "");
	assert_string_equal(container("0::/34dc0b5e626f2c5c4c5170e34b10e765\n", ""), "");
	assert_string_equal(container("0::/34dc0b5e626f2c5c4c5170e34b10e765-123456789012345678901234567890123456789012345\n", ""), "");
}

static void a_pod_is_named_by_cgroup_or_mounts(void **state)
{
	(void)state;
	assert_string_equal(pod("1:name=systemd:/kubepods/burstable/pod" UID "/" ID "\n", ""), UID);
	assert_string_equal(pod("0::/kubepods.slice/kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID ".scope\n", ""), UID);
	assert_string_equal(pod("0::/\n", "3 2 8:1 /var/lib/kubelet/pods/" UID "/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"), UID);
	assert_string_equal(pod("0::/machine.slice/libpod-" ID ".scope\n", "3 2 8:1 /srv/pods/none /x rw - ext4 a rw\n"), "");
	assert_string_equal(pod("0::/kubepods-pod9c2f", ""), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_cgroup_names_its_container_in_each_engine_s_way),
	        cmocka_unit_test(the_inner_of_two_containers_counts),
	        cmocka_unit_test(mounts_tell_where_a_cgroup_name_space_hides_it),
	        cmocka_unit_test(what_only_looks_like_an_id_is_none),
	        cmocka_unit_test(a_pod_is_named_by_cgroup_or_mounts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
