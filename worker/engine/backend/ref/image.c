/* image.c - kernels over images, channels last.
 *
 * Window (oy,ox), tap (ky,kx) sees x at (oy stride + ky dilation - pad, ox stride + kx dilation - pad); outside the image it
 * sees nothing. max_pool: the first of the largest.
 * Bilinear (corners not aligned): output i of `out` lies at s = max((i + 1/2) in/out - 1/2, 0), between floor(s) and the next.
 */
#include "engine/backend/ref/ref.h"
#include "engine/backend/ref/window.h"

#include <math.h>

void ref_max_pool_fwd(real *y, uint8_t *tap, const real *x, const struct im2col_dims *d)
{
    for (int64_t i = 0; i < windows(d) * d->C; i++) {
        real most = (real)-INFINITY;
        tap[i] = 0;
        for (int64_t t = 0; t < d->k * d->k; t++) {
            int64_t at = seen_by(d, i / d->C, t);
            if (at < 0 || !(x[at + i % d->C] > most || isnan(x[at + i % d->C])))
                continue;
            most = x[at + i % d->C];
            tap[i] = (uint8_t)t;
        }
        y[i] = most;
    }
}

void ref_max_pool_bwd(real *dx, const real *dy, const uint8_t *tap, const struct im2col_dims *d)
{
    for (int64_t i = 0; i < windows(d) * d->C; i++)
        dx[seen_by(d, i / d->C, tap[i]) + i % d->C] += dy[i];
}

/* ---- upsampling ------------------------------------------------------------------------------ */

void upsample_place(const struct upsample_dims *d, int64_t i, int64_t in, int64_t out,
                    struct upsample_place *ret_p)
{
    *ret_p = (struct upsample_place){.low = i * in / out, .high = i * in / out};
    if (!d->bilinear)
        return;
    double s = fmax(((double)i + 0.5) * (double)in / (double)out - 0.5, 0);
    ret_p->low = (int64_t)s;
    ret_p->high = ret_p->low + 1 < in ? ret_p->low + 1 : ret_p->low;
    ret_p->part = s - (double)ret_p->low;
}

/* The four pixels that make output pixel i, and their weights. */
static void corners(const struct upsample_dims *d, int64_t i, int64_t at[4], double weight[4])
{
    struct upsample_place v, h;
    upsample_place(d, i / d->wo % d->ho, d->H, d->ho, &v);
    upsample_place(d, i % d->wo, d->W, d->wo, &h);
    for (int k = 0; k < 4; k++) {
        int64_t y = k / 2 ? v.high : v.low, x = k % 2 ? h.high : h.low;
        at[k] = ((i / d->wo / d->ho * d->H + y) * d->W + x) * d->C;
        weight[k] = (k / 2 ? v.part : 1 - v.part) * (k % 2 ? h.part : 1 - h.part);
    }
}

void ref_upsample_fwd(real *y, const real *x, const struct upsample_dims *d)
{
    for (int64_t i = 0; i < d->B * d->ho * d->wo; i++) {
        int64_t at[4];
        double weight[4];
        corners(d, i, at, weight);
        for (int64_t c = 0; c < d->C; c++) {
            double sum = 0;
            for (int k = 0; k < 4; k++)
                sum += weight[k] * x[at[k] + c];
            y[i * d->C + c] = (real)sum;
        }
    }
}

void ref_upsample_bwd(real *dx, const real *dy, const struct upsample_dims *d)
{
    for (int64_t i = 0; i < d->B * d->ho * d->wo; i++) {
        int64_t at[4];
        double weight[4];
        corners(d, i, at, weight);
        for (int k = 0; k < 4; k++)
            for (int64_t c = 0; c < d->C; c++)
                dx[at[k] + c] += (real)(weight[k] * dy[i * d->C + c]);
    }
}
