/* sender.c - the thread that delivers records: batch, call, acknowledge, or back off. */
#include "report/link.h"

#include "base/clock.h"
#include "espalier/v1/report.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

/* ---- one delivery ------------------------------------------------------------------------- */

struct batch {
    Espalier__V1__Record **records; /* owned, unpacked */
    size_t n;
    uint64_t first, last; /* numbers; last 0 = an empty batch */
};

static void batch_fini(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        espalier__v1__record__free_unpacked(b->records[i], NULL);
    free(b->records);
}

/* Under the lock: the oldest waiting records, as many as one message may carry. */
static struct batch batch_take(struct report *r)
{
    struct batch b = {0};
    size_t bytes = 0, max = r->waiting.n < r->batch_max ? r->waiting.n : r->batch_max;
    b.records = calloc(max + 1, sizeof(void *));
    for (struct record *rec = r->waiting.first; b.records && rec && b.n < max; rec = rec->next) {
        bytes += rec->len;
        if (b.n > 0 && bytes > REPORT_BATCH_BYTES)
            break;
        Espalier__V1__Record *unpacked = espalier__v1__record__unpack(NULL, rec->len, rec->bytes);
        if (!unpacked)
            break; /* out of memory: send what there is */
        b.first = b.first ? b.first : rec->number;
        b.last = rec->number;
        b.records[b.n++] = unpacked;
    }
    return b;
}

static enum status batch_send(struct report *r, const struct batch *b,
                              Espalier__V1__ReportReply **ret_reply, struct err *err)
{
    Espalier__V1__ReportRequest q = ESPALIER__V1__REPORT_REQUEST__INIT;
    ProtobufCMessage *reply;
    q.job_id = r->job_id;
    q.attempt = r->attempt;
    q.token = r->token;
    q.worker_version = r->version;
    q.n_records = b->n;
    q.records = b->records;
    TRY(rpc_client_call(r->client, "/espalier.v1.ReportService/Report", &q.base,
                        &espalier__v1__report_reply__descriptor, REPORT_CALL_MS, &reply, err));
    *ret_reply = (Espalier__V1__ReportReply *)reply;
    return ST_OK;
}

/* ---- what it led to, under the lock ------------------------------------------------------- */

static void back_off(struct report *r)
{
    int most = r->flushing ? 500 : REPORT_BACKOFF_MAX_MS;
    r->backoff_ms = r->backoff_ms ? 2 * r->backoff_ms : REPORT_BACKOFF_MIN_MS;
    r->backoff_ms = r->backoff_ms < most ? r->backoff_ms : most;
    r->next_send = now_ms() + r->backoff_ms;
}

static void acknowledge(struct report *r, uint64_t number)
{
    record_drop_to(&r->waiting, number);
    r->acknowledged = number > r->acknowledged ? number : r->acknowledged;
    if (r->waiting.bytes < r->spool_max)
        r->thin_at = r->spool_max;
    /* Not synced: if it is lost, records are sent again and taken once. */
    if (r->spool.fd >= 0)
        spool_append_ack(&r->spool, number, NULL);
    report_compact(r);
    pthread_cond_broadcast(&r->acked);
}

static void request_stop(struct report *r, const char *reason)
{
    r->stop = true;
    snprintf(r->stop_reason, sizeof r->stop_reason, "%s", reason);
}

/* When the next batch is due after one that went well. */
static int64_t next_due(struct report *r)
{
    if (r->waiting.n == 0) {
        r->urgent = false;
        return r->last_send + REPORT_POLL_MS;
    }
    bool full = r->waiting.n >= REPORT_BATCH_MAX || r->waiting.bytes >= REPORT_BATCH_BYTES;
    return full || r->urgent ? r->last_send : r->last_send + REPORT_GAP_MS;
}

static void delivered(struct report *r, const struct batch *b,
                      const Espalier__V1__ReportReply *reply)
{
    if (reply->stop && !r->stop)
        request_stop(r, *reply->stop_reason ? reply->stop_reason : "cancelled");
    if (b->n > 0 && reply->acknowledged < b->first) {
        back_off(r); /* answered, but not taken: no reason to hurry */
        return;
    }
    if (b->n > 0)
        acknowledge(r, reply->acknowledged);
    r->backoff_ms = 0;
    r->batch_max = REPORT_BATCH_MAX;
    r->next_send = next_due(r);
}

/* One record must not hold up all others for ever: it is looked for, and given up. */
static void give_up(struct report *r, const struct batch *b, const struct err *err)
{
    char sentence[ERR_TEXT_MAX + 64];
    r->batch_max = 1;
    r->next_send = now_ms();
    if (b->n > 1)
        return;
    acknowledge(r, b->last);
    snprintf(sentence, sizeof sentence, "the daemon refused report %llu: %s",
             (unsigned long long)b->last, err->text);
    /* A refused note about a refused note would go on for ever. */
    if (b->records[0]->kind_case != ESPALIER__V1__RECORD__KIND_NOTE)
        report_warn_locked(r, sentence);
}

static void refused(struct report *r, const struct batch *b, const struct err *err)
{
    if (err->code == ST_STATE)
        request_stop(r, "superseded");
    if (err->code == ST_INVALID && b->n > 0)
        give_up(r, b, err);
    else
        back_off(r);
}

static void deliver(struct report *r)
{
    Espalier__V1__ReportReply *reply = NULL;
    struct batch b = batch_take(r);
    r->last_send = now_ms();
    pthread_mutex_unlock(&r->lock);
    struct err err;
    enum status st = batch_send(r, &b, &reply, &err);
    pthread_mutex_lock(&r->lock);
    if (st == ST_OK)
        delivered(r, &b, reply);
    else
        refused(r, &b, &err);
    if (reply)
        espalier__v1__report_reply__free_unpacked(reply, NULL);
    batch_fini(&b);
}

void *report_sender(void *report)
{
    struct report *r = report;
    pthread_mutex_lock(&r->lock);
    while (!r->closing) {
        if (now_ms() >= r->next_send) {
            deliver(r);
            continue;
        }
        struct timespec until = {.tv_sec = r->next_send / 1000,
                                 .tv_nsec = r->next_send % 1000 * 1000000};
        pthread_cond_timedwait(&r->changed, &r->lock, &until);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}
