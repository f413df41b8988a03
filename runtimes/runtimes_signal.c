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
static char refusal[256];
static _Atomic bool has_refusal;

bool dp_runtimes_look(const struct dp_runtime_module *module)
{
	bool is_settled = true;
	for (unsigned i = 0; i < COUNT; i++) {
		const int found = runtimes[i]->look(module, refusal, sizeof refusal);
		if (found > 0)
			dp_store_release(&is_there[i], true);
		else if (found == -EAGAIN)
			is_settled = false;
		else if (found < 0)
			dp_store_release(&has_refusal, true);
	}
	return is_settled;
}

const char *dp_runtimes_refusal(void)
{
	if (!dp_load_acquire(&has_refusal))
		return NULL;
	dp_store_relaxed(&has_refusal, false);
	return refusal;
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
	if (!tick->may_call || !address)
		return false;
	return DP_SYS(SYS_process_vm_readv, tick->pid, &to, 1, &from, 1, 0) == (long)size;
}
