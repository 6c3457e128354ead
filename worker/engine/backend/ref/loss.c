/* loss.c - what ends in a scalar. Sums run in double over everything and are rounded once. */
#include "engine/backend/ref/ref.h"

#include <math.h>

void ref_sum_fwd(real *y, const real *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    y[0] = (real)sum;
}

void ref_sum_bwd(real *dx, const real *dy, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[0];
}

/* log sum_i exp x[i stride] */
static double logsumexp(const real *x, int64_t stride, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, x[i * stride]);
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i * stride] - most);
    return most + log(sum);
}

void ref_soft_ce_fwd(real *loss, real *p, const real *x, const real *y, const real *w, int64_t R,
                     int64_t S, double norm)
{
    double sum = 0;
    for (int64_t r = 0; r < R; r++, x += S, y += S, p += S) {
        double lse = logsumexp(x, 1, S);
        for (int64_t s = 0; s < S; s++) {
            sum -= w[r] * y[s] * (x[s] - lse);
            p[s] = (real)exp(x[s] - lse);
        }
    }
    loss[0] = (real)(norm * sum);
}

/* dx_rs = norm w_r (p_rs sum_t y_rt - y_rs) */
void ref_soft_ce_bwd(real *dx, const real *dloss, const real *p, const real *y, const real *w,
                     int64_t R, int64_t S, double norm)
{
    for (int64_t r = 0; r < R; r++, dx += S, y += S, p += S) {
        double mass = 0;
        for (int64_t s = 0; s < S; s++)
            mass += y[s];
        for (int64_t s = 0; s < S; s++)
            dx[s] += (real)(dloss[0] * norm * w[r] * (p[s] * mass - y[s]));
    }
}

void ref_l1_rows_fwd(real *loss, const real *x, const int32_t *row, const real *y, int64_t n,
                     double norm)
{
    double sum = 0;
    for (int64_t i = 0; i < 4 * n; i++)
        sum += fabs((double)x[4 * row[i / 4] + i % 4] - y[i]);
    loss[0] = (real)(norm * sum);
}

void ref_l1_rows_bwd(real *dx, const real *dloss, const real *x, const int32_t *row, const real *y,
                     int64_t n, double norm)
{
    for (int64_t i = 0; i < 4 * n; i++) {
        int64_t at = 4 * row[i / 4] + i % 4;
        double sign = (x[at] > y[i]) - (x[at] < y[i]);
        dx[at] += (real)(dloss[0] * norm * sign);
    }
}

/* One axis of two boxes: how far they overlap and reach, and what moves with the first one's lower
 * and upper end. */
struct extent {
    double overlap, reach;
    double overlap_lo, overlap_hi, reach_lo, reach_hi; /* derivatives */
};

static struct extent extent(double centre, double size, double other_centre, double other_size)
{
    double lo = centre - size / 2, hi = centre + size / 2;
    double other_lo = other_centre - other_size / 2, other_hi = other_centre + other_size / 2;
    struct extent e = {.overlap = fmin(hi, other_hi) - fmax(lo, other_lo),
                       .reach = fmax(hi, other_hi) - fmin(lo, other_lo),
                       .overlap_lo = lo > other_lo ? -1 : 0,
                       .overlap_hi = hi < other_hi,
                       .reach_lo = lo < other_lo ? -1 : 0,
                       .reach_hi = hi > other_hi};
    if (e.overlap <= 0)
        e.overlap = e.overlap_lo = e.overlap_hi = 0;
    return e;
}

/* 1 - GIoU = 2 - I/U - U/H, I intersection, U union, H hull of boxes a and b (Rezatofighi et al.
 * 2019). grad[4], when wanted, by a. A box without area has I/U = 0; two of them at one point also
 * U/H = 0. */
