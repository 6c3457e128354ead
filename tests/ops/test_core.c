/* test_core.c - the arena, the context's sticky error, the tape, the random keys, the parameter table; messages of operators. */
#include "engine/backend/backend.h"
#include "engine/core/arena.h"
#include "engine/core/ctx.h"
#include "engine/core/param.h"
#include "engine/op/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- arena ------------------------------------------------------------------------------------- */

static int blocks_made;

static void *counted_alloc(size_t bytes)
{
    blocks_made++;
    return aligned_alloc(64, bytes);
}

static void arena_keeps_its_blocks(void **state)
{
    (void)state;
    struct arena a;
    blocks_made = 0;
    arena_init(&a, counted_alloc, free, (size_t)200 << 20);
    void *first = NULL;
    for (int step = 0; step < 4; step++) {
        arena_reset(&a);
        void *p = arena_alloc(&a, 1000);
        assert_non_null(p);
        if (step == 1)
            first = p;
        if (step > 1)
            assert_ptr_equal(p, first);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_non_null(arena_alloc(&a, (size_t)40 << 20)); /* larger than a block */
        assert_non_null(arena_alloc(&a, 0));
        memset(arena_alloc(&a, 77), 1, 77);
    }
    assert_int_equal(blocks_made, 3); /* two in the first step, from then on one as large as both */
    arena_fini(&a);
}

static void arena_stops_at_its_maximum(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, counted_alloc, free, 10000);
    assert_null(arena_alloc(&a, 10001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 9000));
    assert_null(arena_alloc(&a, 2000));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 2000));
    arena_fini(&a);
}

static void arena_joins_what_comes_back(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, counted_alloc, free, (size_t)64 << 20);
    char *p[4];
    for (int i = 0; i < 4; i++)
        p[i] = arena_alloc(&a, 100000);
    arena_free(&a, p[0], 100000);
    arena_free(&a, p[2], 100000);
    assert_ptr_equal(arena_alloc(&a, 100000), p[0]); /* the lowest of equal ones */
    assert_ptr_equal(arena_alloc(&a, 50000), p[2]);  /* the smallest that fits */
    arena_free(&a, p[0], 100000);
    arena_free(&a, p[1], 100000);
    assert_ptr_equal(arena_alloc(&a, 200000), p[0]); /* neighbours are one */
    arena_free(&a, NULL, 7);
    size_t used = a.used;
    arena_free(&a, p[3], 100000);
    assert_true(a.used < used && a.peak >= used);
    arena_fini(&a);
}

/* ---- context ----------------------------------------------------------------------------------- */

static struct ctx *begin(struct ctx **cx, const char *backend, size_t max, bool record)
{
    assert_int_equal(ctx_create(cx, backend_find(backend), max, NULL), ST_OK);
    ctx_begin(*cx, &(struct ctx_config){.train = true, .record = record, .seed = 1});
    return *cx;
}

static struct tensor constant(struct ctx *cx, int dims, const int64_t *dim)
{
    struct tensor t = {.dims = dims};
    memcpy(t.dim, dim, (size_t)dims * sizeof *dim);
    t.data = ctx_alloc(cx, (size_t)tensor_size(&t) * sizeof(real));
    for (int64_t i = 0; t.data && i < tensor_size(&t); i++)
        t.data[i] = (real)(i % 7) - 3;
    return t;
}
#define CONSTANT(cx, ...)                                                                          \
    constant(cx, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                        \
             (int64_t[]){__VA_ARGS__})

static void check_message(struct ctx *cx, enum status code, const char *text)
{
    struct err err;
    assert_int_equal(ctx_finish(cx, &err), code);
    assert_string_equal(err.text, text);
}

static void first_failure_sticks(void **state)
{
    (void)state;
    struct ctx *cx;
    begin(&cx, "ref", 1 << 20, true);
    struct tensor x = CONSTANT(cx, 2, 5), w = CONSTANT(cx, 7), b = CONSTANT(cx, 7);
    w.name = "text.3.norm1.w";
    struct tensor *y = op_layernorm(cx, &x, &w, &b, 1e-5);
    assert_null(y);
    assert_false(ctx_ok(cx));
    assert_null(op_add(cx, y, &x)); /* NULL inputs and later failures change nothing */
    assert_null(op_linear(cx, &x, &x, NULL, ACT_NONE));
    assert_null(ctx_alloc(cx, 8));
    assert_null(op_weighted_sum(cx, (struct tensor *[]){y, y}, (double[]){1, 1}, 2));
    ctx_backward(cx, y);
    check_message(cx, ST_INTERNAL, "layernorm: x ends in 5 but w 'text.3.norm1.w' has 7");
    ctx_begin(cx, &(struct ctx_config){.record = true});
    assert_true(ctx_ok(cx));
    assert_int_equal(ctx_finish(cx, NULL), ST_OK);
    ctx_destroy(cx);
    ctx_destroy(NULL);
}

