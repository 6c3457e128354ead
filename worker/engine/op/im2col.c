/* im2col.c - the patches that a convolution sees, as rows: [B,H,W,C] -> [B,ho,wo,k*k*C], order
 * (ky,kx,c), zero padding, ho = (H + 2 pad - k)/stride + 1. A linear on top is the convolution. */
#include "engine/op/support.h"

struct im2col_node {
    struct node node;
    struct tensor *y, *x;
    struct im2col_dims dims;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct im2col_node *n = (struct im2col_node *)node;
    ctx_backend(cx)->im2col_bwd(n->x->grad, n->y->grad, &n->dims);
}

static void remake(struct ctx *cx, struct node *node)
{
    struct im2col_node *n = (struct im2col_node *)node;
    ctx_backend(cx)->im2col_fwd(n->y->data, n->x->data, &n->dims);
}

struct tensor *op_im2col(struct ctx *cx, struct tensor *x, int k, int stride, int pad)
{
    if (!OP_READY(cx, "im2col", x))
        return NULL;
    if (x->dims != 4 || k < 1 || stride < 1 || pad < 0 || x->dim[1] + 2 * pad < k ||
        x->dim[2] + 2 * pad < k) {
        ctx_fail(cx, ST_INTERNAL, "im2col: %s has no windows of %d, stride %d, padding %d",
                 op_text("x", x).s, k, stride, pad);
        return NULL;
    }
    struct im2col_dims d = {.B = x->dim[0], .H = x->dim[1], .W = x->dim[2], .C = x->dim[3]};
    d.k = k, d.stride = stride, d.pad = pad, d.dilation = 1;
    d.ho = (d.H + 2 * pad - k) / stride + 1;
    d.wo = (d.W + 2 * pad - k) / stride + 1;
    struct tensor *y =
        ctx_tensor(cx, op_wants(x), 4, (int64_t[]){d.B, d.ho, d.wo, d.k * d.k * d.C});
    struct im2col_node *n = OP_RECORD(cx, im2col_node, backward, y, x);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->x = x, n->dims = d, n->node.reads = NODE_READS(0), n->node.remake = remake;
    ctx_backend(cx)->im2col_fwd(y->data, x->data, &d);
    return y;
}
