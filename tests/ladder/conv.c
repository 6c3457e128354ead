/* conv.c - a 3 x 3 convolution: forward, then the gradients of image, weights and bias. */
#include "ladder.h"

#include <stdio.h>
#include <string.h>

enum { X, W, B, DY, PATCHES, Y, DX, DW, DB };

static struct im2col_dims dims(const struct scene *s)
{
    return (struct im2col_dims){.B = s->n[0],
                                .H = s->n[1],
                                .W = s->n[1],
                                .C = s->n[2],
                                .k = 3,
                                .stride = 1,
                                .pad = 1,
                                .dilation = 1,
                                .ho = s->n[1],
                                .wo = s->n[1]};
}

static void make(struct scene *s)
{
    int64_t images = s->large ? 2 : 1, side = s->large ? 28 : 7, C = s->large ? 128 : 5, O = C + 3;
    int64_t pixels = images * side * side;
    s->n[0] = images, s->n[1] = side, s->n[2] = C, s->n[3] = O;
    scene_normal(s, pixels * C);
    scene_normal(s, O * 9 * C);
    scene_normal(s, O);
    scene_normal(s, pixels * O);
    scene_zero(s, pixels * 9 * C);
    scene_zero(s, pixels * O);
    scene_zero(s, pixels * C);
    scene_zero(s, O * 9 * C);
    scene_zero(s, O);
    s->first_out = Y;
    s->operations = 6.0 * (double)(pixels * O * 9 * C);
    snprintf(s->shape, sizeof s->shape, "B %d, %d x %d, C %d, O %d", (int)images, (int)side,
             (int)side, (int)C, (int)O);
}

static void reset(struct scene *s)
{
    for (int i = DX; i <= DB; i++)
        memset(s->array[i], 0, (size_t)s->length[i] * sizeof(real));
}

static void on(const struct backend *be, struct scene *s)
{
    struct im2col_dims d = dims(s);
    real **a = s->array;
    be->conv_fwd(a[Y], a[PATCHES], a[X], a[W], a[B], &d, s->n[3]);
    be->conv_bwd(a[DX], a[DW], a[DB], a[PATCHES], a[DY], a[X], a[W], &d, s->n[3]);
}

static void ref(struct scene *s)
{
    on(s->ref, s);
}

/* All patches in memory, a matrix product on them, as the stem has it. */
static void whole_patches(struct scene *s)
{
    struct im2col_dims d = dims(s);
    const struct backend *be = s->cpu;
    real **a = s->array;
    int64_t R = d.B * d.ho * d.wo, I = 9 * d.C, O = s->n[3];
    be->im2col_fwd(a[PATCHES], a[X], &d);
    be->linear_fwd(a[Y], NULL, a[PATCHES], a[W], a[B], R, I, O, ACT_NONE);
    be->linear_bwd(NULL, a[DW], a[DB], a[DY], a[Y], NULL, a[PATCHES], a[W], R, I, O, ACT_NONE, 0);
    memset(a[PATCHES], 0, (size_t)(R * I) * sizeof(real));
    be->linear_bwd(a[PATCHES], NULL, NULL, a[DY], a[Y], NULL, NULL, a[W], R, I, O, ACT_NONE, 0);
    be->im2col_bwd(a[DX], a[PATCHES], &d);
}

static void cpu(struct scene *s)
{
    on(s->cpu, s);
}

const struct ladder ladder_conv = {
    .name = "conv",
    .tolerance = 2e-3, /* gradients of w sum over 1,568 windows */
    .make = make,
    .reset = reset,
    .rung = {{"ref: straight from the definition", ref},
             {"all patches, then a product", whole_patches},
             {"cpu: patches of a few rows", cpu}},
};
