/* gemm.c - y[R,O] = x[R,I] w[O,I]^T: the product of every linear layer. */
#include "engine/backend/cpu/blas.h"
#include "ladder.h"

#include <stdio.h>

enum { X, W, Y };

static void make(struct scene *s)
{
    int64_t R = s->large ? 1568 : 37, I = s->large ? 384 : 29, O = s->large ? 1536 : 45;
    scene_normal(s, R * I);
    scene_normal(s, O * I);
    scene_zero(s, R * O);
    s->first_out = Y;
    s->n[0] = R, s->n[1] = I, s->n[2] = O;
    s->operations = 2.0 * (double)(R * I * O);
    snprintf(s->shape, sizeof s->shape, "R %d, I %d, O %d", (int)R, (int)I, (int)O);
}

static void naive(struct scene *s)
{
    int64_t R = s->n[0], I = s->n[1], O = s->n[2];
    for (int64_t r = 0; r < R; r++)
        for (int64_t o = 0; o < O; o++) {
            real sum = 0;
            for (int64_t i = 0; i < I; i++)
                sum += s->array[X][r * I + i] * s->array[W][o * I + i];
            s->array[Y][r * O + o] = sum;
        }
}

/* Eight sums at a time: the compiler may keep them in vectors, which it may not do with one. */
static void eight_sums(struct scene *s)
{
    int64_t R = s->n[0], I = s->n[1], O = s->n[2];
    for (int64_t r = 0; r < R; r++)
        for (int64_t o = 0; o < O; o++) {
            const real *x = s->array[X] + r * I, *w = s->array[W] + o * I;
            real sum[8] = {0}, all = 0;
            int64_t i = 0;
            for (; i + 8 <= I; i += 8)
                for (int k = 0; k < 8; k++)
                    sum[k] += x[i + k] * w[i + k];
            for (; i < I; i++)
                all += x[i] * w[i];
            for (int k = 0; k < 8; k++)
                all += sum[k];
            s->array[Y][r * O + o] = all;
        }
}

#define TILE 64

static void tile(struct scene *s, int64_t r0, int64_t o0)
{
    int64_t I = s->n[1], O = s->n[2];
    int64_t r1 = r0 + TILE < s->n[0] ? r0 + TILE : s->n[0], o1 = o0 + TILE < O ? o0 + TILE : O;
    for (int64_t r = r0; r < r1; r++)
        for (int64_t o = o0; o < o1; o += 4) {
            real sum[4][8] = {{0}}, tail[4] = {0};
            int64_t i = 0, most = o1 - o < 4 ? o1 - o : 4;
            const real *x = s->array[X] + r * I, *w = s->array[W] + o * I;
            for (; i + 8 <= I && most == 4; i += 8)
                for (int c = 0; c < 4; c++)
                    for (int k = 0; k < 8; k++)
                        sum[c][k] += x[i + k] * w[c * I + i + k];
            for (int64_t c = 0; c < most; c++) {
                for (int64_t j = i; j < I; j++)
                    tail[c] += x[j] * w[c * I + j];
                for (int k = 0; k < 8; k++)
                    tail[c] += sum[c][k];
                s->array[Y][r * O + o + c] = tail[c];
            }
        }
}

/* Tiles of 64 x 64 outputs, whose rows of x and w stay in the cache; four outputs share each load of x. */
static void tiled(struct scene *s)
{
    for (int64_t r = 0; r < s->n[0]; r += TILE)
        for (int64_t o = 0; o < s->n[2]; o += TILE)
            tile(s, r, o);
}

static void blas(struct scene *s)
{
    int64_t R = s->n[0], I = s->n[1], O = s->n[2];
    blas_multiply(s->array[Y], s->array[X], s->array[W],
                  &(struct blas_product){
                      .M = R, .N = O, .K = I, .lda = I, .ldb = I, .ldc = O, .b_turned = 1, .k = 1});
}

static void cpu(struct scene *s)
{
    s->cpu->linear_fwd(s->array[Y], NULL, s->array[X], s->array[W], NULL, s->n[0], s->n[1], s->n[2],
                       ACT_NONE);
}

const struct ladder ladder_gemm = {
    .name = "gemm",
    .tolerance = 2e-4, /* sums of 384 products in another order */
    .make = make,
    .rung = {{"naive", naive},
             {"eight sums at a time", eight_sums},
             {"tiles that stay in the cache", tiled},
             {"BLAS, one thread", blas},
             {"cpu: linear_fwd", cpu}},
};
