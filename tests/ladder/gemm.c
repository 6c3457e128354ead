/* gemm.c - y[R,O] = x[R,I] w[O,I]^T: the product of every linear layer. */
#include "engine/backend/cpu/blas.h"
#include "ladder.h"

#include <stdio.h>

enum { X, W, PACKED, Y };

static void make(struct scene *s)
{
    int64_t R = s->large ? 1568 : 37, I = s->large ? 384 : 29, O = s->large ? 1536 : 45;
    scene_normal(s, R * I);
    scene_normal(s, O * I);
    scene_zero(s, 8 * I);
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

#define TILE_ROWS 4
#define TILE_COLUMNS 8
typedef real quad __attribute__((vector_size(4 * sizeof(real)), may_alias));

/* rows x 8 outputs in registers: each number of x is used eight times, each of w four times, for one load. */
static void tile(struct scene *s, int64_t r0, int64_t rows, int64_t o0, int64_t columns)
{
    int64_t I = s->n[1], O = s->n[2];
    const real *x[TILE_ROWS];
    const quad *w = (const quad *)s->array[PACKED];
    quad sum[TILE_ROWS][2] = {{{0}}};
    for (int64_t r = 0; r < TILE_ROWS; r++)
        x[r] = s->array[X] + (r0 + (r < rows ? r : 0)) * I;
    for (int64_t i = 0; i < I; i++, w += 2)
#pragma GCC unroll 4
        for (int64_t r = 0; r < TILE_ROWS; r++) {
            sum[r][0] += x[r][i] * w[0];
            sum[r][1] += x[r][i] * w[1];
        }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            s->array[Y][(r0 + r) * O + o0 + c] = sum[r][c / 4][c % 4];
}

/* Eight rows of w are turned into a strip of I x 8, which stays in the cache for all rows of x. */
static void tiled(struct scene *s)
{
    int64_t R = s->n[0], I = s->n[1], O = s->n[2];
    for (int64_t o = 0; o < O; o += TILE_COLUMNS) {
        int64_t columns = O - o < TILE_COLUMNS ? O - o : TILE_COLUMNS;
        for (int64_t i = 0; i < I; i++)
            for (int64_t c = 0; c < TILE_COLUMNS; c++)
                s->array[PACKED][i * TILE_COLUMNS + c] =
                    c < columns ? s->array[W][(o + c) * I + i] : 0;
        for (int64_t r = 0; r < R; r += TILE_ROWS)
            tile(s, r, R - r < TILE_ROWS ? R - r : TILE_ROWS, o, columns);
    }
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
             {"4 x 8 outputs in registers", tiled},
             {"BLAS, one thread", blas},
             {"cpu: linear_fwd", cpu}},
};
