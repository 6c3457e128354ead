/* hypernet.c - the network: fixed inputs, a bidirectional GRU over the sites, a head a site
 * (method.md 4).
 *
 *     f_t = GRU(z_t, f_{t-1})      b_t = GRU'(z_t, b_{t+1})      zero initial states
 *     h_t = ReLU(LayerNorm([f_t b_t]))
 *     o_m,t = P_t h_t              o_own,t = S_t h_t
 */
#include "engine/hypernet/hypernet_net.h"

#include "engine/op/op.h"
#include "engine/op/support.h" /* op_move: joining many vectors of different lengths */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HYPER_NAME_MAX (SITE_NAME_MAX + 32)

/* ---- life ------------------------------------------------------------------------------------ */

static void row_normalise(double *row, int n)
{
    double square = 0;
    for (int i = 0; i < n; i++)
        square += row[i] * row[i];
    for (int i = 0; i < n; i++)
        row[i] /= sqrt(square);
}

/* Gaussian rows made orthonormal (Gram-Schmidt, each projection done twice). */
static enum status input_make(struct hypernet *hn, struct err *err)
{
    int rows = hn->frame->nsites, n = hn->cfg.width;
    double *z = calloc((size_t)rows * (size_t)n, sizeof *z);
    hn->input = calloc((size_t)rows * (size_t)n, sizeof *hn->input);
    if (!z || !hn->input) {
        free(z);
        return err_set(err, ST_NOMEM, "out of memory for the hypernetwork's inputs");
    }
    struct rng_key key = {.seed = hn->cfg.seed, .purpose = RNG_HYPER_INPUT};
    for (int64_t i = 0; i < (int64_t)rows * n; i++)
        z[i] = rng_normal(&key, (uint64_t)i);
    for (int r = 0; r < rows; r++) {
        double *row = z + (int64_t)r * n;
        for (int before = 0; before < 2 * r; before++) {
            const double *other = z + (int64_t)(before % r) * n;
            double dot = 0;
            for (int i = 0; i < n; i++)
                dot += row[i] * other[i];
            for (int i = 0; i < n; i++)
                row[i] -= dot * other[i];
        }
        row_normalise(row, n);
    }
    for (int64_t i = 0; i < (int64_t)rows * n; i++)
        hn->input[i] = (real)z[i];
    free(z);
    return ST_OK;
}

static struct tensor *matrix_add(struct hypernet *hn, const char *name, int64_t rows, int64_t cols,
                                 int64_t fan)
{
    return param_add(hn->params, &(struct param_spec){.name = name,
                                                      .dims = 2,
                                                      .dim = {rows, cols},
                                                      .init = INIT_UNIFORM,
                                                      .scale = 1 / sqrt((double)fan),
                                                      .group = PARAM_HYPER,
                                                      .decay = true});
}

static struct tensor *vector_add(struct hypernet *hn, const char *name, int64_t n,
                                 enum param_init init, double scale)
{
    return param_add(hn->params, &(struct param_spec){.name = name,
                                                      .dims = 1,
                                                      .dim = {n},
                                                      .init = init,
                                                      .scale = scale,
                                                      .group = PARAM_HYPER});
}

/* PyTorch's initialisation: everything U(-1/sqrt(D), 1/sqrt(D)). */
static void gru_add(struct gru *g, struct hypernet *hn, const char *direction)
{
    char name[HYPER_NAME_MAX];
    int64_t D = hn->cfg.gru, I = hn->cfg.width;
    double scale = 1 / sqrt((double)D);
    snprintf(name, sizeof name, "hyper.%s.w_ih", direction);
    g->w_ih = matrix_add(hn, name, 3 * D, I, D);
    snprintf(name, sizeof name, "hyper.%s.w_hh", direction);
    g->w_hh = matrix_add(hn, name, 3 * D, D, D);
    snprintf(name, sizeof name, "hyper.%s.b_ih", direction);
    g->b_ih = vector_add(hn, name, 3 * D, INIT_UNIFORM, scale);
    snprintf(name, sizeof name, "hyper.%s.b_hh", direction);
    g->b_hh = vector_add(hn, name, 3 * D, INIT_UNIFORM, scale);
}

static void heads_add(struct hypernet *hn)
{
    const struct frame *f = hn->frame;
    int64_t in = 2 * (int64_t)hn->cfg.gru;
    char name[HYPER_NAME_MAX];
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        if (f->options.prune) {
            snprintf(name, sizeof name, "hyper.%s.prune", t->name);
            hn->head[i].prune = matrix_add(hn, name, t->groups, in, in);
        }
        if (t->source >= 0) {
            snprintf(name, sizeof name, "hyper.%s.own", t->name);
            hn->head[i].own = matrix_add(hn, name, t->groups, in, in);
            hn->shared += t->groups;
        }
    }
}

static enum status net_make(struct hypernet *hn, struct err *err)
{
    int sites = hn->frame->nsites;
    hn->head = calloc((size_t)sites, sizeof *hn->head);
    if (!hn->head)
        return err_set(err, ST_NOMEM, "out of memory for the hypernetwork");
    if (hn->cfg.width < sites)
        hn->cfg.width = (sites + 63) / 64 * 64;
    TRY(input_make(hn, err));
    TRY(params_create(&hn->params, err));
    gru_add(&hn->forward, hn, "forward");
    gru_add(&hn->backward, hn, "backward");
    hn->norm_w = vector_add(hn, "hyper.norm.w", 2 * (int64_t)hn->cfg.gru, INIT_ONE, 0);
    hn->norm_b = vector_add(hn, "hyper.norm.b", 2 * (int64_t)hn->cfg.gru, INIT_ZERO, 0);
    heads_add(hn);
    TRY(params_allocate(hn->params, err));
    params_init(hn->params, hn->cfg.seed);
    return ST_OK;
}

