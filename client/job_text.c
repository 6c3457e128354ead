/* job_text.c - see job_text.h. */
#include "client/job_text.h"

#include "client/message.h"
#include "term/format.h"

#include <stdio.h>
#include <string.h>

const char *state_text(Espalier__V1__JobState state, char out[16])
{
    return enum_text(&espalier__v1__job_state__descriptor, (int)state, out);
}

enum style state_style(Espalier__V1__JobState state)
{
    switch ((int)state) {
    case ESPALIER__V1__JOB_STATE__JOB_STATE_COMPLETED:
    case ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING:
        return STYLE_GREEN;
    case ESPALIER__V1__JOB_STATE__JOB_STATE_FAILED:
    case ESPALIER__V1__JOB_STATE__JOB_STATE_TIMEOUT:
        return STYLE_RED;
    case ESPALIER__V1__JOB_STATE__JOB_STATE_SUBMITTED:
    case ESPALIER__V1__JOB_STATE__JOB_STATE_STARTING:
        return STYLE_CYAN;
    case ESPALIER__V1__JOB_STATE__JOB_STATE_QUEUED:
    case ESPALIER__V1__JOB_STATE__JOB_STATE_HELD:
        return STYLE_PLAIN;
    default:
        return STYLE_YELLOW;
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void kind(struct buf *out, const struct term *t, enum style style, const char *name)
{
    term_style(out, t, style, "%-10s", name);
    buf_puts(out, "  ");
}

static void clean(struct buf *out, const char *text)
{
    term_clean(out, text, strlen(text));
}

static void state_line(struct buf *out, const struct term *t, const Espalier__V1__StateChange *s)
{
    char from[16], to[16];
    kind(out, t, STYLE_BOLD, "state");
    if (s->from)
        buf_printf(out, "%s %s ", state_text(s->from, from), t->unicode ? "\u2192" : "->");
    term_style(out, t, state_style(s->to), "%s", state_text(s->to, to));
    if (s->attempt > 1)
        buf_printf(out, ", attempt %u", s->attempt);
    if (s->reason[0]) {
        buf_puts(out, " (");
        clean(out, s->reason);
        buf_puts(out, ")");
    }
    if (s->text[0]) {
        buf_puts(out, ": ");
        clean(out, s->text);
    }
}

static void progress_line(struct buf *out, const struct term *t, const Espalier__V1__Progress *p)
{
    char step[FORMAT_MAX], eta[FORMAT_MAX], kept[FORMAT_MAX];
    kind(out, t, STYLE_DIM, "progress");
    clean(out, p->phase);
    buf_printf(out, " %llu/%llu  loss %.4g  step %s  ETA %s", (unsigned long long)p->step,
               (unsigned long long)p->steps, p->loss, format_duration(step, p->step_seconds),
               format_duration(eta, p->eta_seconds));
    if (p->params_target > 0)
        buf_printf(out, "  kept %s", format_percent(kept, p->params_kept));
}

static void structure_line(struct buf *out, const struct term *t,
                           const Espalier__V1__StructureNote *s)
{
    char kept[FORMAT_MAX], pruned[FORMAT_MAX], shared[FORMAT_MAX];
    kind(out, t, STYLE_CYAN, "structure");
    buf_printf(out, "version %u, step %llu: %s kept; groups: %s pruned, %s shared", s->version,
               (unsigned long long)s->total_step, format_percent(kept, s->params_kept),
               format_percent(pruned, s->pruned), format_percent(shared, s->shared));
}

static void checkpoint_line(struct buf *out, const struct term *t,
                            const Espalier__V1__CheckpointNote *c)
{
    char size[FORMAT_MAX];
    kind(out, t, STYLE_DIM, "checkpoint");
    buf_printf(out, "step %llu, %s, ", (unsigned long long)c->total_step,
               format_size(size, c->size_bytes));
    clean(out, c->path);
}

static void note_line(struct buf *out, const struct term *t, const Espalier__V1__Note *n)
{
    if (n->severity == ESPALIER__V1__SEVERITY__SEVERITY_ERROR)
        kind(out, t, STYLE_RED, "error");
    else if (n->severity == ESPALIER__V1__SEVERITY__SEVERITY_WARNING)
        kind(out, t, STYLE_YELLOW, "warning");
    else
        kind(out, t, STYLE_DIM, "note");
    clean(out, n->text);
}

void event_text(struct buf *out, const struct term *t, const Espalier__V1__Event *e)
{
    char seconds[FORMAT_MAX];
    switch ((int)e->kind_case) {
    case ESPALIER__V1__EVENT__KIND_STATE:
        state_line(out, t, e->state);
        break;
    case ESPALIER__V1__EVENT__KIND_PROGRESS:
        progress_line(out, t, e->progress);
        break;
    case ESPALIER__V1__EVENT__KIND_METRIC:
        kind(out, t, STYLE_PLAIN, "metric");
        clean(out, e->metric->name);
        buf_printf(out, " %.6g%s", e->metric->value, e->metric->unit[0] ? " " : "");
        clean(out, e->metric->unit);
        break;
    case ESPALIER__V1__EVENT__KIND_STRUCTURE:
        structure_line(out, t, e->structure);
        break;
    case ESPALIER__V1__EVENT__KIND_CHECKPOINT:
        checkpoint_line(out, t, e->checkpoint);
        break;
    case ESPALIER__V1__EVENT__KIND_NOTE:
        note_line(out, t, e->note);
        break;
    case ESPALIER__V1__EVENT__KIND_PHASE_DONE:
        kind(out, t, STYLE_GREEN, "phase");
        clean(out, e->phase_done->phase);
        buf_printf(out, " done in %s", format_duration(seconds, e->phase_done->seconds));
        break;
    default:
        kind(out, t, STYLE_DIM, "event");
        buf_puts(out, "of a kind this version does not know");
        break;
    }
}

/* ---- findings -------------------------------------------------------------------------------- */

/* The line itself and a caret; columns count characters, tabs stay tabs so that the caret stands
 * right. */
static void source_line(struct buf *out, const struct term *t, const char *text, size_t len,
                        const struct finding *f)
{
    const char *line = text, *end = text + len;
    for (int i = 1; i < f->line && line; i++) {
        line = memchr(line, '\n', (size_t)(end - line));
        line = line ? line + 1 : NULL;
    }
    if (!line || line >= end)
        return;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    size_t n = (size_t)((stop ? stop : end) - line);
    buf_puts(out, "    ");
    term_clean(out, line, n > 160 ? 160 : n);
    buf_puts(out, "\n    ");
    size_t at = 0;
    for (int c = 1; c < f->column && at < n && at < 160; c++) {
        buf_puts(out, line[at] == '\t' ? "\t" : " ");
        for (at++; at < n && ((unsigned char)line[at] & 0xc0) == 0x80; at++)
            ;
    }
    term_style(out, t, f->warning ? STYLE_YELLOW : STYLE_RED, "^");
    buf_puts(out, "\n");
}

void findings_text(struct buf *out, const struct term *t, const char *file_name, const char *text,
                   size_t len, const struct findings *findings)
{
    for (int i = 0; i < findings->n; i++) {
        const struct finding *f = &findings->list[i];
        finding_print(out, t, file_name, f);
        if (text && f->line > 0)
            source_line(out, t, text, len, f);
    }
    if (findings->truncated)
        buf_printf(out, "%s: more faults than the %d shown\n", file_name, JOBFILE_MAX_FINDINGS);
}

/* ---- rows ------------------------------------------------------------------------------------ */

#define TEXT_COLUMN 14 /* of what stands behind a row's name */

void row_begin(struct buf *out, const struct term *t, const char *name)
{
    term_style(out, t, STYLE_DIM, "  %-*s", TEXT_COLUMN - 2, name);
}

void row_text(struct buf *out, const struct term *t, const char *name, const char *text)
{
    if (!text[0])
        return;
    row_begin(out, t, name);
    term_wrap(out, t, TEXT_COLUMN, text);
    buf_puts(out, "\n");
}

/* ---- plan ------------------------------------------------------------------------------------ */

static double part(uint64_t of, uint64_t whole)
{
    return whole ? (double)of / (double)whole : 0;
}

/* Each phase with its steps and, from earlier jobs, its time; then the whole. */
static void time_rows(struct buf *out, const struct term *t, const Espalier__V1__Plan *p)
{
    char steps[FORMAT_MAX], time[FORMAT_MAX];
    for (size_t i = 0; i < p->n_phases; i++) {
        row_begin(out, t, i ? "" : "phases");
        buf_printf(out, "%-10.16s %10s %10s\n", p->phases[i]->phase,
                   p->phases[i]->steps ? format_count(steps, p->phases[i]->steps) : "",
                   p->phases[i]->seconds > 0 ? format_duration(time, p->phases[i]->seconds) : "?");
    }
    row_begin(out, t, "time");
    if (p->estimate_seconds > 0)
        buf_printf(out, "about %s, from %u earlier job%s like it\n",
                   format_duration(time, p->estimate_seconds), p->estimate_jobs,
                   p->estimate_jobs == 1 ? "" : "s");
    else
        buf_puts(out, "unknown: no job of this model, batch and ranks has run here yet\n");
    if (p->attempts > 1) {
        row_begin(out, t, "attempts");
        buf_printf(out, "%u, cut by slurm.time_minutes; each goes on from the last checkpoint\n",
                   p->attempts);
    }
    row_text(out, t, "slurm", p->cluster);
}

void plan_text(struct buf *out, const struct term *t, const Espalier__V1__Plan *p)
{
    char a[FORMAT_MAX], b[FORMAT_MAX];
    row_begin(out, t, "parameters");
    buf_printf(out, "%s dense, of them %s (%s) in the two backbones\n",
               format_count(a, p->params_whole), format_count(b, p->params_backbones),
               format_percent((char[FORMAT_MAX]){0}, part(p->params_backbones, p->params_whole)));
    if (p->params_target < p->params_whole) {
        row_begin(out, t, "target");
        buf_printf(out, "%s (%s)\n", format_count(a, p->params_target),
                   format_percent(b, part(p->params_target, p->params_whole)));
        row_begin(out, t, "reachable");
        buf_printf(out, "%s (%s) at the least\n", format_count(a, p->params_smallest),
                   format_percent(b, part(p->params_smallest, p->params_whole)));
    }
    row_begin(out, t, "compute");
    buf_printf(out, "%.1f million multiply-accumulates an image, forward\n", (double)p->macs / 1e6);
    row_begin(out, t, "steps");
    buf_printf(out, "%s\n", format_count(a, p->steps));
    time_rows(out, t, p);
    row_begin(out, t, "resources");
    buf_printf(out, "%u rank%s of %u thread%s, about %s each\n", p->ranks, p->ranks == 1 ? "" : "s",
               p->threads_per_rank, p->threads_per_rank == 1 ? "" : "s",
               format_size(a, p->memory_per_rank_bytes));
    for (size_t i = 0; i < p->n_notes; i++)
        row_text(out, t, i ? "" : "notes", p->notes[i]);
}
