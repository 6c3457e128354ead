/* test_hardened.c - the whole model under a structure: masked, hardened and expanded it answers alike. Compiled for
 * float and for double. */
#include "random_structure.h"
#include "synthetic.h"

#include "engine/backend/backend.h"
#include "engine/model/model.h"
#include "structure/shape.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_ON 0x37u

/* The hardened model leaves out terms that are exactly 0 in the masked one, so sums of a few hundred products are
 * rounded in another order; ten layers carry that on. */
#ifdef REAL_IS_DOUBLE
#define TOLERANCE 1e-11
#else
#define TOLERANCE 2e-4
#endif

struct rig {
    struct model_shape shape;
    struct frame *frame;
    struct model *dense;
    struct ctx *cx;
    struct batch batch;
};

static void ok(enum status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->text);
}

/* Weights large enough that every group matters, biases not zero. */
static void rig_open(struct rig *r, unsigned options, int block)
{
    struct err err = {0};
    struct frame_options o = options_of(options, block);
    r->shape = synthetic_shape();
    r->shape.text_layers = 4; /* chains: two blocks of two */
    ok(model_shape_frame(&r->shape, &o, &r->frame, &err), &err);
    ok(model_create(&r->dense, "mdetr", &r->shape, r->frame, NULL, false, 3, &err), &err);
    ok(ctx_create(&r->cx, backend_find("ref"), (size_t)1 << 30, &err), &err);
    struct params *p = model_params(r->dense);
    struct rng_key key = {.seed = 17, .purpose = RNG_TEST};
    for (int i = 0; i < params_count(p); i++) {
        const struct param *x = params_at(p, i);
        for (int64_t e = 0; x->spec.group != PARAM_REST && e < x->size; e++)
            x->tensor.data[e] += (real)(0.15 * rng_normal(&key, (uint64_t)(x->offset + e)));
    }
    synthetic_make(&r->batch, &r->shape,
                   &(struct synthetic){.B = 2, .boxes = 2, .L = 9, .padded = true, .seed = 5});
}

static void rig_close(struct rig *r)
{
    synthetic_free(&r->batch);
    ctx_destroy(r->cx);
    model_destroy(r->dense);
    frame_destroy(r->frame);
}

static struct model *hardened(struct rig *r, const struct structure *st)
{
    struct err err = {0};
    struct model *m = NULL;
    ok(model_create(&m, "mdetr", &r->shape, r->frame, st, false, 99, &err), &err);
    struct params *to = model_params(m), *from = model_params(r->dense);
    ok(harden_values(to, params_values(to), from, params_values(from), st, &err), &err);
    return m;
}

#define ANSWERS_MAX 4096
struct answers {
    real score[ANSWERS_MAX], box[4 * ANSWERS_MAX];
};

static void predict(struct rig *r, struct model *m, struct answers *a)
{
    struct err err = {0};
    assert_true(r->batch.B * r->shape.queries <= ANSWERS_MAX);
    ok(model_predict(r->cx, m, &r->batch, a->score, a->box, &err), &err);
}

static double difference(const struct rig *r, const struct answers *a, const struct answers *b)
{
    double worst = 0;
    int64_t n = r->batch.B * r->shape.queries;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)a->score[i] - (double)b->score[i]));
    for (int64_t i = 0; i < 4 * n; i++)
        worst = fmax(worst, fabs((double)a->box[i] - (double)b->box[i]));
    return worst;
}

static void counting_is_the_size_of_the_table(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, ALL_ON, 2);
    assert_int_equal(params_size(model_params(r.dense)), r.frame->total);
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct structure *st = structure_random(r.frame, seed, 0.3 + 0.1 * (double)seed, 0.5);
        struct structure_count c;
        structure_count(st, &c);
        struct model *m = hardened(&r, st);
        assert_int_equal(params_size(model_params(m)), c.whole);
        model_destroy(m);
        structure_destroy(st);
    }
    rig_close(&r);
}

static void a_full_structure_changes_nothing(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, ALL_ON, 2);
    struct answers *own = malloc(sizeof *own), *full = malloc(sizeof *full);
    struct structure *st = structure_full(r.frame);
    predict(&r, r.dense, own);
    binding_use_bits(model_binding(r.dense), st);
    predict(&r, r.dense, full);
    assert_true(difference(&r, own, full) == 0);
    binding_use_own(model_binding(r.dense));
    struct model *m = hardened(&r, st);
    predict(&r, m, full);
    assert_true(difference(&r, own, full) == 0);
    model_destroy(m);
    structure_destroy(st);
    free(own);
    free(full);
    rig_close(&r);
}

