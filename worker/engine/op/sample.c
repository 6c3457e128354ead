/* sample.c - the hypernetwork's bits: y = sigmoid((o + g + b)/tau) with Gumbel(0,1) noise keyed by
 * the step, and rounding to 0 or 1 with the gradient passed straight through (Jang et al. 2017,
 * Bengio et al. 2013). */
#include "engine/op/support.h"

struct sample_node {
    struct node node;
    struct tensor *y, *x;
    double tau;
};

static void sigmoid_backward(struct ctx *cx, struct node *node)
{
    struct sample_node *n = (struct sample_node *)node;
    ctx_backend(cx)->sigmoid_bwd(n->x->grad, n->y->grad, n->y->data, 1 / n->tau, tensor_size(n->x));
}

static void straight_backward(struct ctx *cx, struct node *node)
{
    struct sample_node *n = (struct sample_node *)node;
    ctx_backend(cx)->axpy(n->x->grad, n->y->grad, 1, tensor_size(n->x));
}

static struct tensor *record(struct ctx *cx, struct tensor *x, double tau,
                             void (*backward)(struct ctx *, struct node *))
{
    struct tensor *y = op_like(cx, x, op_wants(x));
    struct sample_node *n = OP_RECORD(cx, sample_node, backward, y, x);
    if (n)
        n->y = y, n->x = x, n->tau = tau;
    return ctx_ok(cx) ? y : NULL;
}

struct tensor *op_gumbel_sigmoid(struct ctx *cx, struct tensor *o, double b, double tau)
{
    if (!OP_READY(cx, "gumbel_sigmoid", o))
        return NULL;
    if (!(tau > 0)) {
        ctx_fail(cx, ST_INVALID, "gumbel_sigmoid: tau must be > 0, got %g", tau);
        return NULL;
    }
    struct rng_key key = ctx_key(cx, RNG_GUMBEL);
    struct tensor *y = record(cx, o, tau, sigmoid_backward);
    if (y)
        ctx_backend(cx)->gumbel_sigmoid_fwd(y->data, o->data, tensor_size(o), b, tau, &key);
    return y;
}

struct tensor *op_straight_through(struct ctx *cx, struct tensor *y)
{
    if (!OP_READY(cx, "straight_through", y))
        return NULL;
    struct tensor *hard = record(cx, y, 1, straight_backward);
    if (hard)
        ctx_backend(cx)->threshold_fwd(hard->data, y->data, tensor_size(y));
    return hard;
}
