/* test_align.c - the pull: which groups it touches, how far, and that step, gradient and measure speak of the same R. */
#include "random_structure.h"

#include "engine/backend/backend.h"
#include "engine/structure/binding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_ON 0x37u

struct rig {
    struct frame *frame;
    struct params *params;
    struct binding *binding;
    struct structure *st;
};

/* 1 vision + 2 text layers, 2 heads of 2 channels, F units; the structure is full. */
static void rig_open_wide(struct rig *r, int F)
{
    r->frame = frame_of(1, 2, 4, 2, F, options_of(ALL_ON, 2));
    r->st = structure_full(r->frame);
    assert_int_equal(params_create(&r->params, NULL), ST_OK);
    assert_int_equal(binding_create(&r->binding, r->frame, NULL, NULL), ST_OK);
    for (int i = 0; i < r->frame->nsites; i++)
        binding_add_site(r->binding, i, r->params);
    assert_int_equal(params_allocate(r->params, NULL), ST_OK);
    struct rng_key key = {.seed = 5, .purpose = RNG_TEST};
    for (int64_t i = 0; i < params_size(r->params); i++)
        params_values(r->params)[i] = (real)rng_normal(&key, (uint64_t)i);
}

static void rig_open(struct rig *r)
{
    rig_open_wide(r, 3);
}

static void rig_close(struct rig *r)
{
    structure_destroy(r->st);
    binding_destroy(r->binding);
    params_destroy(r->params);
    frame_destroy(r->frame);
}

static real *weight(struct rig *r, const char *name)
{
    return params_find(r->params, name)->tensor.data;
}

/* Head 0 or 1 of an MSA of this rig as one vector of 32. */
static void head_get(struct rig *r, const char *site, int head, double out[32])
{
    static const char *const rows[] = {"wq", "wk", "wv"};
    char name[64];
    int n = 0;
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "%s.%s", site, rows[k]);
        for (int i = 0; i < 8; i++)
            out[n++] = (double)weight(r, name)[8 * head + i];
    }
    snprintf(name, sizeof name, "%s.wo", site);
    for (int row = 0; row < 4; row++)
        for (int i = 0; i < 2; i++)
            out[n++] = (double)weight(r, name)[4 * row + 2 * head + i];
}

static double distance(const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < 32; i++)
        sum += (a[i] - (b ? b[i] : 0)) * (a[i] - (b ? b[i] : 0));
    return sqrt(sum);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1 + fabs(b));
}

static const double lr_even[PARAM_GROUPS] = {0.1, 0.1, 0.1, 0.1};

static void a_group_for_nobody_shrinks_by_t(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    r.st->m[1] = 0; /* head 1 of vision.0 */
    double before[32], after[32], other[32], other_after[32];
    head_get(&r, "vision.0.msa", 1, before);
    head_get(&r, "vision.0.msa", 0, other);
    align_pull(r.params, r.st, lr_even, 2, true);
    head_get(&r, "vision.0.msa", 1, after);
    head_get(&r, "vision.0.msa", 0, other_after);
    double t = 0.1 * 2 * sqrt(32) / 6;
    assert_true(near(distance(after, NULL), distance(before, NULL) - t));
    assert_true(near(after[5] / before[5], distance(after, NULL) / distance(before, NULL)));
    assert_memory_equal(other, other_after, sizeof other);
    for (int i = 0; i < 100; i++)
        align_pull(r.params, r.st, lr_even, 2, true);
    head_get(&r, "vision.0.msa", 1, after);
    assert_true(distance(after, NULL) == 0);
    rig_close(&r);
}

static void a_pair_meets_in_the_middle(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    int base = r.frame->site[2].first;
    r.st->s[base] = 1;
    double v0[32], b0[32], v1[32], b1[32];
    head_get(&r, "vision.0.msa", 0, v0);
    head_get(&r, "text.0.msa", 0, b0);
    align_pull(r.params, r.st, lr_even, 2, true);
    head_get(&r, "vision.0.msa", 0, v1);
    head_get(&r, "text.0.msa", 0, b1);
    double t = 0.1 * 2 * sqrt(32) / 6;
    assert_true(near(distance(v1, b1), distance(v0, b0) - t));
    assert_true(near(distance(v0, v1), t / 2));
    assert_true(near(distance(b0, b1), t / 2));
    for (int i = 0; i < 200; i++)
        align_pull(r.params, r.st, lr_even, 2, true);
    head_get(&r, "vision.0.msa", 0, v1);
    head_get(&r, "text.0.msa", 0, b1);
    assert_true(distance(v1, b1) < 1e-12);
    for (int i = 0; i < 32; i++)
        assert_true(near(v1[i], (v0[i] + b0[i]) / 2));
    rig_close(&r);
}

