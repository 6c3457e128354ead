/* test_binding.c - effective weights and their gradients against plain loops written anew (double). The loss is linear
 * in every effective weight, L = sum <R, W~>, so that dL/dW~ = R is known and the closed forms stand alone. */
#include "random_structure.h"

#include "engine/backend/backend.h"
#include "engine/op/op.h"
#include "engine/structure/binding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_ON 0x37u
#define TENSORS 8

static const char *const msa_name[TENSORS] = {"wq", "wk", "wv", "wo", "bq", "bk", "bv", "bo"};
static const char *const ffn_name[TENSORS] = {"w1", "w2", "b1", "b2"};

struct rig {
    struct frame *frame;
    struct params *params;
    struct binding *binding;
    struct ctx *cx;
};

static void rig_open(struct rig *r, int Lv, int Lt, int C, int H, int F,
                     struct frame_options options, const struct structure *hard)
{
    struct err err = {0};
    r->frame = frame_of(Lv, Lt, C, H, F, options);
    assert_int_equal(params_create(&r->params, &err), ST_OK);
    assert_int_equal(binding_create(&r->binding, r->frame, hard, &err), ST_OK);
    for (int i = 0; i < r->frame->nsites; i++)
        binding_add_site(r->binding, i, r->params);
    assert_int_equal(params_allocate(r->params, &err), ST_OK);
    assert_int_equal(ctx_create(&r->cx, backend_find("ref"), (size_t)1 << 28, &err), ST_OK);
    struct rng_key key = {.seed = 11, .purpose = RNG_TEST};
    for (int64_t i = 0; i < params_size(r->params); i++)
        params_values(r->params)[i] = (real)rng_normal(&key, (uint64_t)i);
}

static void rig_close(struct rig *r)
{
    ctx_destroy(r->cx);
    binding_destroy(r->binding);
    params_destroy(r->params);
    frame_destroy(r->frame);
}

static void step_begin(struct rig *r)
{
    ctx_begin(r->cx, &(struct ctx_config){.train = true, .record = true});
}

static void step_ok(struct rig *r)
{
    struct err err = {0};
    if (ctx_finish(r->cx, &err) != ST_OK)
        fail_msg("%s", err.text);
}

/* ---- the same by plain loops ------------------------------------------------------------------------ */

static const char *tensor_suffix(const struct site *t, int k)
{
    return (t->part == PART_MSA ? msa_name : ffn_name)[k];
}

static struct param *param_of(struct params *p, const struct site *t, int k)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", t->name, tensor_suffix(t, k) ? tensor_suffix(t, k) : "");
    return tensor_suffix(t, k) ? params_find(p, name) : NULL;
}

static bool is_matrix(const struct site *t, int k)
{
    return tensor_suffix(t, k)[0] == 'w';
}

static bool is_output(const struct site *t, int k)
{
    return strcmp(tensor_suffix(t, k), "wo") == 0 || strcmp(tensor_suffix(t, k), "w2") == 0;
}

/* Group that element e of a matrix belongs to. */
static int group_of(const struct frame *f, const struct site *t, int k, int64_t e)
{
    int64_t C = f->shape[t->side].width, wide = t->part == PART_MSA ? C : t->groups;
    int64_t line = is_output(t, k) ? e % wide : e / C;
    return (int)(line / (wide / t->groups));
}

static double mix_at(struct rig *r, const double *s, int site, int k, int64_t e)
{
    const struct site *t = &r->frame->site[site];
    double own = param_of(r->params, t, k)->tensor.data[e];
    if (t->source < 0)
        return own;
    double share = s[t->first + group_of(r->frame, t, k, e)];
    return share * mix_at(r, s, t->source, k, e) + (1 - share) * own;
}

/* ---- closed forms ----------------------------------------------------------------------------------- */

