/* test_reduce.c - buckets start in order, none before its gradient is complete, all in the end: over a transport that
 * writes down what it is asked. */
#include "engine/backend/backend.h"
#include "engine/op/op.h"
#include "run/reduce.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LAYERS 6
#define WIDTH 10
#define BUCKET 70 /* elements: layers and buckets share no border */

/* ---- the transport: two ranks that are always alike ------------------------------------------ */

#define STARTS 64

static struct {
    const float *x[STARTS];
    int64_t n[STARTS];
    float *then[STARTS]; /* copy of what was handed over, owned */
    int count;
} seen;

static void transport_start(struct comm *c, struct comm_sum *s)
{
    (void)c;
    assert_true(seen.count < STARTS);
    seen.x[seen.count] = s->x;
    seen.n[seen.count] = s->n;
    seen.then[seen.count] = malloc((size_t)s->n * sizeof(float));
    memcpy(seen.then[seen.count++], s->x, (size_t)s->n * sizeof(float));
}

static bool transport_done(struct comm *c, struct comm_sum *s)
{
    (void)c, (void)s;
    return false;
}

static void transport_wait(struct comm *c, struct comm_sum *s)
{
    (void)c;
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] *= 2;
}

static struct comm transport = {.size = 2,
                                .sum_start = transport_start,
                                .sum_done = transport_done,
                                .sum_wait = transport_wait};

static void forget(void)
{
    for (int i = 0; i < seen.count; i++)
        free(seen.then[i]);
    seen.count = 0;
}

/* ---- a model --------------------------------------------------------------------------------- */

struct model {
    struct params *params;
    struct tensor *w[LAYERS], *unused;
    struct ctx *cx;
    struct reduce *reduce;
    struct tensor x;
    real data[3 * WIDTH];
};

static void model_init(struct model *m)
{
    struct err err = {0};
    char name[16];
    assert_int_equal(params_create(&m->params, &err), ST_OK);
    for (int l = 0; l < LAYERS; l++) {
        snprintf(name, sizeof name, "w%d", l);
        m->w[l] = param_add(
            m->params,
            &(struct param_spec){
                .name = name, .dims = 2, .dim = {WIDTH, WIDTH}, .init = INIT_NORMAL, .scale = 0.5});
    }
    m->unused =
        param_add(m->params, &(struct param_spec){.name = "unused", .dims = 1, .dim = {33}});
    assert_int_equal(params_allocate(m->params, &err), ST_OK);
    params_init(m->params, 1);
    assert_int_equal(ctx_create(&m->cx, backend_find("cpu"), (size_t)8 << 20, &err), ST_OK);
    assert_int_equal(reduce_create(&m->reduce, &transport, m->params, false, BUCKET, NULL, &err),
                     ST_OK);
    for (int i = 0; i < 3 * WIDTH; i++)
        m->data[i] = (real)(i % 5 - 2);
    m->x = (struct tensor){.data = m->data, .dims = 2, .dim = {3, WIDTH}};
}

static void model_fini(struct model *m)
{
    reduce_destroy(m->reduce);
    ctx_destroy(m->cx);
    params_destroy(m->params);
    forget();
}

/* A column of layers; the first one's weights come back in the last, where `tied`. */
static enum status step(struct model *m, bool tied, bool watched)
{
    params_zero_grads(m->params);
    reduce_begin(m->reduce);
    ctx_begin(m->cx, &(struct ctx_config){.record = true,
                                          .watch = watched ? reduce_watch(m->reduce) : NULL});
    struct tensor *y = &m->x;
    for (int l = 0; l < LAYERS; l++)
        y = op_linear(m->cx, y, m->w[l], NULL, ACT_NONE);
    if (tied)
        y = op_linear(m->cx, y, m->w[0], NULL, ACT_NONE);
    ctx_backward(m->cx, op_sum(m->cx, op_mul(m->cx, y, y)));
    return ctx_finish(m->cx, NULL);
}

/* The gradient of a step that nobody watches. */
static real *plain_gradient(struct model *m, bool tied)
{
    size_t bytes = (size_t)params_size(m->params) * sizeof(real);
    real *g = malloc(bytes);
    assert_int_equal(step(m, tied, false), ST_OK);
    memcpy(g, params_grads(m->params), bytes);
    return g;
}

