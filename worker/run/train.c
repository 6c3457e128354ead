/* train.c - the loop around weight steps, the same for every stage that trains. */
#include "run/moments.h"
#include "run/reduce.h"
#include "run/run.h"

#include "base/clock.h"

#include <math.h>

#define LOSS_DECAY 0.98 /* of the moving average by which the best checkpoints are kept */
#define COLLAPSE_COSINE 0.99
#define COLLAPSE_LOSSES 3 /* reports in a row */

/* NaN or Inf: the step changed nothing. It is named; too many in a row end the job with the last
 * good checkpoint. */
static enum status guard_numbers(struct run *r, const struct step_result *step, struct err *err)
{
    if (!step->skipped) {
        r->state.nan_row = 0;
        return ST_OK;
    }
    r->state.skipped++;
    r->state.nan_row++;
    run_note(
        r, REPORT_WARNING,
        "%s step %lld: the loss or its gradient is NaN or Inf; the step is skipped (%d in a row)",
        stage_name(r->state.stage), (long long)r->state.step, r->state.nan_row);
    if (r->state.nan_row < r->job->train_nan_limit)
        return ST_OK;
    return err_set(
        err, ST_NUMERIC,
        "%d steps in a row had a loss of NaN or Inf (train.nan_limit); lower phases.%s.lr or "
        "train.clip; the last good checkpoint is kept",
        r->state.nan_row, stage_name(r->state.stage));
}

static enum status guard_collapse(struct run *r, const struct step_result *step, struct err *err)
{
    int *row = &r->state.collapse_row;
    *row = step->losses.query_cosine > COLLAPSE_COSINE ? *row + 1 : 0;
    if (r->job->train_on_collapse == COLLAPSE_IGNORE || *row != COLLAPSE_LOSSES)
        return ST_OK;
    run_note(r, REPORT_WARNING,
             "%s step %lld: all queries answer alike (mean cosine %.4f): the model has collapsed. "
             "Train on "
             "captions that name every object first, or lower the learning rate",
             stage_name(r->state.stage), (long long)r->state.step, step->losses.query_cosine);
    if (r->job->train_on_collapse == COLLAPSE_STOP)
        return err_set(err, ST_NUMERIC,
                       "the model has collapsed at step %lld (train.on_collapse: stop)",
                       (long long)r->state.step);
    return ST_OK;
}

/* What the sum over ranks costs a step, as a mean over this attempt's part of the phase. */
static void report_cost(struct run *r)
{
    struct reduce_cost cost = reduce_cost(r->reduce);
    if (r->comm->size < 2 || cost.steps == 0)
        return;
    double steps = (double)cost.steps;
    run_metric(r, "comm.wire", cost.bytes / steps / (1 << 20), "MiB/step");
    run_metric(r, "comm.inside_backward", 1e3 * cost.inside / steps, "ms/step");
    run_metric(r, "comm.exposed", 1e3 * (cost.wait + cost.share) / steps, "ms/step");
}

static enum status report_step(struct run *r, const struct phase_plan *plan,
                               const struct step_result *step, struct err *err)
{
    if (r->state.step % r->job->train_log_every != 0 && r->state.step != plan->steps)
        return ST_OK;
    run_progress(r, plan, step->losses.total);
    report_cost(r);
    if (r->state.stage == STAGE_WARMUP)
        return ST_OK;
    run_metric(r, "loss.ce", step->losses.ce, "");
    run_metric(r, "loss.bbox", step->losses.bbox, "");
    run_metric(r, "loss.giou", step->losses.giou, "");
    run_metric(r, "loss.contrast", step->losses.contrast, "");
    if (plan->dense > 0)
        run_metric(r, "loss.dense", step->losses.dense, "");
    return guard_collapse(r, step, err);
}

static enum status stop_here(struct run *r, struct err *err)
{
    TRY(run_checkpoint(r, err));
    return err_set(err, ST_CANCELLED, "stopped on request at %s step %lld; a checkpoint is written",
                   stage_name(r->state.stage), (long long)r->state.step);
}

/* Behind all that moves a step's weights: the pull is a part of the step, and the average is of what the next one starts from. */
static void average_weights(struct run *r)
{
    struct params *p = model_params(r->model);
    int64_t begin = trace_begin(r->trace);
    double decay = ema_decay(r->job->train_ema, r->state.step);
    ema_update(r->backend, r->ema, params_values(p), params_size(p), decay);
    trace_end(r->trace, TRACE_AVERAGE, 0, r->state.step, begin);
}

static void average_loss(struct run *r, double loss)
{
    double *mean = &r->state.metric[BEST_LOSS];
    *mean = isfinite(*mean) ? LOSS_DECAY * *mean + (1 - LOSS_DECAY) * loss : loss;
}

/* The warm-up's model has another head: there is nothing to score yet. */
static enum status score_here(struct run *r, const struct train_hooks *hooks, struct err *err)
{
    if (!r->job->evaluate_at_checkpoints || r->state.stage == STAGE_WARMUP)
        return ST_OK;
    if (hooks->bind)
        hooks->bind(r);
    return evaluate_checkpoint(r, err);
}

/* What cannot be scored is worth its checkpoint all the same. Of numbers the steps' own guard judges; what cannot be read
 * ends the job. */
