/* upsample.c - an image at another size: each pixel the nearest, or a mean of the four around it weighted by nearness. */
#include "engine/op/support.h"

struct upsample_node {
    struct node node;
    struct tensor *y, *x;
    struct upsample_dims dims;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct upsample_node *n = (struct upsample_node *)node;
    ctx_backend(cx)->upsample_bwd(n->x->grad, n->y->grad, &n->dims);
}

struct tensor *op_upsample(struct ctx *cx, struct tensor *x, int64_t ho, int64_t wo, bool bilinear)
{
    if (!OP_READY(cx, "upsample", x))
        return NULL;
    if (x->dims != 4 || ho < 1 || wo < 1) {
        ctx_fail(cx, ST_INTERNAL, "upsample: %s to %lldx%lld", op_text("x", x).s, (long long)ho,
                 (long long)wo);
        return NULL;
    }
    struct upsample_dims d = {.B = x->dim[0],
                              .H = x->dim[1],
                              .W = x->dim[2],
                              .C = x->dim[3],
                              .ho = ho,
                              .wo = wo,
                              .bilinear = bilinear};
    struct tensor *y = ctx_tensor(cx, op_wants(x), 4, (int64_t[]){d.B, ho, wo, d.C});
    struct upsample_node *n = OP_RECORD(cx, upsample_node, backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->dims = d;
    ctx_backend(cx)->upsample_fwd(y->data, x->data, &d);
    return y;
}
