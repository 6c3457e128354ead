/* keep.h - which checkpoints of a job stay: the rule of the job file, as a pure function.
 *
 * The worker applies it after each checkpoint, the daemon for a job that no attempt runs (docs/spec/checkpoint.md 4). What
 * a person pinned lies elsewhere and is not among the items.
 */
#ifndef JOBFILE_KEEP_H
#define JOBFILE_KEEP_H

#include "jobfile/jobfile.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether a file of checkpoints/ is one by its name, step-N.safetensors; dense.safetensors is none. */
bool keep_is_checkpoint(const char *name);
#define KEEP_NAME_MAX 96   /* bytes of such a name with its NUL */
#define KEEP_SUM ".sha256" /* what its sum is called behind its own name */
/* Whether it is the sum of such a file; ret_file is then the file's name. */
bool keep_is_sum(const char *name, char ret_file[KEEP_NAME_MAX]);
/* Its stage, N's lowest hex digit (docs/spec/checkpoint.md 1). */
int keep_stage(const char *name);

/* What a checkpoint may be measured by: checkpoint.best_by, as it stands in files, rows and reports. */
const char *keep_metric_name(enum best_by by);
/* BEST_COUNT: of no known name. */
enum best_by keep_metric_find(const char *name);
/* The larger the better: all but the loss. */
bool keep_metric_better(enum best_by by, double value, double than);

struct keep_rule {
    int64_t last, best;  /* so many; last at least 1 */
    int64_t quota_bytes; /* 0 = none */
    enum best_by by;
};
struct keep_rule keep_rule_of(const struct jobfile *job);

struct keep_item {
    int64_t bytes;
    int stage;       /* which metrics can be compared: those of one stage */
    bool has_metric; /* the rule's */
    double metric;
    bool stays; /* out */
    const char
        *why; /* out, static text: "newest", "best", "newest and best"; "old", "over quota" */
};

/* items: oldest first. The last one always stays: it is what the job goes on from. Kept are the `last` newest, and the
 * `best` of the newest stage that has any metric; then, while their bytes are over the quota, the oldest go. */
void keep_apply(const struct keep_rule *rule, struct keep_item *items, size_t n);

#endif
