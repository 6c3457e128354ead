/* slurm_priority.c - our priority as Slurm's --nice, also when it changes while a job waits. See slurm.h. */
#include "launch/slurm.h"

#include <stdio.h>

void slurm_renice_step(struct launch_slurm *s, struct tracked *t)
{
    char path[SLURM_PATH_MAX], id[40], nice[32];
    bool waits = t->phase == PHASE_SUBMITTED && !t->begun && t->note.row.kind == SLURM_PENDING;
    if (!waits || t->priority == t->note.priority || t->command || s->now_ms < t->try_ms)
        return;
    snprintf(id, sizeof id, "JobId=%lld", (long long)t->note.row.id);
    snprintf(nice, sizeof nice, "Nice=%d", (100 - t->priority) * s->options.nice_step);
    slurm_program(s, "scontrol", path);
    const char *argv[] = {path, "update", id, nice, NULL};
    t->renicing = t->priority;
    if (slurm_run(s, t, TASK_RENICE, argv) != ST_OK && t->trouble[0])
        slurm_put_off(s, t, t->trouble);
}

/* One that begins meanwhile refuses it, and needs it no more. */
void slurm_renice_done(struct launch_slurm *s, struct tracked *t, const struct command *c)
{
    char text[160];
    if (c->exit_code == 0) {
        t->note.priority = t->renicing;
        t->wait_ms = t->try_ms = 0;
        slurm_note_write(t->attempt_dir, &t->note, NULL); /* not kept: it would be said again */
        return;
    }
    slurm_trouble_text(slurm_said(c), text, sizeof text);
    slurm_put_off(s, t, text[0] ? text : "scontrol gave no answer");
}
