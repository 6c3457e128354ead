/* slurm_lost.c - which nodes failed, and keeping the next attempts off them. See slurm.h.
 *
 * Slurm says that an attempt of several nodes was lost, not with which one: sinfo tells which of them are down now. It stands in the
 * attempt's slurm.json; attempts after it read it there. A node that nobody named is not kept off: it may be healthy.
 */
#include "launch/slurm.h"

#include "jobfile/slurm_words.h"

#include <stdio.h>
#include <string.h>

#define KEEP_OFF_ATTEMPTS 5 /* after so many the node has another chance */
#define KEEP_OFF_NODES 8

bool slurm_lost_is_open(const struct tracked *t)
{
    return t->end.kind == EVIDENCE_NODE_LOST && !t->lost_known;
}

static void settle(struct tracked *t, const char *names)
{
    slurm_add_nodes(t->note.lost, sizeof t->note.lost, KEEP_OFF_NODES, names);
    if (!slurm_word_ok(t->note.lost))
        t->note.lost[0] = '\0';
    t->lost_known = true;
    if (!t->note.lost[0])
        return;
    size_t n = strlen(t->end.text);
    snprintf(t->end.text + n, sizeof t->end.text - n, ", down: %.100s", t->note.lost);
    slurm_note_write(t->attempt_dir, &t->note, NULL); /* not kept: the next one goes anywhere */
}

void slurm_lost_step(struct launch_slurm *s, struct tracked *t)
{
    char sinfo[SLURM_PATH_MAX], nodes[300];
    const char *all = t->note.row.nodes;
    if (!slurm_lost_is_open(t) || t->command)
        return;
    if (!strpbrk(all, "[,")) {
        settle(t, all);
        return;
    }
    snprintf(nodes, sizeof nodes, "--nodes=%s", all);
    const char *argv[] = {slurm_program(s, "sinfo", sinfo), "--noheader",  "--Node", nodes,
                          "--states=down,drain,fail",       "--format=%N", NULL};
    t->trouble[0] = '\0';
    if (slurm_run(s, t, TASK_LOST, argv) != ST_OK && t->trouble[0])
        settle(t, "");
}

void slurm_lost_done(struct launch_slurm *s, struct tracked *t, const struct command *c)
{
    (void)s;
    settle(t, c->exit_code == 0 && !c->timed_out ? buf_str(&c->out) : "");
}

/* ---- the next attempts ----------------------------------------------------------------------- */

static bool read_note(const struct tracked *t, int attempt, struct slurm_note *ret_note)
{
    char dir[SLURM_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/attempts/%d", t->job_dir, attempt);
    return slurm_note_read(dir, ret_note, NULL) == ST_OK;
}

void slurm_keep_off(struct tracked *t)
{
    struct slurm_note note;
    t->note.excluded[0] = '\0';
    for (int k = 1; k <= KEEP_OFF_ATTEMPTS && k < t->attempt && !t->anywhere; k++)
        if (read_note(t, t->attempt - k, &note))
            slurm_add_nodes(t->note.excluded, sizeof t->note.excluded, KEEP_OFF_NODES, note.lost);
    if (!slurm_word_ok(t->note.excluded))
        t->note.excluded[0] = '\0';
}

int64_t slurm_id_before(const struct tracked *t)
{
    struct slurm_note note;
    return t->attempt > 1 && read_note(t, t->attempt - 1, &note) ? note.row.id : 0;
}
