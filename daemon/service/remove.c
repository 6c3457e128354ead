/* remove.c - Remove: a job that is over is forgotten, rows and folder. */
#include "base/log.h"
#include "job/change.h"
#include "job/sweep.h"
#include "loop.h"
#include "service/service.h"
#include "webhook/webhook.h"

#include <stdio.h>
#include <stdlib.h>

static void send_remove(struct daemon *d, struct rpc_call *call, void *arg)
{
    V1(RemoveReply) reply = ESPALIER__V1__REMOVE_REPLY__INIT;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)*(int64_t *)arg);
    reply.id = id;
    log_info("job %s was removed by %s", id, d->caller->name);
    sweep_folders(d); /* the rows are gone for good now */
    rpc_call_reply(call, &reply.base);
}

enum status serve_remove(struct daemon *d, struct rpc_call *call, const V1(RemoveRequest) * request,
                         struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    if (!job_state_is_over(job.state))
        return err_set(err, ST_STATE,
                       "job %lld is %s; a job that is not over cannot be removed: `espalier cancel "
                       "%lld`, and when it has ended ask again",
                       (long long)job.id, job_state_name(job.state), (long long)job.id);
    bool owes = false;
    TRY(webhook_owes(d, job.id, &owes, err));
    if (owes)
        return err_set(err, ST_UNAVAILABLE,
                       "the webhook's receiver has not been told yet how job %lld ended; ask again "
                       "when it has, at the latest after webhook.give_up_s (%g s); where the "
                       "receiver is gone for good, unset webhook.url and restart espalierd",
                       (long long)job.id, d->options.config.webhook_give_up_s);
    int64_t *id = malloc(sizeof *id);
    if (!id)
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    *id = job.id;
    enum status st = store_job_remove(d->store, job.id, err);
    if (st != ST_OK)
        group_fail(d, err); /* some of its rows may be gone */
    else if (!loop_answer(d, call, send_remove, id, free))
        st = err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (st != ST_OK)
        free(id);
    return st;
}
