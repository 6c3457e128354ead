/* collect.h - checkpoints of a job that no attempt runs: what the rule (jobfile/keep.h) does not keep.
 *
 * While an attempt lives its rank 0 owns checkpoints/ and collects (worker/run/retain.c); this is for the time after. The
 * folder is the truth about what is there, the rows about what it is worth. Rows go first, in the group's transaction, then
 * the files into HOME/trash; a kill between leaves files without rows, which the next collection finds in the folder.
 */
#ifndef JOB_COLLECT_H
#define JOB_COLLECT_H

#include "base/err.h"
#include "job/job.h"
#include "jobfile/keep.h"

#include <stdbool.h>
#include <stddef.h>

struct daemon;

/* Of a file that is gone: schema 1 kept no count of what its workers collected, the oldest first. newest: the path of the
 * newest file that is there; "" = none. */
bool collect_is_leftover(const char *path, int64_t time_ms, const char *newest);

#define COLLECT_MAX 1000 /* checkpoints looked at */

struct collected {
    char path[JOB_FILE_MAX];
    int64_t bytes;
    bool row, file, pinned; /* row, file: which of the two is there */
    int stage;
    bool has_metric; /* the rule's */
    int64_t time_ms; /* of the row */
    double metric;
    bool stays;
    const char *why; /* either way; static text */
};
struct collection {
    struct collected
        *list; /* owned; rows of files that are gone, what is pinned, then the others by age */
    size_t n;
    struct keep_rule rule;
    int64_t kept_bytes; /* by the rule */
};

/* What would go, and what would stay. collection_fini() in every case. */
enum status collection_plan(struct daemon *d, int64_t job_id, struct collection *ret_c,
                            struct err *err);
/* The rows of what goes, in the open group. */
enum status collection_drop_rows(struct daemon *d, int64_t job_id, const struct collection *c,
                                 struct err *err);
/* Its files; after the commit. What a kill leaves of them, the next collection finds. */
void collection_drop_files(struct daemon *d, int64_t job_id, const struct collection *c);
void collection_fini(struct collection *c);

#endif
