/* control.c - Pause, Resume, Hold, Release, Retry, Resolve: what a person may ask of a job, as one table.
 *
 * Asking for what is already so is no error, so that a request whose answer was lost may be sent again. Any other
 * state refuses with the sentence that says which verb would do.
 */
#include "job/act.h"
#include "job/change.h"
#include "loop.h"
#include "service/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(state) (1u << JOB_##state)
#define RUNS (BIT(SUBMITTED) | BIT(STARTING) | BIT(RUNNING) | BIT(STALLED))
#define OVER (BIT(COMPLETED) | BIT(CANCELLED) | BIT(FAILED) | BIT(TIMEOUT))
#define WAITS (BIT(QUEUED) | BIT(REQUEUED) | BIT(PREEMPTED))

/* What to do instead, by the state that refuses; # is the job. The first row that matches. */
struct advice {
    unsigned states;
    const char *text;
};

struct verb {
    const char *asked; /* "job 3 is FAILED and cannot be <asked>" */
    enum job_event event;
    unsigned already;
    const struct advice *advice; /* ends with a row for all states */
};

static const struct advice pause_advice[] = {
    {WAITS, "it does not run; `espalier hold #` keeps it from starting"},
    {BIT(HELD), "it does not run and will not; `espalier release #` lets it"},
    {BIT(UNREACHABLE), "nothing can be told about it now; see `espalier show #`"},
    {BIT(STOPPING), "its end was asked for; `espalier retry #` begins again once it is over"},
    {~0u, "it is over; see `espalier show #`"},
};
static const struct advice resume_advice[] = {
    {BIT(PAUSING), "its checkpoint is being written; ask again when `espalier show #` says "
                   "PAUSED"},
    {BIT(HELD), "it is held; `espalier release #`"},
    {BIT(COMPLETED), "it is complete; see `espalier show #`"},
    {OVER, "it is over; `espalier retry #` begins another attempt"},
    {~0u, "only a paused job can be; see `espalier show #`"},
};
static const struct advice hold_advice[] = {
    {RUNS, "it runs; `espalier pause #` stops it with a checkpoint"},
    {BIT(PAUSED) | BIT(PAUSING), "it does not start before `espalier resume #`"},
    {~0u, "only a job that waits can be; see `espalier show #`"},
};
static const struct advice release_advice[] = {
    {BIT(PAUSED) | BIT(PAUSING), "it is paused; `espalier resume #`"},
    {BIT(COMPLETED), "it is complete; see `espalier show #`"},
    {OVER, "it is over; `espalier retry #` begins another attempt"},
    {~0u, "see `espalier show #`"},
};
static const struct advice retry_advice[] = {
    {BIT(COMPLETED), "it has done all it was asked; `espalier show # --file` gives its file for "
                     "another job"},
    {BIT(PAUSED), "it is paused; `espalier resume #`"},
    {BIT(HELD), "it is held; `espalier release #`"},
    {BIT(UNREACHABLE), "its attempt may still run; `espalier resolve # --as requeue` if you know "
                       "that it does not"},
    {~0u, "it is not over; `espalier cancel #` first"},
};

static const struct verb verbs[] = {
    [ON_PAUSE] = {"paused", ON_PAUSE, BIT(PAUSING) | BIT(PAUSED), pause_advice},
    [ON_RESUME] = {"resumed", ON_RESUME, WAITS | RUNS, resume_advice},
    [ON_HOLD] = {"held", ON_HOLD, BIT(HELD), hold_advice},
    [ON_RELEASE] = {"released", ON_RELEASE, WAITS | RUNS, release_advice},
    [ON_RETRY] = {"retried", ON_RETRY, 0, retry_advice},
};

static enum status refuse(const struct verb *v, const struct job *job, struct err *err)
{
    const struct advice *row = v->advice;
    while (!(row->states & (1u << job->state)))
        row++;
    int before = (int)strcspn(row->text, "#");
    return err_set(err, ST_STATE, "job %lld is %s and cannot be %s: %.*s%lld%s", (long long)job->id,
                   job_state_name(job->state), v->asked, before, row->text, (long long)job->id,
                   row->text + before + 1);
}

static void send_state(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)d;
    V1(ControlReply) reply = ESPALIER__V1__CONTROL_REPLY__INIT;
    reply.state = (V1(JobState)) * (int *)arg;
    rpc_call_reply(call, &reply.base);
}

enum status answer_state(struct daemon *d, struct rpc_call *call, enum job_state state,
                         struct err *err)
{
    int *copy = malloc(sizeof *copy);
    if (copy)
        *copy = (int)state;
    if (copy && loop_answer(d, call, send_state, copy, free))
        return ST_OK;
    free(copy);
    return err_set(err, ST_NOMEM, "the daemon is out of memory");
}

