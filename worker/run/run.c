/* run.c - see run.h: creation, agreement between ranks, stop requests, notes, progress. */
#include "run/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENA_MAX ((size_t)1 << 40)

const char *stage_name(enum stage s)
{
#define X(id, name) name,
    static const char *const names[] = {STAGE_LIST(X)};
#undef X
    return s < STAGE_COUNT ? names[s] : "end";
}

#define PLAN(p)                                                                                    \
    (struct phase_plan)                                                                            \
    {                                                                                              \
        .steps = job->p##_steps, .warmup_steps = job->p##_warmup_steps, .lr = job->p##_lr,         \
        .lr_vision = job->p##_lr_vision, .lr_text = job->p##_lr_text, .drop_at = job->p##_drop_at, \
        .dense = job->p##_dense, .schedule = job->p##_schedule, .data = job->p##_data              \
    }
struct phase_plan phase_plan_of(const struct jobfile *job, enum stage s)
{
    switch (s) {
    case STAGE_WARMUP:
        return PLAN(warmup);
    case STAGE_PRETRAIN:
        return PLAN(pretrain);
    case STAGE_TASK:
        return PLAN(task);
    case STAGE_CONTROL:
        return PLAN(control);
    case STAGE_SEARCH:
        return PLAN(search);
    case STAGE_FINETUNE:
        return PLAN(finetune);
    default:
        return (struct phase_plan){0};
    }
}
#undef PLAN

static int64_t planned_steps(const struct jobfile *job)
{
    int64_t sum = 0;
    for (int s = 0; s < STAGE_COUNT; s++)
        sum += phase_plan_of(job, s).steps;
    return sum;
}

/* ---- creation -------------------------------------------------------------------------------- */

static enum status open_report(struct run *r, struct err *err)
{
    if (!run_root(r))
        return ST_OK;
    char *spool = job_folder_path(r->folder, "spool");
    char file[4096];
    snprintf(file, sizeof file, "%s/attempt-%d", spool ? spool : "", r->folder->attempt);
    enum status st =
        spool ? file_mkdirs(spool, 0700, err) : err_set(err, ST_NOMEM, "out of memory");
    const struct report_options options = {
        .address = r->folder->report_address,
        .ca_file = r->folder->report_ca,
        .job_id = r->folder->job_id ? r->folder->job_id : "0",
        .attempt = (uint32_t)r->folder->attempt,
        .token = r->folder->token,
        .version = ESPALIER_VERSION,
        .spool_path = file,
    };
    if (st == ST_OK)
        st = report_open(&r->report, &options, err);
    free(spool);
    return st;
}

/* Without it the run is as good; only a stall could not be told from outside. */
static void open_pulse(struct run *r)
{
    char dir[4096];
    struct err err;
    snprintf(dir, sizeof dir, "%s/attempts/%d", r->folder->dir, r->folder->attempt);
    enum status st = pulse_open(&r->pulse, dir, r->comm->rank, &err);
    if (st != ST_OK && st != ST_NOT_FOUND)
        log_warn("%s", err.text);
}

static enum status try_loader(struct run *r, int data, enum loader_part part, struct err *err)
{
    struct loader *loader = NULL;
    enum status st =
        corpus_loader(&loader, r->corpus, r->job, &r->shape, r->comm, data, 0, part, err);
    loader_destroy(loader);
    return st;
}

/* A set that is too small or a caption that is too long is told now, not hours later at the door of
 * its phase. */
static enum status check_data(struct run *r, struct err *err)
{
    for (int s = 0; s < STAGE_COUNT; s++) {
        struct phase_plan plan = phase_plan_of(r->job, (enum stage)s);
        bool search = s == STAGE_SEARCH;
        if (plan.steps == 0)
            continue;
        enum status st = try_loader(r, plan.data, search ? LOADER_TRAIN : LOADER_ALL, err);
        if (st == ST_OK && search)
            st = try_loader(r, plan.data, LOADER_HOLDOUT, err);
        if (st != ST_OK)
            return err_prefix(err, "phases.%s", stage_name((enum stage)s));
    }
    return ST_OK;
}

