/* sum.c - the sum of a tensor's elements; a weighted sum of scalars, y = sum_i k_i x_i. */
#include "engine/op/support.h"

#include <string.h>

struct sum_node {
    struct node node;
    struct tensor *y, *x;
};

static void sum_backward(struct ctx *cx, struct node *node)
{
    struct sum_node *n = (struct sum_node *)node;
    ctx_backend(cx)->sum_bwd(n->x->grad, n->y->grad, tensor_size(n->x));
}

struct tensor *op_sum(struct ctx *cx, struct tensor *x)
{
    if (!OP_READY(cx, "sum", x))
        return NULL;
    struct tensor *y = op_scalar(cx, op_wants(x));
    struct sum_node *n = OP_RECORD(cx, sum_node, sum_backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x;
    ctx_backend(cx)->sum_fwd(y->data, x->data, tensor_size(x));
    return y;
}

struct term {
    struct tensor *x;
    double k;
};

struct weighted_node {
    struct node node;
    struct tensor *y;
    int n;
    struct term term[];
};

static void weighted_backward(struct ctx *cx, struct node *node)
{
    struct weighted_node *w = (struct weighted_node *)node;
    for (int i = 0; i < w->n; i++)
        if (w->term[i].x->grad)
            ctx_backend(cx)->axpy(w->term[i].x->grad, w->y->grad, w->term[i].k, 1);
}

static bool record(struct ctx *cx, struct tensor *y, struct tensor *const *x, const double *k,
                   int n)
{
    struct weighted_node *w =
        ctx_record(cx, sizeof *w + (size_t)n * sizeof w->term[0], weighted_backward, y, n, x);
    if (!w)
        return false;
    w->y = y;
    w->n = n;
    for (int i = 0; i < n; i++)
        w->term[i] = (struct term){.x = x[i], .k = k[i]};
    return true;
}

struct tensor *op_weighted_sum(struct ctx *cx, struct tensor *const *x, const double *k, int n)
{
    if (!op_ready(cx, "weighted_sum", n, x))
        return NULL;
    bool wants = false;
    for (int i = 0; i < n; i++) {
        wants = wants || op_wants(x[i]);
        if (tensor_size(x[i]) != 1)
            ctx_fail(cx, ST_INTERNAL, "weighted_sum: %s is not a scalar", op_text("x", x[i]).s);
    }
    struct tensor *y = op_scalar(cx, wants);
    if (!y || (y->grad && !record(cx, y, x, k, n) && ctx_keeps(cx)))
        return NULL;
    ctx_backend(cx)->memory->zero(y->data, sizeof(real));
    for (int i = 0; i < n; i++)
        ctx_backend(cx)->axpy(y->data, x[i]->data, k[i], 1);
    return y;
}
