/* explain.c - Explain: why a job waits, runs or ended as it did, and what would help. */
#include "job/act.h"
#include "job/advice.h"
#include "job/placing.h"
#include "job/slurm_reason.h"
#include "loop.h"
#include "service/access.h"
#include "service/service.h"
#include "service/slurm_job.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAUSES_MAX 8
#define CAUSE_MAX 1400
#define MIB ((int64_t)1 << 20)
#define ETA_MOST_S 1e12

struct cause {
    char text[CAUSE_MAX], remedy[400];
};

struct explanation {
    struct job job;
    const struct active *active; /* NULL: the job is over */
    char id[24], summary[200];
    struct cause cause[CAUSES_MAX];
    int n;
    uint32_t position, waiting;
};

/* The next cause; the last one is written over when there are too many. */
static struct cause *because(struct explanation *x, const char *fmt, ...) BASE_PRINTF(2, 3);
static struct cause *because(struct explanation *x, const char *fmt, ...)
{
    struct cause *c = &x->cause[x->n < CAUSES_MAX ? x->n++ : CAUSES_MAX - 1];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof c->text, fmt, ap);
    va_end(ap);
    c->remedy[0] = '\0';
    return c;
}

static void helps(struct cause *c, const char *fmt, ...) BASE_PRINTF(2, 3);
static void helps(struct cause *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->remedy, sizeof c->remedy, fmt, ap);
    va_end(ap);
}

/* Every %s of a table's sentence is the id; %% is a percent sign. */
static void helps_by(struct cause *c, const char *advice, const char *id)
{
    size_t n = 0;
    for (const char *at = advice; *at && n + 1 < sizeof c->remedy; at++) {
        if (at[0] == '%' && at[1] == 's') {
            n += (size_t)snprintf(c->remedy + n, sizeof c->remedy - n, "%s", id);
            at++;
        } else {
            at += at[0] == '%' && at[1] == '%';
            c->remedy[n++] = *at;
        }
        if (n >= sizeof c->remedy)
            n = sizeof c->remedy - 1;
    }
    c->remedy[n] = '\0';
}

static const char *span(char out[32], int64_t ms)
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    if (s < 120)
        snprintf(out, 32, "%lld s", (long long)s);
    else if (s < 7200)
        snprintf(out, 32, "%lld min", (long long)(s / 60));
    else
        snprintf(out, 32, "%lld h %lld min", (long long)(s / 3600), (long long)(s / 60 % 60));
    return out;
}

/* Since a time that a worker's clock may have told. */
static const char *span_since(const struct daemon *d, char out[32], int64_t ms)
{
    return span(out, ms > 0 ? daemon_now_ms(d) - ms : 0);
}

/* ---- what waits ------------------------------------------------------------------------------- */

static bool is_before(const struct job *a, const struct job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->id < b->id;
}

static void count_queue(const struct daemon *d, struct explanation *x)
{
    x->position = 1;
    for (size_t i = 0; i < d->jobs->n; i++) {
        const struct job *other = &d->jobs->list[i]->job;
        if (!job_state_is_waiting(other->state) || other->in_slurm)
            continue;
        x->waiting++;
        x->position += other->id != x->job.id && is_before(other, &x->job);
    }
}

/* What it needs of the node and what is there: "5 cores (3 of 8 are free)". */
static void lacks(char *out, size_t size, const char *what, int64_t need, int64_t is, int64_t has,
                  int64_t unit)
{
    size_t n = strlen(out);
    if (need > is)
        snprintf(out + n, size - n, "%s%lld %s (%lld of %lld are free)", n ? ", " : "",
                 (long long)(need / unit), what, (long long)(is / unit), (long long)(has / unit));
}

/* Ids of the jobs that have ranks on the node, with the time they may still take where it is known. */
static void who_is_there(const struct daemon *d, int node, char *out, size_t size)
{
    size_t n = 0;
    int hidden = 0;
    *out = '\0';
    for (size_t i = 0; i < d->jobs->n && n + 60 < size; i++) {
        const struct active *a = d->jobs->list[i];
        bool there =
            job_state_holds(a->job.state) && !a->job.in_slurm && !a->placement && node == 0;
        for (int r = 0; a->placement && job_state_holds(a->job.state) && r < a->placement->ranks;
             r++)
            there |= a->placement->node[r] == node;
        if (there && access_sees_job((struct daemon *)d, a->job.id))
            n += (size_t)snprintf(out + n, size - n, "%s%lld", n ? ", " : "", (long long)a->job.id);
        else
            hidden += there;
    }
    if (hidden)
        snprintf(out + n, size - n, "%s%d of others", n ? " and " : "", hidden);
}

