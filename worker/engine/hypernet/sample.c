/* sample.c - from logits to bits: keyed draws for the search, scores and the read-out (method.md
 * 4). */
#include "engine/backend/backend.h"
#include "engine/hypernet/hypernet_net.h"
#include "engine/op/op.h"

#include <math.h>

static struct tensor *constant(struct ctx *cx, const struct hypernet *hn, real value)
{
    int64_t n = hn->frame->ngroups;
    real *v = ctx_host(cx, (size_t)n * sizeof *v);
    for (int64_t g = 0; v && g < n; g++)
        v[g] = value;
    return v ? ctx_constant(cx, v, 1, &n) : NULL;
}

struct hypernet_sample hypernet_draw(struct ctx *cx, struct hypernet *hn)
{
    struct hypernet_sample sample = {0};
    struct hypernet_logits o = hypernet_forward(cx, hn);
    if (hn->frame->options.prune) {
        sample.m_soft = op_gumbel_sigmoid(cx, o.m, hn->cfg.bias, hn->cfg.tau);
        sample.m_hard = op_straight_through(cx, sample.m_soft);
    } else {
        sample.m_soft = sample.m_hard = constant(cx, hn, 1);
    }
    if (hn->shared) {
        struct tensor *own = op_gumbel_sigmoid(cx, o.own, hn->cfg.bias, hn->cfg.tau);
        struct tensor *hard = op_straight_through(cx, own);
        sample.s_soft = hypernet_spread(cx, hn, op_one_minus(cx, own));
        sample.s_hard = hypernet_spread(cx, hn, op_one_minus(cx, hard));
    } else {
        sample.s_soft = sample.s_hard = constant(cx, hn, 0);
    }
    return ctx_ok(cx) ? sample : (struct hypernet_sample){0};
}

/* score = o + b for every group of the sites that have this head, else b. */
static void scores_take(struct ctx *cx, const struct hypernet *hn, bool own, struct tensor *o,
                        double *score)
{
    const struct frame *f = hn->frame;
    for (int g = 0; g < f->ngroups; g++)
        score[g] = hn->cfg.bias;
    real *v = o ? ctx_host(cx, (size_t)tensor_size(o) * sizeof *v) : NULL;
    if (!v)
        return;
    ctx_backend(cx)->memory->sync();
    ctx_backend(cx)->memory->download(v, o->data, (size_t)tensor_size(o) * sizeof *v);
    for (int i = 0; i < f->nsites; i++) {
        if (!(own ? hn->head[i].own : hn->head[i].prune))
            continue;
        for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++) {
            score[g] += *v++;
            if (!isfinite(score[g]))
                ctx_fail(cx, ST_NUMERIC, "the hypernetwork scores %s, group %d, with %g",
                         f->site[i].name, g - f->site[i].first, score[g]);
        }
    }
}

enum status hypernet_scores(struct hypernet *hn, struct ctx *cx, double *score_m, double *score_own,
                            struct err *err)
{
    ctx_begin(cx, &(struct ctx_config){.seed = hn->cfg.seed});
    struct hypernet_logits o = hypernet_forward(cx, hn);
    scores_take(cx, hn, false, o.m, score_m);
    scores_take(cx, hn, true, o.own, score_own);
    return ctx_finish(cx, err);
}

void hypernet_read(const struct frame *frame, const double *score_m, const double *score_own,
                   struct structure *ret_st)
{
    const double even = log(log(2.0)); /* P(score + Gumbel >= 0) = 1 - exp(-exp(score)) = 1/2 */
    for (int i = 0; i < frame->nsites; i++) {
        const struct site *t = &frame->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            ret_st->m[g] = !frame->options.prune || score_m[g] >= even;
            ret_st->s[g] = t->source >= 0 && !(score_own[g] >= even);
        }
    }
}
