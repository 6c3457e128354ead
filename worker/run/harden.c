/* harden.c - the structure becomes the model: pruned groups go, shared rows are stored once
 * (method.md 6.5).
 *
 * The alignment gap is a result: accuracy and held-out loss right before (the model as it was
 * trained, unmasked) and right after, beside the norms that the search's end measured.
 */
#include "run/run.h"

#include "base/json.h"

#include <math.h>

#define HELD_OUT_STEPS 8 /* batches at most: enough to see a gap */

static enum status held_out_batch(struct run *r, struct loader *held_out, int64_t step, double *sum,
                                  struct err *err)
{
    for (int64_t m = 0; m < loader_micros(held_out); m++) {
        const struct batch *batch;
        struct model_losses losses = {0};
        TRY(loader_batch(held_out, step, m, &batch, err));
        ctx_begin(r->cx, &(struct ctx_config){.sample0 = batch->sample0});
        model_loss(r->cx, r->model, batch, &losses);
        enum status st = ctx_finish(r->cx, err);
        if (st != ST_OK && st != ST_NUMERIC)
            return st;
        *sum += st == ST_OK ? losses.total : NAN;
    }
    return ST_OK;
}

/* L_task on the hypernetwork's held-out data, of the copy that is evaluated, into the alignment's
 * `key`. Collective. */
static enum status put_held_out_loss(struct run *r, const char *key, struct err *err)
{
    struct phase_plan plan = phase_plan_of(r->job, STAGE_SEARCH);
    struct loader *held_out = NULL;
    bool ema = r->job->evaluate_weights == WEIGHTS_EMA;
    enum status st = corpus_loader(&held_out, r->corpus, r->job, &r->shape, r->comm, plan.data,
                                   (uint32_t)STAGE_COUNT, LOADER_HOLDOUT, err);
    int64_t steps = st == ST_OK ? loader_epoch_steps(held_out) : 0;
    double sum = 0;
    steps = steps < HELD_OUT_STEPS ? steps : HELD_OUT_STEPS;
    if (ema)
        run_swap_ema(r);
    for (int64_t step = 0; st == ST_OK && step < steps; step++)
        st = held_out_batch(r, held_out, step, &sum, err);
    if (ema)
        run_swap_ema(r);
    loader_destroy(held_out);
    TRY(run_agree(r, st, err));
    r->comm->sum_double(r->comm, &sum, 1);
    double loss = sum / (double)steps;
    json_object_object_add(json_find(r->result, "alignment"), key,
                           isfinite(loss) ? json_object_new_double(loss) : NULL);
    return ST_OK;
}

enum status stage_harden(struct run *r, struct err *err)
{
    binding_use_frozen(model_binding(r->model), r->structure);
    TRY(put_held_out_loss(r, "loss_before", err));
    TRY(evaluate_model(r, "searched", NULL, err));
    TRY(run_agree(r, run_remodel(r, true, false, err), err));
    run_drop_hypernet(r);
    TRY(put_held_out_loss(r, "loss_after", err));
    return evaluate_model(r, "hardened", r->structure, err);
}
