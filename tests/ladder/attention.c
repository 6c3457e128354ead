/* attention.c - scaled dot-product attention of B samples and H heads, forward. */
#include "ladder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { Q, K, V, KEPT, SCRATCH, Y };
enum { SAMPLES, HEADS, TOKENS, WIDTH };

static struct attention_dims dims(const struct scene *s)
{
    return (struct attention_dims){.B = s->n[SAMPLES],
                                   .H = s->n[HEADS],
                                   .Tq = s->n[TOKENS],
                                   .Tk = s->n[TOKENS],
                                   .E = s->n[WIDTH],
                                   .scale = 1 / sqrt((double)s->n[WIDTH])};
}

static void make(struct scene *s)
{
    static const int64_t small[4] = {2, 2, 11, 6}, large[4] = {8, 6, 196, 64};
    memcpy(s->n, s->large ? large : small, sizeof small);
    struct attention_dims d = dims(s);
    int64_t size = d.B * d.Tq * d.H * d.E;
    for (int i = 0; i < 3; i++)
        scene_normal(s, size);
    scene_zero(s, d.B * d.H * d.Tq * d.Tk);
    scene_zero(s, attention_scratch(&d));
    scene_zero(s, size);
    s->first_out = Y;
    s->operations = 4.0 * (double)(d.B * d.H * d.Tq * d.Tk * d.E);
    snprintf(s->shape, sizeof s->shape, "B %d, H %d, T %d, E %d", (int)d.B, (int)d.H, (int)d.Tq,
             (int)d.E);
}

static void on(const struct backend *be, struct scene *s)
{
    struct attention_dims d = dims(s);
    const struct dropout_draw none = {.p = 0};
    be->attention_fwd(s->array[Y], s->array[KEPT], s->array[SCRATCH], s->array[Q], s->array[K],
                      s->array[V], NULL, &d, &none);
}

static void ref(struct scene *s)
{
    on(s->ref, s);
}

/* All T x T scores of a head, then their softmax, then the sum: each passes through memory. */
static void whole_matrix(struct scene *s)
{
    struct attention_dims d = dims(s);
    int64_t row = d.H * d.E;
    for (int64_t i = 0; i < d.B * d.H * d.Tq; i++) {
        int64_t b = i / d.Tq / d.H, at = i / d.Tq % d.H * d.E;
        const real *q = s->array[Q] + (b * d.Tq + i % d.Tq) * row + at;
        for (int64_t t = 0; t < d.Tk; t++) {
            const real *k = s->array[K] + (b * d.Tk + t) * row + at;
            real sum = 0;
            for (int64_t e = 0; e < d.E; e++)
                sum += q[e] * k[e];
            s->array[KEPT][i * d.Tk + t] = sum * (real)d.scale;
        }
    }
    for (int64_t i = 0; i < d.B * d.H * d.Tq; i++) {
        real *p = s->array[KEPT] + i * d.Tk, most = p[0], sum = 0;
        for (int64_t t = 1; t < d.Tk; t++)
            most = p[t] > most ? p[t] : most;
        for (int64_t t = 0; t < d.Tk; t++)
            sum += p[t] = (real)expf((float)(p[t] - most));
        for (int64_t t = 0; t < d.Tk; t++)
            p[t] /= sum;
    }
    for (int64_t i = 0; i < d.B * d.H * d.Tq; i++) {
        int64_t b = i / d.Tq / d.H, at = i / d.Tq % d.H * d.E;
        real *y = s->array[Y] + (b * d.Tq + i % d.Tq) * row + at;
        memset(y, 0, (size_t)d.E * sizeof *y);
        for (int64_t t = 0; t < d.Tk; t++)
            for (int64_t e = 0; e < d.E; e++)
                y[e] += s->array[KEPT][i * d.Tk + t] * s->array[V][(b * d.Tk + t) * row + at + e];
    }
}

/* One query at a time with a running maximum and sum (Milakov & Gimelshein 2018): no score is kept. */
static void running(struct scene *s)
{
    struct attention_dims d = dims(s);
    int64_t row = d.H * d.E;
    for (int64_t i = 0; i < d.B * d.H * d.Tq; i++) {
        int64_t b = i / d.Tq / d.H, at = i / d.Tq % d.H * d.E;
        const real *q = s->array[Q] + (b * d.Tq + i % d.Tq) * row + at;
        real *y = s->array[Y] + (b * d.Tq + i % d.Tq) * row + at, most = (real)-INFINITY, sum = 0;
        memset(y, 0, (size_t)d.E * sizeof *y);
        for (int64_t t = 0; t < d.Tk; t++) {
            const real *k = s->array[K] + (b * d.Tk + t) * row + at;
            const real *v = s->array[V] + (b * d.Tk + t) * row + at;
            real score = 0;
            for (int64_t e = 0; e < d.E; e++)
                score += q[e] * k[e];
            score *= (real)d.scale;
            if (score > most) {
                real fade = (real)expf((float)(most - score));
                for (int64_t e = 0; e < d.E; e++)
                    y[e] *= fade;
                sum *= fade;
                most = score;
            }
            real p = (real)expf((float)(score - most));
            sum += p;
            for (int64_t e = 0; e < d.E; e++)
                y[e] += p * v[e];
        }
        for (int64_t e = 0; e < d.E; e++)
            y[e] /= sum;
    }
}

static void cpu(struct scene *s)
{
    on(s->cpu, s);
}

const struct ladder ladder_attention = {
    .name = "attention",
    .tolerance = 3e-5,
    .make = make,
    .rung = {{"ref: double", ref},
             {"float, T x T in memory", whole_matrix},
             {"float, running softmax", running},
             {"cpu: attention_fwd", cpu}},
};
