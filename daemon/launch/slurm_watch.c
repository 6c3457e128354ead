/* slurm_watch.c - what Slurm says about our jobs. See slurm.h.
 *
 * One squeue for all of them, less often while nothing changes. What it does not hold proves nothing: the job is asked
 * for by scontrol, then sacct, then jobcomp, whichever the site has; and where none of them knows, nothing is known.
 */
#include "launch/slurm.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SQUEUE_BYTES_MAX (16u << 20)

static const char squeue_format[] = "--format=" SLURM_SQUEUE_FORMAT;
static const char sacct_format[] = "--format=" SLURM_SACCT_FIELDS;
static const char jobcomp_format[] = "--format=" SLURM_JOBCOMP_FIELDS;

/* ---- rows ------------------------------------------------------------------------------------ */

static bool same_row(const struct slurm_row *a, const struct slurm_row *b)
{
    return strcmp(a->word, b->word) == 0 && strcmp(a->reason, b->reason) == 0 &&
           strcmp(a->nodes, b->nodes) == 0 && strcmp(a->partition, b->partition) == 0;
}

void slurm_take_row(struct launch_slurm *s, struct tracked *t, const struct slurm_row *row)
{
    bool is_new = !same_row(&t->note.row, row) || t->note.row.id != row->id;
    char name[SLURM_NAME_MAX];
    memcpy(name, t->note.row.name, sizeof name);
    t->note.row = *row;
    memcpy(t->note.row.name, name, sizeof name);
    t->known_ms = s->now_ms;
    t->missing = false;
    t->rounds = 0;
    t->trouble[0] = '\0';
    if (slurm_kind_is_over(row->kind) && !t->over_ms)
        t->over_ms = s->now_ms;
    if (!slurm_kind_is_over(row->kind))
        t->over_ms = 0;
    if (!is_new)
        return;
    s->squeue_wait_ms = s->options.poll_ms;
    slurm_note_write(t->attempt_dir, &t->note,
                     NULL); /* for people: the next change writes it again */
}

/* ---- squeue ---------------------------------------------------------------------------------- */

/* One that was stopped while nobody knew whether Slurm has it is looked for to the end, or it would stay in the queue. */
static bool is_asked_for(const struct tracked *t)
{
    if (t->phase == PHASE_LOOKING_UP)
        return t->end.kind == EVIDENCE_UNKNOWN || t->cancel != CANCEL_NONE;
    return t->phase == PHASE_SUBMITTED && t->end.kind == EVIDENCE_UNKNOWN &&
           !slurm_kind_is_over(t->note.row.kind);
}

static bool anybody_asks(const struct launch_slurm *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (is_asked_for(s->list[i]))
            return true;
    return false;
}

void slurm_squeue_soon(struct launch_slurm *s)
{
    s->squeue_wait_ms = s->options.poll_ms;
    if (s->squeue_next_ms > s->squeue_started_ms + s->options.poll_ms)
        s->squeue_next_ms = s->squeue_started_ms + s->options.poll_ms;
}

/* Our own jobs have names that tell job and attempt, so that a row finds its attempt even without an id. *ret_attempt: the
 * row's, which may be an older one than that which is tracked. */
static struct tracked *owner_of(const struct launch_slurm *s, const struct slurm_row *row,
                                int *ret_attempt)
{
    char prefix[32], name[SLURM_NAME_MAX], *end;
    int n = snprintf(prefix, sizeof prefix, "espalier-%s-", s->options.daemon_id);
    if (strncmp(row->name, prefix, (size_t)n) != 0)
        return NULL;
    long long job_id = strtoll(row->name + n, &end, 10);
    *ret_attempt = *end == '-' ? (int)strtol(end + 1, NULL, 10) : 0;
    slurm_job_name(s, job_id, *ret_attempt, name);
    return strcmp(name, row->name) == 0 ? slurm_find_job(s, job_id) : NULL;
}

