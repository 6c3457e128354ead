/* test_golden_ops.c - single operators on every backend against PyTorch: tests/golden/ops.golden, made by ops.py. */
#include "golden.h"

#include "engine/backend/backend.h"
#include "engine/op/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define INPUTS 12

/* One case on one backend: the tensors that its builder asked for, by name. */
struct scene {
    const struct golden *golden;
    struct ctx *cx;
    const char *name;
    int inputs;
    struct tensor tensor[INPUTS];
    const char *leaf[INPUTS];
};

static struct golden golden;

/* An input that wants a gradient. */
static struct tensor *input(struct scene *s, const char *leaf)
{
    const struct golden_array *a = golden_get(s->golden, s->name, leaf);
    assert_true(s->inputs < INPUTS);
    struct tensor *t = &s->tensor[s->inputs];
    s->leaf[s->inputs++] = leaf;
    *t = (struct tensor){.data = golden_reals(a), .dims = a->dims};
    t->grad = calloc((size_t)a->size, sizeof(real));
    for (int i = 0; i < a->dims; i++)
        t->dim[i] = a->dim[i];
    return t;
}

/* A constant, copied to the step's memory. */
static const real *constant(struct scene *s, const char *leaf)
{
    const struct golden_array *a = golden_get(s->golden, s->name, leaf);
    real *copy = ctx_host(s->cx, (size_t)a->size * sizeof *copy);
    for (int64_t i = 0; i < a->size; i++)
        copy[i] = (real)golden_at(a, i);
    return copy;
}

static struct tensor *build_layernorm(struct scene *s)
{
    return op_layernorm(s->cx, input(s, "x"), input(s, "w"), input(s, "b"), 1e-5);
}

static struct tensor *build_gelu(struct scene *s)
{
    return op_act(s->cx, input(s, "x"), ACT_GELU);
}

static struct tensor *build_mha(struct scene *s)
{
    struct tensor *x = input(s, "x"), *memory = input(s, "memory");
    struct tensor *q = op_linear(s->cx, x, input(s, "wq"), input(s, "bq"), ACT_NONE);
    struct tensor *k = op_linear(s->cx, memory, input(s, "wk"), input(s, "bk"), ACT_NONE);
    struct tensor *v = op_linear(s->cx, memory, input(s, "wv"), input(s, "bv"), ACT_NONE);
    const uint8_t *mask = golden_get(s->golden, s->name, "mask")->bytes;
    struct tensor *y = op_attention(s->cx, q, k, v, 3, mask, 0);
    return op_linear(s->cx, y, input(s, "wo"), input(s, "bo"), ACT_NONE);
}

static struct tensor *build_gru_cell(struct scene *s)
{
    return op_gru_cell(s->cx, input(s, "x"), input(s, "h"), input(s, "w_ih"), input(s, "w_hh"),
                       input(s, "b_ih"), input(s, "b_hh"));
}

static struct tensor *build_conv(struct scene *s)
{
    struct tensor *patches = op_im2col(s->cx, input(s, "x"), 3, 2, 1);
    return op_linear(s->cx, patches, input(s, "w"), input(s, "b"), ACT_NONE);
}

static struct tensor *image_conv(struct scene *s, struct op_window w, bool bias)
{
    struct tensor *x = input(s, "x"), *k = input(s, "w");
    return op_conv(s->cx, x, k, bias ? input(s, "b") : NULL, w);
}

static struct tensor *build_conv_stem(struct scene *s)
{
    return image_conv(s, (struct op_window){.k = 7, .stride = 2, .pad = 3, .dilation = 1}, false);
}

static struct tensor *build_conv_strided(struct scene *s)
{
    return image_conv(s, (struct op_window){.k = 3, .stride = 2, .pad = 1, .dilation = 1}, true);
}

static struct tensor *build_conv_dilated(struct scene *s)
{
    return image_conv(s, (struct op_window){.k = 3, .stride = 1, .pad = 2, .dilation = 2}, false);
}

static struct tensor *build_conv_point(struct scene *s)
{
    return image_conv(s, (struct op_window){.k = 1, .stride = 1, .dilation = 1}, true);
}

static struct tensor *build_conv_point_strided(struct scene *s)
{
    return image_conv(s, (struct op_window){.k = 1, .stride = 2, .dilation = 1}, false);
}

static struct tensor *build_max_pool(struct scene *s)
{
    return op_max_pool(s->cx, input(s, "x"),
                       (struct op_window){.k = 3, .stride = 2, .pad = 1, .dilation = 1});
}

static struct tensor *build_upsample_nearest(struct scene *s)
{
    return op_upsample(s->cx, input(s, "x"), 7, 6, false);
}

static struct tensor *build_upsample_bilinear(struct scene *s)
{
    return op_upsample(s->cx, input(s, "x"), 7, 3, true);
}

