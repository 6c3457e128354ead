/* change.c - see change.h. */
#include "job/change.h"

#include "daemon.h"
#include "job/text.h"
#include "metrics/metrics.h"

#include "espalier/v1/job.pb-c.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum status group_fail(struct daemon *d, const struct err *err)
{
    if (d->group_err.code == ST_OK)
        d->group_err = *err;
    return err->code;
}

enum status token_make(char ret_token[JOB_TOKEN_MAX], struct err *err)
{
    unsigned char bytes[(JOB_TOKEN_MAX - 1) / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_errno(err, "cannot get random bytes for a token");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(ret_token + 2 * i, 3, "%02x", bytes[i]);
    return ST_OK;
}

static enum status begin_attempt(struct job *job, int64_t now, struct err *err)
{
    struct attempt next = {.number = job->attempt.number + 1, .started_ms = now};
    TRY(token_make(next.token, err));
    job->attempt = next;
    return ST_OK;
}

/* A person begins anew: what was spent does not count, and an old --from is forgotten. */
static void begin_count(struct job *job, const struct change *change)
{
    job->counted_from = job->attempt.number;
    snprintf(job->resume_from, sizeof job->resume_from, "%s",
             change->resume_from ? change->resume_from : "");
    job->resume_since = job->resume_from[0] ? job->attempt.number + 1 : 0;
}

static bool ends_attempt(enum job_event event)
{
    return event >= ON_END_OK || event == ON_PREEMPT || event == ON_RESOLVE_FAILED ||
           event == ON_RESOLVE_REQUEUE;
}

/* Time in a cluster's queue, or spent waiting for a full disk, is none of the attempt's. */
static bool begins_to_run(const struct job_edge *edge)
{
    return edge->from == JOB_SUBMITTED && (edge->event == ON_START || edge->event == ON_HELLO);
}

/* The snapshot that the edge leads to. */
static enum status take_edge(struct job *job, const struct job_edge *edge,
                             const struct change *change, int64_t now, struct err *err)
{
    job->state = edge->to;
    job->reason = edge->reason == REASON_GIVEN ? change->reason : edge->reason;
    text_clean(job->text, sizeof job->text, change->text);
    job->changed_ms = now;
    if (edge->to == JOB_RUNNING && job->started_ms == 0)
        job->started_ms = now;
    job->ended_ms = job_state_is_over(edge->to) ? now : 0;
    job->not_before_ms = change->wait_ms ? now + change->wait_ms : 0;
    if (ends_attempt(edge->event)) {
        job->attempt.ended_ms = now;
        job->attempt.reason = job->reason;
        snprintf(job->attempt.text, sizeof job->attempt.text, "%s", job->text);
        job->exit_code = job->attempt.exit_code;
    }
    if (edge->event == ON_RETRY)
        begin_count(job, change);
    if (begins_to_run(edge))
        job->attempt.started_ms = now;
    return edge->event == ON_PLACE ? begin_attempt(job, now, err) : ST_OK;
}

static enum status append_change(struct daemon *d, const struct job *job,
                                 const struct job_edge *edge, const struct change *change,
                                 struct err *err)
{
    struct event e = {.job_id = job->id,
                      .time_ms = job->changed_ms,
                      .kind = EVENT_STATE,
                      .attempt = job->attempt.number,
                      .from = edge->from,
                      .to = edge->to,
                      .actor = change->actor,
                      .reason = job_reason_name(job->reason),
                      .text = job->text};
    TRY(store_event_append(d->store, &e, err));
    metrics_note_change(d, edge->from, edge->to);
    return ST_OK;
}

enum status job_apply(struct daemon *d, struct active *a, enum job_event event,
                      const struct change *change, struct err *err)
{
    struct err own;
    err = err ? err : &own;
    const struct job_edge *edge = job_next(a->job.state, event);
    if (!edge)
        return err_set(err, ST_STATE, "job %lld is %s: '%s' is not possible in this state",
                       (long long)a->job.id, job_state_name(a->job.state), job_event_name(event));
    struct job next = a->job;
    enum status st = take_edge(&next, edge, change, daemon_now_ms(d), err);
    if (st == ST_OK)
        st = append_change(d, &next, edge, change, err);
    if (st == ST_OK)
        st = store_job_save(d->store, &next, err);
    if (st == ST_OK && (event == ON_PLACE || begins_to_run(edge) || ends_attempt(event)))
        st = store_attempt_save(d->store, &next, err);
    if (st != ST_OK)
        return group_fail(d, err);
    jobs_set(d->jobs, a, &next);
    a->rung = 0;
    d->queue_dirty = true;
    return ST_OK;
}

static enum status append_note(struct daemon *d, const struct job *job, char *text, struct err *err)
{
    Espalier__V1__Note note = ESPALIER__V1__NOTE__INIT;
    uint8_t bytes[512];
    note.text = text;
    assert(protobuf_c_message_get_packed_size(&note.base) <= sizeof bytes);
    struct event e = {.job_id = job->id,
                      .time_ms = daemon_now_ms(d),
                      .kind = EVENT_NOTE,
                      .attempt = job->attempt.number,
                      .body = bytes,
                      .body_len = protobuf_c_message_pack(&note.base, bytes)};
    return store_event_append(d->store, &e, err);
}

enum status job_set_priority(struct daemon *d, struct active *a, int priority, const char *actor,
                             struct err *err)
{
    struct job next = a->job;
    char text[128];
    snprintf(text, sizeof text, "priority %d instead of %d, said by %.40s", priority,
             a->job.priority, actor);
    next.priority = priority;
    enum status st = append_note(d, &next, text, err);
    if (st == ST_OK)
        st = store_job_save(d->store, &next, err);
    if (st != ST_OK)
        return group_fail(d, err);
    a->job = next;
    d->queue_dirty = true;
    return ST_OK;
}

enum status job_submit(struct daemon *d, struct job *job, enum job_event event,
                       const struct submission *sub, const char *digest, const char *actor,
                       struct err *err)
{
    const struct job_edge *edge = job_next(JOB_NONE, event);
    struct change change = {.actor = actor};
    enum status st = take_edge(job, edge, &change, daemon_now_ms(d), err);
    if (st == ST_OK)
        st = store_job_add(d->store, job, sub, digest, err);
    if (st == ST_OK)
        st = append_change(d, job, edge, &change, err);
    if (st == ST_OK)
        st = jobs_add(d->jobs, job, err);
    if (st != ST_OK)
        return group_fail(d, err);
    d->queue_dirty = true;
    return ST_OK;
}
