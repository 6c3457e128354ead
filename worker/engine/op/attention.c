/* attention.c - y_i = sum_j softmax_j(scale q_i k_j) v_j a head, with key padding and dropout on
 * the probabilities (Vaswani et al. 2017). q, y [B,Tq,C], k, v [B,Tk,C]; heads are contiguous
 * slices of C = H E. The mathematics of backward stands in engine/backend/ref/attention.c; a number a row is
 * kept between the two. */
#include "engine/op/support.h"

#include <math.h>

struct attention_node {
    struct node node;
    struct tensor *y, *q, *k, *v;
    real *lse;
    const uint8_t *mask;
    struct attention_dims dims;
    struct dropout_draw draw;
};

static void backward(struct ctx *cx, struct node *node)
{
    struct attention_node *n = (struct attention_node *)node;
    int64_t size = attention_scratch(&n->dims);
    real *scratch = op_reals(cx, size);
    if (!scratch)
        return;
    ctx_backend(cx)->attention_bwd(n->q->grad, n->k->grad, n->v->grad, scratch, n->y->grad, n->lse,
                                   n->q->data, n->k->data, n->v->data, n->mask, &n->dims, &n->draw,
                                   (unsigned)node->fresh);
    ctx_free(cx, scratch, (size_t)size * sizeof(real));
}

static bool check(struct ctx *cx, const struct tensor *q, const struct tensor *k,
                  const struct tensor *v, int heads, double dropout)
{
    if (q->dims != 3 || k->dims != 3 || !op_same_shape(k, v) || q->dim[0] != k->dim[0] ||
        q->dim[2] != k->dim[2])
        ctx_fail(cx, ST_INTERNAL, "attention: %s, %s and %s do not fit", op_text("q", q).s,
                 op_text("k", k).s, op_text("v", v).s);
    else if (heads < 1 || q->dim[2] % heads)
        ctx_fail(cx, ST_INTERNAL, "attention: %s does not divide into %d heads", op_text("q", q).s,
                 heads);
    else if (!(dropout >= 0 && dropout < 1))
        ctx_fail(cx, ST_INVALID, "attention: dropout must be in [0,1), got %g", dropout);
    else if (q->dim[1] > 1 << 16 || k->dim[1] > 1 << 16 || heads > 1 << 10)
        ctx_fail(cx, ST_LIMIT,
                 "attention: at most 65536 tokens and 1024 heads, got %s, %s, %d heads",
                 op_text("q", q).s, op_text("k", k).s, heads);
    return ctx_ok(cx);
}

struct tensor *op_attention(struct ctx *cx, struct tensor *q, struct tensor *k, struct tensor *v,
                            int heads, const uint8_t *key_mask, double dropout)
{
    if (!OP_READY(cx, "attention", q, k, v) || !check(cx, q, k, v, heads, dropout))
        return NULL;
    struct attention_dims d = {
        .B = q->dim[0], .H = heads, .Tq = q->dim[1], .Tk = k->dim[1], .E = q->dim[2] / heads};
    d.scale = 1 / sqrt((double)d.E);
    struct dropout_draw draw = {.key = ctx_key(cx, RNG_DROPOUT), .sample0 = ctx_sample0(cx)};
    draw.p = ctx_train(cx) ? dropout : 0;
    struct tensor *y = op_like(cx, q, op_wants(q) || op_wants(k) || op_wants(v));
    real *lse = op_reals(cx, d.B * d.H * d.Tq);
    real *scratch = op_reals(cx, attention_scratch(&d));
    const uint8_t *mask = key_mask ? ctx_upload(cx, key_mask, (size_t)(d.B * d.Tk)) : NULL;
    struct attention_node *n = OP_RECORD(cx, attention_node, backward, y, q, k, v);
    if (!ctx_ok(cx))
        return NULL;
    if (n) {
        n->y = y, n->q = q, n->k = k, n->v = v;
        n->lse = lse, n->mask = mask;
        n->dims = d, n->draw = draw;
        n->node.reads &= ~NODE_READS_OUT;
        n->node.overwrites = NODE_OVERWRITES(0) | NODE_OVERWRITES(1) | NODE_OVERWRITES(2);
    }
    ctx_backend(cx)->attention_fwd(y->data, lse, scratch, q->data, k->data, v->data, mask, &d,
                                   &draw);
    ctx_free(cx, scratch, (size_t)attention_scratch(&d) * sizeof(real));
    op_own(cx, n ? &n->node : NULL, lse, (size_t)(d.B * d.H * d.Tq) * sizeof(real));
    return y;
}