/* One random structure: masked = hardened = expanded, and none of them the plain model. */
static void check_alike(struct rig *r, const struct structure *st)
{
    struct answers *a = malloc(3 * sizeof *a);
    struct params *p = model_params(r->dense);
    size_t bytes = (size_t)params_size(p) * sizeof(real);
    real *kept = malloc(bytes);
    struct err err = {0};
    memcpy(kept, params_values(p), bytes);
    predict(r, r->dense, &a[0]);
    binding_use_bits(model_binding(r->dense), st);
    predict(r, r->dense, &a[1]);
    assert_true(difference(r, &a[0], &a[1]) > 100 * TOLERANCE);
    binding_use_own(model_binding(r->dense));
    struct model *m = hardened(r, st);
    predict(r, m, &a[2]);
    assert_true(difference(r, &a[1], &a[2]) < TOLERANCE);
    struct params *small = model_params(m);
    ok(expand_values(p, params_values(p), small, params_values(small), st, &err), &err);
    predict(r, r->dense, &a[2]);
    assert_true(difference(r, &a[1], &a[2]) < TOLERANCE);
    memcpy(params_values(p), kept, bytes);
    model_destroy(m);
    free(kept);
    free(a);
}

static void masked_hardened_and_expanded_answer_alike(void **state)
{
    (void)state;
    static const unsigned options[] = {0x37, 0x3f, 0x33, 0x3c, 0x31, 0x17};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct rig r;
        rig_open(&r, options[i], 2);
        for (uint64_t seed = 0; seed < 3; seed++) {
            struct structure *st = structure_random(r.frame, seed, 0.7 - 0.1 * (double)seed, 0.5);
            check_alike(&r, st);
            structure_destroy(st);
        }
        rig_close(&r);
    }
}

static void a_layer_without_groups_keeps_its_output_bias(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, ALL_ON, 2);
    struct structure *st = structure_random(r.frame, 4, 0.7, 0.5);
    static const char *const empty[] = {"vision.1.msa", "vision.0.ffn", "text.0.msa", "text.3.ffn"};
    for (int i = 0; i < 4; i++) {
        const struct site *t = &r.frame->site[frame_find(r.frame, empty[i])];
        memset(st->m + t->first, 0, (size_t)t->groups);
    }
    check_alike(&r, st);
    memset(st->m, 0, (size_t)r.frame->ngroups);
    check_alike(&r, st);
    structure_destroy(st);
    rig_close(&r);
}

static double loss_and_gradient(struct rig *r, struct model *m)
{
    struct err err = {0};
    struct model_losses losses;
    params_zero_grads(model_params(m));
    ctx_begin(r->cx, &(struct ctx_config){.record = true, .seed = 1});
    ctx_backward(r->cx, model_loss(r->cx, m, &r->batch, &losses));
    ok(ctx_finish(r->cx, &err), &err);
    return losses.total;
}

/* Adds the gradient of every kept group of the expanded model to the row where its weights live. */
static void gather_users(struct rig *r, const struct structure *st, double *sum)
{
    struct params *p = model_params(r->dense);
    static const char *const rows[2][3] = {{"wq", "wk", "wv"}, {"w1", NULL, NULL}};
    for (int i = 0; i < r->frame->nsites; i++) {
        const struct site *t = &r->frame->site[i];
        for (int k = 0; k < 3 && rows[t->part][k]; k++) {
            char name[64];
            snprintf(name, sizeof name, "%s.%s", t->name, rows[t->part][k]);
            const struct param *from = params_find(p, name);
            int64_t block = from->size / t->groups;
            for (int g = 0; g < t->groups; g++) {
                int owner = i;
                structure_owner(st, i, t->first + g, &owner);
                if (!st->m[t->first + g])
                    continue;
                snprintf(name, sizeof name, "%s.%s", r->frame->site[owner].name, rows[t->part][k]);
                double *to = sum + params_find(p, name)->offset + g * block;
                for (int64_t e = 0; e < block; e++)
                    to[e] += (double)from->tensor.grad[g * block + e];
            }
        }
    }
}