/* On the nodes that are kept for it, what it still lacks and who has it. */
static void because_of_room(const struct daemon *d, struct explanation *x, const struct gang *g,
                            const int *on, const struct resources *room)
{
    for (int i = 0; i < d->nodes.n && x->n < CAUSES_MAX - 1; i++) {
        const struct node *node = &d->nodes.list[i];
        char what[300] = "", who[200];
        if (on[i] == 0)
            continue;
        lacks(what, sizeof what, "cores", g->each.cores * on[i], room[i].cores, node->has.cores, 1);
        lacks(what, sizeof what, "GPUs", g->each.gpus * on[i], room[i].gpus, node->has.gpus, 1);
        lacks(what, sizeof what, "MiB of memory", g->each.memory_bytes * on[i],
              room[i].memory_bytes, node->has.memory_bytes, MIB);
        if (!what[0])
            continue;
        who_is_there(d, i, who, sizeof who);
        struct cause *c = because(x, "%d of its ranks will be on %s and need %s%s%s", on[i],
                                  node->host, what, who[0] ? "; it waits for job " : "", who);
        helps(c, "it starts by itself when they end; fewer resources.ranks or resources.threads "
                 "may start sooner");
    }
}

/* Whose job it is not is not told which it is. */
static void because_of_one(const struct daemon *d, struct explanation *x, const struct job *other)
{
    bool seen = access_sees_job((struct daemon *)d, other->id);
    char which[32] = "a job of others", hold[48] = "";
    if (seen) {
        snprintf(which, sizeof which, "job %lld", (long long)other->id);
        snprintf(hold, sizeof hold, "; or espalier hold %lld", (long long)other->id);
    }
    struct cause *c = because(x,
                              "room is free, but it is kept for %s (priority %d, this one has %d), "
                              "which comes first and waits for more",
                              which, other->priority, x->job.priority);
    helps(c, "espalier update %s --priority %d lets it pass%s", x->id,
          other->priority < 100 ? other->priority + 1 : 100, hold);
}

/* There is room for it now, but others come first. */
static void because_of_others(const struct daemon *d, struct explanation *x)
{
    for (size_t i = 0; i < d->jobs->n; i++) {
        const struct job *other = &d->jobs->list[i]->job;
        if (!job_state_is_waiting(other->state) || other->in_slurm || other->id == x->job.id ||
            !is_before(other, &x->job))
            continue;
        because_of_one(d, x, other);
        return;
    }
}

static void because_of_drain(const struct daemon *d, struct explanation *x)
{
    for (int i = 0; i < d->nodes.n; i++)
        if (d->nodes.list[i].drained) {
            struct cause *c =
                because(x, "node %s is drained: nothing new starts there", d->nodes.list[i].host);
            helps(c, "espalier nodes --resume %s", d->nodes.list[i].host);
        }
}

/* The nodes with what is free of them, and what they have when they are empty. */
static void explain_place(const struct daemon *d, struct explanation *x)
{
    const struct queue_job q = queue_job_of(&x->job);
    struct rooms *rooms = rooms_now(d);
    struct resources *empty = calloc((size_t)d->nodes.n, sizeof *empty);
    int *on = calloc((size_t)d->nodes.n, sizeof *on);
    struct err err;
    for (int i = 0; empty && i < d->nodes.n; i++)
        empty[i] = d->nodes.list[i].has;
    if (rooms && empty && on) {
        if (place_check_fits(&d->nodes, &q.gang, &err) != ST_OK)
            helps(because(x, "it can never start: %s", err.text),
                  "espalier cancel %s, and submit it with smaller resources", x->id);
        else if (!place_gang(&d->nodes, empty, &q.gang, on))
            because_of_drain(d, x);
        else if (place_gang(&d->nodes, rooms->free, &q.gang, on))
            because_of_others(d, x);
        else if (place_gang(&d->nodes, empty, &q.gang, on))
            because_of_room(d, x, &q.gang, on, rooms->free);
    }
    rooms_destroy(rooms);
    free(empty);
    free(on);
}

