/* frozen_norm.c - y = act(x k + b - mean k), k = w / sqrt(var + eps): batch norm with fixed statistics. Only x is differentiated. */
#include "engine/op/support.h"

struct frozen_norm_node {
    struct node node;
    struct tensor *y, *x;
    real *k;
    enum act act;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct frozen_norm_node *n = (struct frozen_norm_node *)node;
    ctx_backend(cx)->frozen_norm_bwd(n->x->grad, n->y->grad, n->y->data, n->k, tensor_rows(n->x),
                                     tensor_last(n->x), n->act);
}

static bool check(struct ctx *cx, const struct tensor *x, const char *role, const struct tensor *t)
{
    if (!t)
        ctx_fail(cx, ST_INTERNAL, "frozen_norm: %s is missing", role);
    else if (x->dims < 1 || t->dims != 1 || t->dim[0] != tensor_last(x))
        ctx_fail(cx, ST_INTERNAL, "frozen_norm: x ends in %lld but %s has %lld",
                 (long long)tensor_last(x), op_role(role, t).s, (long long)tensor_size(t));
    return ctx_ok(cx);
}

struct tensor *op_frozen_norm(struct ctx *cx, struct tensor *x, const struct tensor *w,
                              const struct tensor *b, const struct tensor *mean,
                              const struct tensor *var, double eps, enum act act)
{
    if (!OP_READY(cx, "frozen_norm", x) || !check(cx, x, "w", w) || !check(cx, x, "b", b) ||
        !check(cx, x, "mean", mean) || !check(cx, x, "var", var))
        return NULL;
    if (act != ACT_NONE && act != ACT_RELU) {
        ctx_fail(cx, ST_INTERNAL, "frozen_norm: only ReLU can follow");
        return NULL;
    }
    struct tensor *y = op_like(cx, x, op_wants(x));
    real *k = op_reals(cx, tensor_last(x));
    struct frozen_norm_node *n = OP_RECORD(cx, frozen_norm_node, backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->k = k, n->act = act;
    ctx_backend(cx)->frozen_norm_fwd(y->data, k, x->data, w->data, b->data, mean->data, var->data,
                                     tensor_rows(x), tensor_last(x), eps, act);
    return y;
}