/* R of tensor k of a site, keyed; element e. */
static double probe(int site, int k, int64_t e)
{
    struct rng_key key = {.seed = 3, .purpose = RNG_TEST, .stream = (uint32_t)(site * TENSORS + k)};
    return rng_normal(&key, (uint64_t)e);
}

static void effective(struct rig *r, int site, struct tensor *w[TENSORS])
{
    for (int k = 0; k < TENSORS; k++)
        w[k] = NULL;
    if (r->frame->site[site].part == PART_MSA) {
        struct msa_weights x = binding_msa(r->binding, r->cx, site);
        struct tensor *all[] = {x.wq, x.wk, x.wv, x.wo, x.bq, x.bk, x.bv, x.bo};
        memcpy(w, all, sizeof all);
    } else {
        struct ffn_weights x = binding_ffn(r->binding, r->cx, site);
        struct tensor *all[] = {x.w1, x.w2, x.b1, x.b2};
        memcpy(w, all, sizeof all);
    }
}

static struct tensor *linear_loss(struct rig *r)
{
    struct tensor *term[64 * TENSORS];
    double one[64 * TENSORS];
    int n = 0;
    assert_true(r->frame->nsites <= 64);
    for (int i = 0; i < r->frame->nsites; i++) {
        struct tensor *w[TENSORS];
        effective(r, i, w);
        for (int k = 0; k < TENSORS; k++) {
            if (!w[k])
                continue;
            struct tensor *R = ctx_tensor(r->cx, false, w[k]->dims, w[k]->dim);
            for (int64_t e = 0; e < tensor_size(R); e++)
                R->data[e] = (real)probe(i, k, e);
            one[n] = 1;
            term[n++] = op_sum(r->cx, op_mul(r->cx, w[k], R));
        }
    }
    return op_weighted_sum(r->cx, term, one, n);
}

struct expected {
    double *dm, *ds; /* ngroups */
    double *dw;      /* params_size */
    double *g;       /* dL/dmix in the layout of the parameters */
};

/* From users to sources: dL/dmix_i = own use + sum over users of s_u dL/dmix_u. */
static void expect(struct rig *r, const double *m, const double *s, struct expected *x)
{
    const struct frame *f = r->frame;
    for (int i = f->nsites - 1; i >= 0; i--) {
        const struct site *t = &f->site[i];
        for (int k = 0; k < TENSORS; k++) {
            struct param *p = param_of(r->params, t, k);
            for (int64_t e = 0; p && e < p->size; e++) {
                double R = probe(i, k, e);
                int64_t at = p->offset + e;
                if (!is_matrix(t, k)) {
                    x->dw[at] = R;
                    continue;
                }
                int g = t->first + group_of(f, t, k, e);
                double mix = mix_at(r, s, i, k, e), own = p->tensor.data[e];
                if (is_output(t, k))
                    x->dm[g] += R * mix;
                x->g[at] += is_output(t, k) ? R * m[g] : R;
                x->dw[at] = t->source < 0 ? x->g[at] : (1 - s[g]) * x->g[at];
                if (t->source < 0)
                    continue;
                const struct site *src = &f->site[t->source];
                x->ds[g] += x->g[at] * (mix_at(r, s, t->source, k, e) - own);
                x->g[param_of(r->params, src, k)->offset + e] += s[g] * x->g[at];
            }
        }
    }
}

static void near_all(const real *got, const double *want, int64_t n, const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (fabs((double)got[i] - want[i]) > 1e-10 * (1 + fabs(want[i])))
            fail_msg("%s %lld: %.12g, expected %.12g", what, (long long)i, (double)got[i], want[i]);
}

static struct tensor *leaf(struct rig *r, const double *x)
{
    int64_t n = r->frame->ngroups;
    struct tensor *t = ctx_tensor(r->cx, true, 1, &n);
    for (int64_t g = 0; g < n; g++)
        t->data[g] = (real)x[g];
    return t;
}

