/* mul.c - y = a b element by element. da = dy b, db = dy a. */
#include "engine/op/support.h"

struct mul_node {
    struct node node;
    struct tensor *y, *a, *b;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct mul_node *n = (struct mul_node *)node;
    int64_t size = tensor_size(n->y);
    if (n->a->grad)
        ctx_backend(cx)->mul_bwd(n->a->grad, n->y->grad, n->b->data, size);
    if (n->b->grad)
        ctx_backend(cx)->mul_bwd(n->b->grad, n->y->grad, n->a->data, size);
}

struct tensor *op_mul(struct ctx *cx, struct tensor *a, struct tensor *b)
{
    if (!OP_READY(cx, "mul", a, b))
        return NULL;
    if (!op_same_shape(a, b)) {
        ctx_fail(cx, ST_INTERNAL, "mul: %s and %s differ", op_text("a", a).s, op_text("b", b).s);
        return NULL;
    }
    struct tensor *y = op_like(cx, a, op_wants(a) || op_wants(b));
    struct mul_node *n = OP_RECORD(cx, mul_node, backward, y, a, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->a = a, n->b = b;
    ctx_backend(cx)->mul_fwd(y->data, a->data, b->data, tensor_size(y));
    return y;
}
