/* stall.c - see stall.h. */
#include "job/stall.h"

#include "daemon.h"
#include "job/change.h"
#include "job/jobs.h"
#include "job/pulse.h"

#include <stdio.h>
#include <string.h>

#define LOOK_LEAST_MS 250
#define LOOK_MOST_MS 15000
#define LOOK_STALLED_MS 1000
#define SLEPT_MS 10000     /* between two looks: the daemon did not run, whatever the ranks did */
#define STACK_WAIT_MS 1000 /* for a rank to leave its stack */
#define LIMIT_MOST_MS 1e15

static int64_t mono_ms(const struct daemon *d)
{
    return d->clock->mono_ms(d->clock);
}

int64_t stall_limit_ms(const struct job *job, double step_seconds, int64_t interval_ms,
                       bool has_pulse)
{
    double limit = (double)job->stall_ms, steps = job->stall_factor * step_seconds * 1000;
    double reports = has_pulse ? 0 : job->stall_factor * (double)interval_ms;
    limit = steps > limit ? steps : limit;
    limit = reports > limit ? reports : limit;
    return (int64_t)(limit < LIMIT_MOST_MS ? limit : LIMIT_MOST_MS);
}

static void begin(struct stall_watch *w, int attempt, int64_t now)
{
    if (w->attempt != attempt)
        *w = (struct stall_watch){.attempt = attempt, .looked_ms = now, .moved_ms = now};
}

static void moved(struct stall_watch *w, int64_t now)
{
    w->moved_ms = now;
    w->asked_ms = 0;
}

void stall_note_step(const struct daemon *d, struct active *a)
{
    struct stall_watch *w = &a->stall;
    int64_t now = mono_ms(d);
    begin(w, a->job.attempt.number, now);
    if (w->reported_ms)
        w->interval_ms = now - w->reported_ms;
    w->reported_ms = now;
    moved(w, now);
}

void stall_note_contact(const struct daemon *d, struct active *a)
{
    int64_t now = mono_ms(d);
    begin(&a->stall, a->job.attempt.number, now);
    a->stall.heard_ms = now;
}

bool stall_is_evident(const struct stall_watch *w, int64_t limit_ms, int found)
{
    return found > 0 || (w->heard_ms > 0 && w->heard_ms - w->moved_ms >= limit_ms / 2);
}

/* ---- telling ------------------------------------------------------------------------------- */

static void describe(const struct active *a, const char *attempt_dir, int64_t silence_ms,
                     bool evident, char out[JOB_TEXT_MAX])
{
    struct pulse p;
    bool alone;
    char process[800];
    int rank = pulse_behind(attempt_dir, a->job.ranks, &p, &alone);
    int n = snprintf(out, JOB_TEXT_MAX, "no step for %lld s", (long long)(silence_ms / 1000));
    if (!evident)
        snprintf(out + n, JOB_TEXT_MAX - (size_t)n,
                 ". Its ranks may be well: they leave no marks in the job's folder, and no report "
                 "of them %s; do they reach the daemon (tls.report_address)?%s",
                 a->stall.heard_ms ? "comes any more" : "has ever come",
                 a->job.restart_stalled ? " So on_stall: restart does nothing" : "");
    if (rank < 0)
        return;
    pulse_describe(attempt_dir, rank, &p, process, sizeof process);
    snprintf(out + n, JOB_TEXT_MAX - (size_t)n, ". Rank %d of %d, on %s, %s%s in step %lld%s%s",
             rank, a->job.ranks, p.host, alone ? "keeps the others waiting: it " : "",
             pulse_at_text(p.at), (long long)p.step, process[0] ? "; " : "", process);
}

/* The stack comes a moment after it was asked for; a rank that cannot be asked is described without one. */
static bool has_stack(struct active *a, const char *attempt_dir, int64_t now)
{
    struct stall_watch *w = &a->stall;
    struct pulse p;
    bool alone;
    if (w->asked_ms)
        return now - w->asked_ms >= STACK_WAIT_MS;
    w->rank = pulse_behind(attempt_dir, a->job.ranks, &p, &alone);
    w->asked_ms = now;
    return w->rank < 0 || !pulse_ask_stack(attempt_dir, w->rank, &p);
}

static void tell(struct daemon *d, struct active *a, const char *attempt_dir, int64_t silence_ms,
                 bool evident)
{
    char text[JOB_TEXT_MAX];
    describe(a, attempt_dir, silence_ms, evident, text);
    job_apply(d, a, ON_STALL, &(struct change){.actor = "daemon", .text = text}, NULL);
}

static void restart(struct daemon *d, struct active *a)
{
    char text[JOB_TEXT_MAX];
    snprintf(text, sizeof text, "on_stall: restart; %.900s", a->job.text);
    job_apply(d, a, ON_RESTART, &(struct change){.actor = "daemon", .text = text}, NULL);
}

/* ---- looking ------------------------------------------------------------------------------- */

static int64_t clamp(int64_t v, int64_t least, int64_t most)
{
    return v < least ? least : v > most ? most : v;
}

/* True once the marks have changed since the last look. */
static bool look(struct active *a, const char *attempt_dir, int *ret_found)
{
    struct stall_watch *w = &a->stall;
    uint64_t beats = pulse_beats(attempt_dir, a->job.ranks, ret_found);
    bool changed = w->looked && beats != w->beats;
    w->beats = beats;
    w->looked = true;
    return changed;
}

void stall_check(struct daemon *d, struct active *a, const char *attempt_dir)
{
    struct stall_watch *w = &a->stall;
    int64_t now = mono_ms(d);
    begin(w, a->job.attempt.number, now);
    bool stalled = a->job.state == JOB_STALLED, asked = w->asked_ms != 0;
    int64_t every = clamp(a->job.stall_ms / 20, LOOK_LEAST_MS, LOOK_MOST_MS);
    if (stalled || asked)
        every = every < LOOK_STALLED_MS ? every : LOOK_STALLED_MS;
    if ((!stalled && !job_next(a->job.state, ON_STALL)) || now - w->looked_ms < every)
        return;
    int found;
    if (now - w->looked_ms > every + SLEPT_MS)
        w->moved_ms += now - w->looked_ms;
    w->looked_ms = now;
    if (look(a, attempt_dir, &found)) {
        moved(w, now);
        if (stalled)
            job_apply(d, a, ON_STEP, &(struct change){.actor = "worker"}, NULL);
        return;
    }
    int64_t silence = now - w->moved_ms,
            limit = stall_limit_ms(&a->job, a->progress.step_seconds, w->interval_ms, found > 0);
    if (silence < limit)
        return;
    bool evident = stall_is_evident(w, limit, found);
    if (stalled && a->job.restart_stalled && evident)
        restart(d, a);
    else if (!stalled && has_stack(a, attempt_dir, now))
        tell(d, a, attempt_dir, silence, evident);
}
