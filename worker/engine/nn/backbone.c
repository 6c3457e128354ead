/* backbone.c - vision (pre-norm) and text (post-norm) transformer layers. */
#include "engine/nn/backbone.h"

#include "engine/nn/linear.h"

static bool find_sites(struct backbone_layer *l, const struct nn_scope *s, const char *name)
{
    char site[NN_NAME_MAX];
    const struct frame *frame = binding_frame(s->binding);
    l->binding = s->binding;
    l->msa = frame_find(frame, nn_joined(site, name, "msa"));
    l->ffn = frame_find(frame, nn_joined(site, name, "ffn"));
    return l->msa >= 0 && l->ffn >= 0;
}

static bool layer_add(struct backbone_layer *l, const struct nn_scope *s, const char *name,
                      int64_t width, double eps)
{
    char prefix[NN_NAME_MAX];
    if (!find_sites(l, s, name))
        return false;
    norm_add(&l->norm1, s, nn_joined(prefix, name, "norm1"), width, eps);
    binding_add_site(s->binding, l->msa, s->params);
    norm_add(&l->norm2, s, nn_joined(prefix, name, "norm2"), width, eps);
    binding_add_site(s->binding, l->ffn, s->params);
    return true;
}

bool vision_layer_add(struct backbone_layer *l, const struct nn_scope *s, const char *name,
                      int64_t width)
{
    return layer_add(l, s, name, width, 1e-6);
}

bool text_layer_add(struct backbone_layer *l, const struct nn_scope *s, const char *name,
                    int64_t width)
{
    return layer_add(l, s, name, width, 1e-5);
}

/* One layer's pass, as a block: its weights stand outside, where another layer may share them. */
struct pass {
    struct backbone_layer layer;
    struct msa_weights msa;
    struct ffn_weights ffn;
    struct tensor *x;
    const uint8_t *key_mask;
    double dropout;
};

/* What a part without groups gives: its output bias, for every token of x [B,T,C]. */
static struct tensor *bias_alone(struct ctx *cx, const struct pass *p, struct tensor *r,
                                 struct tensor *bias)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t row[2] = {1, tensor_last(r)};
    struct tensor *y = op_expand(cx, ctx_view(cx, bias, 2, row), tensor_rows(r));
    return op_add(cx, r, op_dropout(cx, ctx_view(cx, y, r->dims, r->dim), p->dropout));
}

/* r + the part of x */
static struct tensor *msa(struct ctx *cx, const struct pass *p, struct tensor *r, struct tensor *x)
{
    const struct msa_weights *w = &p->msa;
    if (w->heads == 0)
        return bias_alone(cx, p, r, w->bo);
    struct tensor *q = op_linear(cx, x, w->wq, w->bq, ACT_NONE);
    struct tensor *k = op_linear(cx, x, w->wk, w->bk, ACT_NONE);
    struct tensor *v = op_linear(cx, x, w->wv, w->bv, ACT_NONE);
    struct tensor *y = op_attention(cx, q, k, v, w->heads, p->key_mask, p->dropout);
    return residual_linear(cx, r, y, w->wo, w->bo, p->dropout);
}

static struct tensor *ffn(struct ctx *cx, const struct pass *p, struct tensor *r, struct tensor *x)
{
    const struct ffn_weights *w = &p->ffn;
    if (!w->w1)
        return bias_alone(cx, p, r, w->b2);
    struct tensor *hidden = op_linear(cx, x, w->w1, w->b1, ACT_GELU);
    return residual_linear(cx, r, hidden, w->w2, w->b2, p->dropout);
}

static struct tensor *vision_pass(struct ctx *cx, const void *arg)
{
    const struct pass *p = arg;
    struct tensor *x = msa(cx, p, p->x, norm_forward(cx, &p->layer.norm1, p->x));
    return ffn(cx, p, x, norm_forward(cx, &p->layer.norm2, x));
}

static struct tensor *text_pass(struct ctx *cx, const void *arg)
{
    const struct pass *p = arg;
    struct tensor *x = norm_forward(cx, &p->layer.norm1, msa(cx, p, p->x, p->x));
    return norm_forward(cx, &p->layer.norm2, ffn(cx, p, x, x));
}

static struct tensor *run(struct ctx *cx, struct tensor *(*pass)(struct ctx *, const void *),
                          struct pass p)
{
    p.msa = binding_msa(p.layer.binding, cx, p.layer.msa);
    p.ffn = binding_ffn(p.layer.binding, cx, p.layer.ffn);
    return ctx_block(cx, pass, &p, sizeof p, 1, &p.x);
}

struct tensor *vision_layer_forward(struct ctx *cx, const struct backbone_layer *l,
                                    struct tensor *x, const uint8_t *key_mask)
{
    return run(cx, vision_pass, (struct pass){.layer = *l, .x = x, .key_mask = key_mask});
}

struct tensor *text_layer_forward(struct ctx *cx, const struct backbone_layer *l, struct tensor *x,
                                  const uint8_t *key_mask, double dropout)
{
    struct pass p = {.layer = *l, .x = x, .key_mask = key_mask, .dropout = dropout};
    return run(cx, text_pass, p);
}
