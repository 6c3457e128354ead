/* rows.c - kernels whose cost is reading and writing: layer norm and softmax, row by row. */
#include "ladder.h"

#include <math.h>
#include <stdio.h>

static void make_rows(struct scene *s, int64_t R, int64_t C)
{
    scene_normal(s, R * C);
    s->n[0] = R, s->n[1] = C;
    s->bytes = 2.0 * (double)(R * C) * sizeof(real);
    snprintf(s->shape, sizeof s->shape, "R %d, C %d", (int)R, (int)C);
}

/* ---- layer norm ------------------------------------------------------------------------------ */

enum { X, W, B, Y, MEAN, RSTD };

static void make_layernorm(struct scene *s)
{
    make_rows(s, s->large ? 6272 : 21, s->large ? 384 : 43);
    scene_normal(s, s->n[1]);
    scene_normal(s, s->n[1]);
    scene_zero(s, s->n[0] * s->n[1]);
    scene_zero(s, s->n[0]);
    scene_zero(s, s->n[0]);
    s->first_out = Y;
}

static void ref_layernorm(struct scene *s)
{
    s->ref->layernorm_fwd(s->array[Y], s->array[MEAN], s->array[RSTD], s->array[X], s->array[W],
                          s->array[B], s->n[0], s->n[1], 1e-5);
}

/* Sums in float; mean and variance in one pass over shifted numbers, which does not cancel as E x^2 - (E x)^2 does. */
static void one_pass_layernorm(struct scene *s)
{
    int64_t C = s->n[1];
    for (int64_t r = 0; r < s->n[0]; r++) {
        const real *x = s->array[X] + r * C;
        real *y = s->array[Y] + r * C, sum = 0, square = 0, shift = x[0];
        for (int64_t c = 0; c < C; c++) {
            real d = x[c] - shift;
            sum += d;
            square += d * d;
        }
        real mean = sum / (real)C, var = square / (real)C - mean * mean;
        real rstd = 1 / (real)sqrt((double)var + 1e-5);
        s->array[MEAN][r] = mean + shift;
        s->array[RSTD][r] = rstd;
        for (int64_t c = 0; c < C; c++)
            y[c] = (x[c] - (mean + shift)) * rstd * s->array[W][c] + s->array[B][c];
    }
}

static void cpu_layernorm(struct scene *s)
{
    s->cpu->layernorm_fwd(s->array[Y], s->array[MEAN], s->array[RSTD], s->array[X], s->array[W],
                          s->array[B], s->n[0], s->n[1], 1e-5);
}

const struct ladder ladder_layernorm = {
    .name = "layernorm",
    .tolerance = 5e-5,
    .make = make_layernorm,
    .rung = {{"ref: sums in double", ref_layernorm},
             {"sums in float, one pass", one_pass_layernorm},
             {"cpu: layernorm_fwd", cpu_layernorm}},
};

/* ---- softmax, as the cross entropy has it ---------------------------------------------------- */

enum { LOGITS, TARGET, WEIGHT, LOSS, P };

static void make_softmax(struct scene *s)
{
    make_rows(s, s->large ? 6400 : 19, s->large ? 256 : 37);
    scene_zero(s, s->n[0] * s->n[1]);
    scene_zero(s, s->n[0]);
    scene_zero(s, 1);
    scene_zero(s, s->n[0] * s->n[1]);
    s->first_out = LOSS;
    for (int64_t r = 0; r < s->n[0]; r++) {
        s->array[WEIGHT][r] = (real)(r % 3) / 2;
        s->array[TARGET][r * s->n[1] + r % s->n[1]] = 1;
    }
    s->bytes *= 1.5; /* logits and targets in, probabilities out */
}

static void ref_softmax(struct scene *s)
{
    s->ref->soft_ce_fwd(s->array[LOSS], s->array[P], s->array[LOGITS], s->array[TARGET],
                        s->array[WEIGHT], s->n[0], s->n[1], 1e-3);
}

/* Three passes over a row with libm's expf. */
static void plain_softmax(struct scene *s)
{
    int64_t S = s->n[1];
    double loss = 0;
    for (int64_t r = 0; r < s->n[0]; r++) {
        const real *x = s->array[LOGITS] + r * S, *t = s->array[TARGET] + r * S;
        real *p = s->array[P] + r * S, most = x[0], sum = 0, hit = 0;
        for (int64_t i = 1; i < S; i++)
            most = x[i] > most ? x[i] : most;
        for (int64_t i = 0; i < S; i++)
            sum += p[i] = (real)expf((float)(x[i] - most));
        real log_sum = (real)logf((float)sum);
        for (int64_t i = 0; i < S; i++) {
            p[i] /= sum;
            hit -= t[i] * (x[i] - most - log_sum);
        }
        loss += (double)(s->array[WEIGHT][r] * hit);
    }
    s->array[LOSS][0] = (real)(1e-3 * loss);
}

static void cpu_softmax(struct scene *s)
{
    s->cpu->soft_ce_fwd(s->array[LOSS], s->array[P], s->array[LOGITS], s->array[TARGET],
                        s->array[WEIGHT], s->n[0], s->n[1], 1e-3);
}

const struct ladder ladder_softmax = {
    .name = "softmax",
    .tolerance = 2e-5,
    .make = make_softmax,
    .rung = {{"ref: double, libm", ref_softmax},
             {"float, libm, three passes", plain_softmax},
             {"cpu: soft_ce_fwd", cpu_softmax}},
};
