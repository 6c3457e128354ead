/* queue.h - who runs next, and where: a pure function of the jobs and of what is free.
 *
 * Order: higher priority first, then the older job (the smaller id). A job that does not fit yet has the room
 * kept for it that it would use on empty nodes: what is free there of what it needs. That place
 * depends on the nodes alone, so it never moves while others come and go: once those that run there have
 * ended, the job starts, and nothing of its priority starves. Smaller jobs behind it use the rest, and a job
 * that waits for GPUs holds back only the cores it will need.
 */
#ifndef JOB_QUEUE_H
#define JOB_QUEUE_H

#include "job/place.h"

struct queue_job {
    int64_t id;
    int priority;
    struct gang gang;
};

/* Called for each job that starts, in order; on: ranks of each node. Return false to end the picking. */
typedef bool (*queue_start_f)(const struct queue_job *job, const int *on, void *user);

/* waiting: in any order; it is sorted in place. room[nodes->n]: what running jobs leave; used up. */
void queue_pick(struct queue_job *waiting, size_t n, const struct nodes *nodes,
                struct resources *room, queue_start_f start, void *user);

#endif