static enum status control(struct daemon *d, struct rpc_call *call, enum job_event event,
                           const char *id, const char *text, struct err *err)
{
    struct job job;
    const struct verb *v = &verbs[event];
    TRY(lookup_job(d, id, &job, err));
    struct active *a = jobs_find(d->jobs, job.id);
    if (v->already & (1u << job.state))
        return answer_state(d, call, job.state, err);
    if (!a || !job_next(job.state, event))
        return refuse(v, &job, err);
    TRY(job_apply(d, a, event, &(struct change){.actor = "user", .text = text}, err));
    return answer_state(d, call, a->job.state, err);
}

#define SERVE(verb, EVENT)                                                                         \
    enum status serve_##verb(struct daemon *d, struct rpc_call *call,                              \
                             const V1(ControlRequest) * request, struct err * err)                 \
    {                                                                                              \
        return control(d, call, EVENT, request->id, request->text, err);                           \
    }
SERVE(pause, ON_PAUSE)
SERVE(resume, ON_RESUME)
SERVE(hold, ON_HOLD)
SERVE(release, ON_RELEASE)
#undef SERVE

/* ---- retry ---------------------------------------------------------------------------------- */

/* name: a checkpoint's path, its file's name or its total step; "" = the newest. */
static enum status find_checkpoint(struct daemon *d, const struct job *job, const char *name,
                                   char ret_path[JOB_FILE_MAX], struct err *err)
{
    ret_path[0] = '\0';
    if (*name == '\0')
        return ST_OK;
    return find_checkpoint_file(d, job->id, name, ret_path, err);
}

/* A job that is over lives in the store alone: it comes back among those that are not. */
static enum status take_back(struct daemon *d, const struct job *job, struct active **ret_active,
                             struct err *err)
{
    *ret_active = jobs_find(d->jobs, job->id);
    if (*ret_active)
        return ST_OK;
    if (d->jobs->n >= JOBS_MAX)
        return err_set(err, ST_LIMIT, "%d jobs are waiting or running; no more are taken",
                       JOBS_MAX);
    TRY(jobs_add(d->jobs, job, err));
    *ret_active = jobs_find(d->jobs, job->id);
    return ST_OK;
}

enum status serve_retry(struct daemon *d, struct rpc_call *call, const V1(RetryRequest) * request,
                        struct err *err)
{
    struct job job;
    char path[JOB_FILE_MAX];
    struct active *a = NULL;
    TRY(lookup_job(d, request->id, &job, err));
    if (!job_next(job.state, ON_RETRY))
        return refuse(&verbs[ON_RETRY], &job, err);
    TRY(find_checkpoint(d, &job, request->checkpoint, path, err));
    TRY(take_back(d, &job, &a, err));
    struct change change = {.actor = "user", .text = request->text, .resume_from = path};
    TRY(job_apply(d, a, ON_RETRY, &change, err));
    return answer_state(d, call, a->job.state, err);
}

/* ---- resolve -------------------------------------------------------------------------------- */

/* A person may only say what nobody can tell. */
static enum status check_unknown(const struct daemon *d, const struct active *a,
                                 const struct job *job, struct err *err)
{
    if (!a || job_state_is_over(job->state))
        return err_set(err, ST_STATE, "job %lld is over (%s); there is nothing to resolve",
                       (long long)job->id, job_state_name(job->state));
    if (job->state == JOB_UNREACHABLE)
        return ST_OK;
    bool ends = job->state == JOB_STOPPING || job->state == JOB_PAUSING;
    if (ends && a->unknown_since_ms && daemon_now_ms(d) - a->unknown_since_ms >= JOB_LOST_AFTER_MS)
        return ST_OK;
    return err_set(err, ST_STATE,
                   "job %lld is %s, and what it does is known; a person's word is taken only for a "
                   "job that is UNREACHABLE%s",
                   (long long)job->id, job_state_name(job->state),
                   job_state_holds(job->state) ? "; `espalier cancel` ends this one" : "");
}

enum status serve_resolve(struct daemon *d, struct rpc_call *call,
                          const V1(ResolveRequest) * request, struct err *err)
{
    struct job job;
    char text[JOB_TEXT_MAX];
    TRY(lookup_job(d, request->id, &job, err));
    bool failed = request->as == ESPALIER__V1__RESOLUTION__RESOLUTION_FAILED;
    if (!failed && request->as != ESPALIER__V1__RESOLUTION__RESOLUTION_REQUEUE)
        return err_set(err, ST_INVALID, "resolve job %lld as what: failed or requeue?",
                       (long long)job.id);
    struct active *a = jobs_find(d->jobs, job.id);
    TRY(check_unknown(d, a, &job, err));
    snprintf(text, sizeof text, "%s said of attempt %d: %s%s%.900s", d->caller->name,
             job.attempt.number,
             failed ? "it is over, the job failed" : "it is over, start another",
             request->text[0] ? "; " : "", request->text);
    struct change change = {.actor = "user", .text = text};
    TRY(job_apply(d, a, failed ? ON_RESOLVE_FAILED : ON_RESOLVE_REQUEUE, &change, err));
    return answer_state(d, call, a->job.state, err);
}