static void the_user_alone_moves_when_the_source_stands(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    r.st->s[r.frame->site[2].first] = 1;
    double v0[32], b0[32], v1[32], b1[32];
    head_get(&r, "vision.0.msa", 0, v0);
    head_get(&r, "text.0.msa", 0, b0);
    align_pull(r.params, r.st, lr_even, 2, false);
    head_get(&r, "vision.0.msa", 0, v1);
    head_get(&r, "text.0.msa", 0, b1);
    assert_memory_equal(v0, v1, sizeof v0);
    assert_true(near(distance(b0, b1), 0.1 * 2 * sqrt(32) / 6));
    rig_close(&r);
}

/* text.1 takes from text.0, which takes from vision: the pair is text.1 and vision, where the row will live. */
static void a_chain_is_pulled_to_its_end(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    int base = r.frame->site[2].first, k = r.frame->site[4].first;
    r.st->s[base] = r.st->s[k] = 1;
    r.st->m[base] = 0; /* needed on the way: neither zeroed nor paired */
    r.st->m[0] = 0;    /* vision's own head: stored for text.1 */
    double v0[32], b0[32], k0[32], v1[32], b1[32], k1[32];
    head_get(&r, "vision.0.msa", 0, v0);
    head_get(&r, "text.0.msa", 0, b0);
    head_get(&r, "text.1.msa", 0, k0);
    align_pull(r.params, r.st, lr_even, 2, true);
    head_get(&r, "vision.0.msa", 0, v1);
    head_get(&r, "text.0.msa", 0, b1);
    head_get(&r, "text.1.msa", 0, k1);
    assert_memory_equal(b0, b1, sizeof b0);
    assert_true(near(distance(v1, k1), distance(v0, k0) - 0.1 * 2 * sqrt(32) / 6));
    rig_close(&r);
}

static void a_full_structure_pulls_nothing(void **state)
{
    (void)state;
    struct rig r;
    struct align_report a;
    rig_open(&r);
    size_t bytes = (size_t)params_size(r.params) * sizeof(real);
    real *before = malloc(bytes);
    memcpy(before, params_values(r.params), bytes);
    align_pull(r.params, r.st, lr_even, 1e6, true);
    assert_memory_equal(before, params_values(r.params), bytes);
    align_measure(r.params, r.st, &a);
    assert_true(a.r_align == 0 && a.zero_norm == 0 && a.pair_norm == 0);
    assert_int_equal(a.zero_groups + a.pairs, 0);
    struct ctx *cx;
    assert_int_equal(ctx_create(&cx, backend_find("ref"), 1 << 20, NULL), ST_OK);
    ctx_begin(cx, &(struct ctx_config){.record = true});
    assert_null(pull_loss(cx, r.params, r.st, 1, true));
    assert_int_equal(ctx_finish(cx, NULL), ST_OK);
    ctx_destroy(cx);
    free(before);
    rig_close(&r);
}

/* Unit g of an FFN as one vector of 8: its row of W1, its column of W2. */
static void unit_get(struct rig *r, const real *values, const char *site, int g, double out[8])
{
    char name[64];
    snprintf(name, sizeof name, "%s.w1", site);
    const struct param *w1 = params_find(r->params, name);
    snprintf(name, sizeof name, "%s.w2", site);
    const struct param *w2 = params_find(r->params, name);
    for (int c = 0; c < 4; c++) {
        out[c] = (double)values[w1->offset + 4 * g + c];
        out[4 + c] = (double)values[w2->offset + c * w2->spec.dim[1] + g];
    }
}

static double unit_distance(const double *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < 8; i++)
        sum += (a[i] - (b ? b[i] : 0)) * (a[i] - (b ? b[i] : 0));
    return sqrt(sum);
}

/* Each of 600 units by itself, sources standing. */
static void wide_layers_are_pulled_unit_by_unit(void **state)
{
    (void)state;
    enum { F = 600 };
    struct rig r;
    uint8_t needed[3 * (2 + F)];
    rig_open_wide(&r, F);
    structure_destroy(r.st);
    r.st = structure_random(r.frame, 3, 0.6, 0.5);
    structure_needed(r.st, needed);
    size_t bytes = (size_t)params_size(r.params) * sizeof(real);
    real *before = malloc(bytes), *after = params_values(r.params);
    memcpy(before, after, bytes);
    align_pull(r.params, r.st, lr_even, 20, false);
    double t = 0.1 * 20 * sqrt(8) / 6;
    for (int i = 1; i < 6; i += 2) {
        const struct site *site = &r.frame->site[i];
        for (int g = 0; g < F; g++) {
            double old[8], now[8], goal[8];
            int at = site->first + g, owner = i;
            unit_get(&r, before, site->name, g, old);
            unit_get(&r, after, site->name, g, now);
            structure_owner(r.st, i, at, &owner);
            if (!needed[at]) {
                assert_true(near(unit_distance(now, NULL), fmax(0, unit_distance(old, NULL) - t)));
            } else if (r.st->m[at] && owner != i) {
                unit_get(&r, before, r.frame->site[owner].name, g, goal);
                assert_true(near(unit_distance(now, goal), fmax(0, unit_distance(old, goal) - t)));
            } else {
                assert_memory_equal(old, now, sizeof old);
            }
        }
    }
    free(before);
    rig_close(&r);
}

