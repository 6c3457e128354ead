/* act.c - see act.h. */
#include "job/act.h"

#include "base/file.h"
#include "base/log.h"
#include "daemon.h"
#include "job/change.h"
#include "job/folder.h"
#include "job/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPLAIN_EVERY_MS 30000

static const struct change by_daemon = {.actor = "daemon"};
static const struct change by_launcher = {.actor = "launcher"};

/* The launcher's view of a job, with the paths it borrows. */
struct view {
    struct launch_spec spec;
    char dir[FOLDER_PATH_MAX], attempt_dir[FOLDER_PATH_MAX];
};

static void view_init(struct view *v, const struct daemon *d, const struct active *a)
{
    const struct job *job = &a->job;
    folder_path(d, job->id, v->dir);
    folder_attempt_path(d, job, v->attempt_dir);
    v->spec = (struct launch_spec){.job_id = job->id,
                                   .attempt = job->attempt.number,
                                   .job_dir = v->dir,
                                   .attempt_dir = v->attempt_dir,
                                   .name = job->name,
                                   .ranks = job->ranks,
                                   .threads = job->threads,
                                   .gpus_per_rank = job->gpus_per_rank,
                                   .nodes = &d->nodes,
                                   .placement = a->placement,
                                   .priority = job->priority,
                                   .done = job->attempt.done && job->attempt.done_success,
                                   .in_slurm = job->in_slurm,
                                   .reported = job->attempt.reported};
}

const char *job_stop_reason(const struct job *job)
{
    if (job->state == JOB_PAUSING)
        return "paused";
    if (job->state != JOB_STOPPING)
        return NULL;
    return job->reason == REASON_TIME_LIMIT ? "timeout"
           : job->reason == REASON_STALLED  ? "stalled"
                                            : "cancelled";
}

/* ---- the end of an attempt ------------------------------------------------------------------ */

static enum end_kind end_kind_of(enum evidence_kind kind)
{
    switch (kind) {
    case EVIDENCE_VANISHED:
        return END_VANISHED;
    case EVIDENCE_HOST_RESTARTED:
        return END_HOST_RESTARTED;
    case EVIDENCE_REFUSED:
        return END_NOT_LAUNCHED;
    case EVIDENCE_PREEMPTED:
        return END_PREEMPTED;
    case EVIDENCE_WALL_TIME:
        return END_WALL_TIME;
    case EVIDENCE_NODE_LOST:
        return END_NODE_LOST;
    case EVIDENCE_NO_MEMORY:
        return END_NO_MEMORY;
    case EVIDENCE_CANCELLED:
        return END_CANCELLED;
    default:
        return END_EXITED;
    }
}

static bool said_why(const struct job *job, const struct job_end *end)
{
    return end->done && !end->done_success && job->attempt.done_text[0];
}

static void describe_exit(char *out, size_t size, const struct job *job, const struct job_end *end,
                          const char *launcher_text)
{
    if (end->kind >= END_PREEMPTED)
        snprintf(out, size, "%s", launcher_text);
    else if (said_why(job, end))
        snprintf(out, size, "%s", job->attempt.done_text);
    else if (end->kind == END_NOT_LAUNCHED)
        snprintf(out, size, "the ranks could not be started: %s", launcher_text);
    else if (end->kind == END_VANISHED)
        snprintf(out, size, "all processes of the attempt are gone and left no exit record");
    else if (end->kind == END_HOST_RESTARTED)
        snprintf(out, size, "the machine was started anew while the attempt ran");
    else if (end->signal || end->exit_code > 128)
        snprintf(out, size, "a rank or mpirun was killed by signal %d",
                 end->signal ? end->signal : end->exit_code - 128);
    else if (end->exit_code == 0)
        snprintf(out, size, "the worker ended with exit code 0 but never said that it was done");
    else
        snprintf(out, size, "the worker ended with exit code %d", end->exit_code);
}