/* Every bucket in order from the block's end, each as complete as it will ever be. */
static void check_starts(struct model *m, const real *gradient)
{
    const real *end = params_grads(m->params) + params_size(m->params);
    for (int i = 0; i < seen.count; i++) {
        assert_ptr_equal(seen.x[i] + seen.n[i], end);
        end = seen.x[i];
        assert_memory_equal(seen.then[i], gradient + (end - params_grads(m->params)),
                            (size_t)seen.n[i] * sizeof(real));
    }
}

static void buckets_start_as_they_become_final(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        struct model m;
        model_init(&m);
        real *g = plain_gradient(&m, tied);
        assert_int_equal(step(&m, tied, true), ST_OK);
        /* 633 elements are 10 buckets; w0, at the block's beginning, is in the last two and final at the very end */
        assert_int_equal(seen.count, 10);
        check_starts(&m, g);
        reduce_start_rest(m.reduce);
        assert_int_equal(seen.count, 10);
        reduce_finish(m.reduce);
        for (int64_t i = 0; i < params_size(m.params); i++)
            assert_true(params_grads(m.params)[i] == 2 * g[i]);
        assert_true(reduce_cost(m.reduce).bytes == 4.0 * 633);
        free(g);
        model_fini(&m);
    }
}

static int starts_at_w3; /* buckets under way when w3 was final */
static const struct ctx_watch *inner;
static const struct tensor *third;

static void pass_will(void *arg, const struct tensor *t)
{
    (void)arg;
    inner->will(inner->arg, t);
}

static void pass_final(void *arg, const struct tensor *t)
{
    (void)arg;
    inner->final(inner->arg, t);
    if (t == third)
        starts_at_w3 = seen.count;
}

static void pass_node(void *arg)
{
    (void)arg;
    inner->node(inner->arg);
}

/* The sums of the last layers go while the first ones are still being computed. */
static void sums_overlap_with_backward(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    inner = reduce_watch(m.reduce);
    third = m.w[3];
    const struct ctx_watch watch = {.will = pass_will, .final = pass_final, .node = pass_node};
    reduce_begin(m.reduce);
    ctx_begin(m.cx, &(struct ctx_config){.record = true, .watch = &watch});
    struct tensor *y = &m.x;
    for (int l = 0; l < LAYERS; l++)
        y = op_linear(m.cx, y, m.w[l], NULL, ACT_NONE);
    ctx_backward(m.cx, op_sum(m.cx, y));
    /* `unused` (33), w5 and w4 are final: 233 elements, three whole buckets */
    assert_int_equal(starts_at_w3, 3);
    model_fini(&m);
}

/* A rank without a sample, or one whose step failed, starts the same sums. */
static void a_rank_without_a_step_starts_all(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    params_zero_grads(m.params);
    reduce_begin(m.reduce);
    reduce_start_rest(m.reduce);
    assert_int_equal(seen.count, 10);
    real *zero = calloc((size_t)params_size(m.params), sizeof *zero);
    check_starts(&m, zero);
    reduce_finish(m.reduce);
    forget();
    m.data[0] = (real)(0.0 / 0.0); /* and a loss that is refused */
    assert_int_equal(step(&m, false, true), ST_NUMERIC);
    assert_int_equal(seen.count, 0);
    reduce_start_rest(m.reduce);
    assert_int_equal(seen.count, 10);
    reduce_finish(m.reduce);
    free(zero);
    model_fini(&m);
}

/* Frozen parameters get no gradient: their buckets wait for nobody. */
static void frozen_parameters_hold_nothing_up(void **state)
{
    (void)state;
    struct model m;
    model_init(&m);
    m.w[5]->grad = NULL;
    assert_int_equal(step(&m, false, true), ST_OK);
    assert_int_equal(seen.count, 10);
    reduce_finish(m.reduce);
    model_fini(&m);
}

static void one_rank_sends_nothing(void **state)
{
    (void)state;
    struct model m;
    struct reduce *alone;
    model_init(&m);
    assert_int_equal(reduce_create(&alone, comm_self(), m.params, true, 0, NULL, NULL), ST_OK);
    assert_null(reduce_watch(alone));
    reduce_begin(alone);
    reduce_start_rest(alone);
    reduce_finish(alone);
    assert_true(reduce_cost(alone).bytes == 0 && reduce_cost(alone).steps == 1);
    reduce_destroy(alone);
    model_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_start_as_they_become_final),
        cmocka_unit_test(sums_overlap_with_backward),
        cmocka_unit_test(a_rank_without_a_step_starts_all),
        cmocka_unit_test(frozen_parameters_hold_nothing_up),
        cmocka_unit_test(one_rank_sends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
