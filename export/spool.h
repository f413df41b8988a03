/* SPDX-License-Identifier: Apache-2.0
 * A folder where uploads wait that could not be sent, beyond the end of this agent. Agent only.
 *
 * A session is one user of the folder; its lock says that it lives. An entry is one upload, a file of its own. A
 * kin is what another session may send in our stead: the same service to the same server. Entries of a dead session
 * are taken over by whoever knows their kin; old and damaged ones are removed by whoever sees them. */
#ifndef DEEPPROF_EXPORT_SPOOL_H
#define DEEPPROF_EXPORT_SPOOL_H

#include "export/export.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_spool;

struct dp_spool_entry {
	struct dp_spool_entry *next;
	uint64_t server, service; /* its kin, by dp_spool_key() */
	int64_t time_ns;          /* when the profile began, CLOCK_REALTIME */
	uint64_t weight_ns;       /* CPU time of its samples */
	uint64_t size;            /* of the upload */
	uint64_t number;          /* of its file */
	bool is_held;             /* somebody sends it already */
};

struct dp_spool_losses {
	uint64_t damaged, aged, full; /* entries removed */
	uint64_t weight_ns;           /* of those whose weight could be read */
};

/* Makes the folder (not those above it) where it is missing. bytes: most that all sessions' entries take, age_s: the
 * oldest that is of use. NULL: *message says why. */
struct dp_spool *dp_spool_new(const char *folder, uint64_t bytes, unsigned age_s, const char **message);
/* Writes an entry; where the folder is full, our oldest ones go. NULL: it is counted as full. */
struct dp_spool_entry *dp_spool_put(struct dp_spool *spool, const struct dp_spool_entry *like, const void *bytes);
/* Takes over what dead sessions left for one of these kins. */
void dp_spool_adopt(struct dp_spool *spool, const uint64_t *servers, unsigned server_count, const uint64_t *services,
        unsigned service_count);
/* The oldest entry for a server that nobody holds; NULL: none. */
struct dp_spool_entry *dp_spool_next(const struct dp_spool *spool, uint64_t server);
/* How many of those there are. */
uint64_t dp_spool_waiting(const struct dp_spool *spool, uint64_t server);
/* Its upload, appended to out; -EBADMSG: damaged, removed and counted: the entry is gone. */
int dp_spool_read(struct dp_spool *spool, struct dp_spool_entry *entry, struct dp_buffer *out);
/* It was sent, or given up. */
void dp_spool_remove(struct dp_spool *spool, struct dp_spool_entry *entry);
const struct dp_spool_losses *dp_spool_losses(const struct dp_spool *spool);
/* The entries stay in the folder, for the next. NULL is fine. */
void dp_spool_free(struct dp_spool *spool);

/* What waits in a folder, whosesoever, by its files alone. */
struct dp_spool_survey {
	uint64_t count, bytes;
	int64_t oldest_s; /* how long the oldest has waited */
};
/* 0 or -errno: the folder cannot be read. */
int dp_spool_survey(const char *folder, struct dp_spool_survey *survey);

uint64_t dp_spool_key(uint64_t key, const char *text); /* key: 0, or of what comes before */
/* Foreign bytes: does a file begin, and end, as an entry does? head: what it says. */
bool dp_spool_parse(const uint8_t *bytes, size_t size, struct dp_spool_entry *head);

#endif