/* One sentence for people; with the log's last lines where the worker itself could not say why. */
static void describe_end(const struct daemon *d, const struct job *job, const struct job_end *end,
                         enum job_event event, const char *launcher_text, char out[JOB_TEXT_MAX])
{
    out[0] = '\0';
    bool said_stopped = end->done && end->done_reason && strcmp(end->done_reason, "stopped") == 0;
    if (end->kind == END_CANCELLED && job->state != JOB_STOPPING && event == ON_END_CANCELLED)
        snprintf(out, JOB_TEXT_MAX, "cancelled in Slurm, not here: %s", launcher_text);
    if (event == ON_END_OK || event == ON_END_CANCELLED || (event == ON_END_PAUSED && said_stopped))
        return;
    if (event == ON_END_TIMEOUT) {
        snprintf(out, JOB_TEXT_MAX, "attempt %d reached its time limit of %lld minutes",
                 job->attempt.number, (long long)(job->time_limit_ms / 60000));
        return;
    }
    char what[JOB_DONE_TEXT_MAX], tail[400] = "";
    describe_exit(what, sizeof what, job, end, launcher_text);
    if (!said_why(job, end))
        folder_log_tail(d, job->id, tail, sizeof tail);
    snprintf(out, JOB_TEXT_MAX, "attempt %d%s: %s%s%s", job->attempt.number,
             event == ON_END_FAILED ? ", the last" : "", what,
             tail[0] ? ". Last lines of the log: " : "", tail);
}

/* What the job may still spend. The attempt that ends is not in the store as ended yet: it is added here. */
struct count {
    enum job_reason reason;
    struct job_spent spent;
};

static bool count_one(const struct attempt *t, void *user)
{
    struct count *c = user;
    bool bad = t->ended_ms && job_reason_retry(t->reason) != RETRY_NONE;
    c->spent.same += bad && t->reason == c->reason;
    c->spent.counted += bad && job_reason_limit(t->reason) == 0;
    return true;
}

static enum status count_spent(struct daemon *d, const struct job *job, enum job_reason reason,
                               struct job_spent *ret_spent, struct err *err)
{
    struct count c = {reason, {1, job_reason_limit(reason) == 0}};
    TRY(store_attempts(d->store, job->id, job->counted_from, count_one, &c, err));
    *ret_spent = c.spent;
    return ST_OK;
}

int job_retries(const struct daemon *d, const struct job *job)
{
    return job->retries >= 0 ? job->retries : d->options.retries;
}

static void judge_end(struct daemon *d, struct active *a, const struct job_end *end,
                      const char *launcher_text)
{
    struct err err;
    struct job_spent spent;
    char text[JOB_TEXT_MAX];
    struct change change = {.actor = "launcher", .text = text};
    enum job_reason reason = job_end_reason(end, a->job.state, a->job.reason);
    enum status st = count_spent(d, &a->job, reason, &spent, &err);
    if (st == ST_OK) {
        enum job_event event = job_end_event(end, a->job.state, a->job.reason, reason, &spent,
                                             job_retries(d, &a->job), &change.reason);
        describe_end(d, &a->job, end, event, launcher_text, text);
        if (event == ON_END_RETRY)
            change.wait_ms =
                job_retry_wait_ms(reason, &spent, daemon_now_ms(d) - a->job.attempt.started_ms,
                                  d->options.retry_wait_ms);
        st = job_apply(d, a, event, &change, &err);
    }
    if (st != ST_OK)
        log_warn("job %lld: %s", (long long)a->job.id, err.text);
}

static void end_attempt(struct daemon *d, struct active *a, const struct evidence *ev)
{
    struct err err;
    enum status st = records_take_spool(d, a, &err);
    if (st != ST_OK) {
        /* What it left cannot be read now: judging the end without it could call a finished job failed. */
        log_warn("job %lld: %s", (long long)a->job.id, err.text);
        return;
    }
    struct attempt *t = &a->job.attempt;
    t->exit_code = ev->exit_code;
    t->signal = ev->signal;
    /* srun ends with 0 when a node fails: without the worker's own word that is no success, with it it is. */
    bool whole = ev->clean && t->done && t->done_success;
    struct job_end end = {.kind = whole ? END_EXITED : end_kind_of(ev->kind),
                          .exit_code = ev->exit_code,
                          .signal = ev->signal,
                          .done = t->done,
                          .done_success = t->done && t->done_success,
                          .done_reason = t->done_reason};
    bool saved = false;
    if (end.kind == END_WALL_TIME) {
        if (store_attempt_saved(d->store, a->job.id, t->number, &saved, &err) != ST_OK)
            return; /* looked at again at the next tick */
        end.no_checkpoint = !saved;
    }
    judge_end(d, a, &end, ev->text);
}

