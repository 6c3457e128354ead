/* adamw.c - one step of AdamW over a flat block, in place. */
#include "ladder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { G, W0, W, M, V };

static const struct adamw_rates rates = {.beta1 = 0.9,
                                         .beta2 = 0.999,
                                         .eps = 1e-8,
                                         .step = 1e-3,
                                         .root = 2,
                                         .shrink = 1 - 1e-5,
                                         .scale = 0.5};

static void make(struct scene *s)
{
    int64_t n = s->large ? 4000000 : 1003;
    scene_normal(s, n);
    scene_normal(s, n);
    for (int i = 0; i < 3; i++)
        scene_zero(s, n);
    s->first_out = W;
    s->n[0] = n;
    s->bytes = 7.0 * (double)n * sizeof(real);
    snprintf(s->shape, sizeof s->shape, "n %d", (int)n);
}

static void reset(struct scene *s)
{
    memcpy(s->array[W], s->array[W0], (size_t)s->n[0] * sizeof(real));
    for (int64_t i = 0; i < s->n[0]; i++) {
        s->array[M][i] = s->array[W0][i] / 4;
        s->array[V][i] = s->array[W0][i] * s->array[W0][i];
    }
}

static void ref(struct scene *s)
{
    s->ref->adamw(s->array[W], s->array[M], s->array[V], s->array[G], s->n[0], &rates);
}

/* As a framework without a fused step does it: one pass over memory for each operation. */
static void many_passes(struct scene *s)
{
    real *w = s->array[W], *m = s->array[M], *v = s->array[V];
    const real *g = s->array[G], k = (real)rates.scale;
    int64_t n = s->n[0];
    for (int64_t i = 0; i < n; i++)
        w[i] *= (real)rates.shrink;
    for (int64_t i = 0; i < n; i++)
        m[i] *= (real)rates.beta1;
    for (int64_t i = 0; i < n; i++)
        m[i] += (real)(1 - rates.beta1) * k * g[i];
    for (int64_t i = 0; i < n; i++)
        v[i] *= (real)rates.beta2;
    for (int64_t i = 0; i < n; i++)
        v[i] += (real)(1 - rates.beta2) * (k * g[i]) * (k * g[i]);
    for (int64_t i = 0; i < n; i++)
        w[i] -= (real)rates.step * m[i] /
                ((real)sqrt((double)v[i]) * (real)rates.root + (real)rates.eps);
}

static void cpu(struct scene *s)
{
    s->cpu->adamw(s->array[W], s->array[M], s->array[V], s->array[G], s->n[0], &rates);
}

const struct ladder ladder_adamw = {
    .name = "adamw",
    .tolerance = 2e-6,
    .make = make,
    .reset = reset,
    .rung = {{"ref: double", ref},
             {"float, a pass an operation", many_passes},
             {"cpu: adamw", cpu}},
};
