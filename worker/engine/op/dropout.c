/* dropout.c - zero with probability p, else times 1/(1-p); the identity unless training. x [B,...]:
 * a draw is keyed by the global sample and the element's place in the sample, see
 * engine/backend/draw.h. */
#include "engine/op/support.h"

struct dropout_node {
    struct node node;
    struct tensor *y, *x;
    uint8_t *keep;
    struct dropout_draw draw;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct dropout_node *n = (struct dropout_node *)node;
    ctx_backend(cx)->dropout_bwd(n->x->grad, n->y->grad, n->keep, tensor_size(n->x), &n->draw);
}

struct tensor *op_dropout(struct ctx *cx, struct tensor *x, double p)
{
    if (!OP_READY(cx, "dropout", x))
        return NULL;
    if (!(p >= 0 && p < 1)) {
        ctx_fail(cx, ST_INVALID, "dropout: the probability must be in [0,1), got %g", p);
        return NULL;
    }
    if (!ctx_train(cx) || p == 0)
        return x;
    struct tensor *y = op_like(cx, x, op_wants(x));
    uint8_t *keep = ctx_alloc(cx, (size_t)tensor_size(x));
    struct dropout_node *n = OP_RECORD(cx, dropout_node, backward, y, x);
    struct dropout_draw draw = {
        .p = p, .key = ctx_key(cx, RNG_DROPOUT), .sample0 = ctx_sample0(cx)};
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->keep = keep, n->draw = draw, n->node.reads = 0;
    int64_t B = x->dims ? x->dim[0] : 1;
    ctx_backend(cx)->dropout_fwd(y->data, keep, x->data, B, B ? tensor_size(x) / B : 0, &draw);
    op_own(cx, n ? &n->node : NULL, keep, (size_t)tensor_size(x));
    return y;
}
