/* norm.h - LayerNorm over the last dimension, parameters "name.w" (1) and "name.b" (0). */
#ifndef ENGINE_NN_NORM_H
#define ENGINE_NN_NORM_H

#include "engine/nn/scope.h"
#include "engine/op/op.h"

struct norm {
    struct tensor *w, *b; /* [C] */
    double eps;
};
void norm_add(struct norm *n, const struct nn_scope *s, const char *name, int64_t width,
              double eps);
struct tensor *norm_forward(struct ctx *cx, const struct norm *n, struct tensor *x);

#endif
