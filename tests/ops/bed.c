/* bed.c - see bed.h. */
#include "bed.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUARD 16 /* reals before, between and after */
#define GUARD_VALUE ((real)12345.5)

int64_t bed_dim(struct bed *bed, int64_t most)
{
    static const int64_t sizes[] = {1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 47, 64, 97, 130};
    int n = 0;
    while (n < (int)(sizeof sizes / sizeof *sizes) && sizes[n] <= most)
        n++;
    return sizes[rng_next_below(&bed->rng, (uint32_t)n)];
}

static void fill_guard(real *p)
{
    for (int i = 0; i < GUARD; i++)
        p[i] = GUARD_VALUE;
}

static void check_guard(const real *p)
{
    for (int i = 0; i < GUARD; i++)
        assert_true(p[i] == GUARD_VALUE);
}

static void make_input(struct bed_input *in, int dims, const int64_t *dim)
{
    in->tensor = (struct tensor){.dims = dims};
    memcpy(in->tensor.dim, dim, (size_t)dims * sizeof *dim);
    int64_t n = tensor_size(&in->tensor);
    in->block = malloc((size_t)(3 * GUARD + 2 * n) * sizeof(real));
    in->before = malloc((size_t)n * sizeof(real));
    in->tensor.data = in->block + GUARD;
    in->grad = in->tensor.data + n + GUARD;
    fill_guard(in->block);
    fill_guard(in->tensor.data + n);
    fill_guard(in->grad + n);
}

static struct tensor *draw_input(struct bed *bed, int dims, const int64_t *dim, bool uniform)
{
    assert_true(bed->next < BED_INPUTS);
    struct bed_input *in = &bed->input[bed->next];
    if (bed->next == bed->inputs) {
        bed->inputs++;
        make_input(in, dims, dim);
        struct rng rng = {.key = bed->rng.key};
        rng.key.stream = 1 + (uint32_t)bed->next;
        for (int64_t i = 0; i < tensor_size(&in->tensor); i++)
            in->tensor.data[i] = (real)(uniform ? rng_next_uniform(&rng) : rng_next_normal(&rng));
    }
    in->tensor.grad = bed->next == bed->without_grad ? NULL : in->grad;
    bed->next++;
    return &in->tensor;
}

struct tensor *bed_input(struct bed *bed, int dims, const int64_t *dim)
{
    return draw_input(bed, dims, dim, false);
}

struct tensor *bed_boxes(struct bed *bed, int64_t n)
{
    bool fresh = bed->next == bed->inputs;
    struct tensor *x = draw_input(bed, 2, (int64_t[]){n, 4}, true);
    for (int64_t i = 0; fresh && i < 4 * n; i++)
        x->data[i] = (real)(i % 4 < 2 ? 0.3 + 0.4 * x->data[i] : 0.1 + 0.5 * x->data[i]);
    return x;
}

real *bed_constant(struct ctx *cx, struct bed *bed, int64_t n)
{
    real *a = ctx_host(cx, (size_t)n * sizeof *a);
    for (int64_t i = 0; i < n; i++)
        a[i] = (real)rng_next_uniform(&bed->rng);
    return a;
}

