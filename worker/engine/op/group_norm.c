/* group_norm.c - y = (x - mean) / sqrt(var + eps) w + b, mean and var over a sample's pixels and a group's channels (Wu & He 2018). */
#include "engine/op/support.h"

struct group_norm_node {
    struct node node;
    struct tensor *y, *x, *w, *b;
    real *mean, *rstd;
    struct group_norm_dims dims;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct group_norm_node *n = (struct group_norm_node *)node;
    ctx_backend(cx)->group_norm_bwd(n->x->grad, n->w->grad, n->b->grad, n->y->grad, n->x->data,
                                    n->w->data, n->mean, n->rstd, &n->dims);
}

static bool check(struct ctx *cx, const struct tensor *x, const struct tensor *w,
                  const struct tensor *b, int groups)
{
    int64_t C = tensor_last(x);
    if (x->dims < 3 || groups < 1 || C % groups)
        ctx_fail(cx, ST_INTERNAL, "group_norm: %s does not divide into %d groups",
                 op_text("x", x).s, groups);
    else if (w->dims != 1 || w->dim[0] != C || b->dims != 1 || b->dim[0] != C)
        ctx_fail(cx, ST_INTERNAL, "group_norm: %s and %s do not fit %s", op_text("w", w).s,
                 op_text("b", b).s, op_text("x", x).s);
    return ctx_ok(cx);
}

struct tensor *op_group_norm(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                             int groups, double eps)
{
    if (!OP_READY(cx, "group_norm", x, w, b) || !check(cx, x, w, b, groups))
        return NULL;
    struct group_norm_dims d = {.B = x->dim[0],
                                .T = tensor_rows(x) / (x->dim[0] ? x->dim[0] : 1),
                                .C = tensor_last(x),
                                .groups = groups,
                                .eps = eps};
    struct tensor *y = op_like(cx, x, op_wants(x) || op_wants(w) || op_wants(b));
    real *mean = op_reals(cx, d.B * groups), *rstd = op_reals(cx, d.B * groups);
    struct group_norm_node *n = OP_RECORD(cx, group_norm_node, backward, y, x, w, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->x = x, n->w = w, n->b = b;
        n->mean = mean, n->rstd = rstd, n->dims = d;
    }
    ctx_backend(cx)->group_norm_fwd(y->data, mean, rstd, x->data, w->data, b->data, &d);
    return y;
}
