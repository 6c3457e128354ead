/* link.h - what report.c (records in) and sender.c (records out) share. Private to report/. */
#ifndef REPORT_LINK_H
#define REPORT_LINK_H

#include "report/record.h"
#include "report/report.h"
#include "rpc/rpc.h"
#include "report/spool.h"

#include <pthread.h>

#define REPORT_BATCH_MAX 1000                 /* records, as report.proto says */
#define REPORT_BATCH_BYTES ((size_t)4 << 20)  /* of their packed bytes */
#define REPORT_RECORD_BYTES ((size_t)7 << 20) /* one record fits into a message */
#define REPORT_GAP_MS 200                     /* between two batches, unless a record is urgent */
#define REPORT_CALL_MS 5000                   /* deadline of one delivery */
#define REPORT_BACKOFF_MIN_MS 100

struct report {
    char *job_id, *token, *version; /* owned; constant */
    uint32_t attempt;
    size_t spool_max;
    struct rpc_client *client; /* NULL = no daemon */
    pthread_t thread;

    pthread_mutex_t lock;   /* everything below */
    pthread_cond_t changed; /* wakes the sender */
    pthread_cond_t acked;   /* wakes report_flush */
    struct record_queue waiting;
    struct spool spool;
    bool spool_behind; /* the file lacks a waiting record */
    size_t thin_at;    /* bytes of `waiting` beyond which it is thinned again */
    uint64_t last;     /* number of the newest record */
    uint64_t acknowledged;
    int64_t next_send; /* monotonic ms */
    int64_t last_send;
    int backoff_ms;   /* 0 = the last delivery went well */
    size_t batch_max; /* 1 while a refused record is looked for */
    int flushing;     /* report_flush calls that wait */
    bool urgent;      /* what waits should not wait for a fuller batch */
    bool closing, stop;
    char stop_reason[REPORT_REASON_MAX];
};

void *report_sender(void *report); /* the sender's thread (sender.c) */

/* A note of the link's own making; under the lock (report.c). */
void report_warn_locked(struct report *r, const char *sentence);

/* The file as short as what waits; called under the lock (report.c). */
void report_compact(struct report *r);

#endif
