/* SPDX-License-Identifier: Apache-2.0
 * Which object a host's code address belongs to, at a given generation of its module list. Hands only. */
#ifndef DEEPPROF_AGENT_MODULES_H
#define DEEPPROF_AGENT_MODULES_H

#include "agent/objects.h"
#include "unwind/compile.h"

#include <stdio.h>

enum dp_module_origin {
	DP_MODULE_TOLD,   /* by the host's own list */
	DP_MODULE_MAPPED, /* seen in /proc/PID/maps: dlopen'ed behind our back, or code of a JIT */
};

struct dp_agent_module {
	struct dp_finish_module finish; /* start, end, bias, the file's bytes */
	uint32_t number;                /* the host's; UINT32_MAX for DP_MODULE_MAPPED */
	uint32_t born, died;            /* generations; died 0: alive */
	enum dp_module_origin origin;
	char *path;                     /* "" for anonymous code */
	char build_id[65];              /* hex, as the host's memory says */
	struct dp_shared_object *shared; /* NULL: not asked yet, or anonymous */
};

struct dp_modules {
	struct dp_agent_module **at;
	uint32_t count, capacity;
	struct dp_agent_module *last; /* the last answer, for the next question */
	uint64_t maps_read_ms;
	uint32_t told_generation; /* newest the module log spoke of */
};

/* Bytes of the module log; returns how many modules are new (from first_new on). Hostile bytes are expected; bad_count
 * counts records that make no sense. */
uint32_t dp_modules_take_log(struct dp_modules *modules, const uint8_t *bytes, size_t size, uint32_t *bad_count);
/* A path as the program gave it to dlopen may be relative: from module first_new on, what /proc/PID/maps has there,
 * or, where it cannot be read, the same behind cwd. */
void dp_modules_make_absolute(struct dp_modules *modules, uint32_t first_new, int32_t pid, const char *cwd);
/* NULL: none known. */
struct dp_agent_module *dp_modules_find(struct dp_modules *modules, uint64_t address, uint32_t generation);
/* Reads /proc/PID/maps for what the list does not know, at most a few times a second; true when something was
 * added. */
bool dp_modules_read_maps(struct dp_modules *modules, int32_t pid, uint64_t now_ms);
/* What it read: text as /proc/PID/maps has it. */
bool dp_modules_take_maps(struct dp_modules *modules, int32_t pid, FILE *maps);
/* Opens the object behind a module, once; NULL for anonymous code. */
struct dp_shared_object *dp_modules_open(struct dp_agent_module *module, int32_t pid);
void dp_modules_fini(struct dp_modules *modules);

#endif
