/* slurm_script.h - what a job wants of Slurm, and the batch script that says so. Pure.
 *
 * The script holds all options, so that what is kept in the attempt's folder is what was submitted, and submitting it
 * by hand would ask for the same. It runs espalier-launcher and nothing else; what the ranks are started by stands in
 * command.json. No user's string reaches a shell: the words of a request have no blanks and stand in #SBATCH comments
 * alone (proto/jobfile/check_slurm.c refuses others, and so does slurm_request_check()).
 */
#ifndef LAUNCH_SLURM_SCRIPT_H
#define LAUNCH_SLURM_SCRIPT_H

#include "base/buf.h"
#include "base/err.h"
#include "jobfile/jobfile.h"

#include <stdbool.h>
#include <stdint.h>

#define SLURM_WORD_MAX 256
#define SLURM_OPTIONS_MAX 1024

struct slurm_request {
    int ranks, threads, gpus_per_rank;
    int64_t memory_mib;      /* a rank; 0 = not asked for */
    int nodes, ranks_a_node; /* 0 = Slurm's choice */
    int64_t time_minutes;    /* of each Slurm job; 0 = the partition's */
    int64_t warn_seconds;    /* before its end */
    int priority;            /* 0 .. 100, ours */
    char account[SLURM_WORD_MAX], partition[SLURM_WORD_MAX], qos[SLURM_WORD_MAX];
    char constraint[SLURM_WORD_MAX], gres[SLURM_WORD_MAX], exclude[SLURM_WORD_MAX];
    char reservation[SLURM_WORD_MAX];
    char options[SLURM_OPTIONS_MAX]; /* more options, one blank between two */
};

void slurm_request_of(struct slurm_request *ret_request, const struct jobfile *job);

/* For the store. slurm_request_read() checks what it reads. */
enum status slurm_request_print(const struct slurm_request *r, struct buf *out, struct err *err);
enum status slurm_request_read(struct slurm_request *ret_request, const char *json, size_t len,
                               struct err *err);

/* What the daemon adds to the request. */
struct slurm_script {
    const struct slurm_request *request;
    const char *name;    /* of the Slurm job: tells daemon, job and attempt */
    const char *comment; /* for people who look at the queue; no quotes in it */
    const char *job_dir, *attempt_dir, *launcher;
    int nice_step; /* --nice is (100 - priority) times this */
    int64_t after; /* Slurm's id of the attempt before: nothing of it may run any more; 0 = none */
    const char *keep_off; /* nodes, with commas, besides those that the user excludes; "" = none */
};
/* ST_INVALID: a path cannot stand in a script. */
enum status slurm_script_render(const struct slurm_script *s, struct buf *out, struct err *err);

/* How ranks are started inside the allocation. */
struct slurm_start {
    const char *srun, *mpirun, *worker;
    const char *mpi; /* plugin of srun; NULL: by mpirun */
};
#define SLURM_COMMAND_MAX 20
struct slurm_command {
    const char *argv[SLURM_COMMAND_MAX]; /* NULL-terminated; borrows from what it was made of */
    const char *env[6];
    char ranks[16], mpi[48], cpus[32], omp[48], blas[48];
};
void slurm_command_make(struct slurm_command *ret_command, const struct slurm_request *r,
                        const struct slurm_start *start, const char *job_dir);

#endif
