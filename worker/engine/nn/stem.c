/* stem.c - convolutional stem, patch embedding, word embedding. */
#include "engine/nn/stem.h"

#include <math.h>

static void conv_add(struct stem *st, const struct nn_scope *s, const char *name, int step,
                     int64_t out, int64_t in)
{
    char list[NN_NAME_MAX], prefix[NN_NAME_MAX], norm[NN_NAME_MAX];
    nn_indexed(prefix, nn_joined(list, name, "stem"), step);
    double he = sqrt(2.0 / (double)(9 * in)); /* He et al. 2015, for ReLU */
    st->conv[step].w = nn_matrix_drawn(s, prefix, "w", out, 9 * in, INIT_NORMAL_FULL, he);
    st->conv[step].b = nn_vector(s, prefix, "b", out, INIT_ZERO);
    norm_add(&st->norm[step], s, nn_joined(norm, prefix, "norm"), out, 1e-5);
}

void stem_add(struct stem *st, const struct nn_scope *s, const char *name, bool conv, int64_t patch,
              int64_t width)
{
    char prefix[NN_NAME_MAX];
    int64_t in = 3;
    st->patch = (int)patch;
    st->steps = 0;
    while (conv && (int64_t)1 << st->steps < patch)
        st->steps++;
    for (int i = 0; i < st->steps; i++) {
        int64_t out = width >> (st->steps - 1 - i);
        conv_add(st, s, name, i, out, in);
        in = out;
    }
    int64_t flat = conv ? width : 3 * patch * patch;
    linear_add(&st->out, s, nn_joined(prefix, name, "patch"), width, flat);
}

/* The pass of a stem, as a block. */
struct stem_pass {
    struct stem stem;
    struct tensor *image;
};

static struct tensor *stem_pass(struct ctx *cx, const void *arg)
{
    const struct stem_pass *p = arg;
    const struct stem *st = &p->stem;
    struct tensor *x = p->image;
    for (int i = 0; i < st->steps; i++) {
        x = op_conv(cx, x, st->conv[i].w, st->conv[i].b,
                    (struct op_window){.k = 3, .stride = 2, .pad = 1, .dilation = 1});
        x = op_act(cx, norm_forward(cx, &st->norm[i], x), ACT_RELU);
    }
    if (st->steps == 0)
        x = op_im2col(cx, x, st->patch, st->patch, 0);
    x = linear_forward(cx, &st->out, x, ACT_NONE);
    if (!ctx_ok(cx))
        return NULL;
    int64_t tokens[3] = {x->dim[0], x->dim[1] * x->dim[2], x->dim[3]};
    return ctx_view(cx, x, 3, tokens);
}

struct tensor *stem_forward(struct ctx *cx, const struct stem *st, struct tensor *image)
{
    struct stem_pass p = {*st, image};
    return ctx_block(cx, stem_pass, &p, sizeof p, 1, &image);
}

void text_embed_add(struct text_embed *e, const struct nn_scope *s, const char *name,
                    int64_t vocabulary, int64_t max_tokens, int64_t width)
{
    char prefix[NN_NAME_MAX];
    e->word = nn_matrix(s, name, "word", vocabulary, width);
    e->pos = nn_matrix(s, name, "pos", max_tokens, width);
    norm_add(&e->norm, s, nn_joined(prefix, name, "norm"), width, 1e-5);
}

/* The first L rows of the table, on the tape. */
static struct tensor *first_rows(struct ctx *cx, struct tensor *table, int64_t L)
{
    int64_t one[3] = {1, table->dim[0], table->dim[1]}, rows[2] = {L, table->dim[1]};
    return ctx_view(cx, op_slice_time(cx, ctx_view(cx, table, 3, one), 0, L), 2, rows);
}

struct tensor *text_embed_forward(struct ctx *cx, const struct text_embed *e, const int32_t *ids,
                                  int64_t B, int64_t L, double dropout)
{
    struct tensor *x = op_embed(cx, e->word, ids, B, L);
    x = op_add_tail(cx, x, first_rows(cx, e->pos, L));
    return op_dropout(cx, norm_forward(cx, &e->norm, x), dropout);
}
