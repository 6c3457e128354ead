/* slurm.c - attempts as Slurm jobs. See launch.h for the contract, slurm.h for the parts.
 *
 * An attempt has ended when its exit record says so, which espalier-launcher leaves from inside the Slurm job, or when
 * Slurm itself says so in words. That Slurm does not answer, or no longer knows a job that had begun, is no end.
 */
#include "launch/slurm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RETRY_MS 2000 /* first wait after a command that failed; doubled up to RETRY_MOST_MS */
#define RETRY_MOST_MS 120000
#define CANCEL_AGAIN_MS 15000

extern char **environ;

static struct launch_slurm *self_of(struct launch *l)
{
    return (struct launch_slurm *)l;
}

/* ---- commands -------------------------------------------------------------------------------- */

const char *slurm_program(const struct launch_slurm *s, const char *name, char out[SLURM_PATH_MAX])
{
    snprintf(out, SLURM_PATH_MAX, "%s%s%s", s->options.bin, s->options.bin[0] ? "/" : "", name);
    return out;
}

const char *slurm_said(const struct command *c)
{
    return c->err.len ? buf_str(&c->err) : buf_str(&c->out);
}

enum status slurm_run(struct launch_slurm *s, struct tracked *t, enum slurm_task task,
                      const char *const *argv)
{
    struct err err;
    t->task = task;
    if (s->commands >= SLURM_COMMANDS_MAX)
        return ST_UNAVAILABLE;
    enum status st = command_start(&t->command, s->epoll, argv, s->environment,
                                   s->now_ms + s->options.command_ms, 64u << 10, &err);
    if (st == ST_OK)
        s->commands++;
    else
        snprintf(t->trouble, sizeof t->trouble, "%.190s", err.text);
    return st;
}

