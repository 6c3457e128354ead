/* report.h - rank 0's link to the coordinator.
 *
 * Every report_* call numbers a record, writes it to the spool file and returns; a sender thread
 * delivers records in batches through espalier.v1.ReportService/Report and forgets those that are
 * acknowledged. While the daemon is away training goes on: records wait in the spool, the sender
 * backs off (up to REPORT_BACKOFF_MAX_MS) and delivers them in order when it is back. A record sent
 * twice is taken once, because it carries its number.
 *
 * The spool outlives the process: report_open() of the same job and attempt reads what was not
 * acknowledged, and the daemon reads it once the attempt is over, so that an end record written while
 * the daemon was down still counts. Records of kind structure, checkpoint, artifact and done are on
 * disk (fsync) before the call returns.
 *
 * A full spool is thinned: of each series (progress, one metric's name) every second record goes, the
 * newest never. That leaves gaps in the numbers, never another order. At one and a half times spool_max
 * light records (progress, metrics, notes, hello, phase times) are refused, at twice spool_max all but the end record are.
 *
 * Threads: every function but open and close may be called from any thread. Nothing here touches
 * MPI.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPORT_SPOOL_MAX ((size_t)16 << 20) /* bytes of waiting records before thinning starts */
#define REPORT_POLL_MS 1000                 /* an empty report this often asks for a stop */
#define REPORT_BACKOFF_MAX_MS 10000
#define REPORT_REASON_MAX 64 /* size of a stop reason, with the NUL */

struct report;

/* Strings are copied by report_open(). */
struct report_options {
    const char
        *address; /* of the daemon, "unix:/path" or "tls:HOST:PORT"; NULL = no daemon, records
                             * only go to the spool */
    const char *ca_file;    /* for tls:; NULL = the system's */
    const char *job_id;     /* not NULL */
    uint32_t attempt;       /* 1-based */
    const char *token;      /* scoped to job and attempt; NULL = "" */
    const char *version;    /* of the worker; NULL = "" */
    const char *spool_path; /* one file an attempt; NULL = records live in memory only */
    size_t spool_max;       /* 0 = REPORT_SPOOL_MAX */
};

/* The daemon need not be there. ST_STATE if the spool belongs to another job or attempt, ST_CORRUPT
 * if it is no spool; a torn last record is dropped. */
enum status report_open(struct report **ret_report, const struct report_options *options,
                        struct err *err);

/* ---- records ------------------------------------------------------------------------------ */
/* Strings are UTF-8, copied; sentences (of report_note, report_done) may hold anything: what is no UTF-8 becomes '?', and what
 * is longer than two of err.h's is cut. Each returns ST_IO or ST_LIMIT when the spool cannot be written, with
 * a sentence; the record is still delivered from memory if the daemon is there. err may be NULL. */

struct report_progress {
    const char *phase;
    uint64_t step, steps;             /* in the phase, of the phase */
    uint64_t total_step, total_steps; /* over all phases */
    double loss;
    double params_kept, params_target;
    double step_seconds, eta_seconds; /* eta < 0 = unknown */
};

struct report_structure {
    uint64_t total_step;
    double params_kept, pruned, shared; /* fractions */
    const char *json;                   /* docs/spec/structure.md */
};

/* The first record of an attempt. resumed_step 0 = from the start. */
enum status report_hello(struct report *r, const char *host, uint32_t ranks,
                         uint32_t threads_per_rank, const char *kernel_set, uint64_t resumed_step,
                         struct err *err);
enum status report_progress(struct report *r, const struct report_progress *p, struct err *err);
/* unit: "" | "s" | "fraction" ... */
enum status report_metric(struct report *r, const char *name, double value, const char *unit,
                          uint64_t total_step, struct err *err);
enum status report_structure(struct report *r, const struct report_structure *s, struct err *err);
struct report_checkpoint {
    const char *path; /* inside the job's folder */
    uint64_t total_step, size_bytes;
    const char *sha256;      /* 64 hex digits */
    const char *phase;       /* that goes on from it */
    const char *metric_name; /* by which the best are kept; NULL = none was measured */
    double metric;
    uint32_t attempt; /* that wrote it; 0 = this one */
};
enum status report_checkpoint(struct report *r, const struct report_checkpoint *c, struct err *err);
/* Which checkpoints there are after a collection: rows of others are forgotten. */
enum status report_inventory(struct report *r, const char *const *paths, size_t n, struct err *err);
enum report_severity { REPORT_INFO, REPORT_WARNING, REPORT_ERROR };
enum status report_note(struct report *r, enum report_severity severity, const char *text,
                        struct err *err);
enum status report_phase_done(struct report *r, const char *phase, double seconds, struct err *err);
enum status report_artifact(struct report *r, const char *name, uint64_t size_bytes,
                            const char *sha256, struct err *err);
/* The worker's own end record, the last one. reason as in report.proto: "" | "stopped" | "nan_loss"
 * ... */
enum status report_done(struct report *r, bool success, const char *reason, const char *text,
                        struct err *err);

/* ---- the other direction, and the end ----------------------------------------------------- */

/* True once the daemon asked for the end: "cancelled" | "timeout" | "shutdown", or it said that
 * this attempt is not the current one any more: "superseded". Cheap; ask once a step. */
bool report_stop_requested(struct report *r, char ret_reason[REPORT_REASON_MAX]);

/* Waits until every record is acknowledged (without a daemon: until the spool is on disk);
 * ST_TIMEOUT with the number of waiting records after deadline_ms.                            */
enum status report_flush(struct report *r, int deadline_ms, struct err *err);

/* Stops the sender (within one call's deadline) without a flush; what waits stays in the spool.
 * NULL allowed. */
void report_close(struct report *r);

#endif
