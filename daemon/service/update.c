/* update.c - Update: what may be changed in a job that is not over. */
#include "job/change.h"
#include "service/service.h"

#define PRIORITY_MAX 100 /* as resources.priority */

enum status serve_update(struct daemon *d, struct rpc_call *call, const V1(UpdateRequest) * request,
                         struct err *err)
{
    struct job job;
    TRY(lookup_job(d, request->id, &job, err));
    struct active *a = jobs_find(d->jobs, job.id);
    if (request->has_priority_case != ESPALIER__V1__UPDATE_REQUEST__HAS_PRIORITY_PRIORITY)
        return err_set(err, ST_INVALID, "nothing to change in job %lld: give a priority",
                       (long long)job.id);
    if (request->priority < 0 || request->priority > PRIORITY_MAX)
        return err_set(err, ST_INVALID, "priority %d is not one of 0 to %d", request->priority,
                       PRIORITY_MAX);
    if (!a || job_state_is_over(job.state))
        return err_set(err, ST_STATE, "job %lld is over (%s); there is nothing to change",
                       (long long)job.id, job_state_name(job.state));
    TRY(job_set_priority(d, a, request->priority, "user", err));
    return answer_state(d, call, a->job.state, err);
}