static void say_shapes(void **state)
{
    (void)state;
    struct ctx *cx;
    const struct ctx_config cfg = {.record = true};
    begin(&cx, "ref", 1 << 20, true);
    struct tensor x = CONSTANT(cx, 2, 3, 5), w = CONSTANT(cx, 4, 6), y = CONSTANT(cx, 2, 3);
    w.name = "head.class.w";
    op_linear(cx, &x, &w, NULL, ACT_NONE);
    check_message(cx, ST_INTERNAL, "linear: x [2,3,5] does not fit w 'head.class.w' [4,6]");
    ctx_begin(cx, &cfg);
    op_add(cx, &x, &y);
    check_message(cx, ST_INTERNAL, "add: a [2,3,5] and b [2,3] differ");
    ctx_begin(cx, &cfg);
    op_attention(cx, &x, &x, &x, 2, NULL, 0);
    check_message(cx, ST_INTERNAL, "attention: q [2,3,5] does not divide into 2 heads");
    ctx_begin(cx, &cfg);
    op_embed(cx, &w, (int32_t[]){3, 4}, 1, 2);
    check_message(cx, ST_INVALID, "embed: id 4 at 1 is outside table 'head.class.w' [4,6]");
    ctx_begin(cx, &cfg);
    op_dropout(cx, &x, 1);
    check_message(cx, ST_INVALID, "dropout: the probability must be in [0,1), got 1");
    ctx_begin(cx, &cfg);
    op_slice_time(cx, &x, 2, 2);
    check_message(cx, ST_INTERNAL, "slice_time: 2 from 2 on is not inside x [2,3,5]");
    ctx_begin(cx, &cfg);
    op_mask(cx, &w, &y, (struct group_layout){.axis = 0, .width = 3});
    check_message(cx, ST_INTERNAL,
                  "mask: w 'head.class.w' [4,6] does not divide into groups of 3 along axis 0");
    ctx_begin(cx, &cfg);
    op_l1_rows(cx, &w, (int32_t[]){0}, w.data, 1, 1);
    check_message(cx, ST_INTERNAL, "l1_rows: x 'head.class.w' [4,6] is not a list of boxes");
    ctx_begin(cx, &cfg);
    op_add(cx, NULL, &y);
    check_message(cx, ST_INTERNAL, "add: input 0 is missing");
    ctx_destroy(cx);
}

static void step_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct ctx *cx;
    struct err err;
    begin(&cx, "cpu", 3 << 20, true);
    struct tensor x = CONSTANT(cx, 600, 600); /* 1.4 MB; x + x needs as much again */
    struct tensor *y = op_add(cx, &x, &x);
    assert_non_null(y);
    assert_null(op_add(cx, y, &x));
    assert_int_equal(ctx_finish(cx, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "limit of 3 MiB"));
    ctx_destroy(cx);
}

/* Without recording no gradient is allocated and no tape is kept: the same column of calls needs less memory. */
static size_t used_by_forward(bool record, bool *ret_has_grad)
{
    struct ctx *cx;
    begin(&cx, "cpu", (size_t)64 << 20, record);
    struct tensor w = CONSTANT(cx, 64, 64), x = CONSTANT(cx, 100, 64), *y = &x;
    w.grad = ctx_alloc(cx, 64 * 64 * sizeof(real));
    for (int i = 0; i < 10; i++)
        y = op_linear(cx, y, &w, NULL, ACT_NONE);
    assert_non_null(y);
    *ret_has_grad = y->grad != NULL;
    size_t peak = ctx_arena_peak(cx);
    ctx_destroy(cx);
    return peak;
}

