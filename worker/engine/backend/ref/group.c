/* group.c - groups of rows or columns of a weight matrix: mixing, masking, norms
 * (docs/internals/method.md). */
#include "engine/backend/ref/ref.h"

#include <math.h>

static int64_t group_of(const struct group_dims *d, int64_t i)
{
    return (d->axis == 0 ? i / d->cols : i % d->cols) / d->width;
}

void ref_mix_fwd(real *y, const real *own, const real *src, const real *s,
                 const struct group_dims *d)
{
    for (int64_t i = 0; i < d->rows * d->cols; i++) {
        double sg = s[group_of(d, i)];
        y[i] = (real)(sg * src[i] + (1 - sg) * own[i]);
    }
}

/* The sum of a group in double, straight over its elements. */
static double group_dot(const struct group_dims *d, int64_t g, const real *dy, const real *a,
                        const real *b)
{
    double sum = 0;
    for (int64_t i = 0; i < d->rows * d->cols; i++)
        if (group_of(d, i) == g)
            sum += dy[i] * ((double)a[i] - (b ? b[i] : 0));
    return sum;
}

static int64_t groups(const struct group_dims *d)
{
    return (d->axis == 0 ? d->rows : d->cols) / d->width;
}

void ref_mix_bwd(real *down, real *dsrc, real *ds, const real *dy, const real *own, const real *src,
                 const real *s, const struct group_dims *d)
{
    for (int64_t i = 0; i < d->rows * d->cols; i++) {
        double sg = s[group_of(d, i)];
        if (dsrc)
            dsrc[i] += (real)(sg * dy[i]);
        if (down)
            down[i] += (real)((1 - sg) * dy[i]);
    }
    for (int64_t g = 0; ds && g < groups(d); g++)
        ds[g] += (real)group_dot(d, g, dy, src, own);
}

void ref_mask_fwd(real *y, const real *w, const real *m, const struct group_dims *d)
{
    for (int64_t i = 0; i < d->rows * d->cols; i++)
        y[i] = m[group_of(d, i)] * w[i];
}

void ref_mask_bwd(real *dw, real *dm, const real *dy, const real *w, const real *m,
                  const struct group_dims *d)
{
    for (int64_t i = 0; dw && i < d->rows * d->cols; i++)
        dw[i] += m[group_of(d, i)] * dy[i];
    for (int64_t g = 0; dm && g < groups(d); g++)
        dm[g] += (real)group_dot(d, g, dy, w, NULL);
}

void ref_slice_square(real *sum, const real *a, const real *b, int64_t stride, int64_t rows,
                      int64_t cols)
{
    double square = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            double x = (double)a[r * stride + c] - (b ? b[r * stride + c] : 0);
            square += x * x;
        }
    sum[0] += (real)square;
}

void ref_group_norms_fwd(real *loss, real *root, const real *square, const real *weight, int64_t n,
                         double norm)
{
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        root[j] = (real)sqrt(square[j] + 1e-8);
        sum += (double)weight[j] * root[j];
    }
    loss[0] = (real)(norm * sum);
}

void ref_slice_pull(real *da, real *db, const real *dloss, const real *root, const real *a,
                    const real *b, int64_t stride, int64_t rows, int64_t cols, double k)
{
    double g = k * dloss[0] / root[0];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            int64_t i = r * stride + c;
            double pull = g * ((double)a[i] - (b ? b[i] : 0));
            if (da)
                da[i] += (real)pull;
            if (db)
                db[i] -= (real)pull;
        }
}
