/* page.h - what the Prometheus page shows, as a value, and as text. Pure. */
#ifndef METRICS_PAGE_H
#define METRICS_PAGE_H

#include "base/buf.h"
#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_JOBS_MAX 100 /* running jobs with lines of their own, the newest: labels are bounded */
#define PAGE_MAX_BYTES (1u << 20)

/* Upper bounds of the commit times in milliseconds; one more counts the rest. */
#define PAGE_COMMIT_BOUNDS(X) X(1) X(2) X(5) X(10) X(20) X(50) X(100) X(250) X(1000) X(5000)
#define PAGE_COUNT_BOUND(ms) +1
enum { PAGE_COMMIT_BUCKETS = PAGE_COMMIT_BOUNDS(PAGE_COUNT_BOUND) + 1 };

/* Counted by the loop as things happen; since the daemon's start. */
struct meters {
    uint64_t reports, records;            /* taken from workers */
    uint64_t commits, commits_failed;     /* groups */
    uint64_t commit_ns;                   /* of all of them together */
    uint64_t bucket[PAGE_COMMIT_BUCKETS]; /* not cumulative */
};

/* A commit that took so long. */
void meters_commit(struct meters *m, int64_t ns, bool failed);

struct metrics_job {
    int64_t id;
    double step_seconds, params_kept, progress; /* progress: part of all steps that is done */
};

struct metrics_page {
    const char *version; /* static */
    int schema;
    int64_t started_ms;
    int64_t jobs[JOB_STATE_COUNT]; /* in the store */
    uint32_t waiting, running;     /* what the queue may place; what holds resources */
    int64_t cursor;                /* of the newest event */
    struct meters meters;
    int streams;
    struct resources total, free;
    struct {
        bool on;
        uint64_t delivered, dropped, failed; /* failed: attempts that are or were tried again */
        int waiting;                         /* handed over and not settled */
    } webhook;
    int njobs;
    struct metrics_job job[PAGE_JOBS_MAX];
};

/* Prometheus' text format 0.0.4. */
void page_print(const struct metrics_page *p, struct buf *out);

#endif