enum status hypernet_create(struct hypernet **ret_hn, const struct frame *frame,
                            const struct hypernet_config *cfg, struct err *err)
{
    if (cfg->width < 1 || cfg->gru < 1 || !(cfg->tau > 0) || !isfinite(cfg->bias))
        return err_set(err, ST_INVALID,
                       "a hypernetwork of width %d, GRU %d, tau %g, bias %g cannot be", cfg->width,
                       cfg->gru, cfg->tau, cfg->bias);
    struct hypernet *hn = calloc(1, sizeof *hn);
    if (!hn)
        return err_set(err, ST_NOMEM, "out of memory for the hypernetwork");
    hn->frame = frame;
    hn->cfg = *cfg;
    enum status st = net_make(hn, err);
    if (st != ST_OK) {
        hypernet_destroy(hn);
        return st;
    }
    *ret_hn = hn;
    return ST_OK;
}

void hypernet_destroy(struct hypernet *hn)
{
    if (!hn)
        return;
    params_destroy(hn->params);
    free(hn->input);
    free(hn->head);
    free(hn);
}

struct params *hypernet_params(struct hypernet *hn)
{
    return hn->params;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* out[t] = state after site t, in the direction's order. */
static void gru_run(struct ctx *cx, struct hypernet *hn, const struct gru *g, bool backward,
                    struct tensor **out)
{
    int sites = hn->frame->nsites;
    int64_t I = hn->cfg.width, D = hn->cfg.gru;
    struct tensor *h = ctx_tensor(cx, false, 1, &D);
    if (h)
        ctx_backend(cx)->memory->zero(h->data, (size_t)D * sizeof(real));
    for (int k = 0; k < sites; k++) {
        int t = backward ? sites - 1 - k : k;
        struct tensor *z = ctx_constant(cx, hn->input + t * I, 1, &I);
        h = out[t] = op_gru_cell(cx, z, h, g->w_ih, g->w_hh, g->b_ih, g->b_hh);
    }
}

/* Joins the vectors end to end; NULL entries are left out. */
static struct tensor *join(struct ctx *cx, struct tensor *const *x, int n)
{
    int64_t size = 0;
    struct op_piece *piece = ctx_host(cx, (size_t)n * sizeof *piece);
    int pieces = 0;
    bool wants = false;
    for (int i = 0; ctx_ok(cx) && i < n; i++) {
        if (!x[i])
            continue;
        piece[pieces++] =
            (struct op_piece){.x = x[i], .y_at = size, .rows = 1, .cols = tensor_size(x[i])};
        size += tensor_size(x[i]);
        wants = wants || op_wants(x[i]);
    }
    if (!ctx_ok(cx) || !pieces)
        return NULL;
    return op_move(cx, ctx_tensor(cx, wants, 1, &size), piece, pieces);
}

struct tensor *hypernet_spread(struct ctx *cx, const struct hypernet *hn, struct tensor *x)
{
    const struct frame *f = hn->frame;
    int64_t size = f->ngroups, from = 0;
    struct op_piece *piece = ctx_host(cx, (size_t)f->nsites * sizeof *piece);
    struct tensor *y = ctx_tensor(cx, op_wants(x), 1, &size);
    int pieces = 0;
    if (!ctx_ok(cx))
        return NULL;
    ctx_backend(cx)->memory->zero(y->data, (size_t)size * sizeof(real));
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        if (t->source < 0)
            continue;
        piece[pieces++] =
            (struct op_piece){.x = x, .x_at = from, .y_at = t->first, .rows = 1, .cols = t->groups};
        from += t->groups;
    }
    return op_move(cx, y, piece, pieces);
}

static struct tensor *head_forward(struct ctx *cx, struct tensor *h, struct tensor *w)
{
    return w ? op_linear(cx, h, w, NULL, ACT_NONE) : NULL;
}

struct hypernet_logits hypernet_forward(struct ctx *cx, struct hypernet *hn)
{
    int n = hn->frame->nsites;
    size_t bytes = (size_t)n * sizeof(void *);
    struct tensor **f = ctx_host(cx, bytes), **b = ctx_host(cx, bytes);
    struct tensor **m = ctx_host(cx, bytes), **own = ctx_host(cx, bytes);
    if (!ctx_ok(cx))
        return (struct hypernet_logits){0};
    gru_run(cx, hn, &hn->forward, false, f);
    gru_run(cx, hn, &hn->backward, true, b);
    for (int i = 0; i < n; i++) {
        struct tensor *h = op_concat_last(cx, f[i], b[i]);
        h = op_act(cx, op_layernorm(cx, h, hn->norm_w, hn->norm_b, 1e-5), ACT_RELU);
        m[i] = head_forward(cx, h, hn->head[i].prune);
        own[i] = head_forward(cx, h, hn->head[i].own);
    }
    return (struct hypernet_logits){join(cx, m, n), join(cx, own, n)};
}
