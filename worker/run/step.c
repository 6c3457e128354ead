/* step.c - one weight step over the global batch: every rank its share, gradients summed, one
 * update.
 *
 * All ranks see the same sums, so all take the same decision: apply, skip (NaN or Inf), or stop.
 */
#include "run/moments.h"
#include "run/reduce.h"
#include "run/run.h"

#include <math.h>

enum {
    SUM_TOTAL,
    SUM_CE,
    SUM_BBOX,
    SUM_GIOU,
    SUM_CONTRAST,
    SUM_DENSE,
    SUM_COSINE,
    SUM_BAD,
    SUM_STOP,
    SUM_NORM, /* rank 0's, of the summed gradient: one number decides everywhere */
    SUMS
};

static void add_losses(double *sums, const struct model_losses *l, double share)
{
    sums[SUM_TOTAL] += l->total;
    sums[SUM_CE] += l->ce;
    sums[SUM_BBOX] += l->bbox;
    sums[SUM_GIOU] += l->giou;
    sums[SUM_CONTRAST] += l->contrast;
    sums[SUM_DENSE] += l->dense;
    sums[SUM_COSINE] += share * l->query_cosine;
}

/* Forward and backward of one micro-batch. A loss that is NaN marks the step as bad; it is no
 * failure. */
static enum status micro_batch(struct run *r, const struct batch *batch, loss_f loss,
                               const struct ctx_watch *watch, double *sums, struct err *err)
{
    if (batch->B == 0)
        return ST_OK;
    const struct ctx_config cfg = {.train = true,
                                   .record = true,
                                   .recompute = r->job->train_recompute == RECOMPUTE_BLOCK,
                                   .seed = (uint64_t)r->job->train_seed,
                                   .step = (uint64_t)r->state.total_step,
                                   .sample0 = batch->sample0,
                                   .watch = watch};
    struct model_losses l = {0};
    int64_t begin = trace_begin(r->trace);
    ctx_begin(r->cx, &cfg);
    struct tensor *total = loss(r->cx, r->model, batch, &l);
    trace_end(r->trace, TRACE_FORWARD, 0, r->state.step, begin);
    begin = trace_begin(r->trace);
    ctx_backward(r->cx, total);
    trace_end(r->trace, TRACE_BACKWARD, 0, r->state.step, begin);
    struct err local;
    enum status st = ctx_finish(r->cx, &local);
    if (st == ST_NUMERIC) {
        sums[SUM_BAD] += 1;
        return ST_OK;
    }
    if (st != ST_OK)
        return err_set(err, st, "%s", local.text);
    add_losses(sums, &l, (double)batch->B / (double)r->job->train_batch);
    return ST_OK;
}

static enum status forward_backward(struct run *r, struct loader *loader, loss_f loss, double *sums,
                                    struct err *err)
{
    params_zero_grads(model_params(r->model));
    reduce_begin(r->reduce);
    for (int64_t m = 0, micros = loader_micros(loader); m < micros; m++) {
        const struct batch *batch;
        int64_t begin = trace_begin(r->trace);
        TRY(loader_batch(loader, r->state.step, m, &batch, err));
        trace_end(r->trace, TRACE_BATCH, 0, r->state.step, begin);
        TRY(micro_batch(r, batch, loss, m + 1 == micros ? reduce_watch(r->reduce) : NULL, sums,
                        err));
    }
    return ST_OK;
}

static void learning_rates(double *lr, const struct run *r, const struct phase_plan *plan)
{
    double f = plan->lr * schedule_factor(plan->schedule, r->state.step, plan->steps,
                                          plan->warmup_steps, plan->drop_at);
    lr[PARAM_VISION] = f * plan->lr_vision;
    lr[PARAM_TEXT] = f * plan->lr_text;
    lr[PARAM_REST] = f;
    lr[PARAM_HYPER] = 0;
}

/* The update; the gradient is brought to the clip limit first, so that a pull can join it
 * unclipped. */
static enum status apply(struct run *r, const struct phase_plan *plan,
                         const struct train_hooks *hooks, double norm, double *lr, struct err *err)
{
    struct params *p = model_params(r->model);
    struct adamw_config cfg = adamw_defaults;
    double scale = clip_scale(norm, r->job->train_clip);
    if (hooks->pull_gradient) {
        real *g = params_grads(p);
        for (int64_t i = 0; i < params_size(p); i++)
            g[i] *= (real)scale;
        scale = 1;
        TRY(hooks->pull_gradient(r, plan, err));
    }
    learning_rates(lr, r, plan);
    for (int g = 0; g < PARAM_GROUPS; g++)
        cfg.lr[g] = lr[g];
    cfg.weight_decay = r->job->train_weight_decay;
    adamw_step(r->opt, p, &cfg, scale);
    if (moments_sharded(r))
        reduce_share(r->reduce, params_values(p));
    return ST_OK;
}

/* The gradient and the losses of the global batch. A rank that fails starts its sums all the same, or the others' would
 * meet its agreement instead. */
static enum status gradient(struct run *r, struct loader *loader, loss_f loss, double *sums,
                            struct err *err)
{
    enum status st = forward_backward(r, loader, loss, sums, err);
    reduce_start_rest(r->reduce);
    pulse_mark(r->pulse, PULSE_SUM, r->state.total_step);
    reduce_finish(r->reduce);
    if (run_root(r))
        sums[SUM_NORM] = grad_norm(r->backend, model_params(r->model));
    int64_t begin = trace_begin(r->trace);
    st = run_agree(r, st, err);
    if (st == ST_OK)
        r->comm->sum_double(r->comm, sums, SUMS);
    trace_end(r->trace, TRACE_AGREE, 0, r->state.step, begin);
    return st;
}

enum status weight_step(struct run *r, struct loader *loader, const struct phase_plan *plan,
                        const struct train_hooks *hooks, struct step_result *ret, struct err *err)
{
    double sums[SUMS] = {[SUM_STOP] = run_stop_wanted(r)};
    pulse_mark(r->pulse, PULSE_COMPUTE, r->state.total_step);
    TRY(gradient(r, loader, hooks->loss, sums, err));
    double norm = sums[SUM_NORM];
    ret->losses = (struct model_losses){.total = sums[SUM_TOTAL],
                                        .ce = sums[SUM_CE],
                                        .bbox = sums[SUM_BBOX],
                                        .giou = sums[SUM_GIOU],
                                        .contrast = sums[SUM_CONTRAST],
                                        .dense = sums[SUM_DENSE],
                                        .query_cosine = sums[SUM_COSINE]};
    ret->stop = sums[SUM_STOP] > 0;
    ret->skipped = sums[SUM_BAD] > 0 || !isfinite(norm);
    int64_t begin = trace_begin(r->trace);
    enum status st = ret->skipped ? ST_OK : apply(r, plan, hooks, norm, ret->lr, err);
    trace_end(r->trace, TRACE_OPTIMISER, 0, r->state.step, begin);
    return st;
}
