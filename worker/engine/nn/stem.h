/* stem.h - from pixels to patch tokens, from word ids to text tokens (docs/spec/model-mdetr.md 1).
 */
#ifndef ENGINE_NN_STEM_H
#define ENGINE_NN_STEM_H

#include "engine/nn/linear.h"
#include "engine/nn/norm.h"

#define STEM_STEPS_MAX 8

/* steps = log2(patch): convolutions 3x3 stride 2 pad 1 with LayerNorm (eps 1e-5) and ReLU, widths
 * C/2^(steps-1)
 * ... C, then a linear C -> C (Xiao et al. 2021). steps = 0: one linear of the flattened p x p x 3
 * patch. */
struct stem {
    int steps, patch;
    struct linear conv[STEM_STEPS_MAX]; /* w [C_i, 9 C_(i-1)] in (ky,kx,cin) order */
    struct norm norm[STEM_STEPS_MAX];
    struct linear out; /* "name.patch" */
};
/* conv: the convolutional stem; patch is then a power of two, 2 .. 2^STEM_STEPS_MAX. */
void stem_add(struct stem *st, const struct nn_scope *s, const char *name, bool conv, int64_t patch,
              int64_t width);
/* image [B,Hi,Wi,3], Hi and Wi multiples of the patch -> [B,N,C], N = Hi/p * Wi/p, row by row. */
struct tensor *stem_forward(struct ctx *cx, const struct stem *st, struct tensor *image);

/* word[id] + position, LayerNorm eps 1e-5, dropout. */
struct text_embed {
    struct tensor *word, *pos; /* [V,C], [Lmax,C] */
    struct norm norm;
};
void text_embed_add(struct text_embed *e, const struct nn_scope *s, const char *name,
                    int64_t vocabulary, int64_t max_tokens, int64_t width);
/* ids [B*L], L <= Lmax -> [B,L,C] */
struct tensor *text_embed_forward(struct ctx *cx, const struct text_embed *e, const int32_t *ids,
                                  int64_t B, int64_t L, double dropout);

#endif