/* ---- starting ------------------------------------------------------------------------------- */

static void say_waiting(const struct daemon *d, struct active *a, const char *why)
{
    int64_t now = daemon_now_ms(d);
    if (now - a->complained_ms <= COMPLAIN_EVERY_MS)
        return;
    a->complained_ms = now;
    log_warn("job %lld waits to be started: %s", (long long)a->job.id, why);
}

/* A full disk, a full process table, a file server that is away pass: the job stays SUBMITTED and is tried again later. */
static void start_failed(struct daemon *d, struct active *a, const struct err *why)
{
    if (!status_is_passing(why->code)) {
        struct evidence ev = {.kind = EVIDENCE_REFUSED};
        snprintf(ev.text, sizeof ev.text, "%.250s", why->text);
        end_attempt(d, a, &ev);
    } else {
        say_waiting(d, a, why->text);
    }
}

/* A cluster is told what the job asked for when it was submitted. */
static enum status hand_over(struct daemon *d, struct view *v, struct err *err)
{
    struct buf request;
    if (!v->spec.in_slurm)
        return d->launch->ops->start(d->launch, &v->spec, err);
    buf_init(&request, STORE_SLURM_MAX);
    enum status st = store_slurm_load(d->store, v->spec.job_id, &request, err);
    v->spec.request = buf_str(&request);
    if (st == ST_OK)
        st = d->launch->ops->start(d->launch, &v->spec, err);
    v->spec.request = NULL;
    buf_fini(&request);
    return st;
}

/* In a cluster it has only been queued: polling tells when it begins. */
static void start_attempt(struct daemon *d, struct active *a)
{
    struct view v;
    struct err err;
    view_init(&v, d, a);
    a->start_after_ms =
        d->clock->mono_ms(d->clock) + clock_backoff_ms(++a->starts, (uint64_t)a->job.id);
    enum status st = folder_prepare(d, &a->job, &err);
    if (st == ST_OK)
        st = hand_over(d, &v, &err);
    if (st != ST_OK)
        start_failed(d, a, &err);
    else if (!a->job.in_slurm && job_next(a->job.state, ON_START))
        job_apply(d, a, ON_START, &by_launcher, NULL);
}

static void ask_to_stop(struct daemon *d, struct active *a)
{
    struct view v;
    view_init(&v, d, a);
    if (d->launch->ops->ask)
        d->launch->ops->ask(d->launch, &v.spec);
}

void job_act(struct daemon *d, struct active *a)
{
    if (a->job.state == JOB_SUBMITTED) {
        a->starts = 0;
        start_attempt(d, a);
    } else if (job_stop_reason(&a->job))
        ask_to_stop(d, a);
}

/* ---- the tick ------------------------------------------------------------------------------- */

int64_t job_kill_ms(const struct daemon *d, enum job_state state)
{
    /* A pause is no good without its checkpoint, which may take its time. */
    return state == JOB_PAUSING ? d->options.pause_kill_ms : d->options.kill_ms;
}

static void climb_ladder(struct daemon *d, struct active *a, const struct view *v)
{
    int64_t waited = daemon_now_ms(d) - a->job.changed_ms;
    if (!job_stop_reason(&a->job))
        return;
    if (waited >= job_kill_ms(d, a->job.state)) {
        /* Again at every tick: a process may have been born between two looks. */
        d->launch->ops->stop(d->launch, &v->spec, STOP_KILL);
        a->rung = 2;
    } else if (waited >= d->options.term_ms && a->rung < 1) {
        d->launch->ops->stop(d->launch, &v->spec, STOP_TERM);
        a->rung = 1;
    }
}

static void check_time(struct daemon *d, struct active *a)
{
    const struct job *job = &a->job;
    int64_t ran = daemon_now_ms(d) - job->attempt.started_ms;
    if (job->time_limit_ms > 0 && ran > job->time_limit_ms && job_next(job->state, ON_TIME_UP))
        job_apply(d, a, ON_TIME_UP, &by_daemon, NULL);
}