static void closed_forms_hold(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 16; bits++) {
        struct rig r;
        rig_open(&r, 2, 4, 6, 3, 5, options_of(bits | 0x30u, 3), NULL);
        size_t n = (size_t)r.frame->ngroups, size = (size_t)params_size(r.params);
        double *m = calloc(4 * n, sizeof *m), *s = m + n;
        struct expected x = {m + 2 * n, m + 3 * n, calloc(size, 8), calloc(size, 8)};
        struct rng rng = {.key = {.seed = bits, .purpose = RNG_TEST}};
        for (int i = 0; i < r.frame->nsites; i++) {
            const struct site *t = &r.frame->site[i];
            for (int g = t->first; g < t->first + t->groups; g++) {
                m[g] = rng_next_uniform(&rng);
                s[g] = t->source >= 0 ? rng_next_uniform(&rng) : 0;
            }
        }
        expect(&r, m, s, &x);
        params_zero_grads(r.params);
        step_begin(&r);
        struct tensor *tm = leaf(&r, m), *ts = leaf(&r, s);
        binding_use_soft(r.binding, tm, ts);
        ctx_backward(r.cx, linear_loss(&r));
        step_ok(&r);
        near_all(tm->grad, x.dm, (int64_t)n, "dm");
        near_all(ts->grad, x.ds, (int64_t)n, "ds");
        near_all(params_grads(r.params), x.dw, (int64_t)size, "dW");
        free(m);
        free(x.dw);
        free(x.g);
        rig_close(&r);
    }
}

/* ---- modes ------------------------------------------------------------------------------------------ */

static double loss_value(struct rig *r)
{
    struct tensor *loss = linear_loss(r);
    step_ok(r);
    return (double)loss->data[0];
}

static void bits_are_soft_masks_of_0_and_1(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 2, 4, 6, 3, 5, options_of(ALL_ON, 3), NULL);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct structure *st = structure_random(r.frame, seed, 0.6, 0.5);
        double m[200], s[200];
        for (int g = 0; g < r.frame->ngroups; g++) {
            m[g] = st->m[g];
            s[g] = st->s[g];
        }
        step_begin(&r);
        binding_use_soft(r.binding, leaf(&r, m), leaf(&r, s));
        double soft = loss_value(&r);
        step_begin(&r);
        binding_use_bits(r.binding, st);
        assert_true(fabs(loss_value(&r) - soft) < 1e-10);
        structure_destroy(st);
    }
    rig_close(&r);
}

static void a_full_structure_is_the_plain_weights(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 2, 3, 6, 3, 5, options_of(ALL_ON, 3), NULL);
    struct structure *st = structure_full(r.frame);
    step_begin(&r);
    binding_use_bits(r.binding, st);
    for (int i = 0; i < r.frame->nsites; i++) {
        struct tensor *w[TENSORS];
        effective(&r, i, w);
        for (int k = 0; k < TENSORS; k++)
            if (w[k])
                assert_ptr_equal(w[k], &param_of(r.params, &r.frame->site[i], k)->tensor);
    }
    assert_int_equal(binding_msa(r.binding, r.cx, 0).heads, 3);
    structure_destroy(st);
    rig_close(&r);
}

static void frozen_closes_only_what_is_pruned_but_used(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 1, 2, 4, 2, 3, options_of(ALL_ON, 2), NULL);
    struct structure *st = structure_full(r.frame);
    int v = r.frame->site[0].first, base = r.frame->site[2].first;
    st->m[v] = 0; /* used by text.0 */
    st->s[base] = 1;
    st->m[v + 1] = 0; /* used by nobody */
    step_begin(&r);
    binding_use_frozen(r.binding, st);
    struct msa_weights w = binding_msa(r.binding, r.cx, 0);
    const real *own = param_of(r.params, &r.frame->site[0], 3)->tensor.data;
    for (int row = 0; row < 4; row++) {
        assert_true(w.wo->data[4 * row] == 0 && w.wo->data[4 * row + 1] == 0);
        assert_true(w.wo->data[4 * row + 2] == own[4 * row + 2]);
    }
    assert_ptr_equal(w.wq, &param_of(r.params, &r.frame->site[0], 0)->tensor);
    assert_ptr_equal(binding_msa(r.binding, r.cx, 2).wq,
                     &param_of(r.params, &r.frame->site[2], 0)->tensor);
    assert_ptr_equal(binding_ffn(r.binding, r.cx, 1).w2,
                     &param_of(r.params, &r.frame->site[1], 1)->tensor);
    step_ok(&r);
    structure_destroy(st);
    rig_close(&r);
}

