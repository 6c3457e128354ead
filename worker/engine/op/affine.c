/* affine.c - y = k x + c: op_scale and op_one_minus. dx = k dy. */
#include "engine/op/support.h"

struct affine_node {
    struct node node;
    struct tensor *y, *x;
    double k;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct affine_node *n = (struct affine_node *)node;
    ctx_backend(cx)->axpy(n->x->grad, n->y->grad, n->k, tensor_size(n->x));
}

static struct tensor *affine(struct ctx *cx, const char *op, struct tensor *x, double k, double c)
{
    if (!OP_READY(cx, op, x))
        return NULL;
    struct tensor *y = op_like(cx, x, op_wants(x));
    struct affine_node *n = OP_RECORD(cx, affine_node, backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->k = k;
    ctx_backend(cx)->affine_fwd(y->data, x->data, k, c, tensor_size(x));
    return y;
}

struct tensor *op_scale(struct ctx *cx, struct tensor *x, double k)
{
    return affine(cx, "scale", x, k, 0);
}

struct tensor *op_one_minus(struct ctx *cx, struct tensor *x)
{
    return affine(cx, "one_minus", x, -1, 1);
}
