/* channel.c - normalising channels of an image.
 *
 * frozen: k = w / sqrt(var + eps), y = act(x k + (b - mean k)); mean and var are constants, so dx = k dy act'.
 * group: n = (x - mean) rstd over a sample's pixels and the group's channels, y = n w + b. With g = dy w and bars the means
 * over the same numbers: dx = rstd (g - bar(g) - n bar(g n)), dw = sum dy n, db = sum dy.
 */
#include "engine/backend/ref/ref.h"

#include <math.h>

void ref_frozen_norm_fwd(real *y, real *k, const real *x, const real *w, const real *b,
                         const real *mean, const real *var, int64_t R, int64_t C, double eps,
                         enum act act)
{
    for (int64_t c = 0; c < C; c++) {
        double scale = w[c] / sqrt((double)var[c] + eps), slope;
        k[c] = (real)scale;
        for (int64_t r = 0; r < R; r++)
            y[r * C + c] =
                (real)ref_act(act, x[r * C + c] * scale + (b[c] - mean[c] * scale), &slope);
    }
}

void ref_frozen_norm_bwd(real *dx, const real *dy, const real *y, const real *k, int64_t R,
                         int64_t C, enum act act)
{
    for (int64_t i = 0; i < R * C; i++)
        if (act == ACT_NONE || y[i] > 0)
            dx[i] += k[i % C] * dy[i];
}

/* Element j of group g of sample b, of T pixels by `width` channels. */
static int64_t element(const struct group_norm_dims *d, int64_t b, int64_t g, int64_t j)
{
    int64_t width = d->C / d->groups;
    return (b * d->T + j / width) * d->C + g * width + j % width;
}

void ref_group_norm_fwd(real *y, real *mean, real *rstd, const real *x, const real *w,
                        const real *b, const struct group_norm_dims *d)
{
    int64_t n = d->T * (d->C / d->groups);
    for (int64_t i = 0; i < d->B * d->groups; i++) {
        double m = 0, var = 0;
        for (int64_t j = 0; j < n; j++)
            m += x[element(d, i / d->groups, i % d->groups, j)] / (double)n;
        for (int64_t j = 0; j < n; j++) {
            double e = x[element(d, i / d->groups, i % d->groups, j)] - m;
            var += e * e / (double)n;
        }
        mean[i] = (real)m;
        rstd[i] = (real)(1 / sqrt(var + d->eps));
        for (int64_t j = 0; j < n; j++) {
            int64_t at = element(d, i / d->groups, i % d->groups, j);
            y[at] = (real)((x[at] - m) / sqrt(var + d->eps) * w[at % d->C] + b[at % d->C]);
        }
    }
}

void ref_group_norm_bwd(real *dx, real *dw, real *db, const real *dy, const real *x, const real *w,
                        const real *mean, const real *rstd, const struct group_norm_dims *d)
{
    int64_t n = d->T * (d->C / d->groups), width = d->C / d->groups;
    for (int64_t i = 0; dx && i < d->B * d->groups; i++) {
        double g_bar = 0, gn_bar = 0;
        for (int64_t j = 0; j < n; j++) {
            int64_t at = element(d, i / d->groups, i % d->groups, j);
            double g = (double)dy[at] * w[at % d->C];
            g_bar += g / (double)n;
            gn_bar += g * (x[at] - mean[i]) * rstd[i] / (double)n;
        }
        for (int64_t j = 0; j < n; j++) {
            int64_t at = element(d, i / d->groups, i % d->groups, j);
            double g = (double)dy[at] * w[at % d->C], norm = (double)(x[at] - mean[i]) * rstd[i];
            dx[at] += (real)(rstd[i] * (g - g_bar - norm * gn_bar));
        }
    }
    for (int64_t c = 0; c < d->C; c++) {
        double sum_w = 0, sum_b = 0;
        for (int64_t r = 0; r < d->B * d->T; r++) {
            int64_t i = r / d->T * d->groups + c / width;
            sum_w += (double)dy[r * d->C + c] * (x[r * d->C + c] - mean[i]) * rstd[i];
            sum_b += dy[r * d->C + c];
        }
        if (dw)
            dw[c] += (real)sum_w;
        if (db)
            db[c] += (real)sum_b;
    }
}
