/* gru.c - the gates of one GRU step (Cho et al. 2014, gate order and formula as PyTorch's GRUCell).
 *
 * dc = dy (1 - z), dz = dy (h - c), dh = dy z; through tanh: dn = dc (1 - c^2); dr = dn gh_n;
 * dgi = dr r(1-r), dz z(1-z), dn; dgh = the same with dn r in the last part.
 */
#include "engine/backend/ref/ref.h"

#include <math.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

void ref_gru_gates_fwd(real *y, real *gate, const real *gi, const real *gh, const real *h,
                       int64_t D)
{
    for (int64_t i = 0; i < D; i++) {
        double r = sigmoid((double)gi[i] + gh[i]);
        double z = sigmoid((double)gi[D + i] + gh[D + i]);
        double c = tanh(gi[2 * D + i] + r * gh[2 * D + i]);
        y[i] = (real)((1 - z) * c + z * h[i]);
        gate[i] = (real)r;
        gate[D + i] = (real)z;
        gate[2 * D + i] = (real)c;
    }
}

void ref_gru_gates_bwd(real *dgi, real *dgh, real *dh, const real *dy, const real *gate,
                       const real *gh, const real *h, int64_t D)
{
    for (int64_t i = 0; i < D; i++) {
        double r = gate[i], z = gate[D + i], c = gate[2 * D + i];
        double dn = dy[i] * (1 - z) * (1 - c * c);
        double dr = dn * gh[2 * D + i] * r * (1 - r);
        double dz = dy[i] * (h[i] - c) * z * (1 - z);
        dgi[i] += (real)dr;
        dgh[i] += (real)dr;
        dgi[D + i] += (real)dz;
        dgh[D + i] += (real)dz;
        dgi[2 * D + i] += (real)dn;
        dgh[2 * D + i] += (real)(dn * r);
        if (dh)
            dh[i] += (real)(dy[i] * z);
    }
}
