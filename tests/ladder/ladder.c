/* ladder.c - checks every rung of every ladder, and with --time says how fast each is.
 *
 *     ladder [--time] [--threads N] [NAME ...]
 */
#include "ladder.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct ladder *const ladders[] = {&ladder_gemm,    &ladder_layernorm,
                                               &ladder_softmax, &ladder_attention,
                                               &ladder_adamw,   &ladder_conv};
#define LADDERS (sizeof ladders / sizeof *ladders)

/* ---- scenes ---------------------------------------------------------------------------------- */

real *scene_zero(struct scene *s, int64_t n)
{
    real *a = aligned_alloc(64, ((size_t)n * sizeof *a + 63) / 64 * 64);
    if (!a) {
        fputs("ladder: out of memory\n", stderr);
        exit(1);
    }
    memset(a, 0, (size_t)n * sizeof *a);
    s->array[s->arrays] = a;
    s->length[s->arrays++] = n;
    return a;
}

real *scene_normal(struct scene *s, int64_t n)
{
    struct rng rng = {.key = {.seed = 1, .purpose = RNG_TEST, .stream = (uint32_t)s->arrays}};
    real *a = scene_zero(s, n);
    for (int64_t i = 0; i < n; i++)
        a[i] = (real)rng_next_normal(&rng);
    return a;
}

static void scene_init(struct scene *s, const struct ladder *l, bool large)
{
    *s = (struct scene){.cpu = backend_find("cpu"), .ref = backend_find("ref"), .large = large};
    l->make(s);
}

void scene_fini(struct scene *s)
{
    for (int i = 0; i < s->arrays; i++)
        free(s->array[i]);
}

/* ---- checking -------------------------------------------------------------------------------- */

static void run_afresh(const struct ladder *l, struct scene *s, const struct rung *rung)
{
    for (int i = s->first_out; i < s->arrays; i++)
        for (int64_t j = 0; j < s->length[i]; j++)
            s->array[i][j] = (real)NAN;
    if (l->reset)
        l->reset(s);
    rung->run(s);
}

static int compare(const struct ladder *l, const struct rung *rung, const real *got,
                   const real *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= l->tolerance * (1 + fabs((double)want[i])))) {
            fprintf(stderr, "ladder: %s, %s: element %lld is %.9g, by the definition %.9g\n",
                    l->name, rung->name, (long long)i, (double)got[i], (double)want[i]);
            return 1;
        }
    return 0;
}

/* Every rung's outputs against those of rung 0; the number of rungs that differ. */
static int check(const struct ladder *l, struct scene *s)
{
    real *want[LADDER_ARRAYS] = {NULL};
    int faults = 0;
    run_afresh(l, s, &l->rung[0]);
    for (int i = s->first_out; i < s->arrays; i++) {
        want[i] = malloc((size_t)s->length[i] * sizeof(real));
        memcpy(want[i], s->array[i], (size_t)s->length[i] * sizeof(real));
    }
    for (int k = 1; l->rung[k].run; k++) {
        run_afresh(l, s, &l->rung[k]);
        int fault = 0;
        for (int i = s->first_out; i < s->arrays && !fault; i++)
            fault = compare(l, &l->rung[k], s->array[i], want[i], s->length[i]);
        faults += fault;
    }
    for (int i = s->first_out; i < s->arrays; i++)
        free(want[i]);
    return faults;
}

/* ---- timing ---------------------------------------------------------------------------------- */

#define ENOUGH 0.3 /* seconds a rung, and at least three runs */

double ladder_seconds(bool alone)
{
    struct timespec t;
    clock_gettime(alone ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_seconds(const struct ladder *l, struct scene *s, const struct rung *rung,
                           bool alone)
{
    double best = INFINITY, total = 0;
    for (int runs = 0; runs < 3 || (total < ENOUGH && runs < 1000); runs++) {
        if (l->reset)
            l->reset(s);
        double begun = ladder_seconds(alone);
        rung->run(s);
        double seconds = ladder_seconds(alone) - begun;
        total += seconds;
        best = fmin(best, seconds);
    }
    return best;
}

static void time_rungs(const struct ladder *l, struct scene *s, bool alone)
{
    double first = 0;
    printf("\n%s, %s\n", l->name, s->shape);
    printf("  %-34s %10s %9s %9s %8s\n", "rung", "ms", "GFLOP/s", "GB/s", "x first");
    for (int k = 0; l->rung[k].run; k++) {
        double seconds = best_seconds(l, s, &l->rung[k], alone);
        first = k ? first : seconds;
        printf("  %-34s %10.3f %9.1f %9.1f %8.1f\n", l->rung[k].name, 1e3 * seconds,
               1e-9 * s->operations / seconds, 1e-9 * s->bytes / seconds, first / seconds);
    }
}

static int climb(const struct ladder *l, bool timed, bool alone)
{
    struct scene s;
    scene_init(&s, l, false);
    int faults = check(l, &s);
    scene_fini(&s);
    if (faults || !timed) {
        printf("%-10s %s\n", l->name, faults ? "differs" : "all rungs agree");
        return faults;
    }
    scene_init(&s, l, true);
    faults = check(l, &s);
    if (!faults)
        time_rungs(l, &s, alone);
    scene_fini(&s);
    return faults;
}

static bool chosen(const char *ladder, int names, char **name)
{
    for (int i = 0; i < names; i++)
        if (strcmp(name[i], ladder) == 0)
            return true;
    return names == 0;
}

int main(int argc, char **argv)
{
    bool timed = false;
    int at = 1, threads = 1, faults = 0;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--time") == 0) {
            timed = true;
        } else if (strcmp(argv[at], "--threads") == 0 && at + 1 < argc) {
            threads = (int)strtol(argv[++at], NULL, 10);
        } else {
            fputs("usage: ladder [--time] [--threads N] [NAME ...]\n", stderr);
            return 2;
        }
    }
    backend_set_threads(threads);
    if (timed)
        printf("%s\n", backend_describe(backend_find("cpu")));
    for (size_t i = 0; i < LADDERS; i++)
        if (chosen(ladders[i]->name, argc - at, argv + at))
            faults += climb(ladders[i], timed, threads == 1);
    if (chosen("products", argc - at, argv + at))
        faults += products_compare(timed && threads == 1);
    return faults ? 1 : 0;
}
