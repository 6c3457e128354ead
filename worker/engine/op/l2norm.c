/* l2norm.c - y = x / max(||x||_2, eps) over the last dimension. */
#include "engine/op/support.h"

struct l2norm_node {
    struct node node;
    struct tensor *y, *x;
    real *inv;
    double eps;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct l2norm_node *n = (struct l2norm_node *)node;
    ctx_backend(cx)->l2norm_bwd(n->x->grad, n->y->grad, n->y->data, n->inv, tensor_rows(n->x),
                                tensor_last(n->x), n->eps);
}

struct tensor *op_l2norm(struct ctx *cx, struct tensor *x, double eps)
{
    if (!OP_READY(cx, "l2norm", x))
        return NULL;
    struct tensor *y = op_like(cx, x, op_wants(x));
    real *inv = op_reals(cx, tensor_rows(x));
    struct l2norm_node *n = OP_RECORD(cx, l2norm_node, backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->inv = inv, n->eps = eps;
    ctx_backend(cx)->l2norm_fwd(y->data, inv, x->data, tensor_rows(x), tensor_last(x), eps);
    return y;
}