static void nothing_is_recorded_when_not_asked(void **state)
{
    (void)state;
    bool with, without;
    size_t recorded = used_by_forward(true, &with), plain = used_by_forward(false, &without);
    assert_true(with && !without);
    assert_true(recorded > plain + 10 * 100 * 64 * sizeof(real));
}

static void constants_are_not_differentiated(void **state)
{
    (void)state;
    struct ctx *cx;
    begin(&cx, "ref", 1 << 20, true);
    struct tensor x = CONSTANT(cx, 3, 4);
    struct tensor *y = op_add(cx, &x, &x), *loss = op_sum(cx, y);
    assert_null(y->grad);
    ctx_backward(cx, loss); /* nothing to do, and no failure */
    assert_int_equal(ctx_finish(cx, NULL), ST_OK);
    ctx_destroy(cx);
}

static void bad_loss_is_refused(void **state)
{
    (void)state;
    struct ctx *cx;
    begin(&cx, "cpu", 1 << 20, true);
    struct tensor x = CONSTANT(cx, 4);
    x.data[2] = (real)NAN;
    real dx[4] = {0};
    x.grad = dx;
    ctx_backward(cx, op_sum(cx, &x));
    check_message(cx, ST_NUMERIC, "the loss is NaN in step 0: no parameter was changed");
    for (int i = 0; i < 4; i++)
        assert_true(dx[i] == 0);
    ctx_begin(cx, &(struct ctx_config){.record = true, .step = 9});
    x = CONSTANT(cx, 4);
    x.data[0] = (real)-INFINITY;
    ctx_backward(cx, op_sum(cx, &x));
    check_message(cx, ST_NUMERIC, "the loss is infinite in step 9: no parameter was changed");
    ctx_begin(cx, &(struct ctx_config){.record = true});
    x = CONSTANT(cx, 4);
    ctx_backward(cx, &x);
    check_message(cx, ST_INTERNAL, "backward starts from a scalar, got 4 elements");
    ctx_destroy(cx);
}

/* ---- blocks ------------------------------------------------------------------------------------- */

struct deep {
    struct tensor *x, *w;
    struct tensor **inner; /* where the block's first tensor is shown */
};

/* Eight layers of 400 x 64: nothing but the last is wanted outside. */
static struct tensor *deep(struct ctx *cx, const void *arg)
{
    const struct deep *d = arg;
    struct tensor *y = d->x;
    for (int i = 0; i < 8; i++) {
        y = op_scale(cx, op_linear(cx, y, d->w, NULL, ACT_GELU), 0.5);
        if (i == 0 && d->inner)
            *d->inner = y;
    }
    return y;
}

/* The gradient of w, 64 x 64, and the most memory, with the column of calls in a block or not. */
static size_t deep_gradient(real *dw, struct tensor *(*run)(struct ctx *, const void *), bool block,
                            bool recompute, bool record)
{
    struct ctx *cx;
    assert_int_equal(ctx_create(&cx, backend_find("cpu"), (size_t)64 << 20, NULL), ST_OK);
    ctx_begin(cx, &(struct ctx_config){.record = record, .recompute = recompute});
    struct tensor x = CONSTANT(cx, 400, 64), w = CONSTANT(cx, 64, 64);
    w.name = "w";
    w.grad = dw;
    memset(dw, 0, 64 * 64 * sizeof *dw);
    for (int i = 0; i < 64 * 64; i++)
        w.data[i] *= (real)0.05;
    struct deep d = {.x = &x, .w = &w};
    struct tensor *y =
        block ? ctx_block(cx, run, &d, sizeof d, 1, (struct tensor *[]){&x}) : run(cx, &d);
    if (record)
        ctx_backward(cx, op_sum(cx, y));
    assert_int_equal(ctx_finish(cx, NULL), ST_OK);
    size_t peak = ctx_arena_peak(cx);
    ctx_destroy(cx);
    return peak;
}

static void blocks_change_memory_alone(void **state)
{
    (void)state;
    static real plain[64 * 64], kept[64 * 64], again[64 * 64];
    size_t whole = deep_gradient(plain, deep, false, false, true);
    size_t block = deep_gradient(kept, deep, true, false, true);
    size_t twice = deep_gradient(again, deep, true, true, true);
    assert_true(plain[5] != 0);
    assert_memory_equal(plain, kept, sizeof plain);
    assert_memory_equal(plain, again, sizeof plain);
    assert_true(block < whole);
    /* A single block is there in full in backward, and beside it what hidden and second run both have: output and gradient. */
    assert_true(twice < block + 3 * 400 * 64 * sizeof(real));
    assert_true(2 * deep_gradient(again, deep, true, false, false) <
                3 * deep_gradient(again, deep, false, false, false)); /* without a tape */
}

