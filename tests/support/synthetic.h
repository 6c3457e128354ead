/* synthetic.h - small model shapes and random batches for tests and benchmarks; a pure function of
 * the seed. */
#ifndef TEST_SYNTHETIC_H
#define TEST_SYNTHETIC_H

#include "engine/data/batch.h"
#include "structure/shape.h"

#include <stdbool.h>

/* 32 px, patch 8, width 16, 2 + 2 layers, fusion 16, 1 + 2 layers, 5 queries: milliseconds a step.
 */
struct model_shape synthetic_shape(void);
/* The named sizes of docs/spec/model-mdetr.md 7; false if there is none of that name. */
bool synthetic_named(struct model_shape *ret_shape, const char *name);

struct synthetic {
    int64_t B, boxes, L; /* boxes a sample; L <= max_tokens */
    bool padded;         /* images and captions of different sizes */
    uint64_t seed;
};
/* Images are gaussian noise with a rectangle of one colour a box; each box has a span of two words.
 * Owned by the caller: synthetic_free(). norm_boxes is the batch's own number of boxes. */
void synthetic_make(struct batch *ret_batch, const struct model_shape *shape,
                    const struct synthetic *how);
void synthetic_free(struct batch *b);
/* Samples from .. from+count-1 of b as a batch of their own, sharing its memory but for first_box;
 * synthetic_part_free(). */
void synthetic_part(struct batch *ret_part, const struct batch *b, int64_t from, int64_t count);
void synthetic_part_free(struct batch *part);

#endif
