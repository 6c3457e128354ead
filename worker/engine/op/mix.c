/* mix.c - group by group: y_g = s_g src_g + (1 - s_g) own_g, and y_g = m_g w_g. ds_g = <dy_g, src_g
 * - own_g>, dm_g = <dy_g, w_g> (docs/internals/method.md 5, closed forms). */
#include "engine/op/support.h"

struct mix_node {
    struct node node;
    struct tensor *y, *own, *src, *s; /* mask: own = w, s = m, src NULL */
    struct group_dims dims;
};

static void mix_backward(struct ctx *cx, struct node *node)
{
    struct mix_node *n = (struct mix_node *)node;
    ctx_backend(cx)->mix_bwd(n->own->grad, n->src->grad, n->s->grad, n->y->grad, n->own->data,
                             n->src->data, n->s->data, &n->dims);
}

static void mask_backward(struct ctx *cx, struct node *node)
{
    struct mix_node *n = (struct mix_node *)node;
    ctx_backend(cx)->mask_bwd(n->own->grad, n->s->grad, n->y->grad, n->own->data, n->s->data,
                              &n->dims);
}

static bool check(struct ctx *cx, const char *op, const struct tensor *w, const struct tensor *s,
                  struct group_layout g, struct group_dims *ret_dims)
{
    int64_t groups;
    if (!op_groups(cx, op, w, g, ret_dims, &groups))
        return false;
    if (tensor_size(s) != groups)
        ctx_fail(cx, ST_INTERNAL, "%s: %s has %lld groups but %s does not", op, op_text("w", w).s,
                 (long long)groups, op_text("the vector", s).s);
    return ctx_ok(cx);
}

struct tensor *op_mix(struct ctx *cx, struct tensor *own, struct tensor *src, struct tensor *s,
                      struct group_layout g)
{
    struct group_dims d;
    if (!OP_READY(cx, "mix", own, src, s) || !check(cx, "mix", own, s, g, &d))
        return NULL;
    if (!op_same_shape(own, src)) {
        ctx_fail(cx, ST_INTERNAL, "mix: %s and %s differ", op_text("own", own).s,
                 op_text("src", src).s);
        return NULL;
    }
    struct tensor *y = op_like(cx, own, op_wants(own) || op_wants(src) || op_wants(s));
    struct mix_node *n = OP_RECORD(cx, mix_node, mix_backward, y, own, src, s);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->own = own, n->src = src, n->s = s, n->dims = d;
    ctx_backend(cx)->mix_fwd(y->data, own->data, src->data, s->data, &d);
    return y;
}

struct tensor *op_mask(struct ctx *cx, struct tensor *w, struct tensor *m, struct group_layout g)
{
    struct group_dims d;
    if (!OP_READY(cx, "mask", w, m) || !check(cx, "mask", w, m, g, &d))
        return NULL;
    struct tensor *y = op_like(cx, w, op_wants(w) || op_wants(m));
    struct mix_node *n = OP_RECORD(cx, mix_node, mask_backward, y, w, m);
    if (!ctx_ok(cx))
        return NULL;
    if (n)
        n->y = y, n->own = w, n->s = m, n->dims = d;
    ctx_backend(cx)->mask_fwd(y->data, w->data, m->data, &d);
    return y;
}