static void mixed_weights_are_made_once_a_step(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, 1, 3, 4, 2, 3, options_of(ALL_ON, 3), NULL);
    struct structure *st = structure_full(r.frame);
    memset(st->s + r.frame->site[2].first, 1, 2);
    binding_use_bits(r.binding, st);
    step_begin(&r);
    struct tensor *first = binding_msa(r.binding, r.cx, 2).wq;
    assert_ptr_equal(binding_msa(r.binding, r.cx, 2).wq, first);
    const real *own = params_find(r.params, "vision.0.msa.wq")->tensor.data;
    assert_memory_equal(first->data, own, 16 * sizeof(real));
    params_values(r.params)[params_find(r.params, "vision.0.msa.wq")->offset] = 42;
    step_begin(&r);
    assert_true(binding_msa(r.binding, r.cx, 2).wq->data[0] == 42);
    binding_use_own(r.binding); /* another mode in the same step */
    assert_ptr_equal(binding_msa(r.binding, r.cx, 2).wq,
                     &param_of(r.params, &r.frame->site[2], 0)->tensor);
    step_ok(&r);
    structure_destroy(st);
    rig_close(&r);
}

/* ---- compact ---------------------------------------------------------------------------------------- */

static void a_compact_table_holds_the_stored_groups(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct frame *f = frame_of(2, 4, 6, 3, 5, options_of(ALL_ON, 3));
        struct structure *st = structure_random(f, seed, 0.1 * (double)(seed % 11), 0.5);
        struct structure_count c;
        struct rig r;
        structure_count(st, &c);
        rig_open(&r, 2, 4, 6, 3, 5, options_of(ALL_ON, 3), st);
        /* sites without the output biases are 1000 below the whole (frame_of) */
        int64_t outputs = (int64_t)f->nsites * 6;
        assert_int_equal(params_size(r.params), c.whole - 1000 + outputs);
        assert_true(structure_equal(binding_hard(r.binding), st));
        rig_close(&r);
        structure_destroy(st);
        frame_destroy(f);
    }
}

static void a_compact_model_takes_no_other_structure(void **state)
{
    (void)state;
    struct frame *f = frame_of(2, 2, 6, 3, 5, options_of(ALL_ON, 3));
    struct structure *st = structure_random(f, 1, 0.5, 0.5);
    struct rig r;
    struct err err;
    rig_open(&r, 2, 2, 6, 3, 5, options_of(ALL_ON, 3), st);
    binding_use_bits(r.binding, st);
    step_begin(&r);
    assert_null(binding_msa(r.binding, r.cx, 0).wq);
    assert_int_equal(ctx_finish(r.cx, &err), ST_INTERNAL);
    assert_non_null(strstr(err.text, "vision.0.msa: a hardened model"));
    rig_close(&r);
    structure_destroy(st);
    frame_destroy(f);
}