/* Three columns of calls, the middle one a block of its own or not. */
static struct tensor *thrice(struct ctx *cx, struct deep d, bool block)
{
    d.x = deep(cx, &d);
    d.x = block ? ctx_block(cx, deep, &d, sizeof d, 1, &d.x) : deep(cx, &d);
    return deep(cx, &d);
}

static struct tensor *flat(struct ctx *cx, const void *arg)
{
    return thrice(cx, *(const struct deep *)arg, false);
}

static struct tensor *nested(struct ctx *cx, const void *arg)
{
    return thrice(cx, *(const struct deep *)arg, true);
}

static void blocks_may_stand_in_blocks(void **state)
{
    (void)state;
    static real plain[64 * 64], kept[64 * 64], again[64 * 64];
    size_t whole = deep_gradient(plain, flat, false, false, true);
    size_t block = deep_gradient(kept, nested, true, false, true);
    deep_gradient(again, nested, true, true, true);
    assert_true(plain[5] != 0);
    assert_memory_equal(plain, kept, sizeof plain);
    assert_memory_equal(plain, again, sizeof plain);
    assert_true(block < whole);
}

static void tensors_of_a_block_do_not_leave_it(void **state)
{
    (void)state;
    struct ctx *cx;
    struct tensor *inner = NULL;
    begin(&cx, "cpu", (size_t)8 << 20, true);
    struct tensor x = CONSTANT(cx, 100, 64), w = CONSTANT(cx, 64, 64);
    struct deep d = {.x = &x, .w = &w, .inner = &inner};
    struct tensor *y = ctx_block(cx, deep, &d, sizeof d, 1, (struct tensor *[]){&x});
    assert_non_null(op_add(cx, y, y));
    assert_null(op_add(cx, y, inner));
    check_message(cx, ST_INTERNAL, "add: input 1 was made inside a block that is over");
    ctx_destroy(cx);
}

/* ---- randomness -------------------------------------------------------------------------------- */

/* Dropout of B samples of T tokens from sample0 on; zeros show what was dropped. */
static void drop(real *to, int64_t B, int64_t T, int64_t sample0, uint64_t step)
{
    struct ctx *cx;
    const int64_t C = 6;
    assert_int_equal(ctx_create(&cx, backend_find("cpu"), 1 << 20, NULL), ST_OK);
    ctx_begin(cx, &(struct ctx_config){.train = true, .seed = 4, .step = step, .sample0 = sample0});
    struct tensor x = CONSTANT(cx, B, T, C);
    for (int64_t i = 0; i < B * T * C; i++)
        x.data[i] = 1;
    struct tensor *y = op_dropout(cx, &x, 0.5);
    assert_non_null(y);
    memcpy(to, y->data, (size_t)(B * T * C) * sizeof *to);
    ctx_destroy(cx);
}

static void dropout_does_not_know_ranks(void **state)
{
    (void)state;
    real whole[4 * 5 * 6], half[2 * 5 * 6], longer[4 * 9 * 6], other[4 * 5 * 6];
    drop(whole, 4, 5, 8, 2);
    drop(half, 2, 5, 10, 2); /* the second of two ranks */
    assert_memory_equal(half, whole + 2 * 5 * 6, sizeof half);
    drop(longer, 4, 9, 8, 2); /* a batch padded further */
    for (int b = 0; b < 4; b++)
        assert_memory_equal(longer + b * 9 * 6, whole + b * 5 * 6, 5 * 6 * sizeof(real));
    drop(other, 4, 5, 8, 3);
    assert_memory_not_equal(other, whole, sizeof whole);
    int kept = 0;
    for (int i = 0; i < 4 * 5 * 6; i++)
        kept += whole[i] != 0;
    assert_in_range(kept, 40, 80); /* of 120 */
}

static void evaluation_drops_nothing(void **state)
{
    (void)state;
    struct ctx *cx;
    begin(&cx, "cpu", 1 << 20, false);
    ctx_begin(cx, &(struct ctx_config){.train = false});
    struct tensor x = CONSTANT(cx, 3, 4);
    assert_ptr_equal(op_dropout(cx, &x, 0.5), &x);
    ctx_destroy(cx);
}

