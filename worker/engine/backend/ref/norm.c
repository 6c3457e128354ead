/* norm.c - normalising rows.
 *
 * layernorm: n = (x - mean) rstd, y = n w + b. With g = dy w and bars the means over the row:
 * dx = rstd (g - bar(g) - n bar(g n)), dw = sum_r dy n, db = sum_r dy.
 * l2norm: y = x inv, inv = 1/max(||x||, eps). dx = inv (dy - y <y, dy>); where eps decided, inv is
 * constant: dx = inv dy.
 */
#include "engine/backend/ref/ref.h"

#include <math.h>

void ref_layernorm_fwd(real *y, real *mean, real *rstd, const real *x, const real *w, const real *b,
                       int64_t R, int64_t C, double eps)
{
    for (int64_t r = 0; r < R; r++, x += C, y += C) {
        double m = 0, var = 0;
        for (int64_t c = 0; c < C; c++)
            m += x[c];
        m /= (double)C;
        for (int64_t c = 0; c < C; c++)
            var += (x[c] - m) * (x[c] - m);
        double s = 1 / sqrt(var / (double)C + eps);
        for (int64_t c = 0; c < C; c++)
            y[c] = (real)((x[c] - m) * s * w[c] + b[c]);
        mean[r] = (real)m;
        rstd[r] = (real)s;
    }
}

void ref_layernorm_bwd(real *dx, real *dw, real *db, const real *dy, const real *x, const real *w,
                       const real *mean, const real *rstd, int64_t R, int64_t C)
{
    for (int64_t r = 0; dx && r < R; r++) {
        const real *xr = x + r * C, *dyr = dy + r * C;
        double g_bar = 0, gn_bar = 0;
        for (int64_t c = 0; c < C; c++) {
            double g = (double)dyr[c] * w[c];
            g_bar += g / (double)C;
            gn_bar += g * (xr[c] - mean[r]) * rstd[r] / (double)C;
        }
        for (int64_t c = 0; c < C; c++) {
            double n = (double)(xr[c] - mean[r]) * rstd[r];
            dx[r * C + c] += (real)(rstd[r] * ((double)dyr[c] * w[c] - g_bar - n * gn_bar));
        }
    }
    for (int64_t c = 0; c < C; c++) {
        double sum_w = 0, sum_b = 0;
        for (int64_t r = 0; r < R; r++) {
            sum_w += (double)dy[r * C + c] * (x[r * C + c] - mean[r]) * rstd[r];
            sum_b += dy[r * C + c];
        }
        if (dw)
            dw[c] += (real)sum_w;
        if (db)
            db[c] += (real)sum_b;
    }
}

void ref_l2norm_fwd(real *y, real *inv, const real *x, int64_t R, int64_t C, double eps)
{
    for (int64_t r = 0; r < R; r++, x += C, y += C) {
        double sum = 0;
        for (int64_t c = 0; c < C; c++)
            sum += (double)x[c] * x[c];
        double s = 1 / fmax(sqrt(sum), eps);
        for (int64_t c = 0; c < C; c++)
            y[c] = (real)(x[c] * s);
        inv[r] = (real)s;
    }
}

void ref_l2norm_bwd(real *dx, const real *dy, const real *y, const real *inv, int64_t R, int64_t C,
                    double eps)
{
    for (int64_t r = 0; r < R; r++, dx += C, dy += C, y += C) {
        double along = 0;
        for (int64_t c = 0; c < C; c++)
            along += (double)y[c] * dy[c];
        if (inv[r] >= (real)(1 / eps))
            along = 0;
        for (int64_t c = 0; c < C; c++)
            dx[c] += (real)(inv[r] * (dy[c] - y[c] * along));
    }
}
