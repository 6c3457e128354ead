/* linear.c - y[R,O] = act(x[R,I] w[O,I]^T + b[O]). Backward turns dy into g = dy act'(u) in place, then dx = g w,
 * dw = g^T x, db = sum_r g. ReLU's slope shows in y; of GELU the slope is kept, not the argument. */
#include "engine/op/support.h"

struct linear_node {
    struct node node;
    struct tensor *y, *x, *w, *b;
    real *slope; /* NULL where act needs none */
    enum act act;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct linear_node *n = (struct linear_node *)node;
    ctx_backend(cx)->linear_bwd(n->x->grad, n->w->grad, n->b ? n->b->grad : NULL, n->y->grad,
                                n->y->data, n->slope, n->x->data, n->w->data, tensor_rows(n->y),
                                n->w->dim[1], n->w->dim[0], n->act);
}

static bool check(struct ctx *cx, const struct tensor *x, const struct tensor *w,
                  const struct tensor *b)
{
    if (x->dims < 1 || w->dims != 2 || tensor_last(x) != w->dim[1])
        ctx_fail(cx, ST_INTERNAL, "linear: %s does not fit %s", op_text("x", x).s,
                 op_text("w", w).s);
    else if (b && (b->dims != 1 || b->dim[0] != w->dim[0]))
        ctx_fail(cx, ST_INTERNAL, "linear: %s does not fit %s", op_text("b", b).s,
                 op_text("w", w).s);
    return ctx_ok(cx);
}

struct tensor *op_linear(struct ctx *cx, struct tensor *x, struct tensor *w, struct tensor *b,
                         enum act act)
{
    if (!OP_READY(cx, "linear", x, w) || !check(cx, x, w, b))
        return NULL;
    struct tensor *y = op_like_rows(cx, x, w->dim[0], op_wants(x) || op_wants(w) || op_wants(b));
    if (!y)
        return NULL;
    real *slope = y->grad && act_needs_slope(act) ? op_reals(cx, tensor_size(y)) : NULL;
    struct linear_node *n = OP_RECORD(cx, linear_node, backward, y, x, w, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->x = x, n->w = w, n->b = b;
        n->slope = slope, n->act = act;
    }
    ctx_backend(cx)->linear_fwd(y->data, slope, x->data, w->data, b ? b->data : NULL,
                                tensor_rows(y), w->dim[1], w->dim[0], act);
    return y;
}
