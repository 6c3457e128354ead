/* linear.c - y[R,O] = act(u), u = x[R,I] w[O,I]^T + b[O]. Backward turns dy into g = dy act'(u) in place, then dx = g w,
 * dw = g^T x, db = sum_r g. ReLU's slope shows in y; for GELU u is kept.
 * op_linear_add: y = r + x w^T + b, dr = dy. */
#include "engine/op/support.h"

struct linear_node {
    struct node node;
    struct tensor *y, *r, *x, *w, *b; /* r of op_linear_add; else NULL */
    real *before;                     /* u; NULL where act needs none */
    enum act act;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct linear_node *n = (struct linear_node *)node;
    unsigned fresh = (unsigned)node->fresh;
    ctx_backend(cx)->linear_bwd(n->x->grad, n->w->grad, n->b ? n->b->grad : NULL, n->y->grad,
                                n->y->data, n->before, n->x->data, n->w->data, tensor_rows(n->y),
                                n->w->dim[1], n->w->dim[0], n->act, n->r ? fresh >> 1 : fresh);
    if (n->r && n->r->grad && n->r->grad != n->y->grad)
        ctx_backend(cx)->axpy(n->r->grad, n->y->grad, 1, tensor_size(n->y));
}

/* y = act(u) from the u that was kept */
static void remake(struct ctx *cx, struct node *node)
{
    struct linear_node *n = (struct linear_node *)node;
    ctx_backend(cx)->act_fwd(n->y->data, n->before, tensor_size(n->y), n->act);
}

/* What backward reads: x for dw, w for dx, y where act's slope shows in it. */
static uint64_t reads(const struct tensor *x, const struct tensor *w, int first, enum act act)
{
    return (w->grad ? NODE_READS(first) : 0) | (x->grad ? NODE_READS(first + 1) : 0) |
           (act == ACT_RELU ? NODE_READS_OUT : 0);
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
    bool keep = ctx_keeps(cx) && y->grad && act_needs_before(act);
    real *before = keep ? op_reals(cx, tensor_size(y)) : NULL;
    struct linear_node *n = OP_RECORD(cx, linear_node, backward, y, x, w, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->x = x, n->w = w, n->b = b;
        n->before = before, n->act = act;
        n->node.reads = reads(x, w, 0, act);
        n->node.overwrites = NODE_OVERWRITES(0) | NODE_OVERWRITES(1);
        n->node.remake = before ? remake : NULL;
        op_own(cx, &n->node, before, (size_t)tensor_size(y) * sizeof(real));
    }
    ctx_backend(cx)->linear_fwd(y->data, before, x->data, w->data, b ? b->data : NULL,
                                tensor_rows(y), w->dim[1], w->dim[0], act);
    return y;
}

struct tensor *op_linear_add(struct ctx *cx, struct tensor *r, struct tensor *x, struct tensor *w,
                             struct tensor *b)
{
    if (!OP_READY(cx, "linear_add", r, x, w) || !check(cx, x, w, b))
        return NULL;
    if (tensor_last(r) != w->dim[0] || tensor_rows(r) != tensor_rows(x) || r->dims != x->dims) {
        ctx_fail(cx, ST_INTERNAL, "linear_add: %s is not what %s and %s give", op_text("r", r).s,
                 op_text("x", x).s, op_text("w", w).s);
        return NULL;
    }
    bool wants = op_wants(r) || op_wants(x) || op_wants(w) || op_wants(b);
    struct tensor *y = op_like(cx, r, wants);
    struct linear_node *n = OP_RECORD(cx, linear_node, backward, y, r, x, w, b);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->r = r, n->x = x, n->w = w, n->b = b;
        n->node.heir = r;
        n->node.reads = reads(x, w, 1, ACT_NONE);
        n->node.overwrites = NODE_OVERWRITES(1) | NODE_OVERWRITES(2);
    }
    ctx_backend(cx)->linear_add_fwd(y->data, r->data, x->data, w->data, b ? b->data : NULL,
                                    tensor_rows(y), w->dim[1], w->dim[0]);
    return y;
}
