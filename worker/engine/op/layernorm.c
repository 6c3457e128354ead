/* layernorm.c - y = (x - mean) / sqrt(var + eps) w + b over the last dimension (Ba et al. 2016). */
#include "engine/op/support.h"

struct layernorm_node {
    struct node node;
    struct tensor *y, *x, *w, *b;
    real *mean, *rstd; /* one piece */
    double eps;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct layernorm_node *n = (struct layernorm_node *)node;
    ctx_backend(cx)->layernorm_bwd(n->x->grad, n->w->grad, n->b->grad, n->y->grad, n->x->data,
                                   n->w->data, n->mean, n->rstd, tensor_rows(n->x),
                                   tensor_last(n->x));
}

static void remake(struct ctx *cx, struct node *node)
{
    struct layernorm_node *n = (struct layernorm_node *)node;
    ctx_backend(cx)->layernorm_fwd(n->y->data, n->mean, n->rstd, n->x->data, n->w->data, n->b->data,
                                   tensor_rows(n->x), tensor_last(n->x), n->eps);
}

static bool check(struct ctx *cx, const struct tensor *x, const char *role, const struct tensor *w)
{
    if (x->dims < 1 || w->dims != 1 || w->dim[0] != tensor_last(x))
        ctx_fail(cx, ST_INTERNAL, "layernorm: x ends in %lld but %s has %lld",
                 (long long)tensor_last(x), op_role(role, w).s, (long long)tensor_size(w));
    return ctx_ok(cx);
}

struct tensor *op_layernorm(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                            double eps)
{
    if (!OP_READY(cx, "layernorm", x, w, b) || !check(cx, x, "w", w) || !check(cx, x, "b", b))
        return NULL;
    struct tensor *y = op_like(cx, x, op_wants(x) || op_wants(w) || op_wants(b));
    int64_t R = tensor_rows(x);
    real *mean = op_reals(cx, 2 * R), *rstd = mean ? mean + R : NULL;
    struct layernorm_node *n = OP_RECORD(cx, layernorm_node, backward, y, x, w, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->x = x, n->w = w, n->b = b;
        n->mean = mean, n->rstd = rstd, n->eps = eps;
        n->node.reads = NODE_READS(0) | NODE_READS(1) | NODE_READS(2);
        n->node.remake = remake;
    }
    ctx_backend(cx)->layernorm_fwd(y->data, mean, rstd, x->data, w->data, b->data, R,
                                   tensor_last(x), eps);
    op_own(cx, n ? &n->node : NULL, mean, (size_t)(2 * R) * sizeof(real));
    return y;
}
