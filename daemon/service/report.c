/* report.c - Report: a worker's records, durable before they are acknowledged. */
#include "job/act.h"
#include "job/records.h"
#include "job/stall.h"
#include "loop.h"
#include "service/service.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct report_answer {
    uint64_t acknowledged;
    const char *stop; /* static text; NULL = go on */
};

static void send_report(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)d;
    const struct report_answer *a = arg;
    V1(ReportReply) reply = ESPALIER__V1__REPORT_REPLY__INIT;
    reply.acknowledged = a->acknowledged;
    reply.stop = a->stop != NULL;
    if (a->stop)
        reply.stop_reason = (char *)a->stop;
    rpc_call_reply(call, &reply.base);
}

/* Takes the same time wherever the first difference is. */
static bool token_equals(const char *given, const char *right)
{
    size_t n = strlen(right), m = strlen(given);
    unsigned diff = n == 0 || n != m;
    for (size_t i = 0; i < n && i < m; i++)
        diff |= (unsigned char)given[i] ^ (unsigned char)right[i];
    return diff == 0;
}

struct shown {
    int attempt;
    const char *token;
    bool right;
};

static bool compare_one(const struct attempt *a, void *user)
{
    struct shown *s = user;
    s->right = a->number == s->attempt && token_equals(s->token, a->token);
    return false;
}

/* Anybody may call this, so whoever shows no token of an attempt is not told what is there. */
static enum status check_token(struct daemon *d, const V1(ReportRequest) * r, struct job *ret_job,
                               struct err *err)
{
    struct shown shown = {(int)r->attempt, r->token, false};
    enum status st = lookup_job(d, r->job_id, ret_job, err);
    if (st == ST_OK && r->attempt == (uint32_t)ret_job->attempt.number)
        compare_one(&ret_job->attempt, &shown);
    else if (st == ST_OK && r->attempt > 0 && r->attempt < (uint32_t)ret_job->attempt.number)
        st = store_attempts(d->store, ret_job->id, shown.attempt - 1, compare_one, &shown, err);
    if (st != ST_OK && st != ST_NOT_FOUND && st != ST_DENIED)
        return st;
    return shown.right ? ST_OK
                       : err_set(err, ST_DENIED, "the token is not that of attempt %u of job %.20s",
                                 r->attempt, r->job_id);
}

/* Only the newest attempt of a job that is not over may report, and only with its token. */
static enum status find_reporter(struct daemon *d, const V1(ReportRequest) * r,
                                 struct active **ret_active, struct err *err)
{
    struct job job;
    TRY(check_token(d, r, &job, err));
    struct active *a = jobs_find(d->jobs, job.id);
    /* An attempt that was called over, by whatever evidence or by a person, must not come back. */
    if (!a || a->job.attempt.ended_ms || job_state_is_over(a->job.state) ||
        r->attempt != (uint32_t)a->job.attempt.number)
        return err_set(
            err, ST_STATE,
            "attempt %u of job %lld is not running: the job is %s, its newest attempt is "
            "%d; end without writing",
            r->attempt, (long long)job.id, job_state_name(job.state), job.attempt.number);
    *ret_active = a;
    return ST_OK;
}

static enum status check_order(const V1(ReportRequest) * r, struct err *err)
{
    if (r->n_records > RECORDS_MAX)
        return err_set(err, ST_INVALID, "%zu records in one report, at most %d are taken",
                       r->n_records, RECORDS_MAX);
    uint64_t last = 0;
    for (size_t i = 0; i < r->n_records; i++) {
        if (r->records[i]->number <= last)
            return err_set(err, ST_INVALID,
                           "record number %llu follows %llu; they must ascend from 1",
                           (unsigned long long)r->records[i]->number, (unsigned long long)last);
        last = r->records[i]->number;
    }
    return ST_OK;
}

enum status serve_report(struct daemon *d, struct rpc_call *call, const V1(ReportRequest) * request,
                         struct err *err)
{
    struct active *a = NULL;
    TRY(check_order(request, err));
    TRY(find_reporter(d, request, &a, err));
    assert(a);
    stall_note_contact(d, a);
    TRY(records_take(d, a, request->records, request->n_records, err));
    struct report_answer *answer = malloc(sizeof *answer);
    if (answer)
        *answer = (struct report_answer){a->job.attempt.reported, job_stop_reason(&a->job)};
    if (!answer || !loop_answer(d, call, send_report, answer, free)) {
        free(answer);
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    }
    return ST_OK;
}
