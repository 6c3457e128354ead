/* conv.c - convolution: y_o = b_o + sum over taps and c of w_(o,ky,kx,c) x_c, windows as in image.c; also bf16.c's, with operands that are
 * rounded. */
#include "engine/backend/ref/ref.h"
#include "engine/backend/ref/window.h"

void REF(conv_fwd)(real *y, real *scratch, const real *x, const real *w, const real *b,
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
                    sum += OPERAND(x[at + c]) * OPERAND(w[(o * taps + tap) * d->C + c]);
            }
            y[i * O + o] = (real)sum;
        }
}

void REF(conv_bwd)(real *dx, real *dw, real *db, real *scratch, const real *dy, const real *x,
                   const real *w, const struct im2col_dims *d, int64_t O)
{
    int64_t taps = d->k * d->k;
    (void)scratch;
    for (int64_t i = 0; dx && i < windows(d) * taps; i++) {
        int64_t at = seen_by(d, i / taps, i % taps);
        for (int64_t c = 0; at >= 0 && c < d->C; c++) {
            double sum = 0;
            for (int64_t o = 0; o < O; o++)
                sum += OPERAND(dy[i / taps * O + o]) * OPERAND(w[(o * taps + i % taps) * d->C + c]);
            dx[at + c] += (real)sum;
        }
    }
    for (int64_t j = 0; dw && j < O * taps * d->C; j++) {
        double sum = 0;
        for (int64_t i = 0; i < windows(d); i++) {
            int64_t at = seen_by(d, i, j / d->C % taps);
            if (at >= 0)
                sum += OPERAND(dy[i * O + j / d->C / taps]) * OPERAND(x[at + j % d->C]);
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