enum status run_backend(const struct backend **ret_be, const struct jobfile *job, struct err *err)
{
    const struct backend *be =
        backend_find(job->train_precision == PRECISION_BF16 ? "cpu-bf16" : "cpu");
    if (!be)
        return err_set(err, ST_UNSUPPORTED,
                       "train.precision is bf16, but the processor here has no AVX-512 BF16 "
                       "instructions (Intel Cooper Lake and Sapphire "
                       "Rapids, AMD Zen 4 and later have them); set train.precision: f32");
    *ret_be = be;
    return ST_OK;
}

static enum status open_engine(struct run *r, struct err *err)
{
    struct frame_options options;
    jobfile_model_shape(r->job, &r->shape);
    jobfile_frame_options(r->job, &options);
    TRY(model_shape_check(&r->shape, err));
    TRY(model_shape_frame(&r->shape, &options, &r->frame, err));
    TRY(structure_create(&r->structure, r->frame, err));
    backend_set_threads((int)r->job->resources_threads);
    TRY(run_backend(&r->backend, r->job, err));
    TRY(ctx_create(&r->cx, r->backend, ARENA_MAX, err));
    TRY(corpus_open(&r->corpus, r->job, (int)r->shape.image, run_root(r), err));
    return check_data(r, err);
}

/* Launcher and MPI that do not understand each other make as many jobs of one rank, which write over each other's files. */
static enum status check_ranks(const struct run *r, struct err *err)
{
    long long wanted = r->job->resources_ranks;
    if (!r->folder->job_id || r->comm->size == wanted)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "MPI has %d rank%s here, the job %lld (resources.ranks): what started the ranks "
                   "does not fit this program's MPI; "
                   "under Slurm choose another plugin (slurm.mpi in the daemon's configuration) or "
                   "slurm.start: mpirun",
                   r->comm->size, r->comm->size == 1 ? "" : "s", wanted);
}

/* A kernel set differs from another in the last bits: ranks of two would drift apart and come to decide differently. */
static enum status check_kernels(struct run *r, struct err *err)
{
    const char *own = backend_describe(r->backend);
    char first[192] = "";
    snprintf(first, sizeof first, "%s", own);
    r->comm->broadcast(r->comm, first, sizeof first, 0);
    if (strcmp(first, own) == 0)
        return ST_OK;
    return err_set(
        err, ST_UNSUPPORTED,
        "its kernels are %.120s, those of rank 0 are %.120s: they round differently, and the ranks "
        "would drift "
        "apart; give the job nodes with one kind of processor (under Slurm: slurm.constraint)",
        own, first);
}

void run_forget(struct run *r)
{
    run_drop_model(r);
    if (r->structure)
        structure_fill(r->structure);
    r->state = (struct run_state){.frozen_at = -1, .kept = 1, .sampled = 1};
    run_forget_metrics(r, BEST_LOSS);
    json_object_put(r->result);
    r->result = json_object_new_object();
}

enum status run_create(struct run **ret_run, struct job_folder *folder, struct comm *comm,
                       struct err *err)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(err, ST_NOMEM, "out of memory starting the job");
    r->folder = folder;
    r->job = folder->job;
    r->comm = comm;
    run_forget(r);
    open_pulse(r);
    enum status st = open_report(r, err);
    if (st == ST_OK)
        st = check_ranks(r, err);
    if (st == ST_OK)
        st = open_engine(r, err);
    st = run_agree(r, st, err);
    if (st == ST_OK)
        st = run_agree(r, check_kernels(r, err), err);
    if (st == ST_OK)
        st = timeline_open(r, err);
    *ret_run = r; /* also on failure: the caller reports through it, then destroys it */
    return st;
}

void run_destroy(struct run *r)
{
    if (!r)
        return;
    report_close(r->report);
    pulse_close(r->pulse);
    json_object_put(r->result);
    run_drop_model(r);
    structure_destroy(r->structure);
    frame_destroy(r->frame);
    corpus_close(r->corpus);
    ctx_destroy(r->cx);
    trace_destroy(r->trace);
    free(r);
}

