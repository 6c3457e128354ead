/* job_view.c - see job_view.h. */
#include "client/job_view.h"

#include "client/job_text.h"
#include "term/bar.h"
#include "term/format.h"

#include <stdio.h>
#include <string.h>

/* ---- model ---------------------------------------------------------------------------------------- */

/* The phase of that name; one that was not planned comes in behind the present one. */
static struct view_phase *phase_of(struct job_view *v, const char *name)
{
    for (int i = 0; i < v->nphases; i++)
        if (!strcmp(v->phase[i].name, name))
            return &v->phase[i];
    if (v->nphases == VIEW_PHASES_MAX)
        return NULL;
    int at = v->current >= 0 ? v->current + 1 : v->nphases;
    struct view_phase *p = &v->phase[at];
    memmove(p + 1, p, sizeof *p * (size_t)(v->nphases++ - at));
    *p = (struct view_phase){.seconds = -1};
    snprintf(p->name, sizeof p->name, "%s", name);
    return p;
}

/* Which phases a job has is worker/run/recipe.c's to say; this list follows it. */
static void plan_phase(struct job_view *v, const char *name, int64_t steps, bool wanted)
{
    struct view_phase *p = wanted ? phase_of(v, name) : NULL;
    if (p)
        p->steps = (uint64_t)steps;
}

/* The daemon has checked the file; a file that a newer daemon takes and this client does not only costs the
 * plan: phases then appear as they begin. */
static void plan_phases(struct job_view *v, const Espalier__V1__Job *job)
{
    struct jobfile_override over[64];
    struct jobfile *j = NULL;
    struct findings findings;
    int n = 0;
    for (size_t i = 0; i < job->n_overrides && n < 64; i++)
        over[n++] = (struct jobfile_override){job->overrides[i]->key, job->overrides[i]->value};
    const struct jobfile_source source = {.text = (const char *)job->job_file.data,
                                          .len = job->job_file.len,
                                          .folder = "/",
                                          .over = over,
                                          .n_over = n};
    enum status st = jobfile_parse(&j, &source, &findings, NULL);
    findings_fini(&findings);
    if (st != ST_OK)
        return;
    bool search = j->search_steps > 0;
    plan_phase(v, "warmup", j->warmup_steps, j->warmup_steps > 0);
    plan_phase(v, "pretrain", j->pretrain_steps, j->pretrain_steps > 0);
    plan_phase(v, "task", j->task_steps, j->task_steps > 0);
    plan_phase(v, "dense", 0, true);
    plan_phase(v, "control", j->control_steps, j->control_steps > 0);
    plan_phase(v, "search", j->search_steps, search);
    plan_phase(v, "harden", 0, search);
    plan_phase(v, "finetune", j->finetune_steps, j->finetune_steps > 0);
    plan_phase(v, "evaluate", 0, j->finetune_steps > 0);
    plan_phase(v, "export", 0, true);
    v->target = search ? j->method_target : 0;
    jobfile_destroy(j);
}

void job_view_init(struct job_view *v, const Espalier__V1__Job *job)
{
    *v = (struct job_view){.state = job->state, .attempt = job->attempt, .current = -1, .kept = 1};
    v->submitted_ms = job->submitted_ms;
    v->started_ms = job->started_ms;
    v->ended_ms = job->ended_ms;
    snprintf(v->id, sizeof v->id, "%s", job->id);
    snprintf(v->name, sizeof v->name, "%s", job->name);
    plan_phases(v, job);
}

static void take_progress(struct job_view *v, const Espalier__V1__Progress *p, int64_t time_ms)
{
    struct view_phase *phase = phase_of(v, p->phase);
    if (phase) {
        phase->step = p->step;
        phase->steps = p->steps ? p->steps : phase->steps;
        phase->seconds = -1; /* a new attempt may go back */
        v->current = (int)(phase - v->phase);
    }
    v->any_progress = true;
    v->loss = p->loss;
    v->kept = p->params_kept;
    v->target = p->params_target > 0 ? p->params_target : v->target;
    v->step_seconds = p->step_seconds;
    v->eta_seconds = p->eta_seconds;
    v->progress_ms = time_ms;
}

