/* kernel.h - the small structs in kernel.def's arguments. */
#ifndef ENGINE_KERNEL_H
#define ENGINE_KERNEL_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum act { ACT_NONE, ACT_RELU, ACT_GELU }; /* GELU exact: x/2 (1 + erf(x/sqrt 2)) */

/* Whether backward needs the argument; ReLU's slope shows in its output. */
static inline bool act_needs_before(enum act act)
{
    return act == ACT_GELU;
}

struct attention_dims {
    int64_t B, H, Tq, Tk, E; /* E: head size; rows of q, k, v, y are H*E wide */
    double scale;            /* of the scores: 1/sqrt(head size of the dense layer) */
};

/* One dropout: probability and what its draws are keyed by. Global sample indices make the number
 * of ranks irrelevant. */
struct dropout_draw {
    double p; /* 0 <= p < 1; 0: nothing is drawn */
    struct rng_key key;
    int64_t sample0; /* global index of sample 0 */
};

/* Windows over an image: k x k taps, `dilation` pixels apart; ho = (H + 2 pad - dilation (k - 1) - 1) / stride + 1. */
struct im2col_dims {
    int64_t B, H, W, C, k, stride, pad, dilation, ho, wo;
};

struct upsample_dims {
    int64_t B, H, W, C, ho, wo;
    bool bilinear; /* else the nearest */
};

/* Where output row or column i of `out` lies between those of the input: `part` of the way from low to high. */
struct upsample_place {
    int64_t low, high;
    double part;
};
void upsample_place(const struct upsample_dims *d, int64_t i, int64_t in, int64_t out,
                    struct upsample_place *ret_p);

struct group_norm_dims {
    int64_t B, T, C, groups; /* T pixels */
    double eps;
};

struct group_dims {
    int64_t rows, cols, width;
    int axis; /* 0: groups of rows, 1: of columns */
};

/* Rates of one AdamW step: m = b1 m + (1-b1) s g; v = b2 v + (1-b2) (s g)^2;
 * w = shrink w - step m / (sqrt(v) root + eps), with step = lr / (1 - b1^t), root = 1 / sqrt(1 - b2^t). */
struct adamw_rates {
    double beta1, beta2, eps;
    double step, root, shrink; /* shrink = 1 - lr * weight decay */
    double scale;              /* s: clipping */
};

#endif
