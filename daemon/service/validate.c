/* validate.c - Validate: the check and the plan, nothing queued; and the wire form of both, for Submit too. */
#include "loop.h"
#include "service/check.h"
#include "service/service.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ATTEMPTS_MOST 1e9

static void fill_finding(V1(Finding) * to, struct finding *from)
{
    espalier__v1__finding__init(to);
    to->severity = from->warning ? ESPALIER__V1__SEVERITY__SEVERITY_WARNING
                                 : ESPALIER__V1__SEVERITY__SEVERITY_ERROR;
    to->line = (uint32_t)from->line;
    to->column = (uint32_t)from->column;
    to->key = from->key;
    to->text = from->text;
}

static void fill_phases(struct wire_check *w, struct check *c)
{
    const struct estimate *e = &c->estimate;
    for (int i = 0; i < e->n; i++) {
        if (e->phase[i].steps == 0 && e->phase[i].seconds == 0)
            continue;
        V1(PlanPhase) *p = &w->phase[w->plan.n_phases];
        espalier__v1__plan_phase__init(p);
        p->phase = (char *)e->phase[i].name;
        p->steps = (uint64_t)e->phase[i].steps;
        p->seconds = e->phase[i].seconds;
        w->phases[w->plan.n_phases++] = p;
    }
    w->plan.phases = w->phases;
    w->plan.estimate_seconds = e->seconds;
    w->plan.estimate_jobs = (uint32_t)e->jobs;
    w->plan.cluster = c->cluster;
}

/* Slurm's time cuts a job into attempts; the limit of an attempt ends the job. */
static void fill_attempts(struct wire_check *w, const struct check *c)
{
    double seconds = c->estimate.seconds, limit = (double)c->job->resources_time_minutes * 60,
           cut = c->in_slurm ? (double)c->job->slurm_time_minutes * 60 : 0;
    if (seconds == 0 || (limit == 0 && cut == 0))
        return;
    w->plan.attempts = cut > 0 ? (uint32_t)fmin(seconds / cut, ATTEMPTS_MOST) + 1 : 1;
    if (limit == 0 || (cut > 0 && cut < limit) || seconds <= limit)
        return;
    snprintf(w->time_note, sizeof w->time_note,
             "it will take about %.0f minutes, but resources.time_minutes ends it after %lld",
             seconds / 60, (long long)c->job->resources_time_minutes);
    w->notes[w->plan.n_notes++] = w->time_note;
}

static void fill_unfit(struct wire_check *w, const struct check *c)
{
    if (c->unfit.code == ST_OK)
        return;
    snprintf(w->unfit_note, sizeof w->unfit_note, "it would be refused here: %s", c->unfit.text);
    w->notes[w->plan.n_notes++] = w->unfit_note;
}

static void fill_plan(struct wire_check *w, struct check *c)
{
    const struct job_plan *p = &c->plan;
    espalier__v1__plan__init(&w->plan);
    w->plan.params_whole = (uint64_t)p->dense.whole;
    w->plan.params_backbones = (uint64_t)p->dense.backbones;
    w->plan.params_target = (uint64_t)p->params_target;
    w->plan.params_smallest = (uint64_t)p->params_smallest;
    w->plan.macs = (uint64_t)p->dense.macs;
    w->plan.steps = (uint64_t)p->steps;
    w->plan.ranks = (uint32_t)c->job->resources_ranks;
    w->plan.threads_per_rank = (uint32_t)c->job->resources_threads;
    w->plan.memory_per_rank_bytes = (uint64_t)p->memory_bytes;
    for (int i = 0; i < p->n_notes; i++)
        w->notes[i] = c->plan.notes[i];
    w->plan.notes = w->notes;
    w->plan.n_notes = (size_t)p->n_notes;
    fill_phases(w, c);
    fill_attempts(w, c);
    fill_unfit(w, c);
}

bool wire_check_init(struct wire_check *w, struct check *c)
{
    size_t n = (size_t)c->findings.n;
    *w = (struct wire_check){0};
    w->finding = calloc(n ? n : 1, sizeof *w->finding);
    w->findings = calloc(n ? n : 1, sizeof(V1(Finding) *));
    if (!w->finding || !w->findings) {
        wire_check_fini(w);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        fill_finding(&w->finding[i], &c->findings.list[i]);
        w->findings[i] = &w->finding[i];
    }
    if (c->job)
        fill_plan(w, c);
    return true;
}

void wire_check_fini(struct wire_check *w)
{
    free(w->finding);
    free(w->findings);
}

static void send_validate(struct daemon *d, struct rpc_call *call, void *arg)
{
    (void)d;
    struct check *c = arg;
    struct wire_check w;
    if (!wire_check_init(&w, c)) {
        rpc_call_fail(call, ST_NOMEM, "the daemon is out of memory");
        return;
    }
    V1(ValidateReply) reply = ESPALIER__V1__VALIDATE_REPLY__INIT;
    reply.findings = w.findings;
    reply.n_findings = (size_t)c->findings.n;
    reply.plan = c->job ? &w.plan : NULL;
    rpc_call_reply(call, &reply.base);
    wire_check_fini(&w);
}

enum status serve_validate(struct daemon *d, struct check *c, struct err *err)
{
    /* A file with faults is an answer; that it could not be checked is a failure. */
    if (c->st != ST_OK && c->findings.errors == 0)
        return err_set(err, c->st, "%s", c->err.text);
    if (c->job)
        TRY(estimate_load(d, c->shape, c->job, &c->estimate, err));
    if (c->job)
        check_fits(d, c, &c->unfit);
    if (!loop_answer(d, c->call, send_validate, c, check_free))
        return err_set(err, ST_NOMEM, "the daemon is out of memory");
    return ST_OK;
}
