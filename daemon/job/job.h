/* job.h - a job as the daemon keeps it: the snapshot that its events add up to.
 *
 * The store saves it in the transaction of the event that changed it. Jobs that are not over also
 * live in memory (table.h), owned by the loop's thread.
 */
#ifndef JOB_JOB_H
#define JOB_JOB_H

#include "job/queue.h"
#include "job/state.h"

#include <stdbool.h>
#include <stdint.h>

#define JOB_NAME_MAX 65 /* with the NUL, as all of these */
#define JOB_TEXT_MAX 1024
#define JOB_OWNER_MAX 64
#define JOB_TOKEN_MAX 65
#define JOB_DONE_REASON_MAX 32
#define JOB_DONE_TEXT_MAX 512
#define JOB_HOST_MAX 64
#define JOB_FILE_MAX 256

/* The newest attempt: what must be known to take its reports and to judge its end. */
struct attempt {
    int number; /* 0 = none yet */
    char token[JOB_TOKEN_MAX];
    int64_t started_ms, ended_ms; /* 0 = not yet */
    int exit_code, signal;        /* once ended */
    enum job_reason reason;       /* why it ended */
    uint64_t reported;            /* every record up to this number is durable */
    bool done, done_success;      /* the worker's own end record */
    char done_reason[JOB_DONE_REASON_MAX], done_text[JOB_DONE_TEXT_MAX];
    char host[JOB_HOST_MAX]; /* where rank 0 runs; "" before its first report */
    int64_t resumed_step;    /* of the checkpoint it went on from; 0 = from the start */
    char text[JOB_TEXT_MAX]; /* why it ended, for people */
};

struct job {
    int64_t id;
    char name[JOB_NAME_MAX];
    char owner[JOB_OWNER_MAX];
    enum job_state state; /* written by job_apply() alone */
    enum job_reason reason;
    char text[JOB_TEXT_MAX]; /* one sentence for people */
    int priority, ranks, threads, gpus_per_rank;
    struct resources need;
    int64_t time_limit_ms;                      /* of an attempt; 0 = none */
    int64_t submitted_ms, started_ms, ended_ms; /* 0 = not yet */
    int64_t changed_ms;                         /* when it came into this state */
    int exit_code;                              /* of the launcher, once ended */
    int retries;                                /* the job file's; -1 = the daemon's */
    int counted_from;               /* attempts up to this one count no more against them */
    int64_t not_before_ms;          /* the next attempt is not placed earlier; 0 = at once */
    bool restart_stalled;           /* on_stall: restart */
    int64_t stall_ms;               /* no step for so long, */
    double stall_factor;            /* and for so many median steps, is a stall */
    char resume_from[JOB_FILE_MAX]; /* in the job's folder; "" = the newest checkpoint */
    int resume_since;               /* the first attempt that goes on from it */
    bool in_slurm;                  /* its launcher is Slurm; it uses none of the daemon's nodes */
    struct attempt attempt;
};

#endif
