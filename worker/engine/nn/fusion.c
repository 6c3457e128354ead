/* fusion.c - encoder and decoder layers of the multimodal part. */
#include "engine/nn/fusion.h"

#include <math.h>

void mha_add(struct mha *m, const struct nn_scope *s, const char *name, int64_t width, int heads,
             enum mha_start start)
{
    double packed = sqrt(6.0 / (double)(4 * width));
    m->wq = start == MHA_LIKENESS
                ? nn_matrix_twin(s, name, "wq", "wk", width, width, INIT_UNIFORM, packed)
                : nn_matrix_drawn(s, name, "wq", width, width, INIT_UNIFORM, packed);
    m->wk = nn_matrix_drawn(s, name, "wk", width, width, INIT_UNIFORM, packed);
    m->wv = nn_matrix_drawn(s, name, "wv", width, width, INIT_UNIFORM, packed);
    m->wo = nn_matrix(s, name, "wo", width, width);
    m->bq = nn_vector(s, name, "bq", width, INIT_ZERO);
    m->bk = nn_vector(s, name, "bk", width, INIT_ZERO);
    m->bv = nn_vector(s, name, "bv", width, INIT_ZERO);
    m->bo =
        nn_vector(s, name, "bo", width, start == MHA_FROM_NOTHING ? INIT_NORMAL_FULL : INIT_ZERO);
    m->heads = heads;
}

struct tensor *mha_forward(struct ctx *cx, const struct mha *m, struct tensor *q, struct tensor *k,
                           struct tensor *v, const uint8_t *key_mask, double dropout)
{
    q = op_linear(cx, q, m->wq, m->bq, ACT_NONE);
    k = op_linear(cx, k, m->wk, m->bk, ACT_NONE);
    v = op_linear(cx, v, m->wv, m->bv, ACT_NONE);
    struct tensor *y = op_attention(cx, q, k, v, m->heads, key_mask, dropout);
    return op_linear(cx, y, m->wo, m->bo, ACT_NONE);
}

void fusion_ffn_add(struct fusion_ffn *f, const struct nn_scope *s, const char *name, int64_t width,
                    int64_t hidden)
{
    f->w1 = nn_matrix(s, name, "w1", hidden, width);
    f->b1 = nn_vector(s, name, "b1", hidden, INIT_ZERO);
    f->w2 = nn_matrix(s, name, "w2", width, hidden);
    f->b2 = nn_vector(s, name, "b2", width, INIT_ZERO);
}

struct tensor *fusion_ffn_forward(struct ctx *cx, const struct fusion_ffn *f, struct tensor *x,
                                  double dropout)
{
    struct tensor *hidden = op_linear(cx, x, f->w1, f->b1, ACT_RELU);
    return op_linear(cx, op_dropout(cx, hidden, dropout), f->w2, f->b2, ACT_NONE);
}

/* norm(x + drop y): how every part of a post-norm layer ends. */
static struct tensor *join(struct ctx *cx, const struct norm *norm, struct tensor *x,
                           struct tensor *y, double dropout)
{
    return norm_forward(cx, norm, op_add(cx, x, op_dropout(cx, y, dropout)));
}

void encoder_layer_add(struct encoder_layer *l, const struct nn_scope *s, const char *name,
                       int64_t width, int heads, int64_t hidden, bool first)
{
    char prefix[NN_NAME_MAX];
    mha_add(&l->msa, s, nn_joined(prefix, name, "msa"), width, heads,
            first ? MHA_LIKENESS : MHA_PLAIN);
    fusion_ffn_add(&l->ffn, s, nn_joined(prefix, name, "ffn"), width, hidden);
    norm_add(&l->norm1, s, nn_joined(prefix, name, "norm1"), width, 1e-5);
    norm_add(&l->norm2, s, nn_joined(prefix, name, "norm2"), width, 1e-5);
}

struct tensor *encoder_layer_forward(struct ctx *cx, const struct encoder_layer *l,
                                     struct tensor *x, struct tensor *pos, const uint8_t *key_mask,
                                     double dropout)
{
    struct tensor *q = position_add(cx, x, pos);
    x = join(cx, &l->norm1, x, mha_forward(cx, &l->msa, q, q, x, key_mask, dropout), dropout);
    return join(cx, &l->norm2, x, fusion_ffn_forward(cx, &l->ffn, x, dropout), dropout);
}

void decoder_layer_add(struct decoder_layer *l, const struct nn_scope *s, const char *name,
                       int64_t width, int heads, int64_t hidden, bool first)
{
    char prefix[NN_NAME_MAX];
    mha_add(&l->self, s, nn_joined(prefix, name, "self"), width, heads,
            first ? MHA_FROM_NOTHING : MHA_PLAIN);
    mha_add(&l->cross, s, nn_joined(prefix, name, "cross"), width, heads, MHA_PLAIN);
    fusion_ffn_add(&l->ffn, s, nn_joined(prefix, name, "ffn"), width, hidden);
    norm_add(&l->norm1, s, nn_joined(prefix, name, "norm1"), width, 1e-5);
    norm_add(&l->norm3, s, nn_joined(prefix, name, "norm3"), width, 1e-5);
    norm_add(&l->norm4, s, nn_joined(prefix, name, "norm4"), width, 1e-5);
}

struct tensor *decoder_layer_forward(struct ctx *cx, const struct decoder_layer *l,
                                     struct tensor *t, struct tensor *query, struct tensor *memory,
                                     struct tensor *keys, const uint8_t *key_mask, double dropout)
{
    struct tensor *q = op_add_tail(cx, t, query);
    t = join(cx, &l->norm1, t, mha_forward(cx, &l->self, q, q, t, NULL, dropout), dropout);
    q = op_add_tail(cx, t, query);
    t = join(cx, &l->norm3, t, mha_forward(cx, &l->cross, q, keys, memory, key_mask, dropout),
             dropout);
    return join(cx, &l->norm4, t, fusion_ffn_forward(cx, &l->ffn, t, dropout), dropout);
}