static double giou_loss(const real *a, const real *b, double *grad)
{
    struct extent x = extent(a[0], a[2], b[0], b[2]), y = extent(a[1], a[3], b[1], b[3]);
    double I = x.overlap * y.overlap, H = x.reach * y.reach;
    double U = (double)a[2] * a[3] + (double)b[2] * b[3] - I;
    double inv_U = U > 0 ? 1 / U : 0, inv_H = H > 0 ? 1 / H : 0;
    if (grad) {
        /* by I, U and H as if independent; then by the ends of both axes, then by centre and size
         */
        double by_U = I * inv_U * inv_U - inv_H, by_I = -inv_U - by_U, by_H = U * inv_H * inv_H;
        double x_lo = by_I * x.overlap_lo * y.overlap + by_H * x.reach_lo * y.reach;
        double x_hi = by_I * x.overlap_hi * y.overlap + by_H * x.reach_hi * y.reach;
        double y_lo = by_I * y.overlap_lo * x.overlap + by_H * y.reach_lo * x.reach;
        double y_hi = by_I * y.overlap_hi * x.overlap + by_H * y.reach_hi * x.reach;
        grad[0] = x_lo + x_hi;
        grad[1] = y_lo + y_hi;
        grad[2] = (x_hi - x_lo) / 2 + by_U * a[3];
        grad[3] = (y_hi - y_lo) / 2 + by_U * a[2];
    }
    return 2 - I * inv_U - U * inv_H;
}

void ref_giou_rows_fwd(real *loss, const real *x, const int32_t *row, const real *y, int64_t n,
                       double norm)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += giou_loss(x + 4 * row[i], y + 4 * i, NULL);
    loss[0] = (real)(norm * sum);
}

void ref_giou_rows_bwd(real *dx, const real *dloss, const real *x, const int32_t *row,
                       const real *y, int64_t n, double norm)
{
    for (int64_t i = 0; i < n; i++) {
        double grad[4];
        giou_loss(x + 4 * row[i], y + 4 * i, grad);
        for (int j = 0; j < 4; j++)
            dx[4 * row[i] + j] += (real)(dloss[0] * norm * grad[j]);
    }
}

static int64_t positives(const uint8_t *pos, int64_t stride, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += pos[i * stride] != 0;
    return count;
}

#define ALIGN_EPS 1e-6

/* -(sum of the positives)/(count + eps) + logsumexp of one row or column; 0 without a positive */
static double align_line(real *lse, const real *z, const uint8_t *pos, int64_t stride, int64_t n)
{
    int64_t count = positives(pos, stride, n);
    double sum = 0, l = logsumexp(z, stride, n);
    *lse = (real)l;
    for (int64_t i = 0; i < n; i++)
        if (pos[i * stride])
            sum += z[i * stride];
    return count ? l - sum / ((double)count + ALIGN_EPS) : 0;
}

static void align_line_bwd(real *dz, double g, double lse, const real *z, const uint8_t *pos,
                           int64_t stride, int64_t n)
{
    int64_t count = positives(pos, stride, n);
    for (int64_t i = 0; count && i < n; i++) {
        double target = pos[i * stride] ? 1 / ((double)count + ALIGN_EPS) : 0;
        dz[i * stride] += (real)(g * (exp(z[i * stride] - lse) - target));
    }
}

void ref_align_loss_fwd(real *loss, real *row_lse, real *col_lse, const real *z, const uint8_t *pos,
                        int64_t B, int64_t Q, int64_t L, double norm)
{
    double sum = 0;
    for (int64_t b = 0; b < B; b++, z += Q * L, pos += Q * L) {
        for (int64_t q = 0; q < Q; q++)
            sum += align_line(row_lse + b * Q + q, z + q * L, pos + q * L, 1, L);
        for (int64_t l = 0; l < L; l++)
            sum += align_line(col_lse + b * L + l, z + l, pos + l, L, Q);
    }
    loss[0] = (real)(norm / 2 * sum);
}

void ref_align_loss_bwd(real *dz, const real *dloss, const real *row_lse, const real *col_lse,
                        const real *z, const uint8_t *pos, int64_t B, int64_t Q, int64_t L,
                        double norm)
{
    double g = dloss[0] * norm / 2;
    for (int64_t b = 0; b < B; b++, z += Q * L, dz += Q * L, pos += Q * L) {
        for (int64_t q = 0; q < Q; q++)
            align_line_bwd(dz + q * L, g, row_lse[b * Q + q], z + q * L, pos + q * L, 1, L);
        for (int64_t l = 0; l < L; l++)
            align_line_bwd(dz + l, g, col_lse[b * L + l], z + l, pos + l, L, Q);
    }
}
