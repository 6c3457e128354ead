/* linear.c - linear layers, the box head, the resizer. */
#include "engine/nn/linear.h"

void linear_add(struct linear *l, const struct nn_scope *s, const char *name, int64_t out,
                int64_t in)
{
    l->w = nn_matrix(s, name, "w", out, in);
    l->b = nn_vector(s, name, "b", out, INIT_ZERO);
}

struct tensor *linear_forward(struct ctx *cx, const struct linear *l, struct tensor *x,
                              enum act act)
{
    return op_linear(cx, x, l->w, l->b, act);
}

struct tensor *residual_linear(struct ctx *cx, struct tensor *r, struct tensor *x, struct tensor *w,
                               struct tensor *b, double dropout)
{
    if (!ctx_train(cx) || dropout == 0)
        return op_linear_add(cx, r, x, w, b);
    return op_add(cx, r, op_dropout(cx, op_linear(cx, x, w, b, ACT_NONE), dropout));
}

void box_mlp_add(struct box_mlp *m, const struct nn_scope *s, const char *name, int64_t out,
                 int64_t in)
{
    char prefix[NN_NAME_MAX];
    for (int i = 0; i < 3; i++)
        linear_add(&m->layer[i], s, nn_indexed(prefix, name, i), i == 2 ? out : in, in);
}

struct tensor *box_mlp_forward(struct ctx *cx, const struct box_mlp *m, struct tensor *x)
{
    x = linear_forward(cx, &m->layer[0], x, ACT_RELU);
    x = linear_forward(cx, &m->layer[1], x, ACT_RELU);
    x = linear_forward(cx, &m->layer[2], x, ACT_NONE);
    return op_sigmoid(cx, x);
}

void resizer_add(struct resizer *r, const struct nn_scope *s, const char *name, int64_t out,
                 int64_t in)
{
    char prefix[NN_NAME_MAX];
    linear_add(&r->fc, s, name, out, in);
    norm_add(&r->norm, s, nn_joined(prefix, name, "norm"), out, 1e-12);
}

struct tensor *resizer_forward(struct ctx *cx, const struct resizer *r, struct tensor *x,
                               double dropout)
{
    x = linear_forward(cx, &r->fc, x, ACT_NONE);
    x = norm_forward(cx, &r->norm, x);
    return op_dropout(cx, x, dropout);
}
