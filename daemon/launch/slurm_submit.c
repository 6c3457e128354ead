/* slurm_submit.c - from "to be submitted" to "it has an id". See slurm.h.
 *
 * slurm.json without an id is laid down before sbatch runs. Whoever finds it so (a restarted daemon, or this one after an
 * answer that never came) looks the job's name up before it submits again. Should even that be wrong, the second job's
 * launcher finds the first one's record and runs nothing.
 */
#include "launch/slurm.h"

#include "base/file.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LATE_MS 5000 /* a request that was on its way when its answer was given up */

/* ---- the probe ------------------------------------------------------------------------------- */

static bool needs_probe(const struct launch_slurm *s)
{
    return !s->probed && s->options.start != SLURM_START_MPIRUN && !s->options.mpi[0];
}

static void probe_done(struct launch_slurm *s)
{
    bool found =
        s->probe->exit_code == 0 && (slurm_parse_mpi_list(buf_str(&s->probe->err), s->mpi) ||
                                     slurm_parse_mpi_list(buf_str(&s->probe->out), s->mpi));
    if (!found)
        s->mpi[0] = '\0';
    s->probed = true;
    command_destroy(s->probe);
    s->probe = NULL;
}

void slurm_probe_step(struct launch_slurm *s)
{
    char srun[SLURM_PATH_MAX];
    bool wanted = false;
    for (size_t i = 0; i < s->n; i++)
        wanted |= s->list[i]->phase == PHASE_WAITING;
    if (s->probe) {
        if (command_pump(s->probe, s->now_ms))
            probe_done(s);
    } else if (wanted && needs_probe(s)) {
        const char *argv[] = {slurm_program(s, "srun", srun), "--mpi=list", NULL};
        /* No srun: mpirun it is, and sbatch will say what is missing. */
        if (command_start(&s->probe, s->epoll, argv, s->environment,
                          s->now_ms + s->options.command_ms, 64u << 10, NULL) != ST_OK)
            s->probed = true;
    }
}

/* ---- submitting ------------------------------------------------------------------------------ */

static void refuse(struct tracked *t, const char *text)
{
    struct exit_record r = {.exit_code = -1};
    snprintf(r.refused, sizeof r.refused, "%.250s", text);
    t->end = (struct evidence){.kind = EVIDENCE_REFUSED};
    snprintf(t->end.text, sizeof t->end.text, "%.250s", text);
    record_write_exit(t->attempt_dir, &r,
                      NULL); /* not kept: it would be submitted and refused again */
}

static enum status write_script(struct launch_slurm *s, struct tracked *t, const char *path,
                                struct err *err)
{
    char comment[96];
    struct buf b;
    snprintf(comment, sizeof comment, "espalier job %lld attempt %d", (long long)t->job_id,
             t->attempt);
    struct slurm_script script = {.request = t->request,
                                  .name = t->note.row.name,
                                  .comment = comment,
                                  .job_dir = t->job_dir,
                                  .attempt_dir = t->attempt_dir,
                                  .launcher = s->options.launcher,
                                  .nice_step = s->options.nice_step,
                                  .after = t->unordered ? 0 : slurm_id_before(t),
                                  .keep_off = t->note.excluded};
    buf_init(&b, 64u << 10);
    enum status st = slurm_script_render(&script, &b, err);
    if (st == ST_OK)
        st = file_write_atomic(path, buf_str(&b), b.len, 0700, err);
    buf_fini(&b);
    return st;
}

static enum status write_command(struct launch_slurm *s, struct tracked *t, struct err *err)
{
    char srun[SLURM_PATH_MAX];
    struct slurm_command c;
    const char *mpi = s->options.mpi[0] ? s->options.mpi : s->mpi;
    if (s->options.start == SLURM_START_SRUN && !mpi[0])
        return err_set(
            err, ST_UNSUPPORTED,
            "srun has no PMIx plugin for Open MPI (srun --mpi=list); let the daemon start ranks by "
            "mpirun: slurm.start mpirun");
    struct slurm_start start = {
        .srun = slurm_program(s, "srun", srun),
        .mpirun = s->options.mpirun,
        .worker = s->options.worker,
        .mpi = s->options.start != SLURM_START_MPIRUN && mpi[0] ? mpi : NULL,
    };
    slurm_command_make(&c, t->request, &start, t->job_dir);
    return record_write_command(t->attempt_dir, c.argv, c.env, err);
}