uint8_t *bed_bits(struct ctx *cx, struct bed *bed, int64_t n, double share)
{
    uint8_t *a = ctx_host(cx, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        a[i] = rng_next_uniform(&bed->rng) < share;
    return a;
}

int32_t *bed_indices(struct ctx *cx, struct bed *bed, int64_t n, int64_t below)
{
    int32_t *a = ctx_host(cx, (size_t)n * sizeof *a);
    for (int64_t i = 0; i < n; i++)
        a[i] = (int32_t)rng_next_below(&bed->rng, (uint32_t)below);
    return a;
}

void bed_init(struct bed *bed, uint64_t seed)
{
    *bed = (struct bed){.seed = seed, .without_grad = -1};
    bed->rng.key = (struct rng_key){.seed = seed, .purpose = RNG_TEST};
}

void bed_fini(struct bed *bed)
{
    for (int i = 0; i < bed->inputs; i++) {
        free(bed->input[i].block);
        free(bed->input[i].before);
    }
    free(bed->y);
}

/* One context a backend for the whole process: making one costs more than running most operators. */
static struct {
    const struct backend *be;
    struct ctx *cx;
} contexts[8];
#define CONTEXTS ((int)(sizeof contexts / sizeof *contexts))

void bed_release(void)
{
    for (int i = 0; i < CONTEXTS; i++)
        ctx_destroy(contexts[i].cx);
}

static struct ctx *context(const struct backend *be)
{
    int i = 0;
    while (i < CONTEXTS && contexts[i].be && contexts[i].be != be)
        i++;
    assert_true(i < CONTEXTS);
    if (!contexts[i].be)
        assert_int_equal(ctx_create(&contexts[i].cx, be, (size_t)8 << 20, NULL), ST_OK);
    contexts[i].be = be;
    return contexts[i].cx;
}

/* sum of the output's elements, each with a weight of its own */
static struct tensor *reduce(struct ctx *cx, struct tensor *y)
{
    int64_t n = tensor_size(y);
    real *weight = ctx_host(cx, (size_t)n * sizeof *weight);
    for (int64_t i = 0; i < n; i++)
        weight[i] = (real)cos(1.7 * (double)i + 0.3);
    return op_sum(cx, op_mul(cx, y, ctx_constant(cx, weight, y->dims, y->dim)));
}

static void before_run(struct bed *bed)
{
    bed->rng.next = 0;
    bed->next = 0;
    for (int i = 0; i < bed->inputs; i++) {
        struct bed_input *in = &bed->input[i];
        for (int64_t j = 0; j < tensor_size(&in->tensor); j++)
            in->grad[j] = (real)BED_GRAD0;
    }
}

static void after_build(struct bed *bed, bool first)
{
    for (int i = 0; i < bed->inputs; i++) {
        struct bed_input *in = &bed->input[i];
        int64_t n = tensor_size(&in->tensor);
        memcpy(in->before, in->tensor.data, (size_t)n * sizeof(real));
        for (int64_t j = 0; first && j < n; j++)
            in->grad[j] = (real)BED_GRAD0;
    }
}

static void after_run(struct bed *bed)
{
    for (int i = 0; i < bed->inputs; i++) {
        struct bed_input *in = &bed->input[i];
        int64_t n = tensor_size(&in->tensor);
        check_guard(in->block);
        check_guard(in->tensor.data + n);
        check_guard(in->grad + n);
        assert_memory_equal(in->before, in->tensor.data, (size_t)n * sizeof(real));
    }
}

static void keep_output(struct bed *bed, const struct tensor *y, const struct tensor *loss)
{
    free(bed->y);
    bed->y_size = tensor_size(y);
    bed->y = malloc((size_t)bed->y_size * sizeof(real));
    memcpy(bed->y, y->data, (size_t)bed->y_size * sizeof(real));
    bed->loss = loss->data[0];
}

void bed_run(struct bed *bed, const struct bed_case *c, const struct backend *be, bool backward)
{
    struct err err = {.text = ""};
    bool first = bed->inputs == 0;
    struct ctx *cx = context(be);
    ctx_begin(cx,
              &(struct ctx_config){
                  .train = true, .record = backward, .seed = bed->seed, .step = 3, .sample0 = 5});
    before_run(bed);
    real *low = ctx_alloc(cx, GUARD * sizeof(real));
    fill_guard(low);
    struct tensor *y = c->build(cx, bed);
    after_build(bed, first);
    real *high = ctx_alloc(cx, GUARD * sizeof(real));
    if (high)
        fill_guard(high);
    struct tensor *loss = y ? reduce(cx, y) : NULL;
    if (backward)
        ctx_backward(cx, loss);
    enum status st = ctx_finish(cx, &err);
    if (st != ST_OK)
        fail_msg("%s on %s, seed %d: %s", c->name, be->name, (int)bed->seed, err.text);
    check_guard(low);
    check_guard(high);
    after_run(bed);
    keep_output(bed, y, loss);
}