static void explain_last_attempt(struct explanation *x)
{
    const struct job *j = &x->job;
    if (j->attempt.number == 0 || j->attempt.ended_ms == 0)
        return;
    struct cause *c =
        because(x, "attempt %d ended: %s%s%s", j->attempt.number,
                job_reason_meaning(j->attempt.reason), j->text[0] ? ". " : "", j->text);
    helps_by(c, reason_advice(j->attempt.reason, j->in_slurm), x->id);
}

static void explain_waiting(const struct daemon *d, struct explanation *x)
{
    char text[32];
    int64_t left = x->job.not_before_ms - daemon_now_ms(d);
    if (!x->job.in_slurm) {
        count_queue(d, x);
        snprintf(x->summary, sizeof x->summary, "it is number %u of %u in the queue, priority %d",
                 x->position, x->waiting, x->job.priority);
    } else {
        snprintf(x->summary, sizeof x->summary, "it is about to be handed to Slurm");
    }
    if (left > 0)
        because(x, "after such an end the next attempt waits; it may start in %s",
                span(text, left));
    else if (!x->job.in_slurm)
        explain_place(d, x);
    explain_last_attempt(x);
}

/* ---- what is under way ------------------------------------------------------------------------ */

static void explain_slurm(struct daemon *d, struct explanation *x)
{
    struct evidence ev = {0};
    struct wire_slurm w = {0};
    job_poll(d, (struct active *)x->active, &ev);
    const V1(SlurmJob) *slurm = wire_slurm_load(d, &x->job, &w);
    struct slurm_reason r = {0};
    slurm_reason_find(ev.text, &r);
    struct cause *c = because(x, "Slurm says %s%s%s", ev.text[0] ? ev.text : "nothing yet",
                              r.words[0] ? ": " : "", r.words);
    char advice[sizeof r.look + sizeof r.change + sizeof "; "];
    snprintf(advice, sizeof advice, "%s%s%s", r.look, r.look[0] && r.change[0] ? "; " : "",
             r.change);
    helps_by(c, advice, slurm && slurm->id[0] ? slurm->id : "JOBID");
    if (slurm && w.note.excluded[0])
        helps(because(x, "it is kept off %s, where an earlier attempt was lost", w.note.excluded),
              "if they are healthy again: scontrol update JobId=%s ExcNodeList=NODES, with those "
              "alone that you want kept off",
              slurm->id[0] ? slurm->id : "JOBID");
    wire_slurm_fini(&w);
}

static void explain_starting(struct daemon *d, struct explanation *x)
{
    char text[32];
    const char *since = span_since(d, text, x->job.attempt.started_ms);
    if (x->job.in_slurm && x->job.state == JOB_SUBMITTED)
        snprintf(x->summary, sizeof x->summary, "attempt %d has been in Slurm's queue for %s",
                 x->job.attempt.number, since);
    else
        snprintf(x->summary, sizeof x->summary,
                 "attempt %d was started %s ago and has not reported", x->job.attempt.number,
                 since);
    if (x->job.in_slurm)
        explain_slurm(d, x);
    else
        helps(because(x, "its ranks are coming up: mpirun, then data sets are opened"),
              "espalier logs %s -f, if it takes longer than usual", x->id);
}

static void explain_running(struct daemon *d, struct explanation *x)
{
    struct wire_progress p;
    char eta[32], age[32];
    wire_progress_load(d, x->job.id, &p);
    if (p.progress && p.progress->eta_seconds >= 0)
        snprintf(x->summary, sizeof x->summary,
                 "it runs: %.20s, step %llu of %llu, about %s to go (reported %s ago)",
                 p.progress->phase, (unsigned long long)p.progress->total_step,
                 (unsigned long long)p.progress->total_steps,
                 span(eta, (int64_t)(fmin(p.progress->eta_seconds, ETA_MOST_S) * 1000)),
                 span_since(d, age, p.progress->time_ms));
    else
        snprintf(x->summary, sizeof x->summary, "it runs; it has not reported a step yet");
    wire_progress_fini(&p);
    if (x->job.state == JOB_STALLED)
        helps_by(because(x, "no step for long: %s", x->job.text),
                 reason_advice(REASON_STALLED, x->job.in_slurm), x->id);
}

static void explain_stopping(struct daemon *d, struct explanation *x)
{
    char asked[32], term[32], kill[32];
    int64_t ago = daemon_now_ms(d) - x->job.changed_ms;
    snprintf(x->summary, sizeof x->summary, "it was asked %s ago to write a checkpoint and end",
             span(asked, ago));
    because(x, "SIGTERM after %s, SIGKILL after %s", span(term, d->options.term_ms),
            span(kill, job_kill_ms(d, x->job.state)));
}