/* ---- parameters -------------------------------------------------------------------------------- */

static struct param_spec spec(const char *name, enum param_init init, int64_t rows, int64_t cols)
{
    return (struct param_spec){.name = name,
                               .dims = cols ? 2 : 1,
                               .dim = {rows, cols},
                               .init = init,
                               .scale = 0.02,
                               .group = PARAM_TEXT};
}

static void table_lays_out_in_order(void **state)
{
    (void)state;
    struct params *p;
    char name[32];
    assert_int_equal(params_create(&p, NULL), ST_OK);
    struct tensor *first = NULL;
    for (int i = 0; i < 300; i++) { /* past several growths of the table */
        snprintf(name, sizeof name, "layer.%d.w", i);
        struct param_spec s = spec(name, INIT_NORMAL, 3, 1 + i % 5);
        struct tensor *t = param_add(p, &s);
        assert_non_null(t);
        first = i ? first : t;
    }
    assert_int_equal(params_allocate(p, NULL), ST_OK);
    params_init(p, 1);
    assert_int_equal(params_count(p), 300);
    int64_t offset = 0;
    for (int i = 0; i < 300; i++) {
        struct param *q = params_at(p, i);
        assert_int_equal(q->offset, offset);
        assert_ptr_equal(q->tensor.data, params_values(p) + offset);
        assert_ptr_equal(q->tensor.grad, params_grads(p) + offset);
        assert_ptr_equal(params_find(p, q->spec.name), q);
        offset += q->size;
    }
    assert_ptr_equal(first, &params_at(p, 0)->tensor);
    assert_int_equal(params_size(p), offset);
    assert_null(params_find(p, "layer.300.w"));
    params_destroy(p);
    params_destroy(NULL);
}

static void check_refusal(const struct param_spec *a, const struct param_spec *b, enum status code,
                          const char *text)
{
    struct params *p;
    struct err err;
    assert_int_equal(params_create(&p, NULL), ST_OK);
    if (a)
        assert_non_null(param_add(p, a));
    assert_null(param_add(p, b));
    struct param_spec good = spec("good", INIT_ZERO, 2, 2);
    assert_null(param_add(p, &good)); /* the first failure is kept */
    assert_int_equal(params_allocate(p, &err), code);
    assert_string_equal(err.text, text);
    params_destroy(p);
}

static void table_refuses(void **state)
{
    (void)state;
    struct param_spec a = spec("a", INIT_ZERO, 2, 3), tall = spec("z", INIT_ORTHOGONAL, 5, 3);
    struct param_spec pos = spec("pos", INIT_SINE2D, 5, 4), none = spec("n", INIT_ZERO, 0, 3);
    struct param_spec bad = spec("s", INIT_NORMAL, 2, 2);
    struct param_spec huge = spec("huge", INIT_ZERO, (int64_t)1 << 40, (int64_t)1 << 40);
    bad.scale = NAN;
    check_refusal(&a, &a, ST_EXISTS, "two parameters are called 'a'");
    check_refusal(&a, &tall, ST_INVALID,
                  "parameter 'z': 5 rows of 3 elements cannot be orthonormal");
    check_refusal(NULL, &pos, ST_INVALID,
                  "parameter 'pos': sine positions need a square number of rows and an even width, "
                  "not 5 x 4");
    check_refusal(NULL, &none, ST_INVALID, "parameter 'n': dimension 0 is 0");
    check_refusal(NULL, &bad, ST_INVALID, "parameter 's': the scale of its initialisation is nan");
    check_refusal(NULL, &huge, ST_INVALID, "parameter 'huge': dimension 0 is 1099511627776");
}

static struct params *table(const struct param_spec *s, int n, uint64_t seed)
{
    struct params *p;
    assert_int_equal(params_create(&p, NULL), ST_OK);
    for (int i = 0; i < n; i++)
        assert_non_null(param_add(p, &s[i]));
    assert_int_equal(params_allocate(p, NULL), ST_OK);
    params_init(p, seed);
    return p;
}

