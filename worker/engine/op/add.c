/* add.c - y = a + b of equal shapes; y[B,...] = x[B,...] + p[...] for every b, dp = sum over b. */
#include "engine/op/support.h"

struct add_node {
    struct node node;
    struct tensor *y, *a, *b;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct add_node *n = (struct add_node *)node;
    int64_t size = tensor_size(n->b);
    if (n->a->grad && n->a->grad != n->y->grad)
        ctx_backend(cx)->axpy(n->a->grad, n->y->grad, 1, tensor_size(n->a));
    if (n->b->grad)
        ctx_backend(cx)->copy2d_bwd(n->b->grad, 0, n->y->grad, size,
                                    size ? tensor_size(n->a) / size : 0, size);
}

static void remake(struct ctx *cx, struct node *node)
{
    struct add_node *n = (struct add_node *)node;
    ctx_backend(cx)->add_tail_fwd(n->y->data, n->a->data, n->b->data, n->a->dim[0],
                                  tensor_size(n->b));
}

static struct tensor *record(struct ctx *cx, struct tensor *a, struct tensor *b)
{
    struct tensor *y = op_like(cx, a, op_wants(a) || op_wants(b));
    struct add_node *n = OP_RECORD(cx, add_node, backward, y, a, b);
    if (n) {
        n->y = y, n->a = a, n->b = b;
        n->node.heir = a;
        n->node.reads = 0;
    }
    return ctx_ok(cx) ? y : NULL;
}

struct tensor *op_add(struct ctx *cx, struct tensor *a, struct tensor *b)
{
    if (!OP_READY(cx, "add", a, b))
        return NULL;
    if (!op_same_shape(a, b)) {
        ctx_fail(cx, ST_INTERNAL, "add: %s and %s differ", op_text("a", a).s, op_text("b", b).s);
        return NULL;
    }
    struct tensor *y = record(cx, a, b);
    if (y)
        ctx_backend(cx)->add_fwd(y->data, a->data, b->data, tensor_size(y));
    return y;
}

struct tensor *op_add_tail(struct ctx *cx, struct tensor *x, struct tensor *p)
{
    if (!OP_READY(cx, "add_tail", x, p))
        return NULL;
    bool fits = x->dims == p->dims + 1;
    for (int i = 0; fits && i < p->dims; i++)
        fits = p->dim[i] == x->dim[i + 1];
    if (!fits) {
        ctx_fail(cx, ST_INTERNAL, "add_tail: %s does not end in %s", op_text("x", x).s,
                 op_text("p", p).s);
        return NULL;
    }
    struct tensor *y = record(cx, x, p);
    struct add_node *n = y && ctx_keeps(cx) ? (struct add_node *)y->maker : NULL;
    if (n) /* x is kept in most places where this is used: positions are added to it */
        n->node.remake = remake, n->node.reads = NODE_READS(0) | NODE_READS(1);
    if (y)
        ctx_backend(cx)->add_tail_fwd(y->data, x->data, p->data, x->dim[0], tensor_size(p));
    return y;
}
