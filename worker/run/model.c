/* model.c - the model of the current stage, its EMA and its optimiser. */
#include "run/moments.h"
#include "run/run.h"

#include "jobfile/schema.h"

#include <string.h>

static real *block_create(const struct backend *be, int64_t n)
{
    return be->memory->alloc((size_t)n * sizeof(real));
}

static void copy_by_name(struct params *to, real *to_block, struct params *from,
                         const real *from_block)
{
    for (int i = 0; i < params_count(to); i++) {
        const struct param *p = params_at(to, i), *q = params_find(from, p->spec.name);
        if (q && q->size == p->size)
            memcpy(to_block + p->offset, from_block + q->offset, (size_t)p->size * sizeof(real));
    }
}

/* Values and EMA of the old model into the new one. */
static enum status carry_over(struct run *r, struct model *to, real *ema, struct err *err)
{
    struct params *from = model_params(r->model), *p = model_params(to);
    if (binding_hard(model_binding(to)) && !r->state.hardened) {
        TRY(harden_values(p, params_values(p), from, params_values(from), r->structure, err));
        return harden_values(p, ema, from, r->ema, r->structure, err);
    }
    copy_by_name(p, params_values(p), from, params_values(from));
    copy_by_name(p, ema, from, r->ema);
    return ST_OK;
}

enum status run_remodel(struct run *r, bool compact, bool warmup_head, struct err *err)
{
    struct model *m = NULL;
    char kind[32];
    enum_name(schema_keys[KEY_model_kind].list, r->job->model_kind, kind);
    TRY(model_create(&m, kind, &r->shape, r->frame, compact ? r->structure : NULL, warmup_head,
                     (uint64_t)r->job->train_seed, err));
    struct params *p = model_params(m);
    real *ema = block_create(r->backend, params_size(p));
    if (!ema) {
        model_destroy(m);
        return err_set(err, ST_NOMEM, "out of memory for the EMA of %lld parameters",
                       (long long)params_size(p));
    }
    memcpy(ema, params_values(p), (size_t)params_size(p) * sizeof(real));
    if (r->model) {
        enum status st = carry_over(r, m, ema, err);
        if (st != ST_OK) {
            r->backend->memory->release(ema);
            model_destroy(m);
            return st;
        }
        r->backend->memory->release(r->ema);
        model_destroy(r->model);
    }
    adamw_destroy(r->opt);
    r->opt = NULL;
    r->model = m;
    r->ema = ema;
    r->state.hardened = compact;
    return ST_OK;
}

void run_restart_ema(struct run *r)
{
    struct params *p = model_params(r->model);
    memcpy(r->ema, params_values(p), (size_t)params_size(p) * sizeof(real));
}

enum status run_fresh_optimiser(struct run *r, struct err *err)
{
    adamw_destroy(r->opt);
    r->opt = NULL;
    run_restart_ema(r);
    int64_t begin, end;
    moments_part(r, &begin, &end);
    return adamw_create_part(&r->opt, r->backend, begin, end, err);
}

void run_drop_hypernet(struct run *r)
{
    adamw_destroy(r->hyper_opt);
    hypernet_destroy(r->hyper);
    r->hyper_opt = NULL;
    r->hyper = NULL;
}

void run_drop_model(struct run *r)
{
    run_drop_hypernet(r);
    adamw_destroy(r->opt);
    r->opt = NULL;
    if (r->ema)
        r->backend->memory->release(r->ema);
    r->ema = NULL;
    model_destroy(r->model);
    r->model = NULL;
}

enum status run_fresh_hypernet(struct run *r, struct err *err)
{
    const struct hypernet_config cfg = {.width = (int)r->job->method_hyper_width,
                                        .gru = (int)r->job->method_hyper_gru,
                                        .tau = r->job->method_tau,
                                        .bias = r->job->method_bias,
                                        .seed = (uint64_t)r->job->train_seed};
    run_drop_hypernet(r);
    TRY(hypernet_create(&r->hyper, r->frame, &cfg, err));
    return adamw_create(&r->hyper_opt, r->backend, hypernet_params(r->hyper), err);
}

void run_swap_ema(struct run *r)
{
    struct params *p = model_params(r->model);
    real *w = params_values(p);
    for (int64_t i = 0; i < params_size(p); i++) {
        real t = w[i];
        w[i] = r->ema[i];
        r->ema[i] = t;
    }
}
