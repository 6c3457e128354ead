/* move.c - copying, gathering, scattering. */
#include "engine/backend/ref/ref.h"

#include <string.h>

void ref_copy2d_fwd(real *y, int64_t y_stride, const real *x, int64_t x_stride, int64_t rows,
                    int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(y + r * y_stride, x + r * x_stride, (size_t)cols * sizeof(real));
}

void ref_copy2d_bwd(real *dx, int64_t x_stride, const real *dy, int64_t y_stride, int64_t rows,
                    int64_t cols)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            dx[r * x_stride + c] += dy[r * y_stride + c];
}

void ref_embed_fwd(real *y, const real *table, const int32_t *ids, int64_t n, int64_t C)
{
    for (int64_t i = 0; i < n; i++)
        memcpy(y + i * C, table + ids[i] * C, (size_t)C * sizeof(real));
}

void ref_embed_bwd(real *dtable, const real *dy, const int32_t *ids, int64_t n, int64_t C)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < C; c++)
            dtable[ids[i] * C + c] += dy[i * C + c];
}

/* Offset in x of what column element (ky,kx,0) of output (b,oy,ox) takes; -1 in the padding. */
static int64_t source(const struct im2col_dims *d, int64_t b, int64_t oy, int64_t ox, int64_t ky,
                      int64_t kx)
{
    int64_t y = oy * d->stride + ky * d->dilation - d->pad;
    int64_t x = ox * d->stride + kx * d->dilation - d->pad;
    if (y < 0 || y >= d->H || x < 0 || x >= d->W)
        return -1;
    return ((b * d->H + y) * d->W + x) * d->C;
}

void ref_im2col_fwd(real *y, const real *x, const struct im2col_dims *d)
{
    int64_t taps = d->k * d->k;
    for (int64_t i = 0; i < d->B * d->ho * d->wo * taps; i++, y += d->C) {
        int64_t tap = i % taps, ox = i / taps % d->wo, oy = i / taps / d->wo % d->ho;
        int64_t from = source(d, i / taps / d->wo / d->ho, oy, ox, tap / d->k, tap % d->k);
        for (int64_t c = 0; c < d->C; c++)
            y[c] = from < 0 ? 0 : x[from + c];
    }
}

void ref_im2col_bwd(real *dx, const real *dy, const struct im2col_dims *d)
{
    int64_t taps = d->k * d->k;
    for (int64_t i = 0; i < d->B * d->ho * d->wo * taps; i++, dy += d->C) {
        int64_t tap = i % taps, ox = i / taps % d->wo, oy = i / taps / d->wo % d->ho;
        int64_t from = source(d, i / taps / d->wo / d->ho, oy, ox, tap / d->k, tap % d->k);
        for (int64_t c = 0; from >= 0 && c < d->C; c++)
            dx[from + c] += dy[c];
    }
}
