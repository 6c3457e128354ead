/* draw.h - which random word decides over which element: shared by every backend, so that all drop
 * the same.
 *
 * A Philox block has four words; element j of a row takes word j%4 of block j/4. A block's index
 * carries the global sample in its high bits, so neither ranks nor the padding of a batch move a
 * draw.
 */
#ifndef ENGINE_DRAW_H
#define ENGINE_DRAW_H

#include "engine/backend/kernel.h"

/* An element is dropped when its word is below this. */
static inline uint32_t dropout_threshold(const struct dropout_draw *d)
{
    return (uint32_t)(d->p * 0x1p32);
}

/* op_dropout: index of the block that holds element j of sample b; 2^34 elements a sample, 2^31
 * samples. */
static inline uint64_t dropout_block(const struct dropout_draw *d, int64_t b, int64_t j)
{
    return (uint64_t)(d->sample0 + b) << 32 | (uint64_t)j / 4;
}

/* attention: block of key j in row i of head h; 2^16 keys, 2^16 rows, 2^10 heads, 2^24 samples. */
static inline uint64_t attention_block(const struct dropout_draw *d, int64_t b, int64_t h,
                                       int64_t i, int64_t j)
{
    return (uint64_t)(d->sample0 + b) << 40 | (uint64_t)h << 30 | (uint64_t)i << 14 |
           (uint64_t)j / 4;
}

#endif
