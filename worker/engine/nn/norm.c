/* norm.c - LayerNorm. */
#include "engine/nn/norm.h"

void norm_add(struct norm *n, const struct nn_scope *s, const char *name, int64_t width, double eps)
{
    n->w = nn_vector(s, name, "w", width, INIT_ONE);
    n->b = nn_vector(s, name, "b", width, INIT_ZERO);
    n->eps = eps;
}

struct tensor *norm_forward(struct ctx *cx, const struct norm *n, struct tensor *x)
{
    return op_layernorm(cx, x, n->w, n->b, n->eps);
}
