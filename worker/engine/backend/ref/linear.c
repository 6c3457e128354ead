/* linear.c - products of matrices.
 *
 * y_ro = f(u_ro), u_ro = sum_i x_ri w_oi + b_o. With g = dy f'(u):
 * dx_ri = sum_o g_ro w_oi, dw_oi = sum_r g_ro x_ri, db_o = sum_r g_ro.
 */
#include "engine/backend/ref/ref.h"

void ref_linear_fwd(real *y, real *before, const real *x, const real *w, const real *b, int64_t R,
                    int64_t I, int64_t O, enum act act)
{
    for (int64_t r = 0; r < R; r++)
        for (int64_t o = 0; o < O; o++) {
            double u = b ? b[o] : 0, slope;
            for (int64_t i = 0; i < I; i++)
                u += (double)x[r * I + i] * w[o * I + i];
            y[r * O + o] = (real)ref_act(act, u, &slope);
            if (before)
                before[r * O + o] = (real)u;
        }
}

void ref_linear_add_fwd(real *y, const real *r, const real *x, const real *w, const real *b,
                        int64_t R, int64_t I, int64_t O)
{
    for (int64_t j = 0; j < R * O; j++) {
        double u = r[j] + (double)(b ? b[j % O] : 0);
        for (int64_t i = 0; i < I; i++)
            u += (double)x[j / O * I + i] * w[j % O * I + i];
        y[j] = (real)u;
    }
}

void ref_linear_bwd(real *dx, real *dw, real *db, real *dy, const real *y, const real *before,
                    const real *x, const real *w, int64_t R, int64_t I, int64_t O, enum act act)
{
    const real *g = dy;
    for (int64_t j = 0; j < R * O; j++)
        dy[j] *= ref_slope(act, y, before, j);
    for (int64_t r = 0; dx && r < R; r++)
        for (int64_t i = 0; i < I; i++) {
            double sum = 0;
            for (int64_t o = 0; o < O; o++)
                sum += (double)g[r * O + o] * w[o * I + i];
            dx[r * I + i] += (real)sum;
        }
    for (int64_t o = 0; dw && o < O; o++)
        for (int64_t i = 0; i < I; i++) {
            double sum = 0;
            for (int64_t r = 0; r < R; r++)
                sum += (double)g[r * O + o] * x[r * I + i];
            dw[o * I + i] += (real)sum;
        }
    for (int64_t o = 0; db && o < O; o++) {
        double sum = 0;
        for (int64_t r = 0; r < R; r++)
            sum += g[r * O + o];
        db[o] += (real)sum;
    }
}

void ref_matmul_nt_fwd(real *y, const real *a, const real *b, int64_t B, int64_t M, int64_t N,
                       int64_t C, double k)
{
    for (int64_t i = 0; i < B; i++, y += M * N, a += M * C, b += N * C)
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++) {
                double sum = 0;
                for (int64_t c = 0; c < C; c++)
                    sum += (double)a[m * C + c] * b[n * C + c];
                y[m * N + n] = (real)(k * sum);
            }
}

/* da_mc = k sum_n dy_mn b_nc, db_nc = k sum_m dy_mn a_mc */
void ref_matmul_nt_bwd(real *da, real *db, const real *dy, const real *a, const real *b, int64_t B,
                       int64_t M, int64_t N, int64_t C, double k)
{
    for (int64_t i = 0; i < B; i++) {
        const real *g = dy + i * M * N, *ai = a + i * M * C, *bi = b + i * N * C;
        for (int64_t j = 0; da && j < M * C; j++) {
            double sum = 0;
            for (int64_t n = 0; n < N; n++)
                sum += (double)g[j / C * N + n] * bi[n * C + j % C];
            da[i * M * C + j] += (real)(k * sum);
        }
        for (int64_t j = 0; db && j < N * C; j++) {
            double sum = 0;
            for (int64_t m = 0; m < M; m++)
                sum += (double)g[m * N + j / C] * ai[m * C + j % C];
            db[i * N * C + j] += (real)(k * sum);
        }
    }
}