static void values_depend_on_seed_and_name_alone(void **state)
{
    (void)state;
    struct param_spec s[] = {spec("a", INIT_NORMAL, 30, 30), spec("b", INIT_UNIFORM, 30, 30)};
    struct params *both = table(s, 2, 7), *alone = table(&s[1], 1, 7), *other = table(&s[1], 1, 8);
    const real *b = params_find(both, "b")->tensor.data;
    assert_memory_equal(b, params_values(alone), 900 * sizeof(real));
    assert_memory_not_equal(b, params_values(other), 900 * sizeof(real));
    params_destroy(both);
    params_destroy(alone);
    params_destroy(other);
}

static void initial_values_follow_their_law(void **state)
{
    (void)state;
    struct param_spec s[] = {spec("n", INIT_NORMAL, 100, 100),
                             spec("f", INIT_NORMAL_FULL, 100, 100),
                             spec("u", INIT_UNIFORM, 100, 100), spec("o", INIT_ONE, 9, 0)};
    struct params *p = table(s, 4, 3);
    double square[3] = {0}, most[3] = {0};
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 10000; i++) {
            double x = params_at(p, k)->tensor.data[i] / 0.02;
            square[k] += x * x / 10000;
            most[k] = fmax(most[k], fabs(x));
        }
    assert_true(most[0] <= 2 && most[0] > 1.9 && fabs(square[0] - 0.774) < 0.03);
    assert_true(most[1] > 3 && fabs(square[1] - 1) < 0.05);
    assert_true(most[2] <= 1 && fabs(square[2] - 1.0 / 3) < 0.02);
    for (int i = 0; i < 9; i++)
        assert_true(params_find(p, "o")->tensor.data[i] == 1);
    params_destroy(p);
}

static void orthogonal_rows_are_orthonormal(void **state)
{
    (void)state;
    struct param_spec s = spec("z", INIT_ORTHOGONAL, 20, 64);
    struct params *p = table(&s, 1, 3);
    const real *z = params_values(p);
    for (int a = 0; a < 20; a++)
        for (int b = 0; b <= a; b++) {
            double dot = 0;
            for (int i = 0; i < 64; i++)
                dot += (double)z[a * 64 + i] * z[b * 64 + i];
            assert_true(fabs(dot - (a == b)) < 1e-6);
        }
    params_destroy(p);
}

/* The formula of docs/spec/model-mdetr.md 3, written out for one cell. */
static void sine_positions_follow_the_spec(void **state)
{
    (void)state;
    struct param_spec s = spec("pos", INIT_SINE2D, 9, 8);
    s.scale = 0.5;
    struct params *p = table(&s, 1, 3);
    const real *cell = params_values(p) + 5 * 8; /* row 1, column 2 */
    const double two_pi = 6.283185307179586, y = 2 / (3 + 1e-6) * two_pi,
                 x = 3 / (3 + 1e-6) * two_pi;
    const double t = pow(10000, 2.0 / 4);
    const double want[8] = {sin(y), cos(y), sin(y / t), cos(y / t),
                            sin(x), cos(x), sin(x / t), cos(x / t)};
    for (int i = 0; i < 8; i++)
        assert_true(fabs(cell[i] - 0.5 * want[i]) < 1e-6);
    params_destroy(p);
}

static void frozen_groups_have_no_gradient(void **state)
{
    (void)state;
    struct param_spec s[] = {spec("a", INIT_ZERO, 4, 4), spec("b", INIT_ZERO, 4, 4)};
    s[1].group = PARAM_VISION;
    struct params *p = table(s, 2, 3);
    params_freeze(p, PARAM_VISION, true);
    assert_non_null(params_at(p, 0)->tensor.grad);
    assert_null(params_at(p, 1)->tensor.grad);
    params_freeze(p, PARAM_VISION, false);
    assert_ptr_equal(params_at(p, 1)->tensor.grad, params_grads(p) + 16);
    for (int i = 0; i < 32; i++)
        params_grads(p)[i] = (real)(i % 2 ? INFINITY : NAN);
    params_zero_grads(p);
    for (int i = 0; i < 32; i++)
        assert_true(params_grads(p)[i] == 0);
    params_destroy(p);
}

/* ---- backends ---------------------------------------------------------------------------------- */

