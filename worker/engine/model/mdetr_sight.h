/* mdetr_sight.h - what of a batch is real, and where: sizes, masks and positions, checked once a
 * step. */
#ifndef ENGINE_MODEL_MDETR_SIGHT_H
#define ENGINE_MODEL_MDETR_SIGHT_H

#include "engine/data/batch.h"
#include "engine/model/scratch.h"
#include "structure/shape.h"

/* Masks are 1 = real, in scratch, and NULL where nothing is padded. A patch is real if its top-left
 * pixel lies in the real image. */
struct sight {
    const struct model_shape *shape; /* borrowed */
    int64_t B, L, rows, cols, N;     /* N = rows x cols patches of the padded image */
    const uint8_t *image_mask;       /* [B,N] */
    const uint8_t *text_mask;        /* [B,L] */
    const uint8_t *joint_mask;       /* [B,N+L] */
    struct tensor
        *pos; /* of the fusion encoder: [N+L,d], or [B,N+L,d] with padded images; 0 for text */
    const int32_t *grid_row; /* [N] rows of the learned positions; NULL: all, in order */
};

/* Refuses, with a sentence, a batch that the model cannot take: sizes, counts, word ids. */
void sight_make(struct ctx *cx, struct scratch *s, const struct model_shape *shape,
                const struct batch *batch, struct sight *ret);
/* The learned positions [Nmax,C] of the batch's patches: [N,C]. An image smaller than the model's
 * uses the top-left part. */
struct tensor *sight_grid_rows(struct ctx *cx, const struct sight *sight, struct tensor *pos);
struct tensor *sight_zeros(struct ctx *cx, int dims, const int64_t *dim);

#endif