static void biases_take_no_part(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r);
    memset(r.st->m, 0, (size_t)r.frame->ngroups);
    double bq = (double)weight(&r, "text.0.msa.bq")[0],
           b1 = (double)weight(&r, "vision.0.ffn.b1")[1];
    align_pull(r.params, r.st, lr_even, 1e6, true);
    assert_true((double)weight(&r, "text.0.msa.bq")[0] == bq);
    assert_true((double)weight(&r, "vision.0.ffn.b1")[1] == b1);
    assert_true(weight(&r, "text.0.msa.wq")[0] == 0 && weight(&r, "vision.0.ffn.w2")[1] == 0);
    rig_close(&r);
}

static double loss_of(struct ctx *cx, struct rig *r, bool both)
{
    ctx_begin(cx, &(struct ctx_config){.record = true});
    struct tensor *loss = pull_loss(cx, r->params, r->st, 3, both);
    ctx_backward(cx, loss);
    struct err err = {0};
    if (ctx_finish(cx, &err) != ST_OK)
        fail_msg("%s", err.text);
    return (double)loss->data[0];
}

/* Measure, loss on the tape, and the tape's gradient by central differences. */
static void the_three_speak_of_one_R(void **state)
{
    (void)state;
    struct rig r;
    struct align_report a;
    struct ctx *cx;
    rig_open(&r);
    assert_int_equal(ctx_create(&cx, backend_find("ref"), 1 << 24, NULL), ST_OK);
    for (uint64_t seed = 0; seed < 6; seed++) {
        structure_destroy(r.st);
        r.st = structure_random(r.frame, seed, 0.6, 0.6);
        align_measure(r.params, r.st, &a);
        params_zero_grads(r.params);
        assert_true(near(loss_of(cx, &r, true), 3 * a.r_align));
        int64_t n = params_size(r.params);
        double *grad = malloc((size_t)n * sizeof *grad);
        for (int64_t i = 0; i < n; i++)
            grad[i] = (double)params_grads(r.params)[i];
        for (int64_t i = (int64_t)seed; i < n; i += 7) {
            real *w = params_values(r.params) + i, w0 = *w;
            *w = w0 + (real)1e-5;
            double up = loss_of(cx, &r, true);
            *w = w0 - (real)1e-5;
            double down = loss_of(cx, &r, true);
            *w = w0;
            assert_true(fabs((up - down) / 2e-5 - grad[i]) < 1e-6);
        }
        free(grad);
    }
    ctx_destroy(cx);
    rig_close(&r);
}

static void a_standing_source_gets_no_gradient(void **state)
{
    (void)state;
    struct rig r;
    struct ctx *cx;
    rig_open(&r);
    r.st->s[r.frame->site[2].first] = 1;
    assert_int_equal(ctx_create(&cx, backend_find("ref"), 1 << 24, NULL), ST_OK);
    params_zero_grads(r.params);
    loss_of(cx, &r, false);
    assert_true(params_find(r.params, "vision.0.msa.wq")->tensor.grad[0] == 0);
    assert_true(params_find(r.params, "text.0.msa.wq")->tensor.grad[0] != 0);
    loss_of(cx, &r, true);
    assert_true(params_find(r.params, "vision.0.msa.wq")->tensor.grad[0] != 0);
    ctx_destroy(cx);
    rig_close(&r);
}

static void every_aligned_group_arrives(void **state)
{
    (void)state;
    struct rig r;
    struct align_report start, end;
    rig_open(&r);
    structure_destroy(r.st);
    r.st = structure_random(r.frame, 9, 0.5, 0.5);
    align_measure(r.params, r.st, &start);
    assert_true(start.zero_groups > 3 && start.pairs > 1 && start.zero_norm > 1);
    for (int i = 0; i < 1000; i++)
        align_pull(r.params, r.st, lr_even, 1, true);
    align_measure(r.params, r.st, &end);
    assert_int_equal(end.zero_groups, start.zero_groups);
    assert_int_equal(end.pairs, start.pairs);
    assert_true(end.zero_norm == 0 && end.pair_norm < 1e-6);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_for_nobody_shrinks_by_t),
        cmocka_unit_test(a_pair_meets_in_the_middle),
        cmocka_unit_test(the_user_alone_moves_when_the_source_stands),
        cmocka_unit_test(a_chain_is_pulled_to_its_end),
        cmocka_unit_test(a_full_structure_pulls_nothing),
        cmocka_unit_test(wide_layers_are_pulled_unit_by_unit),
        cmocka_unit_test(biases_take_no_part),
        cmocka_unit_test(the_three_speak_of_one_R),
        cmocka_unit_test(a_standing_source_gets_no_gradient),
        cmocka_unit_test(every_aligned_group_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
