/* slurm_parse.h - what Slurm's commands say, as values. Pure: text in, values out; any bytes are survived.
 *
 * Only text whose shape is fixed by our own options is read (squeue --format, sacct --parsable2, sbatch --parsable) and
 * `scontrol show job --oneliner` by known keys: --json differs between versions and is not built everywhere.
 */
#ifndef LAUNCH_SLURM_PARSE_H
#define LAUNCH_SLURM_PARSE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A job's word in squeue, scontrol and sacct, and what it means to us. Words of other versions are SLURM_OTHER:
 * alive, as far as anybody knows. */
enum slurm_kind {
    SLURM_OTHER,
    SLURM_PENDING,   /* waits; has not run, or waits to run again */
    SLURM_RUNNING,   /* it has nodes */
    SLURM_COMPLETED, /* from here on it is over */
    SLURM_FAILED,
    SLURM_CANCELLED,
    SLURM_TIMEOUT,
    SLURM_NODE_FAIL,
    SLURM_PREEMPTED,
    SLURM_OUT_OF_MEMORY,
};
enum slurm_kind slurm_kind_of(const char *word); /* "CANCELLED by 0" counts as CANCELLED */
bool slurm_kind_is_over(enum slurm_kind kind);

#define SLURM_NAME_MAX 64
struct slurm_row {
    int64_t id;
    enum slurm_kind kind;
    char word[24];    /* as Slurm writes it */
    char reason[128]; /* "" = none */
    char partition[64];
    char nodes[256];           /* Slurm's short form, n[1-2]; cut when longer */
    char name[SLURM_NAME_MAX]; /* of the job */
    int exit_code, signal;     /* -1 = not told */
};

/* What squeue is to print, and one line of it. False: the line is none of it. */
#define SLURM_SQUEUE_FORMAT "%A|%T|%r|%P|%N|%j"
bool slurm_parse_squeue(const char *line, size_t len, struct slurm_row *ret_row);

/* `scontrol show job --oneliner`, or a line of a jobcomp/filetxt file, which has the same form. */
bool slurm_parse_show_job(const char *line, size_t len, struct slurm_row *ret_row);

/* A line of sacct --noheader --parsable2 with these fields. */
#define SLURM_SACCT_FIELDS "JobIDRaw,State,ExitCode,Partition,NodeList,JobName"
bool slurm_parse_sacct(const char *line, size_t len, struct slurm_row *ret_row);
/* The same of `sacct --completion`, which knows other fields. */
#define SLURM_JOBCOMP_FIELDS "JobID,State,Partition,NodeList,JobName"
bool slurm_parse_jobcomp(const char *line, size_t len, struct slurm_row *ret_row);

/* Names of nodes, with commas or line breaks between them, added to a list with commas, none twice and
 * at most max in all. */
void slurm_add_nodes(char *list, size_t size, int max, const char *lines);

/* sbatch --parsable: "ID" or "ID;CLUSTER". 0 = no such text. */
int64_t slurm_parse_sbatch(const char *text);

/* The best plugin of `srun --mpi=list` for Open MPI; false: none of them will do. */
bool slurm_parse_mpi_list(const char *text, char ret_mpi[32]);

/* Why a command failed, from what it said. */
enum slurm_trouble {
    SLURM_REFUSED,       /* it will be refused again: the request is wrong */
    SLURM_BUSY,          /* it was not taken, and may be later */
    SLURM_UNANSWERED,    /* nobody knows whether it was taken */
    SLURM_NO_SUCH_JOB,   /* the controller answers and knows no such job */
    SLURM_NO_ACCOUNTING, /* the site has none */
};
enum slurm_trouble slurm_trouble_of(const char *text);
/* The line of it that says most, without "sbatch: error: "; printable. */
void slurm_trouble_text(const char *text, char *out, size_t size);

#endif