static enum status checkpoint_here(struct run *r, const struct train_hooks *hooks, struct err *err)
{
    struct err why = {0};
    enum status scored = score_here(r, hooks, &why);
    if (scored != ST_OK) {
        run_note(r, REPORT_WARNING, "%s step %lld: its checkpoint is written without scores: %s",
                 stage_name(r->state.stage), (long long)r->state.step, why.text);
        run_forget_metrics(r, BEST_LOSS + 1);
    }
    TRY(run_checkpoint(r, err));
    return scored == ST_OK || scored == ST_NUMERIC ? ST_OK : err_set(err, scored, "%s", why.text);
}

static enum status one_step(struct run *r, struct loader *loader, const struct phase_plan *plan,
                            const struct train_hooks *hooks, struct err *err)
{
    int64_t started = clock_mono_ns(), traced = trace_begin(r->trace);
    struct step_result step = {0};
    run_forget_metrics(r, BEST_LOSS + 1);
    if (hooks->before)
        TRY(hooks->before(r, plan, err));
    TRY(weight_step(r, loader, plan, hooks, &step, err));
    if (hooks->after && !step.skipped)
        TRY(hooks->after(r, plan, &step, err));
    if (!step.skipped)
        average_weights(r);
    trace_end(r->trace, TRACE_STEP, 0, r->state.step, traced);
    TRY(timeline_step(r, err));
    if (!step.skipped)
        average_loss(r, step.losses.total);
    r->state.step++;
    r->state.total_step++;
    run_time_step(r, 1e-9 * (double)(clock_mono_ns() - started));
    TRY(guard_numbers(r, &step, err));
    TRY(report_step(r, plan, &step, err));
    if (step.stop)
        return stop_here(r, err);
    if (r->state.step % r->job->train_checkpoint_every == 0 && r->state.step < plan->steps &&
        !step.skipped)
        return checkpoint_here(r, hooks, err);
    return ST_OK;
}

/* What a stage's steps need beside its data. */
static enum status open_steps(struct run *r, struct err *err)
{
    TRY(moments_check(r, params_size(model_params(r->model)), err));
    if (!r->opt)
        TRY(run_fresh_optimiser(r, err));
    return reduce_create(&r->reduce, r->comm, model_params(r->model),
                         r->job->train_wire == WIRE_BF16, 0, r->trace, err);
}

static void close_steps(struct run *r)
{
    reduce_destroy(r->reduce);
    r->reduce = NULL;
}

/* Also of steps that were stopped or came to nothing, which all ranks know alike: that is when one wants to look. */
static enum status end_trace(struct run *r, enum status st, struct err *err)
{
    struct err second = {0};
    if (st == ST_OK)
        return timeline_write(r, err);
    if ((st == ST_CANCELLED || st == ST_NUMERIC) && timeline_write(r, &second) != ST_OK)
        run_note(r, REPORT_WARNING, "%s", second.text);
    return st;
}

enum status train_stage(struct run *r, const struct train_hooks *hooks, struct err *err)
{
    struct phase_plan plan = phase_plan_of(r->job, r->state.stage);
    struct loader *loader = NULL;
    if (r->state.step >= plan.steps)
        return ST_OK;
    enum status st = corpus_loader(&loader, r->corpus, r->job, &r->shape, r->comm, plan.data,
                                   (uint32_t)r->state.stage,
                                   r->state.stage == STAGE_SEARCH ? LOADER_TRAIN : LOADER_ALL, err);
    if (st == ST_OK)
        st = open_steps(r, err);
    st = run_agree(r, st, err);
    timeline_phase(r);
    model_use_dense(r->model, plan.dense);
    while (st == ST_OK && r->state.step < plan.steps)
        st = one_step(r, loader, &plan, hooks, err);
    model_use_dense(r->model, 0);
    st = end_trace(r, st, err);
    close_steps(r);
    loader_destroy(loader);
    return st;
}

/* ---- the stages that only train -------------------------------------------------------------- */

enum status stage_warmup(struct run *r, struct err *err)
{
    const struct train_hooks hooks = {.loss = model_warmup_loss};
    TRY(train_stage(r, &hooks, err));
    return run_agree(r, run_remodel(r, false, false, err), err);
}

enum status stage_dense_training(struct run *r, struct err *err)
{
    const struct train_hooks hooks = {.loss = model_loss};
    return train_stage(r, &hooks, err);
}

enum status stage_dense(struct run *r, struct err *err)
{
    TRY(evaluate_model(r, "dense", NULL, err));
    TRY(run_agree(r, export_dense_model(r, err), err));
    return run_save_dense(r, err);
}

enum status stage_control(struct run *r, struct err *err)
{
    const struct train_hooks hooks = {.loss = model_loss};
    TRY(train_stage(r, &hooks, err));
    TRY(evaluate_model(r, "dense_more", NULL, err));
    return run_load_dense(r, err);
}

enum status stage_finetune(struct run *r, struct err *err)
{
    const struct train_hooks hooks = {.loss = model_loss};
    return train_stage(r, &hooks, err);
}

enum status stage_evaluate(struct run *r, struct err *err)
{
    return evaluate_model(r, "compressed", r->state.hardened ? r->structure : NULL, err);
}
