/* max_pool.c - the largest of each window, channel by channel; its gradient goes to the first of the largest. */
#include "engine/op/window.h"

struct max_pool_node {
    struct node node;
    struct tensor *y, *x;
    uint8_t *tap; /* which tap it was */
    struct im2col_dims dims;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct max_pool_node *n = (struct max_pool_node *)node;
    ctx_backend(cx)->max_pool_bwd(n->x->grad, n->y->grad, n->tap, &n->dims);
}

struct tensor *op_max_pool(struct ctx *cx, struct tensor *x, struct op_window window)
{
    struct im2col_dims d;
    if (!OP_READY(cx, "max_pool", x) || !op_windows(cx, "max_pool", x, window, &d))
        return NULL;
    if (window.k > 15 || window.pad > window.k / 2) {
        ctx_fail(cx, ST_INTERNAL,
                 "max_pool: a window of %d with padding %d; at most 15, and half of it", window.k,
                 window.pad);
        return NULL;
    }
    struct tensor *y = ctx_tensor(cx, op_wants(x), 4, (int64_t[]){d.B, d.ho, d.wo, d.C});
    uint8_t *tap = ctx_alloc(cx, (size_t)(d.B * d.ho * d.wo * d.C));
    struct max_pool_node *n = OP_RECORD(cx, max_pool_node, backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->tap = tap, n->dims = d;
    ctx_backend(cx)->max_pool_fwd(y->data, tap, x->data, &d);
    return y;
}
