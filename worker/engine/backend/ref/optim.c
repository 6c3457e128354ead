/* optim.c - AdamW, squared norm and moving average. */
#include "engine/backend/ref/ref.h"

#include <math.h>

void ref_adamw(real *w, real *m, real *v, const real *g, int64_t n, const struct adamw_rates *k)
{
    for (int64_t i = 0; i < n; i++) {
        double s = k->scale * g[i];
        m[i] = (real)(k->beta1 * m[i] + (1 - k->beta1) * s);
        v[i] = (real)(k->beta2 * v[i] + (1 - k->beta2) * s * s);
        w[i] = (real)(k->shrink * w[i] - k->step * m[i] / (sqrt(v[i]) * k->root + k->eps));
    }
}

void ref_sum_squares(double *sum, const real *x, int64_t n)
{
    double total = 0;
    for (int64_t i = 0; i < n; i++)
        total += (double)x[i] * x[i];
    *sum = total;
}

void ref_average(real *a, const real *w, int64_t n, double decay)
{
    for (int64_t i = 0; i < n; i++)
        a[i] = (real)(decay * a[i] + (1 - decay) * w[i]);
}