static void take_line(struct launch_slurm *s, const char *line, size_t len)
{
    struct slurm_row row;
    if (!slurm_parse_squeue(line, len, &row))
        return;
    int attempt;
    struct tracked *t = owner_of(s, &row, &attempt);
    /* A controller that was restarted may take a job for waiting whose launcher has run and ended: the next one would wait
     * for it. */
    if (t && attempt < t->attempt && row.kind == SLURM_PENDING)
        t->leftover = row.id;
    if (!t || attempt != t->attempt || !is_asked_for(t))
        return;
    bool looking = t->phase == PHASE_LOOKING_UP;
    if (!looking && row.id != t->note.row.id)
        return; /* submitted twice after all: the one that is known counts, the other runs nothing */
    slurm_take_row(s, t, &row);
    if (looking)
        slurm_looked_up(s, t, true);
}

/* Whoever was not mentioned in a whole answer to a question asked late enough. */
static void note_missing(struct launch_slurm *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct tracked *t = s->list[i];
        if (!is_asked_for(t) || t->known_ms == s->now_ms)
            continue;
        if (t->phase == PHASE_SUBMITTED && t->known_ms <= s->squeue_started_ms)
            t->missing = true;
        else if (t->phase == PHASE_LOOKING_UP && s->squeue_started_ms >= t->try_ms)
            slurm_looked_up(s, t, false);
    }
}

static void take_answer(struct launch_slurm *s)
{
    const char *at = buf_str(&s->squeue->out);
    s->squeue_trouble[0] = '\0';
    while (*at) {
        size_t len = strcspn(at, "\n");
        take_line(s, at, len);
        at += len + (at[len] == '\n');
    }
    if (buf_ok(&s->squeue->out))
        note_missing(s);
}

static void squeue_done(struct launch_slurm *s)
{
    const struct command *c = s->squeue;
    bool was_down = s->squeue_trouble[0] != '\0';
    if (c->exit_code == 0 && !c->timed_out) {
        take_answer(s);
    } else {
        slurm_trouble_text(slurm_said(c), s->squeue_trouble, sizeof s->squeue_trouble);
        if (c->timed_out || !s->squeue_trouble[0])
            snprintf(s->squeue_trouble, sizeof s->squeue_trouble, "squeue gave no answer");
        if (!was_down)
            log_warn("Slurm does not answer: %s", s->squeue_trouble);
    }
    if (was_down && !s->squeue_trouble[0])
        log_info("Slurm answers again");
    command_destroy(s->squeue);
    s->squeue = NULL;
    s->squeue_next_ms = s->squeue_started_ms + s->squeue_wait_ms;
    s->squeue_wait_ms += s->squeue_wait_ms / 2; /* until something changes */
    if (s->squeue_wait_ms > s->options.poll_most_ms)
        s->squeue_wait_ms = s->options.poll_most_ms;
}

void slurm_squeue_step(struct launch_slurm *s)
{
    char squeue[SLURM_PATH_MAX], user[32];
    struct err err;
    if (s->squeue) {
        if (command_pump(s->squeue, s->now_ms))
            squeue_done(s);
        return;
    }
    if (s->now_ms < s->squeue_next_ms || !anybody_asks(s))
        return;
    snprintf(user, sizeof user, "--user=%u", geteuid());
    const char *argv[] = {slurm_program(s, "squeue", squeue),
                          "--noheader",
                          "--states=all",
                          user,
                          squeue_format,
                          NULL};
    s->squeue_started_ms = s->now_ms;
    if (command_start(&s->squeue, s->epoll, argv, s->environment, s->now_ms + s->options.command_ms,
                      SQUEUE_BYTES_MAX, &err) != ST_OK) {
        snprintf(s->squeue_trouble, sizeof s->squeue_trouble, "%.190s", err.text);
        s->squeue_next_ms = s->now_ms + s->options.poll_most_ms;
    }
}

/* ---- one job --------------------------------------------------------------------------------- */

