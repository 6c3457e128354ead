/* placing.h - the queue on the daemon's state: who starts now, on which nodes, cores and GPUs. */
#ifndef JOB_PLACING_H
#define JOB_PLACING_H

#include "job/jobs.h"
#include "job/queue.h"

struct daemon;

/* Starts what the queue picks: one ON_PLACE each, in the open group. */
void queue_run(struct daemon *d);

/* The job as the queue sees it. */
struct queue_job queue_job_of(const struct job *job);
/* What the running jobs leave of each node; NULL when out of memory. The caller destroys it. */
struct rooms *rooms_now(const struct daemon *d);

#endif
