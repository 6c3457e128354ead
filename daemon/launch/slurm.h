/* slurm.h - the Slurm launcher's own state, shared by its files and by nobody else.
 *
 *   slurm.c         the vtable: start, poll, stop; the tick
 *   slurm_end.c     how an attempt ended
 *   slurm_submit.c  from "to be submitted" to "it has an id": probe, look up, sbatch
 *   slurm_watch.c   what Slurm says: squeue for all, then scontrol, sacct and jobcomp for one
 *   slurm_lost.c    which nodes failed, and keeping the next attempts off them
 *   slurm_table.c   attempts that are tracked
 *
 * What is kept here may be lost at any time: the truth is in the attempts' folders (record.h, slurm_note.h) and in Slurm.
 * All times are monotonic milliseconds.
 */
#ifndef LAUNCH_SLURM_H
#define LAUNCH_SLURM_H

#include "launch/command.h"
#include "launch/launch.h"
#include "launch/record.h"
#include "launch/slurm_note.h"
#include "launch/slurm_parse.h"
#include "launch/slurm_script.h"

#define SLURM_COMMANDS_MAX 8 /* that run at a time for single attempts */

enum slurm_phase {
    PHASE_WAITING,    /* to be submitted */
    PHASE_LOOKING_UP, /* perhaps submitted: squeue must be asked before it is done again */
    PHASE_SUBMITTING, /* sbatch runs */
    PHASE_SUBMITTED,  /* it has an id */
};

enum slurm_task {
    TASK_SBATCH,
    TASK_SCANCEL,
    TASK_LEFTOVER,
    TASK_RENICE,
    TASK_LOST,
    TASK_SHOW,
    TASK_SACCT,
    TASK_JOBCOMP
};
enum slurm_cancel { CANCEL_NONE, CANCEL_SIGNAL, CANCEL_JOB };

struct tracked {
    int64_t job_id;
    int attempt;
    char *job_dir, *attempt_dir;   /* owned */
    struct slurm_request *request; /* owned; NULL once submitted, or if nobody wants it to be */
    enum slurm_phase phase;
    struct slurm_note note;

    struct command *command; /* owned; at most one at a time */
    enum slurm_task task;    /* what it is, or was */
    int64_t try_ms, wait_ms; /* not before; how long the next failure waits */

    enum slurm_cancel cancel, cancelling; /* wanted; what scancel is at */
    int64_t killed_ms;                    /* when scancel last took the whole job; 0 = never */
    int64_t leftover; /* Slurm's id of an older attempt that still waits there; 0 = none */
    bool anywhere;    /* Slurm cannot keep it off the nodes where others were lost */
    bool unordered;   /* Slurm does not let it wait for the attempt before */
    bool lost_known;  /* note.lost tells which of its nodes failed, as far as Slurm does */

    int priority, renicing; /* ours, as wanted now; what scontrol is at */

    int64_t polled_ms;   /* nobody asks for it any more: it is dropped */
    int64_t folder_ms;   /* next look at its folder */
    int64_t known_ms;    /* newest answer that told of it, or the begin of the tracking */
    int64_t over_ms;     /* when Slurm first said that it is over; 0 = it has not */
    int64_t record_ms;   /* when its exit record was first seen */
    bool begun;          /* its launcher runs or ran */
    bool done;           /* the worker has said that all is well */
    bool missing;        /* the newest answer of squeue did not hold it */
    bool detailed;       /* what is known of it is from one of these three */
    int rounds;          /* of scontrol, sacct and jobcomp in a row that knew nothing */
    struct evidence end; /* kind UNKNOWN = not yet */
    char trouble[200];   /* why it does not go on; "" = it does */
};

struct launch_slurm {
    struct launch base;
    struct slurm_options options; /* its strings are owned by `strings` */
    char *strings[5];
    char **environment;
    int epoll;
    int64_t now_ms;

    struct tracked **list; /* owned; by job, ascending */
    size_t n, size;
    int commands; /* that run for single attempts */

