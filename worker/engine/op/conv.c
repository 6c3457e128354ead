/* conv.c - y(b,oy,ox,o) = b_o + sum over taps (ky,kx) and channels c of w(o,ky,kx,c) x(b, oy stride + ky dilation - pad, ...).
 * Backward makes the patches again from x instead of keeping k*k times the image. */
#include "engine/op/window.h"

struct conv_node {
    struct node node;
    struct tensor *y, *x, *w, *b;
    struct im2col_dims dims;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct conv_node *n = (struct conv_node *)node;
    real *scratch = op_reals(cx, conv_scratch(&n->dims));
    if (!scratch)
        return;
    ctx_backend(cx)->conv_bwd(n->x->grad, n->w->grad, n->b ? n->b->grad : NULL, scratch, n->y->grad,
                              n->x->data, n->w->data, &n->dims, n->w->dim[0]);
    ctx_free(cx, scratch, (size_t)conv_scratch(&n->dims) * sizeof(real));
}

static bool check(struct ctx *cx, const struct tensor *w, const struct tensor *b,
                  const struct im2col_dims *d)
{
    if (w->dims != 2 || w->dim[1] != d->k * d->k * d->C)
        ctx_fail(cx, ST_INTERNAL, "conv: %s does not fit %lldx%lld taps of %lld channels",
                 op_text("w", w).s, (long long)d->k, (long long)d->k, (long long)d->C);
    else if (b && (b->dims != 1 || b->dim[0] != w->dim[0]))
        ctx_fail(cx, ST_INTERNAL, "conv: %s does not fit %s", op_text("b", b).s, op_text("w", w).s);
    return ctx_ok(cx);
}

struct tensor *op_conv(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                       struct op_window window)
{
    struct im2col_dims d;
    if (!OP_READY(cx, "conv", x, w) || !op_windows(cx, "conv", x, window, &d) ||
        !check(cx, w, b, &d))
        return NULL;
    bool wanted = op_wants(x) || op_wants(w) || op_wants(b);
    struct tensor *y = ctx_tensor(cx, wanted, 4, (int64_t[]){d.B, d.ho, d.wo, w->dim[0]});
    real *scratch = op_reals(cx, conv_scratch(&d));
    struct conv_node *n = OP_RECORD(cx, conv_node, backward, y, x, w, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->x = x, n->w = w, n->b = b;
        n->dims = d, n->node.reads &= ~NODE_READS_OUT;
    }
    ctx_backend(cx)->conv_fwd(y->data, scratch, x->data, w->data, b ? b->data : NULL, &d,
                              w->dim[0]);
    ctx_free(cx, scratch, (size_t)conv_scratch(&d) * sizeof(real));
    return y;
}