static void contact_lost(struct daemon *d, struct active *a, const struct evidence *ev)
{
    int64_t now = daemon_now_ms(d);
    if (a->job.state == JOB_SUBMITTED && !a->job.in_slurm) {
        say_waiting(d, a, ev->text); /* nothing was started that could be lost */
        return;
    }
    if (a->unknown_since_ms == 0)
        a->unknown_since_ms = now;
    struct change change = {.actor = "launcher", .text = ev->text};
    if (now - a->unknown_since_ms >= JOB_LOST_AFTER_MS && job_next(a->job.state, ON_LOSE))
        job_apply(d, a, ON_LOSE, &change, NULL);
}

/* A launcher was started that could start nothing; the next one after a while. Time spent so is none of the attempt's,
 * nor is it a stall. */
static void begin_again(struct daemon *d, struct active *a)
{
    a->stall = (struct stall_watch){0};
    if (a->job.state == JOB_STARTING) {
        a->job.attempt.started_ms = daemon_now_ms(d);
        say_waiting(
            d, a, "its launcher could not start it, and is started again; the job's log says why");
    }
    if (d->clock->mono_ms(d->clock) >= a->start_after_ms)
        start_attempt(d, a);
}

/* Never started. While it is wanted it is started (again); else it must be made sure that it never will be. */
static void start_or_forget(struct daemon *d, struct active *a, const struct view *v)
{
    if (!job_stop_reason(&a->job))
        begin_again(d, a);
    else if (file_mkdirs(v->attempt_dir, 0700, NULL) == ST_OK)
        d->launch->ops->stop(d->launch, &v->spec, STOP_TERM);
}

static void seen_alive(struct daemon *d, struct active *a)
{
    if (a->job.state == JOB_UNREACHABLE)
        job_apply(d, a, ON_FIND, &by_launcher, NULL);
    else if (job_next(a->job.state, ON_START))
        job_apply(d, a, ON_START, &by_launcher, NULL);
}

static void poll_attempt(struct daemon *d, const struct active *a, const struct view *v,
                         struct evidence *ret_ev)
{
    const struct job *job = &a->job;
    d->launch->ops->poll(d->launch, &v->spec, ret_ev);
    if (ret_ev->kind != EVIDENCE_ABSENT ||
        job_state_may_be_unborn(job->state, job->attempt.reported > 0))
        return;
    *ret_ev = (struct evidence){.kind = EVIDENCE_UNKNOWN};
    snprintf(
        ret_ev->text, sizeof ret_ev->text,
        "attempt %d began, and %.120s holds nothing of it now; look whether its file system is "
        "mounted",
        job->attempt.number, v->attempt_dir);
}

void job_poll(struct daemon *d, struct active *a, struct evidence *ret_ev)
{
    struct view v;
    view_init(&v, d, a);
    poll_attempt(d, a, &v, ret_ev);
}

static void look_after(struct daemon *d, struct active *a)
{
    struct view v;
    struct evidence ev;
    view_init(&v, d, a);
    poll_attempt(d, a, &v, &ev);
    if (ev.kind != EVIDENCE_UNKNOWN)
        a->unknown_since_ms = 0;
    switch (ev.kind) {
    case EVIDENCE_UNKNOWN:
        contact_lost(d, a, &ev);
        break;
    case EVIDENCE_ABSENT:
        start_or_forget(d, a, &v);
        break;
    case EVIDENCE_PENDING:
        break;
    case EVIDENCE_STARTING:
    case EVIDENCE_ALIVE:
        seen_alive(d, a);
        stall_check(d, a, v.attempt_dir);
        break;
    case EVIDENCE_EXITED:
    case EVIDENCE_VANISHED:
    case EVIDENCE_HOST_RESTARTED:
    case EVIDENCE_REFUSED:
    case EVIDENCE_PREEMPTED:
    case EVIDENCE_WALL_TIME:
    case EVIDENCE_NODE_LOST:
    case EVIDENCE_NO_MEMORY:
    case EVIDENCE_CANCELLED:
        end_attempt(d, a, &ev);
        return;
    }
    check_time(d, a);
    climb_ladder(d, a, &v);
}

void jobs_tick(struct daemon *d)
{
    if (d->launch->ops->tick)
        d->launch->ops->tick(d->launch);
    for (size_t i = 0; i < d->jobs->n && d->group_err.code == ST_OK; i++)
        if (job_state_holds(d->jobs->list[i]->job.state) && !d->jobs->list[i]->changed)
            look_after(d, d->jobs->list[i]);
}