static void take_state(struct job_view *v, const Espalier__V1__StateChange *s, int64_t time_ms)
{
    v->state = s->to;
    v->attempt = s->attempt ? s->attempt : v->attempt;
    snprintf(v->text, sizeof v->text, "%s", s->text);
    if (s->to == ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING && !v->started_ms)
        v->started_ms = time_ms;
    if (exit_of_state(s->to) >= 0)
        v->ended_ms = time_ms;
}

static void take_phase(struct job_view *v, const Espalier__V1__PhaseTime *done)
{
    struct view_phase *phase = phase_of(v, done->phase);
    if (!phase)
        return;
    phase->seconds = done->seconds;
    phase->step = phase->steps;
    v->current = (int)(phase - v->phase);
}

static void take_metric(struct job_view *v, const Espalier__V1__Metric *m)
{
    struct view_metric *slot = NULL;
    for (int i = 0; i < v->nmetrics && !slot; i++)
        if (!strcmp(v->metric[i].name, m->name))
            slot = &v->metric[i];
    if (!slot && v->nmetrics == VIEW_METRICS_MAX)
        return;
    if (!slot)
        slot = &v->metric[v->nmetrics++];
    snprintf(slot->name, sizeof slot->name, "%s", m->name);
    slot->value = m->value;
}

static void remember(struct job_view *v, const struct term *t, const Espalier__V1__Event *e)
{
    struct buf text;
    buf_init(&text, 8192);
    event_text(&text, t, e);
    if (v->nevents == VIEW_EVENTS_MAX)
        memmove(v->event, v->event + 1, sizeof *v->event * --v->nevents);
    struct view_event *slot = &v->event[v->nevents++];
    slot->time_ms = e->time_ms;
    snprintf(slot->text, sizeof slot->text, "%s", buf_str(&text));
    buf_fini(&text);
}

void job_view_event(struct job_view *v, const struct term *t, const Espalier__V1__Event *e)
{
    switch ((int)e->kind_case) {
    case ESPALIER__V1__EVENT__KIND_PROGRESS:
        take_progress(v, e->progress, e->time_ms);
        return; /* the bars show it */
    case ESPALIER__V1__EVENT__KIND_METRIC:
        take_metric(v, e->metric);
        return; /* a table at the end shows it */
    case ESPALIER__V1__EVENT__KIND_STATE:
        take_state(v, e->state, e->time_ms);
        break;
    case ESPALIER__V1__EVENT__KIND_PHASE_DONE:
        take_phase(v, e->phase_done);
        break;
    case ESPALIER__V1__EVENT__KIND_STRUCTURE:
        v->kept = e->structure->params_kept;
        break;
    default:
        break;
    }
    remember(v, t, e);
}

/* ---- drawing -------------------------------------------------------------------------------------- */

static bool is_over(const struct job_view *v)
{
    return exit_of_state(v->state) >= 0;
}

static void draw_head(const struct job_view *v, const struct term *t, int64_t now_ms,
                      struct buf *out)
{
    char state[16], time[FORMAT_MAX];
    int64_t from = v->started_ms ? v->started_ms : v->submitted_ms;
    int64_t until = v->ended_ms ? v->ended_ms : now_ms;
    term_style(out, t, STYLE_BOLD, "job %s", v->id);
    buf_puts(out, v->name[0] ? "  " : "");
    term_clean(out, v->name, strlen(v->name));
    buf_puts(out, "  ");
    term_style(out, t, state_style(v->state), "%s", state_text(v->state, state));
    if (v->attempt > 1)
        term_style(out, t, STYLE_DIM, "  attempt %u", v->attempt);
    term_style(out, t, STYLE_DIM, "  %s %s",
               is_over(v)      ? "after"
               : v->started_ms ? "running"
                               : "waiting",
               format_duration(time, (double)(until - from) / 1e3));
    if (v->lost)
        term_style(out, t, STYLE_YELLOW, "  no connection, trying again");
    buf_puts(out, "\n");
}

