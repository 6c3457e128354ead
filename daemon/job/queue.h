/* queue.h - who runs next: a pure function of the jobs and the node's inventory.
 *
 * Order: higher priority first, then the older job (the smaller id). A job that does not fit yet
 * keeps what is free of what it needs, so that smaller jobs behind it may use only the rest:
 * nothing starves, and a job that waits for GPUs does not hold back one that needs none.
 */
#ifndef JOB_QUEUE_H
#define JOB_QUEUE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Cores, memory and GPUs of a node, or of a job: ranks x what a rank needs. */
struct resources {
    int64_t cores, gpus, memory_bytes;
};

struct queue_job {
    int64_t id;
    int priority;
    struct resources need;
};

/* waiting: in any order; it is sorted in place. free: what running jobs leave. Writes the ids to
 * start, in order, into ret_ids (room for n) and returns how many. */
size_t queue_pick(struct queue_job *waiting, size_t n, struct resources free, int64_t *ret_ids);

/* ST_LIMIT with the numbers if the job could not run even on the empty node. */
enum status queue_check_fits(const struct resources *node, const struct resources *need, int ranks,
                             struct err *err);

/* a -= b, not below 0. */
void resources_take(struct resources *a, const struct resources *b);

#endif
