/* recipe.c - the stages of a job, in order: warm-up, pre-training, task, dense score, control,
 * search, harden, fine-tuning, evaluation, export. A stage whose phase has no steps is passed over.
 */
#include "run/run.h"

#include "engine/ckpt/export.h"

#include "base/clock.h"
#include "base/log.h"

#include <unistd.h>

struct stage_row {
    enum status (*run)(struct run *r, struct err *err);
    enum stage phase; /* the phase whose steps make the stage wanted; STAGE_COUNT: always wanted */
};

static const struct stage_row stages[STAGE_COUNT] = {
    [STAGE_WARMUP] = {stage_warmup, STAGE_WARMUP},
    [STAGE_PRETRAIN] = {stage_dense_training, STAGE_PRETRAIN},
    [STAGE_TASK] = {stage_dense_training, STAGE_TASK},
    [STAGE_DENSE] = {stage_dense, STAGE_COUNT},
    [STAGE_CONTROL] = {stage_control, STAGE_CONTROL},
    [STAGE_SEARCH] = {stage_search, STAGE_SEARCH},
    [STAGE_HARDEN] = {stage_harden, STAGE_SEARCH},
    [STAGE_FINETUNE] = {stage_finetune, STAGE_FINETUNE},
    [STAGE_EVALUATE] = {stage_evaluate, STAGE_FINETUNE},
    [STAGE_EXPORT] = {stage_export, STAGE_COUNT},
};

static bool stage_wanted(const struct jobfile *job, enum stage s)
{
    enum stage phase = stages[s].phase;
    return phase == STAGE_COUNT || phase_plan_of(job, phase).steps > 0;
}

static enum status start_model(struct run *r, struct err *err)
{
    TRY(run_remodel(r, false, r->job->warmup_steps > 0, err));
    if (!r->job->model_init || !*r->job->model_init)
        return ST_OK;
    TRY(import_weights(r->model, r->job->model_init, err));
    run_restart_ema(r);
    run_note(r, REPORT_INFO, "weights from %s", r->job->model_init);
    return ST_OK;
}

static void say_hello(struct run *r)
{
    char host[256] = "unknown";
    if (!r->report)
        return;
    gethostname(host, sizeof host - 1);
    report_hello(r->report, host, (uint32_t)r->comm->size, (uint32_t)r->job->resources_threads,
                 backend_describe(r->backend), (uint64_t)r->resumed_step, NULL);
}

static void skip_unwanted(struct run *r)
{
    while (r->state.stage < STAGE_COUNT && !stage_wanted(r->job, r->state.stage))
        r->state.stage++;
}

/* Ends a stage: its time, a checkpoint at the next one's door, and the coordinator's note. */
static enum status leave_stage(struct run *r, struct err *err)
{
    enum stage left = r->state.stage;
    run_book_time(r, left);
    if (run_root(r) && r->report)
        report_phase_done(r->report, stage_name(left), r->state.seconds[left], NULL);
    r->state.stage++;
    skip_unwanted(r);
    r->state.step = 0;
    r->state.collapse_row = 0;
    run_forget_metrics(r, BEST_LOSS);
    adamw_destroy(r->opt);
    r->opt = NULL;
    return run_checkpoint(r, err);
}

static enum status run_stages(struct run *r, struct err *err)
{
    for (skip_unwanted(r); r->state.stage < STAGE_COUNT;) {
        if (run_root(r))
            log_info("stage %s", stage_name(r->state.stage));
        TRY(stages[r->state.stage].run(r, err));
        TRY(leave_stage(r, err));
    }
    return ST_OK;
}

enum status run_recipe(struct run *r, struct err *err)
{
    r->stage_entered_ns = clock_mono_ns();
    bool resumed;
    TRY(run_resume(r, &resumed, err));
    if (!resumed)
        TRY(run_agree(r, start_model(r, err), err));
    say_hello(r);
    enum status st = run_root(r) ? write_reproduce(r, err) : ST_OK;
    TRY(run_agree(r, st, err));
    TRY(run_stages(r, err));
    return run_agree(r, run_root(r) ? write_result(r, err) : ST_OK, err);
}
