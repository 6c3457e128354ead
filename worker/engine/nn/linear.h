/* linear.h - y = act(x w^T + b) with parameters "name.w" [O,I], "name.b" [O]; and the small towers
 * made of it. */
#ifndef ENGINE_NN_LINEAR_H
#define ENGINE_NN_LINEAR_H

#include "engine/nn/norm.h"
#include "engine/nn/scope.h"
#include "engine/op/op.h"

struct linear {
    struct tensor *w, *b;
};
void linear_add(struct linear *l, const struct nn_scope *s, const char *name, int64_t out,
                int64_t in);
struct tensor *linear_forward(struct ctx *cx, const struct linear *l, struct tensor *x,
                              enum act act);

/* r + dropout(x w^T + b): how every residual branch ends. */
struct tensor *residual_linear(struct ctx *cx, struct tensor *r, struct tensor *x, struct tensor *w,
                               struct tensor *b, double dropout);

/* The box head: three linears I-I-I-O named "name.0".."name.2", ReLU between, sigmoid at the end.
 */
struct box_mlp {
    struct linear layer[3];
};
void box_mlp_add(struct box_mlp *m, const struct nn_scope *s, const char *name, int64_t out,
                 int64_t in);
struct tensor *box_mlp_forward(struct ctx *cx, const struct box_mlp *m, struct tensor *x);

/* Text width to fusion width: linear "name.w", LayerNorm "name.norm" (eps 1e-12), dropout. */
struct resizer {
    struct linear fc;
    struct norm norm;
};
void resizer_add(struct resizer *r, const struct nn_scope *s, const char *name, int64_t out,
                 int64_t in);
struct tensor *resizer_forward(struct ctx *cx, const struct resizer *r, struct tensor *x,
                               double dropout);

#endif