static bool ask(struct launch_slurm *s, struct tracked *t, enum slurm_task source)
{
    char path[SLURM_PATH_MAX], id[24], jobs[32];
    snprintf(id, sizeof id, "%lld", (long long)t->note.row.id);
    snprintf(jobs, sizeof jobs, "--jobs=%s", id);
    slurm_program(s, source == TASK_SHOW ? "scontrol" : "sacct", path);
    const char *show[] = {path, "--oneliner", "show", "job", id, NULL};
    const char *sacct[] = {path,           "--noheader", "--parsable2", "--allocations",
                           "--duplicates", jobs,         sacct_format,  NULL};
    const char *jobcomp[] = {path, "--completion", "--noheader", "--parsable2",
                             jobs, jobcomp_format, NULL};
    return slurm_run(s, t, source,
                     source == TASK_SHOW    ? show
                     : source == TASK_SACCT ? sacct
                                            : jobcomp) == ST_OK;
}

/* The next one that the site has; false: there is none left. */
static bool ask_next(struct launch_slurm *s, struct tracked *t, enum slurm_task after)
{
    if (after == TASK_SHOW && !s->no_accounting && ask(s, t, TASK_SACCT))
        return true;
    return after != TASK_JOBCOMP && !s->no_jobcomp && ask(s, t, TASK_JOBCOMP);
}

void slurm_detail_step(struct launch_slurm *s, struct tracked *t)
{
    if (t->phase == PHASE_SUBMITTED && !t->command && s->now_ms >= t->try_ms &&
        t->end.kind == EVIDENCE_UNKNOWN)
        ask(s, t, TASK_SHOW);
}

/* The last line counts: accounting has one a time that the job was started. A controller that has lost what it took gives
 * the id to somebody else: the name tells. */
static bool read_row(enum slurm_task source, const char *text, const struct slurm_row *ours,
                     struct slurm_row *ret_row)
{
    bool found = false;
    while (*text) {
        struct slurm_row row;
        size_t len = strcspn(text, "\n");
        bool ok = source == TASK_SHOW    ? slurm_parse_show_job(text, len, &row)
                  : source == TASK_SACCT ? slurm_parse_sacct(text, len, &row)
                                         : slurm_parse_jobcomp(text, len, &row);
        if (ok && row.id == ours->id && strcmp(row.name, ours->name) == 0) {
            *ret_row = row;
            found = true;
        }
        text += len + (text[len] == '\n');
    }
    return found;
}

/* word: what accounting has of it; NULL = nothing. */
static void say_unknown(const struct tracked *t, const char *word, char out[160])
{
    long long id = t->note.row.id;
    if (word)
        snprintf(out, 160,
                 "Slurm knows no job %lld any more, but its accounting has it as %.20s (sacctmgr "
                 "show runawayjobs)",
                 id, word);
    else
        snprintf(out, 160, "Slurm knows no job %lld any more", id);
}

void slurm_detail_done(struct launch_slurm *s, struct tracked *t, const struct command *c)
{
    struct slurm_row row;
    char text[160];
    const char *said = slurm_said(c);
    enum slurm_trouble trouble = slurm_trouble_of(said);
    bool found = read_row(t->task, buf_str(&c->out), &t->note.row, &row);
    /* The controller was asked first and knows it no longer: accounting has not heard of the end yet, or never will. */
    bool stale = found && t->task == TASK_SACCT && !slurm_kind_is_over(row.kind);
    if (found && !stale) {
        slurm_take_row(s, t, &row);
        t->detailed = true; /* jobcomp knows no exit code: asking again would not help */
        t->wait_ms = t->try_ms = 0;
        return;
    }
    s->no_accounting |= t->task == TASK_SACCT && trouble == SLURM_NO_ACCOUNTING;
    s->no_jobcomp |= t->task == TASK_JOBCOMP && c->exit_code != 0 && !c->timed_out;
    bool answered = c->exit_code == 0 || trouble == SLURM_NO_SUCH_JOB ||
                    trouble == SLURM_NO_ACCOUNTING || t->task == TASK_JOBCOMP;
    if (!answered) {
        slurm_trouble_text(said, text, sizeof text);
        slurm_put_off(s, t, text);
    } else if (!ask_next(s, t, t->task)) {
        t->rounds++;
        say_unknown(t, stale ? row.word : NULL, text);
        slurm_put_off(s, t, text);
    }
}
