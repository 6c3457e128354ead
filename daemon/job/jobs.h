/* jobs.h - the jobs that are not over, in memory; owned by the loop's thread.
 *
 * What is here is what the store says, plus what need not survive (struct active's own fields). After a group
 * that failed, jobs_reload() makes it so again.
 */
#ifndef JOB_JOBS_H
#define JOB_JOBS_H

#include "job/job.h"
#include "job/stall.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOBS_MAX 10000 /* not over at a time; more are refused at submit */

struct active {
    struct job job;
    bool changed; /* its state's effects are due (act.h); set by jobs_set() */
    int64_t
        unknown_since_ms;  /* first poll in a row that could tell nothing; 0 = the last one could */
    int rung;              /* of the stop ladder, in this state: 0 none, 1 TERM, 2 KILL */
    int64_t log_cut;       /* bytes of its log that were given up */
    int64_t complained_ms; /* when a start that must wait was last logged */
    int starts;            /* of this attempt; each but the last came to nothing */
    int64_t start_after_ms; /* monotonic: the next one not before */
    struct {
        double step_seconds, params_kept, done; /* done: part of all steps */
    } progress;                                 /* of the newest report; zeros = none yet */
    struct stall_watch stall;                   /* when the last step was seen */
    struct placement *placement; /* owned; of the newest attempt; NULL = none is known */
    /* Which node this attempt's successor is kept off; attempt 0 = not asked yet. */
    struct {
        int attempt, node;
    } avoid;
    struct active *next_changed;
};

/* The counts are of job states; kept, not counted anew, since a pass of the loop must not walk ten thousand jobs. */
struct jobs {
    struct active **list; /* owned; by id, ascending */
    size_t n, size;
    int64_t running, waiting, waiting_in_slurm, over;
    struct resources held;                 /* of the daemon's nodes */
    struct active *changed, **changed_end; /* those with effects due, in the order they changed */
    size_t n_changed;
};

enum status jobs_create(struct jobs **ret_jobs, struct err *err);
void jobs_destroy(struct jobs *jobs); /* NULL allowed */

/* Everything anew from the store, each one marked changed. After a failure the table is empty. */
enum status jobs_reload(struct jobs *jobs, struct store *store, const struct nodes *nodes,
                        struct err *err);
/* Copies. */
enum status jobs_add(struct jobs *jobs, const struct job *job, struct err *err);
struct active *jobs_find(const struct jobs *jobs, int64_t id); /* NULL if none */
void jobs_drop_over(struct jobs *jobs);

/* Every change of a->job.state goes through here: a copy of *next takes its place, and its effects are due. */
void jobs_set(struct jobs *jobs, struct active *a, const struct job *next);
struct active *
jobs_take_changed(struct jobs *jobs); /* the first whose effects are due; NULL = none */

/* Jobs that hold resources, those that wait, and what the former leave of the node. */
struct jobs_load {
    uint32_t running, waiting;
    struct resources free;
};
struct jobs_load jobs_load(const struct jobs *jobs, const struct resources *node);

#endif