static struct tensor *build_frozen_norm(struct scene *s)
{
    static const char *const leaf[] = {"w", "b", "mean", "var"};
    struct tensor *x = input(s, "x"), *fixed[4];
    for (int i = 0; i < 4; i++)
        fixed[i] = ctx_constant(s->cx, constant(s, leaf[i]), 1, &x->dim[3]);
    return op_frozen_norm(s->cx, x, fixed[0], fixed[1], fixed[2], fixed[3], 1e-5, ACT_RELU);
}

static struct tensor *build_group_norm(struct scene *s)
{
    return op_group_norm(s->cx, input(s, "x"), input(s, "w"), input(s, "b"), 4, 1e-5);
}

static struct tensor *build_giou(struct scene *s)
{
    const int32_t row[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    return op_giou_rows(s->cx, input(s, "x"), row, constant(s, "target"), 9, 1);
}

static struct tensor *build_cross_entropy(struct scene *s)
{
    return op_soft_ce(s->cx, input(s, "x"), constant(s, "target"), constant(s, "weight"), 1);
}

static struct tensor *build_l2norm(struct scene *s)
{
    return op_l2norm(s->cx, input(s, "x"), 1e-12);
}

static struct tensor *build_align(struct scene *s)
{
    return op_align_loss(s->cx, input(s, "z"), golden_get(s->golden, s->name, "pos")->bytes, 1);
}

struct golden_case {
    const char *name;
    struct tensor *(*build)(struct scene *s);
};

static const struct golden_case cases[] = {
    {"layernorm", build_layernorm},
    {"gelu", build_gelu},
    {"mha", build_mha},
    {"gru_cell", build_gru_cell},
    {"conv", build_conv},
    {"giou", build_giou},
    {"cross_entropy", build_cross_entropy},
    {"l2norm", build_l2norm},
    {"align", build_align},
    {"conv_stem", build_conv_stem},
    {"conv_strided", build_conv_strided},
    {"conv_dilated", build_conv_dilated},
    {"conv_point", build_conv_point},
    {"conv_point_strided", build_conv_point_strided},
    {"max_pool", build_max_pool},
    {"upsample_nearest", build_upsample_nearest},
    {"upsample_bilinear", build_upsample_bilinear},
    {"frozen_norm", build_frozen_norm},
    {"group_norm", build_group_norm},
};

/* The file holds float32: half a unit in its last place is 6e-8. In float, sums of a dozen products add 1e-5 at most. */
static void compare(const struct scene *s, const char *leaf, const real *got, const char *backend)
{
    const struct golden_array *want = golden_get(s->golden, s->name, leaf);
    const double tolerance = sizeof(real) == sizeof(double) ? 2e-6 : 2e-5;
    for (int64_t i = 0; i < want->size; i++) {
        double w = golden_at(want, i);
        if (!(fabs(got[i] - w) <= tolerance * (1 + fabs(w))))
            fail_msg("%s: %s[%d] is %.9g on %s, %.9g in PyTorch", s->name, leaf, (int)i,
                     (double)got[i], backend, w);
    }
}

static void run(const struct golden_case *c, const struct backend *be)
{
    struct scene s = {.golden = &golden, .name = c->name};
    struct err err = {.text = ""};
    assert_int_equal(ctx_create(&s.cx, be, (size_t)8 << 20, &err), ST_OK);
    ctx_begin(s.cx, &(struct ctx_config){.train = true, .record = true});
    struct tensor *y = c->build(&s);
    if (!y) {
        (void)ctx_finish(s.cx, &err);
        fail_msg("%s on %s: %s", c->name, be->name, err.text);
        return;
    }
    struct tensor *g = ctx_constant(s.cx, constant(&s, "g"), y->dims, y->dim);
    ctx_backward(s.cx, op_sum(s.cx, op_mul(s.cx, y, g)));
    assert_int_equal(ctx_finish(s.cx, &err), ST_OK);
    compare(&s, "y", y->data, be->name);
    for (int i = 0; i < s.inputs; i++) {
        char leaf[32];
        snprintf(leaf, sizeof leaf, "d%s", s.leaf[i]);
        compare(&s, leaf, s.tensor[i].grad, be->name);
        free(s.tensor[i].data);
        free(s.tensor[i].grad);
    }
    ctx_destroy(s.cx);
}

static void check_case(void **state)
{
    for (int i = 0; i < backend_count(); i++)
        run(*state, backend_at(i));
}

int main(void)
{
    struct CMUnitTest tests[sizeof cases / sizeof *cases];
    const size_t count = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = check_case, .initial_state = (void *)&cases[i]};
    golden_open(&golden, TEST_SOURCE_DIR "/golden/ops.golden");
    int failed = _cmocka_run_group_tests("golden_ops", tests, count, NULL, NULL);
    golden_close(&golden);
    return failed;
}
