/* products.c - the products of a training step's layers, ours against OpenBLAS, shape by shape. */
#include "engine/backend/cpu/blas.h"
#include "ladder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A layer of R tokens, I inputs and O outputs, and how many of them a step has. */
struct layer {
    int R, I, O, times;
};

/* `small`, batch 8, 224 px, captions of 24 tokens: vision, text, both together; the stem is a convolution. */
static const struct layer step_layers[] = {
    {1568, 384, 384, 49}, {1568, 384, 1536, 12}, {1568, 1536, 384, 12},
    {192, 384, 384, 24},  {192, 384, 1536, 6},   {192, 1536, 384, 6},
    {1760, 256, 256, 18}, {1760, 256, 1024, 3},  {1760, 1024, 256, 3},
    {24, 768, 768, 0},    {24, 768, 3072, 0},    {24, 3072, 768, 0}, /* a caption of `large` */
};
static const struct layer odd_layers[] = {
    {37, 29, 45, 1}, {5, 70, 33, 1}, {801, 49, 13, 1}, {19, 1601, 75, 1}};

enum { X, W, G, Y, DX, DW, Y_BLAS, DX_BLAS, DW_BLAS, ARRAYS };
enum { FORWARD, INPUT, WEIGHT, PRODUCTS };
static const char *const product_names[PRODUCTS] = {"y = x w^T", "dx = g w", "dw = g^T x"};

static void ours(const struct scene *s, const struct layer *l, int product)
{
    real *const *a = s->array;
    if (product == FORWARD)
        s->cpu->linear_fwd(a[Y], NULL, a[X], a[W], NULL, l->R, l->I, l->O, ACT_NONE);
    else
        s->cpu->linear_bwd(product == INPUT ? a[DX] : NULL, product == WEIGHT ? a[DW] : NULL, NULL,
                           a[G], NULL, NULL, a[X], a[W], l->R, l->I, l->O, ACT_NONE, 3);
}

static void blas(const struct scene *s, const struct layer *l, int product)
{
    real *const *a = s->array;
    struct blas_product p = {.M = l->R, .N = l->I, .K = l->O, .k = 1};
    p.lda = l->O, p.ldb = l->I, p.ldc = l->I;
    if (product == FORWARD) {
        p.N = l->O, p.K = l->I, p.lda = l->I, p.ldc = l->O, p.b_turned = 1;
        blas_multiply(a[Y_BLAS], a[X], a[W], &p);
    } else if (product == INPUT) {
        blas_multiply(a[DX_BLAS], a[G], a[W], &p);
    } else {
        p.M = l->O, p.K = l->R, p.a_turned = 1;
        blas_multiply(a[DW_BLAS], a[G], a[X], &p);
    }
}

static void make(struct scene *s, const struct layer *l)
{
    const int64_t x = (int64_t)l->R * l->I, w = (int64_t)l->O * l->I, y = (int64_t)l->R * l->O;
    const int64_t size[ARRAYS] = {x, w, y, y, x, w, y, x, w};
    *s = (struct scene){.cpu = backend_find("cpu")};
    for (int i = 0; i < ARRAYS; i++)
        if (i < Y)
            scene_normal(s, size[i]);
        else
            scene_zero(s, size[i]);
}

static int differs(const struct scene *s, const struct layer *l)
{
    for (int product = 0; product < PRODUCTS; product++) {
        ours(s, l, product);
        blas(s, l, product);
        const real *a = s->array[Y + product], *b = s->array[Y_BLAS + product];
        for (int64_t i = 0; i < s->length[Y + product]; i++)
            if (!(fabs((double)a[i] - b[i]) <= 1e-3 * (1 + fabs((double)b[i])))) {
                fprintf(stderr,
                        "ladder: R %d, I %d, O %d, %s: element %lld is %.9g, BLAS has %.9g\n", l->R,
                        l->I, l->O, product_names[product], (long long)i, (double)a[i],
                        (double)b[i]);
                return 1;
            }
    }
    return 0;
}

#define ROUNDS 7

/* One after the other, so that both meet the same machine; the least of some rounds counts. */
static void race(const struct scene *s, const struct layer *l, int product, double best[2])
{
    best[0] = best[1] = INFINITY;
    for (int i = 0; i < ROUNDS; i++)
        for (int side = 0; side < 2; side++) {
            double begun = ladder_seconds(true);
            (side ? blas : ours)(s, l, product);
            best[side] = fmin(best[side], ladder_seconds(true) - begun);
        }
}

static void print_row(const struct scene *s, const struct layer *l, double total[2])
{
    for (int product = 0; product < PRODUCTS; product++) {
        double best[2], operations = 2e-9 * l->R * l->I * l->O;
        race(s, l, product, best);
        printf("  %5d x %4d -> %4d, %2d times  %-10s %9.1f %9.1f %8.3f\n", l->R, l->I, l->O,
               l->times, product_names[product], operations / best[0], operations / best[1],
               best[0] / best[1]);
        for (int side = 0; side < 2; side++)
            total[side] += l->times * best[side];
    }
}

int products_compare(bool timed)
{
    const struct layer *layers = timed ? step_layers : odd_layers;
    size_t n = timed ? sizeof step_layers / sizeof *layers : sizeof odd_layers / sizeof *layers;
    double total[2] = {0};
    int faults = 0;
    if (timed)
        printf("\nproducts of a step of small, one thread\n  %-33s %-10s %9s %9s %8s\n",
               "tokens x inputs -> outputs", "GFLOP/s of", "ours", "OpenBLAS", "time");
    for (size_t i = 0; i < n; i++) {
        struct scene s;
        make(&s, &layers[i]);
        faults += differs(&s, &layers[i]);
        if (timed && !faults)
            print_row(&s, &layers[i], total);
        scene_fini(&s);
    }
    if (timed && !faults)
        printf("  all of a step: %.1f ms, OpenBLAS %.1f ms, ratio %.3f\n", 1e3 * total[0],
               1e3 * total[1], total[0] / total[1]);
    if (!timed)
        printf("%-10s %s\n", "products", faults ? "differs" : "all agree");
    return faults;
}
