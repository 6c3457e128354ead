/* doctor.h - `espalierd doctor`: looks at what the daemon stands on, as the daemon's account and in its environment.
 *
 * A process of its own: it needs no running daemon, may wait for programs that hang (each with a limit), and cannot hurt
 * the one that runs. The daemon starts it for the Diagnose call. Every fault is one sentence with the value in it and
 * one that says what to do. Nothing is changed; nothing is left behind.
 */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "base/buf.h"
#include "base/err.h"
#include "job/place.h"
#include "options.h"

#include <stdbool.h>
#include <stdint.h>

/* Numbers of job.proto's CheckResult. */
enum check_result { CHECK_OK = 1, CHECK_WARNING, CHECK_FAULT, CHECK_SKIPPED };

struct check {
    char name[32];
    enum check_result result;
    char text[400], remedy[300];
};

#define CHECKS_MAX 256

struct doctor {
    const struct options *options; /* borrowed */
    struct check list[CHECKS_MAX];
    int n;
};

/* The next check; never NULL: the last one is written over when there are too many. */
struct check *doctor_say(struct doctor *d, const char *name, enum check_result result,
                         const char *fmt, ...) BASE_PRINTF(4, 5);
void check_remedy(struct check *c, const char *fmt, ...) BASE_PRINTF(2, 3);

/* ---- local.c: environment, folders, disk, store, worker ---------------------------------------- */

void examine_environment(struct doctor *d);
void examine_folders(struct doctor *d);
void examine_worker(struct doctor *d);
/* The daemon's home, where it is laid out already; NULL before the daemon's first start: no node can have it then. */
const char *home_to_find(const struct doctor *d);
/* The judgements alone, so that tests can have any file system. magic: statfs's f_type. */
void judge_disk(struct doctor *d, const char *path, uint64_t free_bytes, uint64_t free_files);
void judge_store(struct doctor *d, const char *path, long magic);

/* ---- mpi.c: mpirun, ranks, GPUs, nodes; cluster.c: munge and Slurm ----------------------------- */

void examine_mpi(struct doctor *d);
void examine_nodes(struct doctor *d);
void examine_slurm(struct doctor *d);

/* ---- probe.c: programs that are run, and what `espalier-worker probe` says -------------------- */

/* Runs a program with stdin from /dev/null; what it says on both streams goes to out. ST_NOT_FOUND: no such program;
 * ST_TIMEOUT: killed with all it started. exit_code: 128 + signal for one that was killed. */
enum status capture(const char *const *argv, int timeout_ms, struct buf *out, int *ret_exit,
                    struct err *err);
/* The same, but ended as after the timeout once the descriptor is readable; ST_CANCELLED then. -1: none. environment
 * NULL: this process's. */
enum status capture_until(const char *const *argv, char *const *environment, int timeout_ms,
                          int cancel_fd, struct buf *out, int *ret_exit, struct err *err);

/* A program that was asked. */
struct asked {
    enum status status; /* of capture() */
    int code;           /* its exit code */
    bool well;          /* it ran and ended with code 0 */
    struct buf said;    /* owned */
    char words[250];    /* the first it said, or why it said nothing */
};
void ask(struct asked *a, const char *const *argv, int timeout_ms);
void asked_fini(struct asked *a);

struct probe {
    char host[256], version[64], home[160], report[160];
    int ranks, rank, cpus, gpus;
    bool bf16; /* it can run train.precision: bf16 */
    int64_t time_ms;
};
/* The objects among the lines of what ranks said; how many there are, at most `most`. */
int probes_read(const struct buf *said, struct probe *ret_probe, int most);
/* The first line that says something, for people. */
void first_words(const struct buf *said, char *out, size_t size);

#endif
