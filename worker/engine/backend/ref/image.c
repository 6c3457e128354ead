/* image.c - kernels over images, channels last.
 *
 * Window (oy,ox), tap (ky,kx) sees x at (oy stride + ky dilation - pad, ox stride + kx dilation - pad); outside the image it
 * sees nothing. conv: y_o = b_o + sum over taps and c of w_(o,ky,kx,c) x_c. max_pool: the first of the largest.
 * Bilinear (corners not aligned): output i of `out` lies at s = max((i + 1/2) in/out - 1/2, 0), between floor(s) and the next.
 */
#include "engine/backend/ref/ref.h"

#include <math.h>

/* Offset in x of what tap `tap` of window (b,oy,ox) sees, channel 0; -1 outside. */
static int64_t seen(const struct im2col_dims *d, int64_t b, int64_t oy, int64_t ox, int64_t tap)
{
    int64_t y = oy * d->stride + tap / d->k * d->dilation - d->pad;
    int64_t x = ox * d->stride + tap % d->k * d->dilation - d->pad;
    if (y < 0 || y >= d->H || x < 0 || x >= d->W)
        return -1;
    return ((b * d->H + y) * d->W + x) * d->C;
}

static int64_t windows(const struct im2col_dims *d)
{
    return d->B * d->ho * d->wo;
}

static int64_t seen_by(const struct im2col_dims *d, int64_t window, int64_t tap)
{
    return seen(d, window / (d->ho * d->wo), window / d->wo % d->ho, window % d->wo, tap);
}

void ref_conv_fwd(real *y, real *scratch, const real *x, const real *w, const real *b,
                  const struct im2col_dims *d, int64_t O)
{
    int64_t taps = d->k * d->k;
    (void)scratch;
    for (int64_t i = 0; i < windows(d); i++)
        for (int64_t o = 0; o < O; o++) {
            double sum = b ? b[o] : 0;
            for (int64_t tap = 0; tap < taps; tap++) {
                int64_t at = seen_by(d, i, tap);
                for (int64_t c = 0; at >= 0 && c < d->C; c++)
                    sum += (double)x[at + c] * w[(o * taps + tap) * d->C + c];
            }
            y[i * O + o] = (real)sum;
        }
}

void ref_conv_bwd(real *dx, real *dw, real *db, real *scratch, const real *dy, const real *x,
                  const real *w, const struct im2col_dims *d, int64_t O)
{
    int64_t taps = d->k * d->k;
    (void)scratch;
    for (int64_t i = 0; dx && i < windows(d) * taps; i++) {
        int64_t at = seen_by(d, i / taps, i % taps);
        for (int64_t c = 0; at >= 0 && c < d->C; c++) {
            double sum = 0;
            for (int64_t o = 0; o < O; o++)
                sum += (double)dy[i / taps * O + o] * w[(o * taps + i % taps) * d->C + c];
            dx[at + c] += (real)sum;
        }
    }
    for (int64_t j = 0; dw && j < O * taps * d->C; j++) {
        double sum = 0;
        for (int64_t i = 0; i < windows(d); i++) {
            int64_t at = seen_by(d, i, j / d->C % taps);
            if (at >= 0)
                sum += (double)dy[i * O + j / d->C / taps] * x[at + j % d->C];
        }
        dw[j] += (real)sum;
    }
    for (int64_t o = 0; db && o < O; o++) {
        double sum = 0;
        for (int64_t i = 0; i < windows(d); i++)
            sum += dy[i * O + o];
        db[o] += (real)sum;
    }
}

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