/* The gradient of a stored row of the hardened model is the sum over its users' in the expanded model. */
static void gradients_of_users_add_up(void **state)
{
    (void)state;
    struct rig r;
    struct err err = {0};
    rig_open(&r, ALL_ON, 2);
    struct structure *st = structure_random(r.frame, 2, 0.7, 0.7);
    struct model *m = hardened(&r, st);
    struct params *p = model_params(r.dense), *small = model_params(m);
    ok(expand_values(p, params_values(p), small, params_values(small), st, &err), &err);
    double loss = loss_and_gradient(&r, r.dense);
    double *sum = calloc((size_t)params_size(p), sizeof *sum);
    gather_users(&r, st, sum);
    assert_true(fabs(loss_and_gradient(&r, m) - loss) < TOLERANCE * (1 + fabs(loss)));
    real *want = calloc((size_t)params_size(p), sizeof *want);
    for (int64_t i = 0; i < params_size(p); i++)
        want[i] = (real)sum[i];
    real *packed = calloc((size_t)params_size(small), sizeof *packed);
    ok(harden_values(small, packed, p, want, st, &err), &err); /* the sums, in the compact layout */
    int64_t compared = 0;
    for (int i = 0; i < params_count(small); i++) {
        const struct param *x = params_at(small, i);
        const char *leaf = strrchr(x->spec.name, '.');
        bool rows = strstr(x->spec.name, ".msa.w") || strcmp(leaf, ".w1") == 0;
        if (!rows || x->spec.group == PARAM_REST || strcmp(leaf, ".wo") == 0)
            continue;
        for (int64_t e = 0; e < x->size; e++, compared++) {
            double got = (double)x->tensor.grad[e], expected = (double)packed[x->offset + e];
            if (fabs(got - expected) > TOLERANCE * (1 + fabs(expected)))
                fail_msg("%s %lld: %g, users give %g", x->spec.name, (long long)e, got, expected);
        }
    }
    assert_true(compared > 1000);
    free(sum);
    free(want);
    free(packed);
    model_destroy(m);
    structure_destroy(st);
    rig_close(&r);
}

#ifdef REAL_IS_DOUBLE
static double soft_loss(struct rig *r, const double *m, const double *s, double *dm, double *ds)
{
    struct err err = {0};
    struct model_losses losses;
    int64_t n = r->frame->ngroups;
    ctx_begin(r->cx, &(struct ctx_config){.record = true, .seed = 1});
    struct tensor *tm = ctx_tensor(r->cx, true, 1, &n), *ts = ctx_tensor(r->cx, true, 1, &n);
    memcpy(tm->data, m, (size_t)n * sizeof *m);
    memcpy(ts->data, s, (size_t)n * sizeof *s);
    binding_use_soft(model_binding(r->dense), tm, ts);
    ctx_backward(r->cx, model_loss(r->cx, r->dense, &r->batch, &losses));
    ok(ctx_finish(r->cx, &err), &err);
    if (dm) {
        memcpy(dm, tm->grad, (size_t)n * sizeof *dm);
        memcpy(ds, ts->grad, (size_t)n * sizeof *ds);
    }
    return losses.total;
}

/* Through attention, chains and all losses: dL/dm and dL/ds by central differences. */
static void the_models_gradient_reaches_m_and_s(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, ALL_ON, 2);
    size_t n = (size_t)r.frame->ngroups;
    double *m = calloc(4 * n, sizeof *m), *s = m + n, *dm = s + n, *ds = dm + n;
    struct rng rng = {.key = {.seed = 8, .purpose = RNG_TEST}};
    for (int i = 0; i < r.frame->nsites; i++) {
        const struct site *t = &r.frame->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            m[g] = rng_next_uniform(&rng);
            s[g] = t->source >= 0 ? rng_next_uniform(&rng) : 0;
        }
    }
    soft_loss(&r, m, s, dm, ds);
    for (int i = 0; i < r.frame->nsites; i++) {
        const struct site *t = &r.frame->site[i];
        int g = t->first + i % t->groups;
        for (int k = 0; k < (t->source >= 0 ? 2 : 1); k++) {
            double *x = k ? &s[g] : &m[g], x0 = *x, h = 1e-5, got = k ? ds[g] : dm[g];
            *x = x0 + h;
            double up = soft_loss(&r, m, s, NULL, NULL);
            *x = x0 - h;
            double down = soft_loss(&r, m, s, NULL, NULL);
            *x = x0;
            if (fabs((up - down) / (2 * h) - got) > 1e-6 * (1 + fabs(got)))
                fail_msg("%s %s: %.9g, differences give %.9g", t->name, k ? "s" : "m", got,
                         (up - down) / (2 * h));
        }
    }
    free(m);
    rig_close(&r);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting_is_the_size_of_the_table),
        cmocka_unit_test(a_full_structure_changes_nothing),
        cmocka_unit_test(masked_hardened_and_expanded_answer_alike),
        cmocka_unit_test(a_layer_without_groups_keeps_its_output_bias),
        cmocka_unit_test(gradients_of_users_add_up),
#ifdef REAL_IS_DOUBLE
        cmocka_unit_test(the_models_gradient_reaches_m_and_s),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
