/* SPDX-License-Identifier: Apache-2.0
 * The table of readers, host side. */
#include "runtimes/runtime.h"

#include "base/atomic.h"
#include "base/syscall.h"

#include <errno.h>
#include <sys/uio.h>

static const struct dp_runtime *const runtimes[] = {&dp_python, &dp_hotspot};
enum { COUNT = sizeof runtimes / sizeof *runtimes };

static _Atomic bool is_there[COUNT];
static struct {
	_Atomic uint32_t state; /* enum */
	char line[DP_REFUSAL_MAX];
} refusal;
enum { REFUSAL_NONE, REFUSAL_IS_BEING_WRITTEN, REFUSAL_WAITS };

bool dp_runtimes_look(const struct dp_runtime_module *module)
{
	char line[DP_REFUSAL_MAX];
	bool is_settled = true;
	for (unsigned i = 0; i < COUNT; i++) {
		const int found = runtimes[i]->look(module, line, sizeof line);
		if (found > 0)
			dp_store_release(&is_there[i], true);
		else if (found == -EAGAIN)
			is_settled = false;
		else if (found < 0)
			dp_runtimes_refuse(line);
	}
	return is_settled;
}

void dp_runtimes_refuse(const char *line)
{
	uint32_t none = REFUSAL_NONE;
	if (!dp_cas(&refusal.state, &none, REFUSAL_IS_BEING_WRITTEN))
		return;
	size_t size = 0;
	for (; line[size] && size + 1 < sizeof refusal.line; size++)
		refusal.line[size] = line[size];
	refusal.line[size] = 0;
	dp_store_release(&refusal.state, REFUSAL_WAITS);
}

bool dp_runtimes_refusal(char *line)
{
	if (dp_load_acquire(&refusal.state) != REFUSAL_WAITS)
		return false;
	dp_copy(line, refusal.line, sizeof refusal.line);
	dp_store_release(&refusal.state, REFUSAL_NONE);
	return true;
}

void dp_runtimes_pin(void)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (dp_load_relaxed(&is_there[i]) && runtimes[i]->pin)
			runtimes[i]->pin();
}

bool dp_runtimes_are_there(void)
{
	bool any = false;
	for (unsigned i = 0; i < COUNT; i++)
		any |= dp_load_relaxed(&is_there[i]);
	return any;
}

void dp_runtimes_walk(struct dp_managed_tick *tick)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (dp_load_acquire(&is_there[i]) && runtimes[i]->walk)
			runtimes[i]->walk(tick);
}

bool dp_tick_gather(const struct dp_managed_tick *tick, const struct iovec *to, unsigned to_count, const struct iovec *from,
        unsigned from_count, size_t size)
{
	return tick->may_call &&
	       DP_SYS(SYS_process_vm_readv, tick->pid, to, to_count, from, from_count, 0) == (long)size;
}

bool dp_runtimes_own(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (dp_load_acquire(&is_there[i]) && runtimes[i]->owns && runtimes[i]->owns(tick, low, high))
			return true;
	return false;
}

int dp_runtimes_step(struct dp_managed_tick *tick, struct dp_owned_walk *walk)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (dp_load_acquire(&is_there[i]) && runtimes[i]->step)
			return runtimes[i]->step(tick, walk);
	walk->end = DP_OWNED_TORN;
	return 0;
}

bool dp_runtimes_resume(struct dp_managed_tick *tick, struct dp_owned_walk *walk)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (dp_load_acquire(&is_there[i]) && runtimes[i]->resume && runtimes[i]->resume(tick, walk))
			return true;
	return false;
}

bool dp_runtimes_stack(struct dp_managed_tick *tick, uintptr_t *low, uintptr_t *high, uintptr_t *usable)
{
	for (unsigned i = 0; i < COUNT; i++)
		if (dp_load_acquire(&is_there[i]) && runtimes[i]->stack && runtimes[i]->stack(tick, low, high, usable))
			return true;
	return false;
}

bool dp_tick_probe(const struct dp_managed_tick *tick, uintptr_t address, void *to_bytes, size_t size)
{
	struct iovec to = {to_bytes, size}, from = {(void *)address, size};
	return address && dp_tick_gather(tick, &to, 1, &from, 1, size);
}