static void explain_unreachable(struct explanation *x)
{
    snprintf(x->summary, sizeof x->summary, "nothing is known about its attempt %d",
             x->job.attempt.number);
    helps_by(because(x, "there is no sign of life and no evidence of an end%s%s",
                     x->job.text[0] ? ": " : "", x->job.text),
             reason_advice(REASON_NO_CONTACT, x->job.in_slurm), x->id);
}

/* ---- what is over, and what a person stopped -------------------------------------------------- */

/* What of the job sbatch did not like, where its words are known. */
static void explain_refusal(struct explanation *x)
{
    struct slurm_reason r;
    if (slurm_reason_find(x->job.text, &r))
        helps_by(because(x, "%s", r.words), r.look, x->id);
}

static void explain_over(struct explanation *x)
{
    if (x->job.state == JOB_COMPLETED) {
        snprintf(x->summary, sizeof x->summary, "it is done; every result is durable");
        helps(because(x, "its results can be fetched"), "espalier pull %s", x->id);
        return;
    }
    snprintf(x->summary, sizeof x->summary, "it ended as %s after %d attempt%s",
             job_state_name(x->job.state), x->job.attempt.number,
             x->job.attempt.number == 1 ? "" : "s");
    struct cause *c = because(x, "%s%s%s", job_reason_meaning(x->job.reason),
                              x->job.text[0] ? ". " : "", x->job.text);
    helps_by(c, reason_advice(x->job.reason, x->job.in_slurm), x->id);
    if (x->job.in_slurm && x->job.reason == REASON_LAUNCH_FAILED)
        explain_refusal(x);
}

static void explain_kept_back(struct explanation *x)
{
    bool held = x->job.state == JOB_HELD;
    snprintf(x->summary, sizeof x->summary, "a person %s", held ? "holds it back" : "paused it");
    helps_by(
        because(x, "it waits until somebody says so%s%s", x->job.text[0] ? ": " : "", x->job.text),
        reason_advice(held ? REASON_HELD : REASON_PAUSED, x->job.in_slurm), x->id);
}

static void explain(struct daemon *d, struct explanation *x)
{
    enum job_state s = x->job.state;
    if (job_state_is_over(s))
        explain_over(x);
    else if (job_state_is_waiting(s))
        explain_waiting(d, x);
    else if (s == JOB_HELD || s == JOB_PAUSED)
        explain_kept_back(x);
    else if (s == JOB_STOPPING || s == JOB_PAUSING)
        explain_stopping(d, x);
    else if (s == JOB_UNREACHABLE)
        explain_unreachable(x);
    else if (s == JOB_RUNNING || s == JOB_STALLED)
        explain_running(d, x);
    else
        explain_starting(d, x);
}

/* ---- the answer ------------------------------------------------------------------------------- */

static void reply_with(struct rpc_call *call, struct explanation *x)
{
    V1(Cause) cause[CAUSES_MAX], *causes[CAUSES_MAX];
    V1(ExplainReply) reply = ESPALIER__V1__EXPLAIN_REPLY__INIT;
    for (int i = 0; i < x->n; i++) {
        espalier__v1__cause__init(&cause[i]);
        cause[i].text = x->cause[i].text;
        cause[i].remedy = x->cause[i].remedy;
        causes[i] = &cause[i];
    }
    reply.id = x->id;
    reply.state = (V1(JobState))x->job.state;
    reply.summary = x->summary;
    reply.causes = causes;
    reply.n_causes = (size_t)x->n;
    reply.position = x->position;
    reply.waiting = x->waiting;
    rpc_call_reply(call, &reply.base);
}

static void send_explain(struct daemon *d, struct rpc_call *call, void *arg)
{
    struct err err;
    struct explanation *x = calloc(1, sizeof *x);
    if (!x) {
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
    } else if (lookup_job(d, arg, &x->job, &err) != ST_OK) {
        rpc_call_fail(call, err.code, err.text);
    } else {
        x->active = jobs_find(d->jobs, x->job.id);
        snprintf(x->id, sizeof x->id, "%lld", (long long)x->job.id);
        explain(d, x);
        reply_with(call, x);
    }
    free(x);
}

enum status serve_explain(struct daemon *d, struct rpc_call *call,
                          const V1(ExplainRequest) * request, struct err *err)
{
    if (!loop_answer_read(d, call, send_explain, request->id, NULL))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}
