/* window.h - what the windows over an image see. */
#ifndef ENGINE_REF_WINDOW_H
#define ENGINE_REF_WINDOW_H

#include "engine/backend/kernel.h"

/* Offset in x of what tap `tap` of window (b,oy,ox) sees, channel 0; -1 outside. */
static inline int64_t seen(const struct im2col_dims *d, int64_t b, int64_t oy, int64_t ox,
                           int64_t tap)
{
    int64_t y = oy * d->stride + tap / d->k * d->dilation - d->pad;
    int64_t x = ox * d->stride + tap % d->k * d->dilation - d->pad;
    if (y < 0 || y >= d->H || x < 0 || x >= d->W)
        return -1;
    return ((b * d->H + y) * d->W + x) * d->C;
}

static inline int64_t windows(const struct im2col_dims *d)
{
    return d->B * d->ho * d->wo;
}

static inline int64_t seen_by(const struct im2col_dims *d, int64_t window, int64_t tap)
{
    return seen(d, window / (d->ho * d->wo), window / d->wo % d->ho, window % d->wo, tap);
}

#endif