static void backends_have_names(void **state)
{
    (void)state;
    assert_ptr_equal(backend_find("ref"), backend_at(0));
    assert_ptr_equal(backend_find("cpu"), backend_at(1));
    assert_null(backend_find("abacus"));
    assert_string_equal(backend_describe(backend_find("ref")), "ref");
    backend_set_threads(3);
    const char *text = backend_describe(backend_find("cpu"));
    assert_non_null(strstr(text, "cpu OpenBLAS "));
    assert_non_null(strstr(text, " threads=3"));
    backend_set_threads(1);
    for (int i = 0; i < backend_count(); i++)
        assert_ptr_equal(backend_find(backend_at(i)->name), backend_at(i));
}

/* Few rows take another way through a product than many, and add up in the same order. */
static void a_row_does_not_know_the_others(void **state)
{
    (void)state;
    enum { R = 100, PART = 23, I = 805, O = 1603 };
    const char *const names[] = {"cpu-avx512", "cpu-bf16"};
    real *all = calloc(2 * (R * (I + O)) + O * (I + 1), sizeof *all);
    real *x = all, *y = x + R * I, *dx = y + R * O, *part = dx + R * I, *w = part + R * O;
    const struct rng_key key = {.seed = 7};
    for (int64_t i = 0; i < R * I; i++)
        x[i] = (real)rng_normal(&key, (uint64_t)i);
    for (int64_t i = 0; i < O * (I + 1); i++)
        w[i] = (real)rng_normal(&key, (uint64_t)(R * I + i));
    for (int k = 0; k < 2; k++) {
        const struct backend *be = backend_find(names[k]);
        if (!be)
            continue;
        be->linear_fwd(y, NULL, x, w, w + O * I, R, I, O, ACT_GELU);
        be->linear_bwd(dx, NULL, NULL, y, NULL, NULL, x, w, R, I, O, ACT_NONE, 1);
        for (int64_t r = 0; r < R; r += PART) {
            int64_t n = R - r < PART ? R - r : PART;
            be->linear_fwd(part, NULL, x + r * I, w, w + O * I, n, I, O, ACT_GELU);
            assert_memory_equal(part, y + r * O, (size_t)(n * O) * sizeof(real));
            be->linear_bwd(part, NULL, NULL, y + r * O, NULL, NULL, x, w, n, I, O, ACT_NONE, 1);
            assert_memory_equal(part, dx + r * I, (size_t)(n * I) * sizeof(real));
        }
    }
    free(all);
}

static int64_t processor_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Threads spin for moments between kernels, not through what else a process does. The last test: OpenBLAS' own threads
 * spin for a tenth of a second after it is loaded. */
static void threads_sleep_between_kernels(void **state)
{
    (void)state;
    enum { N = 1 << 18 };
    real *x = calloc(N, sizeof *x);
    backend_set_threads(4);
    backend_find("cpu")->average(x, x, N, 0.5);
    int64_t before = processor_ns();
    usleep(300000);
    int64_t spent = processor_ns() - before;
    backend_set_threads(1);
    free(x);
    if (spent > 60000000)
        fail_msg("idle threads took %lld us of 300 ms", (long long)spent / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_keeps_its_blocks),
        cmocka_unit_test(arena_stops_at_its_maximum),
        cmocka_unit_test(arena_joins_what_comes_back),
        cmocka_unit_test(first_failure_sticks),
        cmocka_unit_test(say_shapes),
        cmocka_unit_test(step_that_does_not_fit_is_refused),
        cmocka_unit_test(nothing_is_recorded_when_not_asked),
        cmocka_unit_test(constants_are_not_differentiated),
        cmocka_unit_test(bad_loss_is_refused),
        cmocka_unit_test(blocks_change_memory_alone),
        cmocka_unit_test(blocks_may_stand_in_blocks),
        cmocka_unit_test(tensors_of_a_block_do_not_leave_it),
        cmocka_unit_test(dropout_does_not_know_ranks),
        cmocka_unit_test(evaluation_drops_nothing),
        cmocka_unit_test(table_lays_out_in_order),
        cmocka_unit_test(table_refuses),
        cmocka_unit_test(values_depend_on_seed_and_name_alone),
        cmocka_unit_test(initial_values_follow_their_law),
        cmocka_unit_test(orthogonal_rows_are_orthonormal),
        cmocka_unit_test(sine_positions_follow_the_spec),
        cmocka_unit_test(frozen_groups_have_no_gradient),
        cmocka_unit_test(backends_have_names),
        cmocka_unit_test(a_row_does_not_know_the_others),
        cmocka_unit_test(threads_sleep_between_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
