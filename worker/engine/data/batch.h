/* batch.h - what the loader hands to a model: one rank's share of a step.
 *
 * Host memory owned by the loader, valid until its next call. Everything is padded to the batch's
 * largest image and caption; masks say what is real.
 */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include "engine/core/real.h"

#include <stdint.h>

struct batch {
    int64_t B;             /* samples here */
    int64_t height, width; /* padded image size */
    int64_t
        L; /* padded caption length in tokens, bos and eos included: the global batch's longest */
    int64_t V;           /* vocabulary */
    real *image;         /* [B,height,width,3], normalised, 0 on padding */
    int32_t *valid;      /* [B,2] real height, width of each image */
    int32_t *token;      /* [B,L] */
    uint8_t *token_mask; /* [B,L] 1 = real */
    int32_t *first_box;  /* [B+1]: boxes of sample b are first_box[b] .. first_box[b+1]-1 */
    real *box;           /* [boxes,4] cx cy w h relative to the real image */
    uint8_t *positive;   /* [boxes,L] 1 = the token lies in a span of the box's tokens_positive */
    int64_t *record;     /* [B] index of the record in its data set */
    int64_t sample0;     /* global index, within the step, of the first sample */
    double norm_boxes;   /* boxes of the global batch, at least 1 */
    double norm_samples; /* samples of the global batch */
};

#endif
