/* SPDX-License-Identifier: Apache-2.0
 * A region written by a hostile host, read by the agent's own code: the ears with their sockets aside, the hands but
 * for delivery. What comes out must be profiles that can be encoded.
 *
 * An input is a list of steps {kind, argument, size}, each followed by size bytes. */
#include "agent/ears.c" /* its functions are its own: this is one file of tests more of it */

#include "agent/deliver.h"
#include "agent/work.h"
#include "export/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step_kind {
	STEP_WRITE,   /* anywhere in piece argument % 2, at the offset that the first four bytes say */
	STEP_LANE,    /* to the ring of lane argument, as a host would */
	STEP_MODULES, /* to the module log */
	STEP_TEND,    /* what the loop does every 50 ms */
	STEP_WINDOW,
	STEP_MESSAGE, /* bytes of a message; argument says with which descriptor */
	STEP_KINDS,
};
struct step {
	uint8_t kind, argument;
	uint16_t size;
};

static struct dp_agent_options options_of_test;
static int piece_fds[2] = {-1, -1};
static uint8_t *pieces_of_host[2];

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* ---- delivery: encoded, then forgotten ---- */

void dp_deliver_init(const struct dp_agent_options *options)
{
	(void)options;
}
bool dp_deliver_is_merged(void)
{
	return true;
}
/* Both ways are taken: a mutated region says which. */
bool dp_deliver_is_one_file(const struct dp_process *process)
{
	return process->start_ns & 1;
}
void dp_deliver_window(struct dp_process *process, struct dp_profile *profile)
{
	struct dp_buffer out = {0};
	(void)process;
	if (!profile)
		return;
	check(dp_pprof_encode(profile, &out) == 0);
	dp_buffer_fini(&out);
	dp_profile_free(profile);
}
void dp_deliver_end(struct dp_process *process)
{
	struct dp_buffer out = {0};
	if (process->work->total)
		check(dp_pprof_encode(process->work->total, &out) == 0);
	dp_buffer_fini(&out);
}
int dp_deliver_run(void)
{
	return 0;
}
unsigned dp_deliver_poll(struct pollfd *fds, unsigned max, int *timeout_ms)
{
	(void)fds, (void)max, (void)timeout_ms;
	return 0;
}
void dp_deliver_work(void)
{
}
bool dp_deliver_is_busy(void)
{
	return false;
}
void dp_deliver_fini(void)
{
}

void dp_deliver_flush(unsigned timeout_ms)
{
	(void)timeout_ms;
}

/* ---- the host ---- */

static void make_pieces(void)
{
	for (int i = 0; i < 2; i++) {
		piece_fds[i] = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		check(piece_fds[i] >= 0 && ftruncate(piece_fds[i], DP_PIECE_SIZE) == 0);
		check(fcntl(piece_fds[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
		pieces_of_host[i] = mmap(NULL, DP_PIECE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, piece_fds[i], 0);
		check(pieces_of_host[i] != MAP_FAILED);
	}
}

static void begin_host(void)
{
	struct dp_region *region = (struct dp_region *)pieces_of_host[0];
	memset(pieces_of_host[0], 0, DP_PIECE_SIZE);
	region->magic = DP_REGION_MAGIC;
	region->version = DP_REGION_VERSION;
	region->header_size = sizeof *region;
	region->pid = getpid();
	region->identity = 7;
	region->period_ns = 10000000;
	dp_store_relaxed(&region->lane_count, DP_LANES_FIRST_PIECE + DP_LANES_MORE_PIECE);
	dp_store_relaxed(&region->generation, 1);
	const struct dp_message hello = {.kind = DP_MESSAGE_HELLO, .version = DP_REGION_VERSION, .identity = 7};
	const struct dp_message piece = {
	        .kind = DP_MESSAGE_PIECE, .version = DP_REGION_VERSION, .argument = 1, .identity = 7};
	on_message(-1, &hello, NULL, 0, piece_fds[0]);
	on_message(-1, &piece, NULL, 0, piece_fds[1]);
}

static void put(struct dp_ring *ring, uint8_t *bytes, uint32_t room, const uint8_t *data, uint32_t size)
{
	const struct dp_ring_view view = {ring, bytes, room};
	if (size > room)
		size = room;
	dp_ring_put(&view, 0, data, size);
	dp_ring_commit(&view, size);
}

static void do_step(const struct step *step, const uint8_t *data)
{
	struct dp_region *region = (struct dp_region *)pieces_of_host[0];
	const uint32_t lane = step->argument % (DP_LANES_FIRST_PIECE + DP_LANES_MORE_PIECE);
	struct dp_message message = {.version = DP_REGION_VERSION, .identity = 7};
	uint32_t offset;
	switch (step->kind % STEP_KINDS) {
	case STEP_WRITE:
		if (step->size < sizeof offset)
			break;
		memcpy(&offset, data, sizeof offset);
		offset %= DP_PIECE_SIZE - 65536;
		memcpy(pieces_of_host[step->argument % 2] + offset, data + sizeof offset, step->size - sizeof offset);
		break;
	case STEP_LANE:
		put(&region->lanes[lane], pieces_of_host[dp_lane_piece(lane)] + dp_lane_offset(lane), DP_LANE_RING_SIZE,
		        data, step->size);
		break;
	case STEP_MODULES:
		put(&region->module_log, region->module_log_bytes, DP_MODULE_LOG_SIZE, data, step->size);
		break;
	case STEP_TEND:
		for (struct dp_process *process = processes; process; process = process->next)
			tend(process, now_ms());
		break;
	case STEP_WINDOW:
		for (struct dp_process *process = processes; process; process = process->next)
			give(DP_JOB_WINDOW, process);
		break;
	case STEP_MESSAGE:
		memcpy(&message, data, step->size < sizeof message ? step->size : sizeof message);
		/* Greeted settings are fuzz_settings' part; they would name files and servers to write to. */
		if (message.kind == DP_MESSAGE_HELLO)
			region->settings_size = 0;
		on_message(-1, &message, NULL, 0, step->argument % 3 < 2 ? piece_fds[step->argument % 3] : -1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (epoll_fd < 0) {
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		dp_hands_start(&options_of_test, false);
		dp_log_init(DP_LOG_ERROR, NULL);
		make_pieces();
	}
	begin_host();
	while (size > sizeof(struct step)) {
		struct step step;
		memcpy(&step, data, sizeof step);
		data += sizeof step;
		size -= sizeof step;
		if (step.size > size)
			step.size = (uint16_t)size;
		do_step(&step, data);
		data += step.size;
		size -= step.size;
	}
	while (processes)
		end_process(processes);
	check(process_count == 0);
	return 0;
}