void slurm_put_off(struct launch_slurm *s, struct tracked *t, const char *text)
{
    int64_t first = RETRY_MS < 4 * s->options.poll_ms ? RETRY_MS : 4 * s->options.poll_ms;
    t->wait_ms = t->wait_ms ? 2 * t->wait_ms : first;
    if (t->wait_ms > RETRY_MOST_MS)
        t->wait_ms = RETRY_MOST_MS;
    t->try_ms = s->now_ms + t->wait_ms;
    if (text != t->trouble)
        snprintf(t->trouble, sizeof t->trouble, "%s", text);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static bool is_waiting(const struct tracked *t)
{
    return !t->begun && (t->note.row.kind == SLURM_PENDING || t->note.row.kind == SLURM_OTHER);
}

/* A polite signal goes to the launcher alone, which passes it on; a job that waits has nobody to hear it. */
static void cancel_step(struct launch_slurm *s, struct tracked *t)
{
    char path[SLURM_PATH_MAX], id[24];
    if (t->cancel == CANCEL_NONE || t->command || t->phase != PHASE_SUBMITTED ||
        s->now_ms < t->try_ms)
        return;
    snprintf(id, sizeof id, "%lld", (long long)t->note.row.id);
    slurm_program(s, "scancel", path);
    const char *job[] = {path, id, NULL}, *signal[] = {path, "--batch", "--signal=USR1", id, NULL};
    bool polite = t->cancel == CANCEL_SIGNAL && !is_waiting(t);
    t->cancelling = polite ? CANCEL_SIGNAL : CANCEL_JOB;
    if (slurm_run(s, t, TASK_SCANCEL, polite ? signal : job) != ST_OK && t->trouble[0])
        slurm_put_off(s, t, t->trouble);
}

static void cancel_done(struct launch_slurm *s, struct tracked *t, const struct command *c)
{
    char text[160];
    const char *said = slurm_said(c);
    /* A job that is over already says so by an error; whether it is, squeue tells. */
    bool over = slurm_trouble_of(said) == SLURM_NO_SUCH_JOB || strstr(said, "already complet");
    if (c->exit_code == 0 || over) {
        slurm_squeue_soon(s);
        if (t->cancel <= t->cancelling)
            t->cancel = CANCEL_NONE; /* else more is wanted meanwhile */
        if (t->cancelling == CANCEL_JOB)
            t->killed_ms = s->now_ms;
        t->wait_ms = t->try_ms = 0;
        return;
    }
    slurm_trouble_text(said, text, sizeof text);
    slurm_put_off(s, t, text[0] ? text : "scancel gave no answer");
}

/* What an older attempt has left in Slurm's queue would run nothing. It is seen again if this fails. */
static void leftover_step(struct launch_slurm *s, struct tracked *t)
{
    char path[SLURM_PATH_MAX], id[24];
    if (!t->leftover || t->command || s->now_ms < t->try_ms)
        return;
    snprintf(id, sizeof id, "%lld", (long long)t->leftover);
    const char *argv[] = {slurm_program(s, "scancel", path), id, NULL};
    if (slurm_run(s, t, TASK_LEFTOVER, argv) == ST_OK)
        t->leftover = 0;
}

/* ---- the tick -------------------------------------------------------------------------------- */

static void pump(struct launch_slurm *s, struct tracked *t)
{
    struct command *c = t->command;
    if (!c || !command_pump(c, s->now_ms))
        return;
    t->command = NULL;
    s->commands--;
    if (t->task == TASK_SBATCH)
        slurm_submit_done(s, t, c);
    else if (t->task == TASK_SCANCEL)
        cancel_done(s, t, c);
    else if (t->task == TASK_LEFTOVER)
        slurm_squeue_soon(s);
    else if (t->task == TASK_LOST)
        slurm_lost_done(s, t, c);
    else if (t->task == TASK_RENICE)
        slurm_renice_done(s, t, c);
    else
        slurm_detail_done(s, t, c);
    command_destroy(c);
}

static void step(struct launch_slurm *s, struct tracked *t)
{
    pump(s, t);
    if (t->end.kind == EVIDENCE_UNKNOWN)
        slurm_look_in_folder(s, t);
    cancel_step(s, t);
    leftover_step(s, t);
    slurm_lost_step(s, t);
    if (t->end.kind != EVIDENCE_UNKNOWN || t->command)
        return;
    if (t->phase == PHASE_WAITING)
        slurm_submit_step(s, t);
    else if (t->over_ms)
        slurm_over_step(s, t);
    else if (t->missing)
        slurm_missing_step(s, t);
    else
        slurm_renice_step(s, t);
}

static void slurm_tick(struct launch *l)
{
    struct launch_slurm *s = self_of(l);
    s->now_ms = s->options.clock->mono_ms(s->options.clock);
    slurm_probe_step(s);
    slurm_squeue_step(s);
    for (size_t i = 0; i < s->n; i++)
        step(s, s->list[i]);
    slurm_drop_idle(s);
}

/* ---- the vtable ------------------------------------------------------------------------------ */

/* What the folder says; nothing of it: it was never submitted. */
static struct tracked *adopt(struct launch_slurm *s, const struct launch_spec *spec)
{
    struct slurm_note note;
    struct launcher_record r;
    struct err err;
    enum status st = slurm_note_read(spec->attempt_dir, &note, &err);
    bool begun = record_read_launcher(spec->attempt_dir, &r, NULL) == ST_OK;
    struct exit_record end;
    bool ended = record_read_exit(spec->attempt_dir, &end, NULL) != ST_NOT_FOUND;
    if (st == ST_NOT_FOUND && !begun && !ended)
        return NULL;
    struct tracked *t = slurm_add(s, spec);
    if (!t)
        return NULL;
    if (st == ST_OK)
        t->note = note;
    else
        slurm_job_name(s, t->job_id, t->attempt, t->note.row.name);
    if (!t->note.row.id && begun)
        t->note.row.id = r.slurm_id;
    t->begun = begun;
    t->phase = t->note.row.id ? PHASE_SUBMITTED : PHASE_LOOKING_UP;
    if (slurm_kind_is_over(t->note.row.kind))
        t->over_ms = s->now_ms;
    slurm_squeue_soon(s);
    return t;
}

static struct tracked *find(struct launch_slurm *s, const struct launch_spec *spec)
{
    struct tracked *t = slurm_find(s, spec->job_id, spec->attempt);
    return t ? t : adopt(s, spec);
}

static enum status slurm_start(struct launch *l, const struct launch_spec *spec, struct err *err)
{
    struct launch_slurm *s = self_of(l);
    struct slurm_request request;
    s->now_ms = s->options.clock->mono_ms(s->options.clock);
    struct tracked *t = find(s, spec);
    if (t && (t->request || t->phase == PHASE_SUBMITTED || t->phase == PHASE_SUBMITTING))
        return ST_OK; /* it is on its way, or was */
    if (!spec->request)
        return err_set(err, ST_INTERNAL, "job %lld has no request to Slurm",
                       (long long)spec->job_id);
    TRY(slurm_request_read(&request, spec->request, strlen(spec->request), err));
    if (!t)
        t = slurm_add(s, spec);
    struct slurm_request *kept = t ? malloc(sizeof *kept) : NULL;
    if (!kept)
        return err_set(err, ST_NOMEM, "out of memory for a request to Slurm");
    *kept = request;
    t->request = kept;
    return ST_OK;
}

static void say_lost(const struct tracked *t, const char *trouble, struct evidence *ret_ev)
{
    if (t->record_ms)
        snprintf(ret_ev->text, sizeof ret_ev->text,
                 "it has ended; Slurm is asked who or what ended it: %.160s", trouble);
    else
        snprintf(ret_ev->text, sizeof ret_ev->text,
                 "%.140s, and there is no exit record; if you know how it ended, say so: espalier "
                 "resolve %lld",
                 trouble, (long long)t->job_id);
}

static void pending_or_lost(const struct launch_slurm *s, const struct tracked *t,
                            struct evidence *ret_ev)
{
    const struct slurm_row *r = &t->note.row;
    int64_t lost = 3 * s->options.poll_most_ms + s->options.command_ms;
    const char *trouble = t->trouble[0] ? t->trouble : s->squeue_trouble;
    if (!t->begun && r->kind != SLURM_RUNNING) {
        ret_ev->kind = EVIDENCE_PENDING;
        snprintf(ret_ev->text, sizeof ret_ev->text, "%s", trouble[0] ? trouble : r->reason);
    } else if (t->missing && t->rounds > 0) {
        ret_ev->kind = EVIDENCE_UNKNOWN;
        say_lost(t, trouble, ret_ev);
    } else if (s->now_ms - t->known_ms > lost && (s->squeue_trouble[0] || t->missing)) {
        ret_ev->kind = EVIDENCE_UNKNOWN;
        snprintf(ret_ev->text, sizeof ret_ev->text, "Slurm does not answer: %.200s", trouble);
    } else {
        ret_ev->kind = t->begun ? EVIDENCE_ALIVE : EVIDENCE_STARTING;
    }
}

static void slurm_poll(struct launch *l, const struct launch_spec *spec, struct evidence *ret_ev)
{
    struct launch_slurm *s = self_of(l);
    s->now_ms = s->options.clock->mono_ms(s->options.clock);
    struct tracked *t = find(s, spec);
    *ret_ev = (struct evidence){.kind = EVIDENCE_ABSENT};
    if (!t)
        return;
    t->polled_ms = s->now_ms;
    t->priority = spec->priority;
    t->done = spec->done;
    if (t->end.kind == EVIDENCE_UNKNOWN)
        slurm_look_in_folder(s, t);
    if (t->end.kind != EVIDENCE_UNKNOWN && !slurm_lost_is_open(t))
        *ret_ev = t->end;
    else if (t->phase == PHASE_LOOKING_UP && !t->request)
        return; /* after a restart: start() brings the request along */
    else
        pending_or_lost(s, t, ret_ev);
}

static void slurm_stop(struct launch *l, const struct launch_spec *spec, enum stop_rung rung)
{
    struct launch_slurm *s = self_of(l);
    struct tracked *t = find(s, spec);
    enum slurm_cancel want = rung == STOP_KILL ? CANCEL_JOB : CANCEL_SIGNAL;
    if (!t || t->phase == PHASE_WAITING || t->phase == PHASE_LOOKING_UP)
        record_forbid_start(spec->attempt_dir);
    if (!t)
        return;
    t->folder_ms = 0;
    bool lately = t->killed_ms && s->now_ms - t->killed_ms < CANCEL_AGAIN_MS;
    if (want > t->cancel && !lately)
        t->cancel = want;
}

static void slurm_ask(struct launch *l, const struct launch_spec *spec)
{
    struct launch_slurm *s = self_of(l);
    struct tracked *t = find(s, spec);
    if (t && is_waiting(t))
        slurm_stop(l, spec, STOP_TERM);
}

static int slurm_wake_fd(struct launch *l)
{
    return self_of(l)->epoll;
}

/* What runs is not ours to end; only our own questions are dropped. */
static void slurm_destroy(struct launch *l)
{
    struct launch_slurm *s = self_of(l);
    slurm_clear(s);
    command_destroy(s->squeue);
    command_destroy(s->probe);
    if (s->epoll >= 0)
        close(s->epoll);
    environment_free(s->environment);
    for (size_t i = 0; i < sizeof s->strings / sizeof *s->strings; i++)
        free(s->strings[i]);
    free(s);
}

static const struct launch_ops slurm_ops = {
    .name = "slurm",
    .start = slurm_start,
    .poll = slurm_poll,
    .stop = slurm_stop,
    .ask = slurm_ask,
    .tick = slurm_tick,
    .wake_fd = slurm_wake_fd,
    .destroy = slurm_destroy,
};

/* ---- create ---------------------------------------------------------------------------------- */

static bool copy_strings(struct launch_slurm *s)
{
    const char **to[] = {&s->options.bin, &s->options.worker, &s->options.launcher,
                         &s->options.mpirun, &s->options.mpi};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
        s->strings[i] = strdup(*to[i] ? *to[i] : "");
        if (!s->strings[i])
            return false;
        *to[i] = s->strings[i];
    }
    return true;
}

enum status launch_slurm_create(struct launch **ret_launch, const struct slurm_options *options,
                                struct err *err)
{
    struct launch_slurm *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(err, ST_NOMEM, "out of memory for the launcher");
    s->base.ops = &slurm_ops;
    s->options = *options;
    s->squeue_wait_ms = options->poll_ms;
    s->now_ms = s->options.clock->mono_ms(s->options.clock);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->environment = environment_for_slurm(environ);
    enum status st = s->epoll < 0 ? err_errno(err, "cannot watch processes") : ST_OK;
    if (st == ST_OK && (!copy_strings(s) || !s->environment))
        st = err_set(err, ST_NOMEM, "out of memory for the launcher");
    if (st == ST_OK)
        *ret_launch = &s->base;
    else
        slurm_destroy(&s->base);
    return st;
}
