/* cancel.c - Cancel: asks for the end. Asking again while the job stops is fine; once it is over it is not. */
#include "job/change.h"
#include "loop.h"
#include "service/service.h"

#include <stdlib.h>

static void send_cancel(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)d;
    V1(CancelReply) reply = ESPALIER__V1__CANCEL_REPLY__INIT;
    reply.state = (V1(JobState)) * (int *)arg;
    rpc_call_reply(call, &reply.base);
}

static enum status cancel_job(struct daemon *d, const struct job *job, const char *text,
                              int *ret_state, struct err *err)
{
    struct active *a = jobs_find(d->jobs, job->id);
    if (!a || job_state_is_over(a->job.state))
        return err_set(err, ST_STATE, "job %lld is over (%s); there is nothing to cancel",
                       (long long)job->id, job_state_name(job->state));
    struct change change = {.actor = "user", .text = text};
    if (a->job.state != JOB_STOPPING)
        TRY(job_apply(d, a, ON_CANCEL, &change, err));
    *ret_state = (int)a->job.state;
    return ST_OK;
}

enum status serve_cancel(struct daemon *d, struct rpc_call *call, const V1(CancelRequest) * request,
                         struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    int *state = malloc(sizeof *state);
    if (!state)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    enum status st = cancel_job(d, &job, request->text, state, err);
    if (st == ST_OK && !loop_answer(d, call, send_cancel, state, free))
        st = err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (st != ST_OK)
        free(state);
    return st;
}