/* ---- agreement and stop ---------------------------------------------------------------------- */

/* By halves: exact for any number of ranks, and with nothing to allocate where memory may be what failed. */
static int first_failed(struct comm *c, bool failed)
{
    int low = 0, high = c->size;
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        double below = failed && c->rank < middle;
        c->sum_double(c, &below, 1);
        if (below > 0)
            high = middle;
        else
            low = middle;
    }
    return low;
}

enum status run_agree(struct run *r, enum status st, struct err *err)
{
    struct comm *c = r->comm;
    double failed = st != ST_OK;
    c->sum_double(c, &failed, 1);
    if (failed == 0)
        return ST_OK;
    int root = first_failed(c, st != ST_OK);
    struct err shared = {.text = "a rank failed"};
    if (err && st != ST_OK)
        shared = *err;
    shared.code = st;
    c->broadcast(c, &shared, sizeof shared, root);
    if (c->rank != root)
        err_set(err, shared.code, "rank %d: %s", root, shared.text);
    return shared.code;
}

static volatile sig_atomic_t sigterm_seen;

static void on_sigterm(int signal)
{
    (void)signal;
    sigterm_seen = 1;
}

void run_catch_sigterm(void)
{
    struct sigaction action = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL); /* srun and mpirun pass it on; of SIGTERM they make an end */
}

bool run_stop_wanted(struct run *r)
{
    char reason[REPORT_REASON_MAX];
    return sigterm_seen || (r->report && report_stop_requested(r->report, reason));
}

/* ---- what the coordinator is told ------------------------------------------------------------ */

void run_note(struct run *r, enum report_severity severity, const char *fmt, ...)
{
    if (!run_root(r))
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_at(severity == REPORT_ERROR     ? LOG_ERROR
           : severity == REPORT_WARNING ? LOG_WARN
                                        : LOG_INFO,
           "%s", text);
    if (r->report)
        report_note(r->report, severity, text, NULL);
}

void run_metric(struct run *r, const char *name, double value, const char *unit)
{
    if (!run_root(r))
        return;
    log_info("metric %s = %.6g %s", name, value, unit);
    if (r->report && isfinite(value))
        report_metric(r->report, name, value, unit, (uint64_t)r->state.total_step, NULL);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_step_seconds(const struct run *r)
{
    double sorted[32];
    int n = r->steps_timed < 32 ? (int)r->steps_timed : 32;
    if (n == 0)
        return 0;
    memcpy(sorted, r->step_seconds, sizeof(double) * (size_t)n);
    qsort(sorted, (size_t)n, sizeof(double), compare_doubles);
    return sorted[n / 2];
}

void run_time_step(struct run *r, double seconds)
{
    r->step_seconds[r->steps_timed++ % 32] = seconds;
}

void run_progress(struct run *r, const struct phase_plan *plan, double loss)
{
    if (!run_root(r))
        return;
    int64_t total = planned_steps(r->job);
    double step_seconds = median_step_seconds(r);
    const struct report_progress p = {
        .phase = stage_name(r->state.stage),
        .step = (uint64_t)r->state.step,
        .steps = (uint64_t)plan->steps,
        .total_step = (uint64_t)r->state.total_step,
        .total_steps = (uint64_t)total,
        .loss = loss,
        .params_kept = r->state.kept,
        .params_target = r->job->search_steps ? r->job->method_target : 0,
        .step_seconds = step_seconds,
        .eta_seconds = step_seconds > 0 ? step_seconds * (double)(total - r->state.total_step) : -1,
    };
    log_info("%s %lld/%lld loss %.4f kept %.3f %.0f ms/step", p.phase, (long long)p.step,
             (long long)p.steps, p.loss, p.params_kept, 1e3 * p.step_seconds);
    if (r->report)
        report_progress(r->report, &p, NULL);
}

void run_book_time(struct run *r, enum stage s)
{
    int64_t now = clock_mono_ns();
    if (s < STAGE_COUNT)
        r->state.seconds[s] += 1e-9 * (double)(now - r->stage_entered_ns);
    r->stage_entered_ns = now;
}
