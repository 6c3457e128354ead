/* pointwise.c - one element at a time. */
#include "engine/backend/draw.h"
#include "engine/backend/ref/ref.h"

#include <math.h>

/* GELU(u) = u P(u), P the normal distribution function; GELU' = P(u) + u p(u). */
double ref_act(enum act act, double u, double *ret_slope)
{
    const double root_half = 0.70710678118654752440, inv_root_2pi = 0.39894228040143267794;
    switch (act) {
    case ACT_RELU:
        *ret_slope = u > 0;
        return u > 0 || isnan(u) ? u : 0;
    case ACT_GELU: {
        double P = 0.5 * erfc(-u * root_half);
        *ret_slope = P + u * inv_root_2pi * exp(-u * u / 2);
        return u * P;
    }
    case ACT_NONE:
        break;
    }
    *ret_slope = 1;
    return u;
}

void ref_act_fwd(real *y, const real *x, int64_t n, enum act act)
{
    double slope;
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)ref_act(act, x[i], &slope);
}

real ref_slope(enum act act, const real *y, const real *before, int64_t i)
{
    double slope = 1;
    if (act_needs_before(act))
        ref_act(act, before[i], &slope);
    return act == ACT_RELU ? y[i] > 0 : (real)slope;
}

void ref_act_bwd(real *dx, const real *dy, const real *y, const real *x, int64_t n, enum act act)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * ref_slope(act, y, x, i);
}

void ref_add_fwd(real *y, const real *a, const real *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void ref_axpy(real *y, const real *x, double k, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += (real)(k * x[i]);
}

void ref_affine_fwd(real *y, const real *x, double k, double c, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)(k * x[i] + c);
}

void ref_add_tail_fwd(real *y, const real *x, const real *p, int64_t B, int64_t n)
{
    for (int64_t b = 0; b < B; b++)
        ref_add_fwd(y + b * n, x + b * n, p, n);
}

void ref_mul_fwd(real *y, const real *a, const real *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

void ref_mul_bwd(real *dx, const real *dy, const real *z, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] += dy[i] * z[i];
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

void ref_sigmoid_fwd(real *y, const real *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)sigmoid(x[i]);
}

void ref_sigmoid_bwd(real *dx, const real *dy, const real *y, double k, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] += (real)(k * dy[i] * y[i] * (1 - (double)y[i]));
}

void ref_tanh_fwd(real *y, const real *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (real)tanh(x[i]);
}

void ref_tanh_bwd(real *dx, const real *dy, const real *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] += (real)(dy[i] * (1 - (double)y[i] * y[i]));
}

void ref_dropout_fwd(real *y, uint8_t *keep, const real *x, int64_t B, int64_t n,
                     const struct dropout_draw *drop)
{
    for (int64_t b = 0; b < B; b++)
        for (int64_t j = 0; j < n; j++) {
            uint32_t word[4];
            rng_words(word, &drop->key, dropout_block(drop, b, j));
            bool kept = word[j % 4] >= dropout_threshold(drop);
            keep[b * n + j] = kept;
            y[b * n + j] = kept ? (real)(x[b * n + j] / (1 - drop->p)) : 0;
        }
}

void ref_dropout_bwd(real *dx, const real *dy, const uint8_t *keep, int64_t n,
                     const struct dropout_draw *drop)
{
    for (int64_t i = 0; i < n; i++)
        if (keep[i])
            dx[i] += (real)(dy[i] / (1 - drop->p));
}

void ref_gumbel_sigmoid_fwd(real *y, const real *o, int64_t n, double b, double tau,
                            const struct rng_key *key)
{
    for (int64_t i = 0; i < n; i++) {
        double g = -log(-log(rng_uniform(key, (uint64_t)i)));
        y[i] = (real)sigmoid((o[i] + g + b) / tau);
    }
}

void ref_threshold_fwd(real *y, const real *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] >= (real)0.5;
}
