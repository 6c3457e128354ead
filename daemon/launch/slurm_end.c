/* slurm_end.c - how an attempt ended: by its exit record, else by Slurm's word. See slurm.h. */
#include "launch/slurm.h"

#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define FOLDER_MS 1000 /* between two looks into an attempt's folder, which may be on a network */
#define CAUSE_MS 30000 /* for Slurm's word on why it ended */
#define CAUSE_MOST_MS 600000 /* the same, where the answer will come */
#define GONE_ROUNDS 3        /* Slurm knows no such job, and it never began */

static enum evidence_kind evidence_of(const struct tracked *t)
{
    switch (t->note.row.kind) {
    case SLURM_TIMEOUT:
        return EVIDENCE_WALL_TIME;
    case SLURM_NODE_FAIL:
        return EVIDENCE_NODE_LOST;
    case SLURM_PREEMPTED:
        return EVIDENCE_PREEMPTED;
    case SLURM_OUT_OF_MEMORY:
        return EVIDENCE_NO_MEMORY;
    case SLURM_CANCELLED:
        return t->killed_ms ? EVIDENCE_EXITED : EVIDENCE_CANCELLED; /* by us: no news */
    case SLURM_COMPLETED:
        return EVIDENCE_VANISHED; /* its launcher would have left a record */
    default:
        return EVIDENCE_EXITED;
    }
}

static void describe(struct tracked *t)
{
    const struct slurm_row *r = &t->note.row;
    snprintf(t->end.text, sizeof t->end.text, "Slurm job %lld: %s%s%s%s", (long long)r->id, r->word,
             r->reason[0] ? " (" : "", r->reason, r->reason[0] ? ")" : "");
}

/* How a job ended that left no record. */
static void end_by_slurm(const struct launch_slurm *s, struct tracked *t)
{
    const struct slurm_row *r = &t->note.row;
    bool told = r->exit_code >= 0;
    t->end = (struct evidence){.kind = evidence_of(t),
                               .exit_code = told ? r->exit_code : -1,
                               .signal = told ? r->signal : 0,
                               .clean = r->kind == SLURM_COMPLETED && !r->exit_code && !r->signal,
                               .ended_ms = s->options.clock->wall_ms(s->options.clock)};
    if (r->kind == SLURM_CANCELLED && t->killed_ms && t->end.exit_code <= 0) {
        t->end.signal = SIGKILL; /* by us, and Slurm did not wait for the launcher's record */
        t->end.exit_code = 128 + SIGKILL;
    }
    if (t->end.kind == EVIDENCE_EXITED && t->end.exit_code == 0 && t->end.signal == 0)
        t->end.kind = EVIDENCE_VANISHED;
    describe(t);
    log_info("job %lld attempt %d: %s, and no exit record", (long long)t->job_id, t->attempt,
             t->end.text);
}

/* Slurm knows best why an attempt ended that we did not ask to: a node that fails, a preemption, somebody's scancel may look like
 * any exit code from inside, 0 among them. Its word takes a moment longer than the record; much longer where the controller has
 * forgotten the job and accounting was down, or is behind: but what was cancelled must not run again. */
static bool awaits_cause(const struct launch_slurm *s, const struct tracked *t,
                         const struct exit_record *r)
{
    bool told = strcmp(r->asked, ASKED_STOP) == 0 || strcmp(r->asked, ASKED_TIME) == 0;
    bool by_slurm = !told && (r->exit_code != 0 || !t->done);
    bool will_answer = t->rounds == 0 || !s->no_accounting;
    int64_t most = will_answer ? CAUSE_MOST_MS : CAUSE_MS;
    int64_t patience = (will_answer ? 40 : 4) * s->options.poll_ms;
    return by_slurm && t->phase == PHASE_SUBMITTED && !t->over_ms &&
           s->now_ms - t->record_ms < (patience < most ? patience : most);
}

static void end_by_record(struct launch_slurm *s, struct tracked *t, const struct exit_record *r)
{
    if (!t->record_ms)
        t->record_ms = s->now_ms;
    if (!r->refused[0] && awaits_cause(s, t, r)) {
        slurm_squeue_soon(s);
        return;
    }
    t->end = (struct evidence){.kind = EVIDENCE_EXITED,
                               .exit_code = r->exit_code,
                               .signal = r->signal,
                               .clean = r->exit_code == 0 && !r->signal && !r->refused[0],
                               .ended_ms = r->ended_ms};
    if (r->refused[0]) {
        t->end.kind = EVIDENCE_REFUSED;
        snprintf(t->end.text, sizeof t->end.text, "%s", r->refused);
        return;
    }
    describe(t);
    if (r->exit_code == 0 && t->done)
        return;
    if (strcmp(r->asked, ASKED_TIME) == 0)
        t->end.kind = EVIDENCE_WALL_TIME;
    else if (t->over_ms && t->note.row.kind > SLURM_FAILED && strcmp(r->asked, ASKED_STOP) != 0)
        t->end.kind = evidence_of(t);
}

void slurm_look_in_folder(struct launch_slurm *s, struct tracked *t)
{
    struct exit_record r;
    struct launcher_record l;
    struct err err;
    bool hurry = t->over_ms || t->record_ms;
    if (s->now_ms < t->folder_ms && !hurry)
        return;
    t->folder_ms = s->now_ms + FOLDER_MS;
    enum status st = record_read_exit(t->attempt_dir, &r, &err);
    if (st == ST_OK)
        end_by_record(s, t, &r);
    else if (st != ST_NOT_FOUND)
        snprintf(t->trouble, sizeof t->trouble, "%.190s", err.text);
    if (!t->begun)
        t->begun = record_read_launcher(t->attempt_dir, &l, NULL) == ST_OK;
}

/* Slurm says that it is over, and no record says how: the record may be late on a network's file system. */
void slurm_over_step(struct launch_slurm *s, struct tracked *t)
{
    enum slurm_kind kind = t->note.row.kind;
    int64_t patience =
        (kind == SLURM_COMPLETED || kind == SLURM_FAILED ? 4 : 1) * s->options.poll_ms;
    if (t->record_ms || s->now_ms - t->over_ms < patience)
        return;
    if (t->note.row.exit_code >= 0 || t->rounds > 0 || t->detailed)
        end_by_slurm(s, t);
    else
        slurm_detail_step(s, t);
}

/* It never began, and Slurm that answers does not know it: it is made sure that it never will. */
void slurm_missing_step(struct launch_slurm *s, struct tracked *t)
{
    if (t->rounds >= GONE_ROUNDS && !t->begun) {
        record_forbid_start(t->attempt_dir);
        t->begun = record_is_locked(t->attempt_dir);
        if (t->begun)
            return;
        t->end = (struct evidence){.kind = EVIDENCE_VANISHED};
        snprintf(t->end.text, sizeof t->end.text,
                 "Slurm has forgotten job %lld, which had not begun", (long long)t->note.row.id);
        return;
    }
    slurm_detail_step(s, t);
}
