/* SPDX-License-Identifier: Apache-2.0
 * The helper's birth and its errands. Everything here runs on the helper's own stack, by system calls alone. */
#include "capture/clone.h"
#include "capture/helper.h"
#include "capture/host.h"
#include "capture/map.h"
#include "capture/module.h"
#include "capture/starter.h"

#include "base/rendezvous.h"
#include "base/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/memfd.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS   1033
#define F_GET_SEALS   1034
#define F_SEAL_SEAL   1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW   4
#define F_SEAL_WRITE  8
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

enum { HELPER_STACK = 24 * 1024, ANSWER_MS = 2 };

static _Alignas(16) uint8_t helper_stack[HELPER_STACK];
static struct dp_errand *the_errand;
_Atomic int32_t dp_helpers[DP_HELPERS];

/* ---- memory that both sides may touch ---- */

static void raise_limit(int which)
{
	struct rlimit limit;
	if (DP_SYS4(SYS_prlimit64, 0, which, 0, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		DP_SYS4(SYS_prlimit64, 0, which, &limit, 0);
	}
}

/* Allocates these bytes and faults them in, or says that there is no memory: afterwards nobody meets SIGBUS. */
static long populate(long memory, uint32_t from, uint32_t to)
{
	const uint32_t first = from & ~4095u;
	return DP_SYS3(SYS_madvise, memory + first, to - first, MADV_POPULATE_WRITE);
}

/* A piece: allocated and faulted in before anyone may touch it, sealed so that nobody can take it back. With lanes,
 * the first one, of which only the header and so many lanes are. Returns the descriptor, or -errno. */
static long make_piece(uint8_t **memory, uint32_t lanes)
{
	struct rlimit limit;
	raise_limit(RLIMIT_FSIZE);
	if (DP_SYS4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) == 0 && limit.rlim_cur < DP_PIECE_SIZE)
		return -EFBIG; /* growing a file beyond the limit is SIGXFSZ */
	long fd = DP_SYS2(SYS_memfd_create, "deepprof", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd == -EINVAL)
		fd = DP_SYS2(SYS_memfd_create, "deepprof", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fd;
	long error = DP_SYS2(SYS_ftruncate, fd, DP_PIECE_SIZE);
	if (!error)
		error = DP_SYS3(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL);
	if (error)
		return error;
	const long address =
	        DP_SYS(SYS_mmap, 0, DP_PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (address < 0 && address > -4096)
		return address;
	DP_SYS2(SYS_munlock, address, DP_PIECE_SIZE); /* mlockall(MCL_FUTURE) is not for us */
	DP_SYS3(SYS_madvise, address, DP_PIECE_SIZE, MADV_DONTDUMP);
	DP_SYS3(SYS_madvise, address, DP_PIECE_SIZE, MADV_DONTFORK);
	if (lanes) {
		error = populate(address, 0, sizeof(struct dp_region));
		if (!error)
			error = populate(address, dp_lane_offset(0), dp_lane_offset(lanes - 1) + DP_LANE_RING_SIZE);
	} else {
		error = populate(address, 0, DP_PIECE_SIZE);
	}
	if (error == -EINVAL) /* before Linux 5.14: all of it, at once */
		error = DP_SYS4(SYS_fallocate, fd, 0, 0, DP_PIECE_SIZE);
	if (error) {
		DP_SYS2(SYS_munmap, address, DP_PIECE_SIZE);
		return error;
	}
	*memory = (uint8_t *)address;
	return fd;
}

/* As many as were in use before, and as the samples that wait for the region fill. */
static uint32_t lanes_needed(void)
{
	uint32_t lanes = dp_load_relaxed(&dp_host.lane_count), waiting = 0;
	for (unsigned i = 0; i < DP_LANES_EARLY; i++)
		waiting += dp_load_relaxed(&dp_host.early_rings[i].head) - dp_load_relaxed(&dp_host.early_rings[i].tail);
	lanes += waiting / DP_LANE_RING_SIZE;
	return lanes < DP_LANES_FIRST_PIECE ? lanes : DP_LANES_FIRST_PIECE;
}

/* ---- talking to the agent ---- */

/* Connects to an agent that is proven ours, the first that is under the names from first_name on. The descriptor, or
 * -errno: -ECONNREFUSED where a name is free, -EPERM or -EAGAIN where strangers sit on all of them. */
static long reach_agent(void)
{
	struct sockaddr_un address;
	const bool is_run = dp_host.run_socket[0];
	const unsigned names = is_run ? 1 : DP_RENDEZVOUS_NAMES;
	char name[DP_RENDEZVOUS_SIZE];
	long error = -ECONNREFUSED;
	bool is_free = false;

	if (!is_run && !dp_rendezvous_name(name, dp_host.agent_path[0]))
		return -ENOENT;
	for (unsigned which = is_run ? 0 : dp_host.first_name; which < names; which++) {
		const uint32_t length = is_run ? dp_rendezvous_named(&address, dp_host.run_socket)
		                               : dp_rendezvous_address(&address, name, which);
		const long fd =
		        DP_SYS3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return fd;
		error = DP_SYS3(SYS_connect, fd, &address, length);
		if (!error && dp_rendezvous_is_ours((int)fd, is_run)) {
			the_errand->name = which;
			return fd;
		}
		DP_SYS1(SYS_close, fd);
		if (error && error != -EAGAIN && error != -ECONNREFUSED)
			return error;
		if (error == -ECONNREFUSED)
			is_free = true;
		/* Nobody is there, or somebody else sits on the name, or lets everyone wait: the next. */
	}
	return is_free ? -ECONNREFUSED : error ? error : -EPERM;
}

/* One message, with text behind it and a descriptor where given (-1: none). */
static long send_message(long socket, uint32_t kind, uint32_t argument, const char *text, size_t text_size, int fd)
{
	const struct dp_region *region = dp_load_acquire(&dp_host.region);
	struct dp_message message = {
	        .kind = kind,
	        .version = DP_REGION_VERSION,
	        .pid = dp_host.pid,
	        .argument = argument,
	        .identity = region ? region->identity : 0,
	};
	if (kind == DP_MESSAGE_HELLO)
		message.identity = ((struct dp_region *)the_errand->memory)->identity;
	struct iovec parts[2] = {{&message, sizeof message}, {(void *)(uintptr_t)text, text_size}};
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr header;
	dp_zero(&header, sizeof header);
	header.msg_iov = parts;
	header.msg_iovlen = text_size ? 2 : 1;
	if (fd >= 0) {
		dp_zero(&control, sizeof control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof fd);
		dp_copy(CMSG_DATA(&control.header), &fd, sizeof fd);
		header.msg_control = &control;
		header.msg_controllen = sizeof control;
	}
	const long sent = DP_SYS3(SYS_sendmsg, socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? sent : 0;
}

static bool wait_readable(long fd, uint32_t timeout_ms)
{
	struct pollfd poll = {(int)fd, POLLIN, 0};
	struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
	return DP_SYS(SYS_ppoll, &poll, 1, &timeout, 0, 0, 0) == 1;
}

/* ---- errands ---- */

static void fill_region(struct dp_region *region, uint32_t lanes)
{
	struct timespec now = {0};
	DP_SYS2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	region->version = DP_REGION_VERSION;
	region->header_size = sizeof *region;
	region->pid = dp_host.pid;
	region->uid = dp_host.uid;
	region->identity = ((uint64_t)dp_host.pid << 32 ^ (uint64_t)now.tv_sec << 30 ^ (uint64_t)now.tv_nsec) *
	                   UINT64_C(0x9e3779b97f4a7c15);
	region->start_ns = dp_host.start_ns;
	region->period_ns = dp_host.period_ns;
	region->image_start_ns = dp_host.image_start_ns;
	region->settings_size = dp_host.settings_size;
	dp_copy(region->settings, dp_host.settings, dp_host.settings_size);
	dp_store_relaxed(&region->generation, dp_load_acquire(&dp_module_generation));
	dp_store_relaxed(&region->lane_count, lanes);
	for (int i = 0; i < DP_DROP_COUNT; i++) {
		dp_store_relaxed(&region->losses[i].count, dp_load_relaxed(&dp_host.losses[i].count));
		dp_store_relaxed(&region->losses[i].weight_ns, dp_load_relaxed(&dp_host.losses[i].weight_ns));
	}
	region->magic = DP_REGION_MAGIC;
}

static long greet(void)
{
	const long socket = reach_agent();
	if (socket < 0)
		return socket;
	const uint32_t lanes = lanes_needed();
	uint8_t *memory;
	const long fd = make_piece(&memory, lanes);
	if (fd < 0)
		return fd;
	the_errand->memory = memory;
	the_errand->lanes = lanes;
	fill_region((struct dp_region *)memory, lanes);
	/* Before the agent can look: the first records are finished by what it knows of modules then. */
	dp_tell_modules_anew((struct dp_region *)memory);
	const long error = send_message(
	        socket, DP_MESSAGE_HELLO, 0, dp_host.secrets, dp_host.secrets_size, (int)fd);
	if (error) {
		DP_SYS2(SYS_munmap, memory, DP_PIECE_SIZE);
		the_errand->memory = NULL;
	}
	return error;
}

static long map_table(int fd, uint32_t size, const struct dp_table **table)
{
	const long seals = DP_SYS3(SYS_fcntl, fd, F_GET_SEALS, 0);
	const long wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct stat status;
	if (seals < 0 || (seals & wanted) != wanted)
		return -EPERM;
	if (DP_SYS2(SYS_fstat, fd, &status) != 0 || !size || (uint64_t)status.st_size < size)
		return -EBADMSG;
	const long address = DP_SYS(SYS_mmap, 0, size, PROT_READ, MAP_SHARED, fd, 0);
	if (address < 0 && address > -4096)
		return address;
	DP_SYS2(SYS_munlock, address, size);
	DP_SYS3(SYS_madvise, address, size, MADV_DONTDUMP);
	if (dp_table_check((const void *)address, size) != 0) {
		DP_SYS2(SYS_munmap, address, size);
		return -EBADMSG;
	}
	*table = (const struct dp_table *)address;
	return 0;
}

static void take_entry(const struct dp_table_entry *entry, const int *fds, uint32_t fd_count)
{
	struct dp_module *module =
	        entry->module < dp_load_acquire(&dp_module_count) ? dp_module_at(entry->module) : NULL;
	if (!module)
		return;
	if (entry->table == DP_TABLE_NONE) {
		module->has_no_table = true;
		return;
	}
	if (entry->table >= DP_TABLE_MAX)
		return;
	if (!dp_host.tables[entry->table] && entry->descriptor < fd_count) {
		const struct dp_table *table;
		if (map_table(fds[entry->descriptor], entry->size, &table) == 0)
			dp_host.tables[entry->table] = table;
	}
	if (dp_host.tables[entry->table]) {
		module->origin = entry->origin;
		module->table = dp_host.tables[entry->table];
	}
}

/* Another agent has numbers of its own. What is mapped stays: modules go on being walked by it, and a tick may be
 * at it now. */
static void know_agent(uint32_t agent)
{
	if (dp_host.tables_agent == agent)
		return;
	for (uint32_t i = 0; i < DP_TABLE_MAX; i++)
		dp_host.tables[i] = NULL;
	dp_host.tables_agent = agent;
}

static long fetch_tables(void)
{
	static struct dp_tables_answer answer; /* one helper at a time */
	static union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(DP_TABLES_PER_ANSWER * sizeof(int))];
	} control;
	const long socket = reach_agent();
	if (socket < 0)
		return socket;
	long error = send_message(socket, DP_MESSAGE_TABLES, dp_host.tables_taken, NULL, 0, -1);
	while (!error) {
		if (!wait_readable(socket, ANSWER_MS))
			return -ETIME;
		struct iovec part = {&answer, sizeof answer};
		struct msghdr header;
		dp_zero(&header, sizeof header);
		header.msg_iov = &part;
		header.msg_iovlen = 1;
		header.msg_control = &control;
		header.msg_controllen = sizeof control;
		const long got = DP_SYS3(SYS_recvmsg, socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (got < 0)
			return got;
		if ((size_t)got < offsetof(struct dp_tables_answer, entries))
			return -EPIPE;
		int fds[DP_TABLES_PER_ANSWER];
		uint32_t fd_count = 0;
		if (header.msg_controllen >= sizeof(struct cmsghdr) && control.header.cmsg_level == SOL_SOCKET &&
		        control.header.cmsg_type == SCM_RIGHTS) {
			fd_count = (uint32_t)((control.header.cmsg_len - CMSG_LEN(0)) / sizeof(int));
			if (fd_count > DP_TABLES_PER_ANSWER)
				fd_count = DP_TABLES_PER_ANSWER;
			dp_copy(fds, CMSG_DATA(&control.header), fd_count * sizeof(int));
		}
		uint32_t count = answer.count;
		const size_t sent = ((size_t)got - offsetof(struct dp_tables_answer, entries)) /
		                    sizeof answer.entries[0];
		if (count > sent)
			count = (uint32_t)sent;
		know_agent(answer.agent);
		for (uint32_t i = 0; i < count; i++)
			take_entry(&answer.entries[i], fds, fd_count);
		dp_host.tables_taken += count;
		for (uint32_t i = 0; i < fd_count; i++)
			DP_SYS1(SYS_close, fds[i]);
		the_errand->ready = answer.ready;
		if (!answer.more)
			return 0;
		error = send_message(socket, DP_MESSAGE_TABLES, dp_host.tables_taken, NULL, 0, -1);
	}
	return error;
}

static long add_piece(void)
{
	const long socket = reach_agent();
	if (socket < 0)
		return socket;
	uint8_t *memory;
	const long fd = make_piece(&memory, 0);
	if (fd < 0)
		return fd;
	const long error = send_message(socket, DP_MESSAGE_PIECE, the_errand->piece, NULL, 0, (int)fd);
	if (error) {
		DP_SYS2(SYS_munmap, memory, DP_PIECE_SIZE);
		return error;
	}
	the_errand->memory = memory;
	return 0;
}

static long flush(void)
{
	const long socket = reach_agent();
	if (socket < 0)
		return socket;
	const uint32_t how = the_errand->goes_on ? DP_FLUSH_GOES_ON : DP_FLUSH_END;
	const long error = send_message(socket, DP_MESSAGE_FLUSH, how, NULL, 0, -1);
	uint8_t answer;
	if (error)
		return error;
	if (!wait_readable(socket, the_errand->timeout_ms))
		return -ETIME;
	/* Readable is also what an agent leaves that died meanwhile. */
	return DP_SYS(SYS_recvfrom, socket, &answer, sizeof answer, MSG_DONTWAIT, 0, 0) == sizeof answer ? 0 : -EPIPE;
}

static void run_errand(void)
{
	struct dp_errand *errand = the_errand;
	const struct rlimit none = {0, 0};
	/* A core file of ours would be one of the host. */
	DP_SYS4(SYS_prlimit64, 0, RLIMIT_CORE, &none, 0);
	switch (errand->kind) {
	case DP_ERRAND_GREET:
		errand->result = greet();
		break;
	case DP_ERRAND_START:
		errand->result = dp_start_agent();
		break;
	case DP_ERRAND_TABLES:
		errand->result = fetch_tables();
		break;
	case DP_ERRAND_PIECE:
		errand->result = add_piece();
		break;
	case DP_ERRAND_FLUSH:
		errand->result = flush();
		break;
	}
	dp_leave();
}

/* Shares the descriptor table until it has one of its own, emptied: the host's is never copied nor touched. */
static void helper_main(void)
{
	if (DP_SYS3(SYS_close_range, 0, ~0u, CLOSE_RANGE_UNSHARE) != 0) {
		the_errand->needs_copy = true;
		dp_leave();
	}
	run_errand();
}

/* For kernels before 5.9: a copied table instead; what is open in it closes with the helper. */
static void helper_main_with_copy(void)
{
	run_errand();
}

long dp_helper_run(struct dp_errand *errand)
{
	enum { FLAGS = CLONE_VM | CLONE_VFORK | CLONE_UNTRACED | CLONE_PARENT_SETTID };
	static _Atomic uint32_t needs_copy;
	static uint32_t runs;
	the_errand = errand;
	errand->result = -ECHILD;
	if (errand->kind == DP_ERRAND_START && errand->needs_nanny)
		return errand->result = dp_start_nanny();
	for (int round = 0; round < 2; round++) {
		const bool copy = dp_load_relaxed(&needs_copy);
		_Atomic int32_t *number = &dp_helpers[runs++ % DP_HELPERS];
		const long child = copy ? dp_clone_call(FLAGS, helper_stack, sizeof helper_stack, helper_main_with_copy, number)
		                        : dp_clone_call(FLAGS | CLONE_FILES, helper_stack, sizeof helper_stack,
		                                  helper_main, number);
		if (child < 0)
			return errand->result = child;
		/* ECHILD: somebody who waits for all kinds of children got it first; he finds its number. */
		if (DP_SYS4(SYS_wait4, child, 0, (int)__WCLONE, 0) == child)
			dp_store_relaxed(number, 0);
		if (copy || !errand->needs_copy)
			break;
		dp_store_relaxed(&needs_copy, 1);
	}
	return errand->result;
}
