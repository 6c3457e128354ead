/* backup.h - a copy of the job store while the daemon writes it, and the way back. Own connections; no struct store.
 *
 * A copy is one file: written beside its place, checked, synced, renamed. What is copied is one moment: everything
 * that was answered before it began, nothing half.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "base/err.h"

#include <stdint.h>

struct store_facts {
    int64_t jobs, events, size_bytes;
    int schema;
};

/* Copies the store at `path` to `to`, replacing what is there. ST_NOT_FOUND: no store at path. */
enum status store_backup(const char *path, const char *to, struct store_facts *ret_facts,
                         struct err *err);

/* Ids of jobs up to `last_job` are not given out by the store at `path`. */
enum status store_reserve(const char *path, int64_t last_job, struct err *err);

/* Puts the copy `from` in the place of the store at `path`, which no daemon may have open. What was there is kept as
 * PATH.before-restore. Ids of jobs up to `last_job` are not given out again, for their folders may be there; nor is
 * what the old store had given out, jobs and cursors, if it can be read. ST_CORRUPT, ST_UNSUPPORTED (newer schema):
 * nothing was changed. */
enum status store_restore(const char *path, const char *from, int64_t last_job,
                          struct store_facts *ret_facts, struct err *err);

#endif
