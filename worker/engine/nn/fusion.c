/* fusion.c - encoder and decoder layers of the multimodal part. */
#include "engine/nn/fusion.h"

#include "engine/nn/linear.h"

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

struct tensor *mha_forward(struct ctx *cx, const struct mha *m, struct tensor *r, struct tensor *q,
                           struct tensor *k, struct tensor *v, const uint8_t *key_mask,
                           double dropout)
{
    q = op_linear(cx, q, m->wq, m->bq, ACT_NONE);
    k = op_linear(cx, k, m->wk, m->bk, ACT_NONE);
    v = op_linear(cx, v, m->wv, m->bv, ACT_NONE);
    struct tensor *y = op_attention(cx, q, k, v, m->heads, key_mask, dropout);
    return residual_linear(cx, r, y, m->wo, m->bo, dropout);
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
    return residual_linear(cx, x, op_dropout(cx, hidden, dropout), f->w2, f->b2, dropout);
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

/* One layer's pass, as a block. */
struct encoder_pass {
    struct encoder_layer layer;
    struct tensor *x, *pos;
    const uint8_t *key_mask;
    double dropout;
};

static struct tensor *encoder_pass(struct ctx *cx, const void *arg)
{
    const struct encoder_pass *p = arg;
    const struct encoder_layer *l = &p->layer;
    struct tensor *x = p->x, *q = position_add(cx, x, p->pos);
    x = mha_forward(cx, &l->msa, x, q, q, x, p->key_mask, p->dropout);
    x = norm_forward(cx, &l->norm1, x);
    return norm_forward(cx, &l->norm2, fusion_ffn_forward(cx, &l->ffn, x, p->dropout));
}

struct tensor *encoder_layer_forward(struct ctx *cx, const struct encoder_layer *l,
                                     struct tensor *x, struct tensor *pos, const uint8_t *key_mask,
                                     double dropout)
{
    struct encoder_pass p = {*l, x, pos, key_mask, dropout};
    return ctx_block(cx, encoder_pass, &p, sizeof p, 2, (struct tensor *[]){x, pos});
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

struct decoder_pass {
    struct decoder_layer layer;
    struct tensor *t, *query, *memory, *keys;
    const uint8_t *key_mask;
    double dropout;
};

static struct tensor *decoder_pass(struct ctx *cx, const void *arg)
{
    const struct decoder_pass *p = arg;
    const struct decoder_layer *l = &p->layer;
    struct tensor *t = p->t, *q = op_add_tail(cx, t, p->query);
    t = norm_forward(cx, &l->norm1, mha_forward(cx, &l->self, t, q, q, t, NULL, p->dropout));
    q = op_add_tail(cx, t, p->query);
    t = mha_forward(cx, &l->cross, t, q, p->keys, p->memory, p->key_mask, p->dropout);
    t = norm_forward(cx, &l->norm3, t);
    return norm_forward(cx, &l->norm4, fusion_ffn_forward(cx, &l->ffn, t, p->dropout));
}

struct tensor *decoder_layer_forward(struct ctx *cx, const struct decoder_layer *l,
                                     struct tensor *t, struct tensor *query, struct tensor *memory,
                                     struct tensor *keys, const uint8_t *key_mask, double dropout)
{
    struct decoder_pass p = {*l, t, query, memory, keys, key_mask, dropout};
    return ctx_block(cx, decoder_pass, &p, sizeof p, 4,
                     (struct tensor *[]){t, query, memory, keys});
}
