/* conv.c - times convolutions of a ResNet: forward, then the gradients of image and weights, channels last, float32.
 *
 *     bench_conv [--threads N] [--rounds N]
 *
 * Prints one JSON object a shape: milliseconds and the process' milliseconds of each round, and the sums of squares of result and gradients by
 * which torch_conv.py, the peer, is seen to compute the same. Inputs are values() of their places.
 */
#include "base/clock.h"
#include "engine/backend/backend.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MAX = 100, WARM = 2 };

/* ResNet-50's at 224 px. k, stride, side of the image, channels in and out. */
static const struct shape {
    const char *name;
    int64_t k, stride, side, C, O;
} shapes[] = {
    {"1x1", 1, 1, 56, 256, 64},
    {"1x1_s2", 1, 2, 56, 256, 512},
    {"3x3", 3, 1, 28, 128, 128},
    {"3x3_s2", 3, 2, 56, 128, 128},
};
enum { IMAGES = 4 };

struct bed {
    struct im2col_dims d;
    int64_t O;
    real *x, *w, *y, *dy, *dx, *dw, *scratch;
    int64_t nx, nw, ny;
};

static int64_t process_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Between -0.5 and 0.5; the peer makes the same. */
static real *values(int64_t n, uint32_t seed)
{
    real *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (real)((double)((uint32_t)i * 2654435761U + seed) / 4294967296.0 - 0.5);
    return x;
}

static bool build(struct bed *b, const struct shape *s)
{
    int64_t pad = s->k / 2, out = (s->side + 2 * pad - s->k) / s->stride + 1;
    *b = (struct bed){.d = {.B = IMAGES,
                            .H = s->side,
                            .W = s->side,
                            .C = s->C,
                            .k = s->k,
                            .stride = s->stride,
                            .pad = pad,
                            .dilation = 1,
                            .ho = out,
                            .wo = out},
                      .O = s->O};
    b->nx = IMAGES * s->side * s->side * s->C;
    b->nw = s->O * s->k * s->k * s->C;
    b->ny = IMAGES * out * out * s->O;
    b->x = values(b->nx, 1);
    b->w = values(b->nw, 2);
    b->dy = values(b->ny, 3);
    b->y = calloc((size_t)b->ny, sizeof(real));
    b->dx = calloc((size_t)b->nx, sizeof(real));
    b->dw = calloc((size_t)b->nw, sizeof(real));
    b->scratch = aligned_alloc(64, ((size_t)conv_scratch(&b->d) * sizeof(real) / 64 + 1) * 64);
    return b->x && b->w && b->dy && b->y && b->dx && b->dw && b->scratch;
}

static void release(struct bed *b)
{
    real *all[] = {b->x, b->w, b->dy, b->y, b->dx, b->dw, b->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static double squares(const real *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static void round_of(const struct backend *be, struct bed *b)
{
    memset(b->dx, 0, (size_t)b->nx * sizeof(real));
    memset(b->dw, 0, (size_t)b->nw * sizeof(real));
    be->conv_fwd(b->y, b->scratch, b->x, b->w, NULL, &b->d, b->O);
    be->conv_bwd(b->dx, b->dw, NULL, b->scratch, b->dy, b->x, b->w, &b->d, b->O);
}

static void print_list(const char *name, const double *ms, int n)
{
    printf(",\"%s\":[", name);
    for (int i = 0; i < n; i++)
        printf("%s%.3f", i ? "," : "", ms[i]);
    printf("]");
}

static bool measure(const struct backend *be, const struct shape *s, int rounds)
{
    static double ms[ROUNDS_MAX], cpu[ROUNDS_MAX];
    struct bed b;
    bool built = build(&b, s);
    for (int i = -WARM; built && i < rounds; i++) {
        int64_t begin = clock_mono_ns(), processor = process_ns();
        round_of(be, &b);
        if (i < 0)
            continue;
        ms[i] = 1e-6 * (double)(clock_mono_ns() - begin);
        cpu[i] = 1e-6 * (double)(process_ns() - processor);
    }
    if (built) {
        printf("{\"name\":\"%s\",\"gflop\":%.4f,\"sums\":[%.9g,%.9g,%.9g]", s->name,
               6e-9 * (double)b.ny * (double)(s->k * s->k * s->C), squares(b.y, b.ny),
               squares(b.dx, b.nx), squares(b.dw, b.nw));
        print_list("ms", ms, rounds);
        print_list("cpu_ms", cpu, rounds);
        printf("}\n");
    }
    release(&b);
    return built;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'}, {"rounds", required_argument, NULL, 'r'}, {0}};
    int threads = 1, rounds = 10;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (c == 't')
            threads = (int)strtol(optarg, NULL, 10);
        else if (c == 'r')
            rounds = (int)strtol(optarg, NULL, 10);
        else
            return 2;
    if (threads < 1 || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    backend_set_threads(threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (!measure(backend_find("cpu"), &shapes[i], rounds))
            return 1;
    return 0;
}