/* Order: script and command, then the note that says "perhaps submitted", then sbatch. */
static void submit(struct launch_slurm *s, struct tracked *t)
{
    char path[SLURM_PATH_MAX], sbatch[SLURM_PATH_MAX];
    struct err err;
    snprintf(path, sizeof path, "%s/script.sh", t->attempt_dir);
    slurm_job_name(s, t->job_id, t->attempt, t->note.row.name);
    t->note.priority = t->request->priority = t->priority;
    t->note.submitted_ms = s->options.clock->wall_ms(s->options.clock);
    slurm_keep_off(t);
    enum status st = write_script(s, t, path, &err);
    if (st == ST_OK)
        st = write_command(s, t, &err);
    if (st == ST_OK)
        st = slurm_note_write(t->attempt_dir, &t->note, &err);
    const char *argv[] = {slurm_program(s, "sbatch", sbatch), "--parsable", path, NULL};
    if (st != ST_OK)
        snprintf(t->trouble, sizeof t->trouble, "%.190s", err.text);
    else
        st = slurm_run(s, t, TASK_SBATCH, argv);
    if (st == ST_OK)
        t->phase = PHASE_SUBMITTING;
    else if (status_is_passing(st))
        slurm_put_off(s, t, t->trouble);
    else
        refuse(t, t->trouble);
}

void slurm_submit_step(struct launch_slurm *s, struct tracked *t)
{
    if (t->command || t->end.kind != EVIDENCE_UNKNOWN || s->now_ms < t->try_ms)
        return;
    if (t->cancel != CANCEL_NONE) {
        record_forbid_start(t->attempt_dir);
        t->folder_ms = 0;
    } else if (t->phase == PHASE_WAITING && t->request && !needs_probe(s) &&
               s->commands < SLURM_COMMANDS_MAX)
        submit(s, t);
}

/* The job is in Slurm under this id. */
static void settle(struct launch_slurm *s, struct tracked *t, int64_t id)
{
    t->note.row.id = id;
    t->phase = PHASE_SUBMITTED;
    t->known_ms = s->now_ms;
    t->trouble[0] = '\0';
    t->wait_ms = t->try_ms = 0;
    free(t->request);
    t->request = NULL;
    /* Not kept: a restarted daemon looks the name up. */
    slurm_note_write(t->attempt_dir, &t->note, NULL);
    slurm_squeue_soon(s);
}

void slurm_submit_done(struct launch_slurm *s, struct tracked *t, const struct command *c)
{
    const char *said = slurm_said(c);
    char text[200];
    int64_t id = c->exit_code == 0 ? slurm_parse_sbatch(buf_str(&c->out)) : 0;
    slurm_trouble_text(said, text, sizeof text);
    enum slurm_trouble trouble = slurm_trouble_of(said);
    if (c->timed_out || c->exit_code == 0)
        trouble = SLURM_UNANSWERED; /* or it said something that is no id */
    t->phase = PHASE_WAITING;
    if (id) {
        settle(s, t, id);
    } else if (trouble == SLURM_UNANSWERED) {
        t->phase = PHASE_LOOKING_UP;
        t->try_ms = s->now_ms + (LATE_MS < s->options.command_ms ? LATE_MS : s->options.command_ms);
        snprintf(t->trouble, sizeof t->trouble,
                 "sbatch gave no answer (%.120s); looking whether it was taken",
                 c->timed_out ? "too slow" : text);
        slurm_squeue_soon(s);
    } else if (trouble == SLURM_BUSY) {
        slurm_put_off(s, t, text);
    } else if (strstr(text, "dependency") && !t->unordered) {
        t->unordered = true; /* it has lost that one, and gave the id to this one */
    } else if (t->note.excluded[0]) {
        t->anywhere = true; /* elsewhere if there is a choice */
        log_info("job %lld attempt %d: not without %s: %s", (long long)t->job_id, t->attempt,
                 t->note.excluded, text);
    } else {
        refuse(t, text[0] ? text : "sbatch failed and said nothing");
    }
}

/* A job that began says its id itself; one that nobody has seen is submitted again if it is still wanted. */
void slurm_looked_up(struct launch_slurm *s, struct tracked *t, bool found)
{
    struct launcher_record r;
    if (found) {
        settle(s, t, t->note.row.id);
        return;
    }
    if (record_read_launcher(t->attempt_dir, &r, NULL) == ST_OK && r.slurm_id) {
        settle(s, t, r.slurm_id);
        return;
    }
    t->phase = PHASE_WAITING;
    t->trouble[0] = '\0';
    t->try_ms = 0;
}