static void draw_phase(const struct job_view *v, const struct term *t, int i, int columns,
                       struct buf *out)
{
    const struct view_phase *p = &v->phase[i];
    bool done = p->seconds >= 0, now = i == v->current && !done && !is_over(v);
    double part = done ? 1 : p->steps ? (double)p->step / (double)p->steps : 0;
    char text[FORMAT_MAX] = "";
    buf_puts(out, "  ");
    term_style(out, t, now ? STYLE_BOLD : done ? STYLE_PLAIN : STYLE_DIM, "%-10s", p->name);
    bar_draw(out, t, columns, part, done ? STYLE_GREEN : STYLE_CYAN);
    if (done)
        term_style(out, t, STYLE_DIM, "  %s", format_duration(text, p->seconds));
    else if (p->steps)
        term_style(out, t, now ? STYLE_PLAIN : STYLE_DIM, "  %llu / %llu",
                   (unsigned long long)p->step, (unsigned long long)p->steps);
    else if (now)
        buf_puts(out, "  ...");
    buf_puts(out, "\n");
}

static void draw_numbers(const struct job_view *v, const struct term *t, int columns,
                         struct buf *out)
{
    char a[FORMAT_MAX], b[FORMAT_MAX];
    if (!v->any_progress)
        return;
    buf_puts(out, "\n  ");
    term_style(out, t, STYLE_DIM, "%-10s", "loss");
    buf_printf(out, "%-10.4g", v->loss);
    term_style(out, t, STYLE_DIM, "step ");
    buf_printf(out, "%-10s", format_duration(a, v->step_seconds));
    term_style(out, t, STYLE_DIM, "ETA ");
    buf_printf(out, "%s\n", is_over(v) ? "-" : format_duration(a, v->eta_seconds));
    if (!(v->target > 0))
        return;
    buf_puts(out, "  ");
    term_style(out, t, STYLE_DIM, "%-10s", "kept");
    bar_draw(out, t, columns, v->kept, v->kept <= v->target * 1.0005 ? STYLE_GREEN : STYLE_YELLOW);
    buf_printf(out, "  %s, target %s\n", format_percent(a, v->kept), format_percent(b, v->target));
}

/* What the job found out, once it is over: the evaluation's metrics. */
static int draw_metrics(const struct job_view *v, const struct term *t, struct buf *out)
{
    int lines = 0;
    for (int i = 0; i < v->nmetrics && is_over(v); i++) {
        if (strncmp(v->metric[i].name, "eval.", 5) != 0)
            continue;
        buf_puts(out, lines++ ? "" : "\n");
        buf_puts(out, "  ");
        term_style(out, t, STYLE_DIM, "%-32s", v->metric[i].name);
        buf_printf(out, "%.4g\n", v->metric[i].value);
    }
    return lines ? lines + 1 : 0;
}

void job_view_draw(const struct job_view *v, const struct term *t, int64_t now_ms, struct buf *out)
{
    int bar = t->columns - 36;
    bar = bar < 8 ? 8 : bar > 40 ? 40 : bar;
    draw_head(v, t, now_ms, out);
    buf_puts(out, "\n");
    for (int i = 0; i < v->nphases; i++)
        draw_phase(v, t, i, bar, out);
    draw_numbers(v, t, bar, out);
    int used = v->nphases + 2 + 4 + draw_metrics(v, t, out);
    int room = t->rows - used - 3, first = v->nevents > room ? v->nevents - room : 0;
    for (int i = first; i < v->nevents && room > 0; i++) {
        char time[FORMAT_MAX];
        buf_puts(out, i == first ? "\n  " : "  ");
        term_style(out, t, STYLE_DIM, "%s  ", format_clock(time, v->event[i].time_ms));
        buf_printf(out, "%s\n", v->event[i].text);
    }
}
