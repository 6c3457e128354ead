/* linear.c - linear layers; also bf16.c's, with operands that are rounded.
 *
 * y_ro = f(u_ro), u_ro = sum_i x_ri w_oi + b_o. With g = dy f'(u):
 * dx_ri = sum_o g_ro w_oi, dw_oi = sum_r g_ro x_ri, db_o = sum_r g_ro.
 */
#include "engine/backend/ref/ref.h"

void REF(linear_fwd)(real *y, real *before, const real *x, const real *w, const real *b, int64_t R,
                     int64_t I, int64_t O, enum act act)
{
    for (int64_t r = 0; r < R; r++)
        for (int64_t o = 0; o < O; o++) {
            double u = b ? b[o] : 0, slope;
            for (int64_t i = 0; i < I; i++)
                u += OPERAND(x[r * I + i]) * OPERAND(w[o * I + i]);
            y[r * O + o] = (real)ref_act(act, u, &slope);
            if (before)
                before[r * O + o] = (real)u;
        }
}

void REF(linear_add_fwd)(real *y, const real *r, const real *x, const real *w, const real *b,
                         int64_t R, int64_t I, int64_t O)
{
    for (int64_t j = 0; j < R * O; j++) {
        double u = r[j] + (double)(b ? b[j % O] : 0);
        for (int64_t i = 0; i < I; i++)
            u += OPERAND(x[j / O * I + i]) * OPERAND(w[j % O * I + i]);
        y[j] = (real)u;
    }
}

void REF(linear_bwd)(real *dx, real *dw, real *db, real *dy, const real *y, const real *before,
                     const real *x, const real *w, int64_t R, int64_t I, int64_t O, enum act act,
                     unsigned fresh)
{
    const real *g = dy;
    for (int64_t j = 0; j < R * O; j++)
        dy[j] *= ref_slope(act, y, before, j);
    for (int64_t r = 0; dx && r < R; r++)
        for (int64_t i = 0; i < I; i++) {
            double sum = 0;
            for (int64_t o = 0; o < O; o++)
                sum += OPERAND(g[r * O + o]) * OPERAND(w[o * I + i]);
            dx[r * I + i] = (fresh & 1 ? 0 : dx[r * I + i]) + (real)sum;
        }
    for (int64_t o = 0; dw && o < O; o++)
        for (int64_t i = 0; i < I; i++) {
            double sum = 0;
            for (int64_t r = 0; r < R; r++)
                sum += OPERAND(g[r * O + o]) * OPERAND(x[r * I + i]);
            dw[o * I + i] = (fresh & 2 ? 0 : dw[o * I + i]) + (real)sum;
        }
    for (int64_t o = 0; db && o < O; o++) {
        double sum = 0;
        for (int64_t r = 0; r < R; r++)
            sum += g[r * O + o];
        db[o] += (real)sum;
    }
}