    struct command *squeue, *probe; /* owned */
    int64_t squeue_started_ms, squeue_next_ms, squeue_wait_ms;
    char squeue_trouble[200]; /* "" = the newest one was answered */
    bool probed, no_accounting, no_jobcomp;
    char mpi[32]; /* "" = mpirun */
};

/* ---- slurm_table.c --------------------------------------------------------------------------- */

/* NULL if it is not tracked. */
struct tracked *slurm_find_job(const struct launch_slurm *s, int64_t job_id); /* any attempt */
struct tracked *slurm_find(const struct launch_slurm *s, int64_t job_id, int attempt);
/* An older attempt of the job gives way. NULL when out of memory. */
struct tracked *slurm_add(struct launch_slurm *s, const struct launch_spec *spec);
void slurm_drop_idle(struct launch_slurm *s);
void slurm_clear(struct launch_slurm *s);
void slurm_job_name(const struct launch_slurm *s, int64_t job_id, int attempt,
                    char ret_name[SLURM_NAME_MAX]);

/* ---- slurm_submit.c -------------------------------------------------------------------------- */

/* One step towards an id. */
void slurm_submit_step(struct launch_slurm *s, struct tracked *t);
void slurm_submit_done(struct launch_slurm *s, struct tracked *t, const struct command *c);
/* squeue was asked and answered after `since`; found: it holds the name. */
void slurm_looked_up(struct launch_slurm *s, struct tracked *t, bool found);
void slurm_probe_step(struct launch_slurm *s);

/* ---- slurm_watch.c --------------------------------------------------------------------------- */

void slurm_squeue_step(struct launch_slurm *s);
void slurm_squeue_soon(struct launch_slurm *s);
/* Asks the others about one job, one after the other. */
void slurm_detail_step(struct launch_slurm *s, struct tracked *t);
void slurm_detail_done(struct launch_slurm *s, struct tracked *t, const struct command *c);
/* Takes what Slurm says; keeps it in the note when it is new. */
void slurm_take_row(struct launch_slurm *s, struct tracked *t, const struct slurm_row *row);

/* ---- slurm_end.c ----------------------------------------------------------------------------- */

/* Sets t->end when its exit record is there and tells all. */
void slurm_look_in_folder(struct launch_slurm *s, struct tracked *t);
/* Slurm says that it is over, and no record says how. */
void slurm_over_step(struct launch_slurm *s, struct tracked *t);
/* squeue does not hold it. */
void slurm_missing_step(struct launch_slurm *s, struct tracked *t);

/* ---- slurm_priority.c ------------------------------------------------------------------------ */

/* A job that waits gets the priority that it has here by now. */
void slurm_renice_step(struct launch_slurm *s, struct tracked *t);
void slurm_renice_done(struct launch_slurm *s, struct tracked *t, const struct command *c);

/* ---- slurm_lost.c ---------------------------------------------------------------------------- */

/* The attempt was lost with a node, and which one is not known yet: its end is not told before. */
bool slurm_lost_is_open(const struct tracked *t);
void slurm_lost_step(struct launch_slurm *s, struct tracked *t);
void slurm_lost_done(struct launch_slurm *s, struct tracked *t, const struct command *c);
/* Fills note.excluded: nodes on which attempts shortly before this one were lost, the newest first. */
void slurm_keep_off(struct tracked *t);
/* Slurm's id of the attempt before; 0 = it has none. */
int64_t slurm_id_before(const struct tracked *t);

/* ---- slurm.c --------------------------------------------------------------------------------- */

/* Runs a command for an attempt. ST_UNAVAILABLE: there is no room; anything else: it cannot be run, t->trouble says
 * why. */
enum status slurm_run(struct launch_slurm *s, struct tracked *t, enum slurm_task task,
                      const char *const *argv);
/* Puts off what failed, longer each time. */
void slurm_put_off(struct launch_slurm *s, struct tracked *t, const char *text);
/* Path of one of Slurm's commands. */
#define SLURM_PATH_MAX 4200
const char *slurm_program(const struct launch_slurm *s, const char *name, char out[SLURM_PATH_MAX]);
/* stdout and stderr of a command, for what failed. */
const char *slurm_said(const struct command *c);

#endif
