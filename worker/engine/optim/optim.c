/* optim.c - see optim.h. The arithmetic over blocks is in the backend (kernels adamw, sum_squares,
 * average). */
#include "engine/optim/optim.h"

#include "engine/backend/backend.h"

#include <math.h>
#include <stdlib.h>

const struct adamw_config adamw_defaults = {.beta1 = .9, .beta2 = .999, .eps = 1e-8};

struct adamw {
    const struct backend *be;
    real *m, *v; /* one block each, of elements [begin, end) of the table's layout */
    int64_t begin, end;
    int64_t steps;
};

static real *block_create(const struct backend *be, int64_t n)
{
    size_t bytes = (size_t)(n ? n : 1) * sizeof(real);
    real *block = be->memory->alloc(bytes);
    if (block)
        be->memory->zero(block, bytes);
    return block;
}

enum status adamw_create(struct adamw **ret_opt, const struct backend *be, struct params *p,
                         struct err *err)
{
    return adamw_create_part(ret_opt, be, 0, params_size(p), err);
}

enum status adamw_create_part(struct adamw **ret_opt, const struct backend *be, int64_t begin,
                              int64_t end, struct err *err)
{
    struct adamw *opt = calloc(1, sizeof *opt);
    if (opt) {
        *opt = (struct adamw){.be = be, .begin = begin, .end = end};
        opt->m = block_create(be, end - begin);
        opt->v = block_create(be, end - begin);
    }
    if (!opt || !opt->m || !opt->v) {
        adamw_destroy(opt);
        return err_set(err, ST_NOMEM, "out of memory for AdamW's moments of %lld parameters",
                       (long long)(end - begin));
    }
    *ret_opt = opt;
    return ST_OK;
}

void adamw_destroy(struct adamw *opt)
{
    if (!opt)
        return;
    opt->be->memory->release(opt->m);
    opt->be->memory->release(opt->v);
    free(opt);
}

void adamw_step(struct adamw *opt, struct params *p, const struct adamw_config *cfg, double scale)
{
    opt->steps++;
    double c1 = 1 - pow(cfg->beta1, (double)opt->steps);
    double c2 = 1 - pow(cfg->beta2, (double)opt->steps);
    const real *grads = params_grads(p);
    for (int i = 0; i < params_count(p); i++) {
        struct param *q = params_at(p, i);
        double lr = cfg->lr[q->spec.group];
        int64_t begin = q->offset > opt->begin ? q->offset : opt->begin;
        int64_t end = q->offset + q->size < opt->end ? q->offset + q->size : opt->end;
        if (lr == 0 || begin >= end)
            continue;
        const struct adamw_rates k = {
            .beta1 = cfg->beta1,
            .beta2 = cfg->beta2,
            .eps = cfg->eps,
            .step = lr / c1,
            .root = 1 / sqrt(c2),
            .shrink = q->spec.decay ? 1 - lr * cfg->weight_decay : 1,
            .scale = scale,
        };
        opt->be->adamw(params_values(p) + begin, opt->m + (begin - opt->begin),
                       opt->v + (begin - opt->begin), grads + begin, end - begin, &k);
    }
}

real *adamw_m(struct adamw *opt)
{
    return opt->m;
}

real *adamw_v(struct adamw *opt)
{
    return opt->v;
}

int64_t adamw_steps(const struct adamw *opt)
{
    return opt->steps;
}

void adamw_set_steps(struct adamw *opt, int64_t t)
{
    opt->steps = t;
}

double grad_norm(const struct backend *be, struct params *p)
{
    const real *grads = params_grads(p);
    double sum = 0;
    for (int i = 0; i < params_count(p); i++) {
        struct param *q = params_at(p, i);
        double part;
        be->sum_squares(&part, grads + q->offset, q->size);
        sum += part;
    }
    return sqrt(sum);
}

double clip_scale(double norm, double clip)
{
    return clip > 0 && norm > clip ? clip / norm : 1;
}

double schedule_factor(int kind, int64_t step, int64_t steps, int64_t warmup, double drop_at)
{
    double ramp = step < warmup ? (double)(step + 1) / (double)warmup : 1;
    double at = steps > 0 ? (double)step / (double)steps : 0;
    switch (kind) {
    case 1:
        return ramp * (at >= drop_at ? 0.1 : 1);
    case 2:
        return ramp * 0.5 * (1 + cos(3.14159265358979323846 * at));
    default:
        return ramp;
    }
}

double ema_decay(double limit, int64_t t)
{
    return fmin(limit, (1 + (double)t) / (10 + (double)t));
}

void ema_update(const struct backend *be, real *ema, const real *w, int64_t n, double decay)
{
    be->average(ema, w, n, decay);
}