static void hardening_refuses_another_model(void **state)
{
    (void)state;
    struct rig dense, other, compact;
    struct err err;
    rig_open(&dense, 2, 2, 6, 3, 5, options_of(ALL_ON, 3), NULL);
    rig_open(&other, 2, 2, 6, 3, 4, options_of(ALL_ON, 3), NULL);
    struct structure *st = structure_random(dense.frame, 1, 0.9, 0.5);
    struct structure *st2 = structure_random(dense.frame, 2, 0.9, 0.5);
    rig_open(&compact, 2, 2, 6, 3, 5, options_of(ALL_ON, 3), st);
    real *to = params_values(compact.params);
    assert_int_equal(
        harden_values(compact.params, to, other.params, params_values(other.params), st, &err),
        ST_INVALID);
    assert_non_null(strstr(err.text, "vision.0.ffn.w1"));
    assert_int_equal(
        harden_values(compact.params, to, dense.params, params_values(dense.params), st2, &err),
        ST_INVALID);
    assert_non_null(strstr(err.text, "it belongs to another model"));
    assert_int_equal(
        expand_values(dense.params, params_values(dense.params), compact.params, to, st2, &err),
        ST_INVALID);
    structure_destroy(st);
    structure_destroy(st2);
    rig_close(&dense);
    rig_close(&other);
    rig_close(&compact);
}

/* Groups that end in a row of another layer come back as that row; pruned ones as zero; and what hardening finds in the
 * expanded model expands to the same again, unless a row is stored for others alone. */
static void expanding_undoes_hardening(void **state)
{
    (void)state;
    struct rig dense;
    rig_open(&dense, 2, 4, 6, 3, 5, options_of(ALL_ON, 3), NULL);
    size_t bytes = (size_t)params_size(dense.params) * sizeof(real);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct structure *st = structure_random(dense.frame, seed, 0.8, 0.5);
        uint8_t needed[200];
        structure_needed(st, needed);
        for (int g = 0; g < dense.frame->ngroups; g++)
            st->m[g] = needed[g]; /* no row for others alone */
        struct rig compact;
        rig_open(&compact, 2, 4, 6, 3, 5, options_of(ALL_ON, 3), st);
        size_t small = (size_t)params_size(compact.params) * sizeof(real);
        real *once = malloc(bytes), *twice = malloc(bytes), *packed = malloc(small + 1);
        assert_int_equal(harden_values(compact.params, packed, dense.params,
                                       params_values(dense.params), st, NULL),
                         ST_OK);
        assert_int_equal(expand_values(dense.params, once, compact.params, packed, st, NULL),
                         ST_OK);
        for (int i = 0; i < dense.frame->nsites; i++) {
            const struct site *t = &dense.frame->site[i];
            for (int k = 0; k < TENSORS; k++) {
                struct param *p = param_of(dense.params, t, k);
                for (int64_t e = 0; p && is_matrix(t, k) && e < p->size; e++) {
                    int owner = i, g = group_of(dense.frame, t, k, e);
                    structure_owner(st, i, t->first + g, &owner);
                    const struct site *o = &dense.frame->site[owner];
                    double want = param_of(dense.params, o, k)->tensor.data[e];
                    assert_true((double)once[p->offset + e] == (st->m[t->first + g] ? want : 0));
                }
            }
        }
        assert_int_equal(harden_values(compact.params, packed, dense.params, once, st, NULL),
                         ST_OK);
        assert_int_equal(expand_values(dense.params, twice, compact.params, packed, st, NULL),
                         ST_OK);
        assert_memory_equal(once, twice, bytes);
        free(once);
        free(twice);
        free(packed);
        rig_close(&compact);
        structure_destroy(st);
    }
    rig_close(&dense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closed_forms_hold),
        cmocka_unit_test(bits_are_soft_masks_of_0_and_1),
        cmocka_unit_test(a_full_structure_is_the_plain_weights),
        cmocka_unit_test(frozen_closes_only_what_is_pruned_but_used),
        cmocka_unit_test(mixed_weights_are_made_once_a_step),
        cmocka_unit_test(a_compact_table_holds_the_stored_groups),
        cmocka_unit_test(a_compact_model_takes_no_other_structure),
        cmocka_unit_test(hardening_refuses_another_model),
        cmocka_unit_test(expanding_undoes_hardening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
