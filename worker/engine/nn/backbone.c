/* backbone.c - vision (pre-norm) and text (post-norm) transformer layers. */
#include "engine/nn/backbone.h"

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

/* What a part without groups gives: its output bias, for every token of x [B,T,C]. */
static struct tensor *bias_alone(struct ctx *cx, struct tensor *x, struct tensor *bias)
{
    if (!ctx_ok(cx))
        return NULL;
    int64_t row[2] = {1, tensor_last(x)};
    struct tensor *y = op_expand(cx, ctx_view(cx, bias, 2, row), tensor_rows(x));
    return ctx_view(cx, y, x->dims, x->dim);
}

static struct tensor *msa(struct ctx *cx, const struct backbone_layer *l, struct tensor *x,
                          const uint8_t *key_mask, double dropout)
{
    struct msa_weights w = binding_msa(l->binding, cx, l->msa);
    if (w.heads == 0)
        return bias_alone(cx, x, w.bo);
    struct tensor *q = op_linear(cx, x, w.wq, w.bq, ACT_NONE);
    struct tensor *k = op_linear(cx, x, w.wk, w.bk, ACT_NONE);
    struct tensor *v = op_linear(cx, x, w.wv, w.bv, ACT_NONE);
    struct tensor *y = op_attention(cx, q, k, v, w.heads, key_mask, dropout);
    return op_linear(cx, y, w.wo, w.bo, ACT_NONE);
}

static struct tensor *ffn(struct ctx *cx, const struct backbone_layer *l, struct tensor *x)
{
    struct ffn_weights w = binding_ffn(l->binding, cx, l->ffn);
    if (!w.w1)
        return bias_alone(cx, x, w.b2);
    return op_linear(cx, op_linear(cx, x, w.w1, w.b1, ACT_GELU), w.w2, w.b2, ACT_NONE);
}

struct tensor *vision_layer_forward(struct ctx *cx, const struct backbone_layer *l,
                                    struct tensor *x, const uint8_t *key_mask)
{
    struct tensor *y = msa(cx, l, norm_forward(cx, &l->norm1, x), key_mask, 0);
    x = op_add(cx, x, y);
    y = ffn(cx, l, norm_forward(cx, &l->norm2, x));
    return op_add(cx, x, y);
}

struct tensor *text_layer_forward(struct ctx *cx, const struct backbone_layer *l, struct tensor *x,
                                  const uint8_t *key_mask, double dropout)
{
    struct tensor *y = op_dropout(cx, msa(cx, l, x, key_mask, dropout), dropout);
    x = norm_forward(cx, &l->norm1, op_add(cx, x, y));
    y = op_dropout(cx, ffn(cx, l, x), dropout);
    return norm_forward(cx, &l->norm2, op_add(cx, x, y));
}
