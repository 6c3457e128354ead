/* launch.h - starting, watching and ending one attempt of a job: a vtable (mpirun, slurm, fake; mux
 * holds two of them).
 *
 * An attempt lives in a folder, not in the daemon's memory: what is known about it is what its
 * folder (or the cluster) says. So a daemon that was killed adopts by asking poll() like before,
 * and every verb may be repeated without harm: start() of an attempt that was started is a success
 * that starts nothing.
 *
 * Threads: the loop's thread alone. Nothing here blocks for longer than some file operations.
 */
#ifndef LAUNCH_LAUNCH_H
#define LAUNCH_LAUNCH_H

#include "base/clock.h"
#include "base/err.h"
#include "job/place.h"

#include <stdbool.h>
#include <stdint.h>

/* What start() needs; borrowed. */
struct launch_spec {
    int64_t job_id;
    int attempt;
    const char *job_dir;     /* DIR, absolute; docs/spec/worker-environment.md */
    const char *attempt_dir; /* DIR/attempts/N; exists */
    const char *name;        /* the job's name: the fake's script */
    int ranks, threads, gpus_per_rank;
    int priority;              /* ours, 0 to 100; may change while the attempt waits in a cluster */
    const struct nodes *nodes; /* job/place.h; NULL: this host alone */
    const struct placement *placement; /* which rank is on which of them; NULL: all on this host */
    bool done;                         /* the worker has said that all is well, and it is here */
    bool in_slurm;       /* its launcher is Slurm; kept with the job, the same for all attempts */
    const char *request; /* for start() in Slurm: the text of slurm_request_print(); else NULL */
    uint64_t
        reported; /* the newest record of the attempt that is known; the fake reports what is above */
};

/* What is known about an attempt. */
enum evidence_kind {
    EVIDENCE_UNKNOWN,  /* nothing can be told now; never an end */
    EVIDENCE_ABSENT,   /* never started: start() it (again) */
    EVIDENCE_PENDING,  /* handed to a cluster, which has not begun it; text says why */
    EVIDENCE_STARTING, /* handed over, no sign of life yet */
    EVIDENCE_ALIVE,
    EVIDENCE_EXITED,         /* exit record: exit_code, signal, ended_ms */
    EVIDENCE_VANISHED,       /* gone on the same boot, without an exit record */
    EVIDENCE_HOST_RESTARTED, /* it ran under another boot id */
    EVIDENCE_REFUSED,        /* the launcher could not start it; text says why */
    /* What the cluster says; exit_code and signal as far as they are known. */
    EVIDENCE_PREEMPTED, /* it took the nodes away for another job */
    EVIDENCE_WALL_TIME, /* the time of the cluster's job was over */
    EVIDENCE_NODE_LOST,
    EVIDENCE_NO_MEMORY, /* it used more than it may */
    EVIDENCE_CANCELLED, /* by somebody, in the cluster */
};

struct evidence {
    enum evidence_kind kind;
    int exit_code, signal;
    /* Its exit record says 0, whatever the cluster says besides; or there is none, and Slurm says 0. */
    bool clean;
    int64_t ended_ms;
    char text[256];
};

/* Rungs of the ladder above the report link's polite request. */
enum stop_rung { STOP_TERM, STOP_KILL };

struct launch;

struct launch_ops {
    const char *name;
    /* ST_OK: the attempt is on its way, or was already. Anything else: it will not start; err says
     * why. */
    enum status (*start)(struct launch *l, const struct launch_spec *spec, struct err *err);
    /* Called about four times a second for every live attempt, at once when wake_fd() is readable,
     * and first thing after a restart. ret_ev is always filled. */
    void (*poll)(struct launch *l, const struct launch_spec *spec, struct evidence *ret_ev);
    /* One rung of the ladder; may be repeated. */
    void (*stop)(struct launch *l, const struct launch_spec *spec, enum stop_rung rung);
    /* The polite request was made over the report link (or would be, if the worker had one). NULL
     * allowed. */
    void (*ask)(struct launch *l, const struct launch_spec *spec);
    /* Work that belongs to no single attempt; called first thing at every tick. NULL allowed. */
    void (*tick)(struct launch *l);
    /* A file descriptor that becomes readable when some attempt may have ended; -1 = only polling.
     */
    int (*wake_fd)(struct launch *l);
    void (*destroy)(struct launch *l);
};

struct launch {
    const struct launch_ops *ops; /* first member of every implementation */
};

/* mpirun, on the nodes of the placement, under a small process that outlives the daemon. Strings are copied. */
struct mpirun_options {
    const char *mpirun;   /* path or name */
    const char *worker;   /* path of espalier-worker */
    const char *launcher; /* path of espalier-launcher */
    const char *agent;    /* how other nodes are reached: a command like ssh; NULL = ssh */
    char **extra; /* more arguments of mpirun, at most MPIRUN_EXTRA_MAX; borrowed for its life */
    int n_extra;
};
#define MPIRUN_EXTRA_MAX 64
enum status launch_mpirun_create(struct launch **ret_launch, const struct mpirun_options *options,
                                 struct err *err);

/* Simulates attempts from a script; no process. Reports are delivered as if by a worker. */
struct fake_report {
    int64_t job_id;
    int attempt;
    uint64_t number;                                            /* of the record */
    enum { FAKE_HELLO, FAKE_STEP, FAKE_DONE, FAKE_ALIVE } kind; /* ALIVE: nothing to say */
    uint64_t step, steps;
    int64_t time_ms;
    bool success; /* FAKE_DONE */
    const char *reason;
};
typedef void (*fake_report_f)(const struct fake_report *report, void *user);
enum status launch_fake_create(struct launch **ret_launch, const struct clock *clock,
                               fake_report_f report, void *user, struct err *err);

/* Slurm, by its commands. Strings are copied; "" and 0 are what is said here. */
enum slurm_starter { SLURM_START_AUTO, SLURM_START_SRUN, SLURM_START_MPIRUN };
struct slurm_options {
    const struct clock *clock; /* borrowed */
    /* By its home: two daemons of one account must not take each other's jobs for their own. */
    char daemon_id[9];
    const char *bin; /* folder of Slurm's commands; "": from PATH */
    const char *worker, *launcher, *mpirun;
    const char *mpi;               /* plugin for srun; "": from `srun --mpi=list` */
    enum slurm_starter start;      /* AUTO: srun if it has a plugin for Open MPI, else mpirun */
    int nice_step;                 /* what one step of our priority is in Slurm's */
    int64_t poll_ms, poll_most_ms; /* between two calls of squeue; back-off when nothing changes */
    int64_t command_ms;            /* how long one of Slurm's commands may take */
};
enum status launch_slurm_create(struct launch **ret_launch, const struct slurm_options *options,
                                struct err *err);

/* Both at once: spec->in_slurm says whose an attempt is. Takes over both, also on failure. */
enum status launch_mux_create(struct launch **ret_launch, struct launch *local,
                              struct launch *slurm, struct err *err);

void launch_destroy(struct launch *l); /* NULL allowed */

#endif
