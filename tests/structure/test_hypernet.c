/* test_hypernet.c - the hypernetwork: its draws, scores, budget term, and a search on the budget alone. */
#include "random_structure.h"

#include "engine/backend/backend.h"
#include "engine/hypernet/hypernet_net.h"
#include "engine/op/op.h"
#include "engine/optim/optim.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_ON 0x37u

/* Double asks for more digits of what was computed by another way. */
#define NEAR (sizeof(real) == 8 ? 1e-9 : 1e-4)

static const struct hypernet_config config = {
    .width = 64, .gru = 128, .tau = 0.4, .bias = 3.0, .seed = 4};

struct rig {
    struct frame *frame;
    struct hypernet *hn;
    struct ctx *cx;
};

static void ok(enum status st, const struct err *err)
{
    if (st != ST_OK)
        fail_msg("%s", err->text);
}

static void rig_open(struct rig *r, struct frame *frame, const struct hypernet_config *cfg)
{
    struct err err = {0};
    r->frame = frame;
    ok(hypernet_create(&r->hn, frame, cfg, &err), &err);
    ok(ctx_create(&r->cx, backend_find("cpu"), (size_t)1 << 28, &err), &err);
}

static void rig_close(struct rig *r)
{
    ctx_destroy(r->cx);
    hypernet_destroy(r->hn);
    frame_destroy(r->frame);
}

static void step_begin(struct rig *r, uint64_t step)
{
    ctx_begin(r->cx, &(struct ctx_config){.record = true, .seed = 9, .step = step});
}

static void step_ok(struct rig *r)
{
    struct err err = {0};
    ok(ctx_finish(r->cx, &err), &err);
}

static void draws_are_keyed_by_the_step(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, frame_of(3, 4, 8, 4, 16, options_of(ALL_ON, 3)), &config);
    size_t n = (size_t)r.frame->ngroups, bytes = n * sizeof(real);
    real *first = malloc(2 * bytes);
    for (int k = 0; k < 3; k++) {
        step_begin(&r, k == 1 ? 8 : 7);
        struct hypernet_sample x = hypernet_draw(r.cx, r.hn);
        step_ok(&r);
        if (k == 0) {
            memcpy(first, x.m_soft->data, bytes);
            memcpy(first + n, x.s_soft->data, bytes);
        }
        assert_int_equal(memcmp(first, x.m_soft->data, bytes) == 0, k != 1);
        assert_int_equal(memcmp(first + n, x.s_soft->data, bytes) == 0, k != 1);
    }
    free(first);
    rig_close(&r);
}

/* Hard is soft rounded; the gradient of hard is that of soft; s is 0 without a source. */
static void hard_follows_soft(void **state)
{
    (void)state;
    struct rig r;
    struct hypernet_config cfg = config;
    cfg.bias = 0.3; /* so that both bits occur */
    rig_open(&r, frame_of(3, 4, 8, 4, 16, options_of(ALL_ON, 3)), &cfg);
    step_begin(&r, 1);
    struct hypernet_sample x = hypernet_draw(r.cx, r.hn);
    int ones = 0, n = r.frame->ngroups;
    for (int i = 0; i < r.frame->nsites; i++) {
        const struct site *t = &r.frame->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            assert_true(x.m_hard->data[g] == (x.m_soft->data[g] >= (real)0.5 ? 1 : 0));
            ones += x.m_hard->data[g] == 1;
            if (t->source < 0)
                assert_true(x.s_soft->data[g] == 0 && x.s_hard->data[g] == 0);
            else
                assert_true(x.s_hard->data[g] == ((double)x.s_soft->data[g] > 0.5 ? 1 : 0));
        }
    }
    assert_true(ones > n / 4 && ones < n);
    ctx_backward(r.cx, op_sum(r.cx, x.m_hard));
    step_ok(&r);
    for (int g = 0; g < n; g++)
        assert_true(x.m_soft->grad[g] == 1);
    rig_close(&r);
}

static void a_search_starts_near_the_full_model(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, frame_of(12, 6, 8, 4, 64, options_of(ALL_ON, 3)), &config);
    step_begin(&r, 0);
    struct hypernet_sample x = hypernet_draw(r.cx, r.hn);
    double params = 0;
    hypernet_budget(r.cx, r.hn, &x, 0.5, &params);
    step_ok(&r);
    assert_true(params > 0.98 * (double)r.frame->total);
    struct structure *st = structure_full(r.frame);
    double *score = calloc(2 * (size_t)r.frame->ngroups, sizeof *score);
    ok(hypernet_scores(r.hn, r.cx, score, score + r.frame->ngroups, NULL), NULL);
    hypernet_read(r.frame, score, score + r.frame->ngroups, st);
    struct structure_count c;
    structure_count(st, &c);
    assert_int_equal(c.whole, r.frame->total);
    free(score);
    structure_destroy(st);
    rig_close(&r);
}

/* ---- the network by plain loops --------------------------------------------------------------------- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double row_dot(const struct tensor *w, int64_t row, const double *x)
{
    double sum = 0;
    for (int64_t i = 0; i < w->dim[1]; i++)
        sum += (double)w->data[row * w->dim[1] + i] * x[i];
    return sum;
}

/* h <- GRU(x, h), gates r, z, n (Cho et al. 2014). */
static void plain_gru(const struct gru *g, const double *x, double *h, int D)
{
    double next[64];
    for (int i = 0; i < D; i++) {
        double in[3], rec[3];
        for (int k = 0; k < 3; k++) {
            in[k] = row_dot(g->w_ih, k * D + i, x) + (double)g->b_ih->data[k * D + i];
            rec[k] = row_dot(g->w_hh, k * D + i, h) + (double)g->b_hh->data[k * D + i];
        }
        double r = sigmoid(in[0] + rec[0]), z = sigmoid(in[1] + rec[1]);
        next[i] = (1 - z) * tanh(in[2] + r * rec[2]) + z * h[i];
    }
    memcpy(h, next, (size_t)D * sizeof *h);
}

/* Scores of every site: state[t] = [forward, backward], LayerNorm, ReLU, heads. */
static void plain_scores(struct hypernet *hn, double *score_m, double *score_own)
{
    enum { D = 8, SITES = 64, I = 64 };
    static double state[SITES][2 * D];
    const struct frame *f = hn->frame;
    for (int way = 0; way < 2; way++) {
        double h[D] = {0};
        for (int k = 0; k < f->nsites; k++) {
            int t = way ? f->nsites - 1 - k : k;
            double x[I];
            for (int i = 0; i < I; i++)
                x[i] = (double)hn->input[t * I + i];
            plain_gru(way ? &hn->backward : &hn->forward, x, h, D);
            memcpy(state[t] + way * D, h, sizeof h);
        }
    }
    for (int t = 0; t < f->nsites; t++) {
        double mean = 0, var = 0, *h = state[t];
        for (int i = 0; i < 2 * D; i++)
            mean += h[i] / (2 * D);
        for (int i = 0; i < 2 * D; i++)
            var += (h[i] - mean) * (h[i] - mean) / (2 * D);
        for (int i = 0; i < 2 * D; i++)
            h[i] = fmax(0, (h[i] - mean) / sqrt(var + 1e-5));
        for (int g = 0; g < f->site[t].groups; g++) {
            int at = f->site[t].first + g;
            score_m[at] = row_dot(hn->head[t].prune, g, h) + hn->cfg.bias;
            if (f->site[t].source >= 0)
                score_own[at] = row_dot(hn->head[t].own, g, h) + hn->cfg.bias;
        }
    }
}

static void the_network_is_what_it_says(void **state)
{
    (void)state;
    struct rig r;
    struct hypernet_config cfg = config;
    cfg.gru = 8;
    rig_open(&r, frame_of(3, 4, 8, 4, 16, options_of(ALL_ON, 3)), &cfg);
    int n = r.frame->ngroups;
    double *got = calloc(4 * (size_t)n, sizeof *got), *want = got + 2 * n;
    ok(hypernet_scores(r.hn, r.cx, got, got + n, NULL), NULL);
    plain_scores(r.hn, want, want + n);
    for (int i = 0; i < r.frame->nsites; i++) {
        const struct site *t = &r.frame->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            assert_true(fabs(got[g] - want[g]) < NEAR);
            if (t->source >= 0)
                assert_true(fabs(got[n + g] - want[n + g]) < NEAR);
        }
    }
    for (int a = 0; a < r.frame->nsites; a++) {
        for (int b = 0; b <= a; b++) {
            double dot = 0;
            for (int i = 0; i < 64; i++)
                dot += (double)r.hn->input[a * 64 + i] * (double)r.hn->input[b * 64 + i];
            assert_true(fabs(dot - (a == b)) < 1e-6);
        }
    }
    free(got);
    rig_close(&r);
}

/* A share of draws that fits the scores: 1 - exp(-exp(score)), and half of them at ln ln 2. */
static void scores_tell_how_often_a_bit_is_1(void **state)
{
    (void)state;
    struct rig r;
    struct hypernet_config cfg = config;
    cfg.bias = log(log(2.0));
    cfg.gru = 16;
    rig_open(&r, frame_of(1, 2, 8, 2, 8, options_of(ALL_ON, 2)), &cfg);
    int n = r.frame->ngroups, draws = 1000;
    double *count = calloc(4 * (size_t)n, sizeof *count), *score = count + n, *own = score + n;
    double *shared = own + n;
    for (int k = 0; k < draws; k++) {
        ctx_begin(r.cx, &(struct ctx_config){.seed = 3, .step = (uint64_t)k});
        struct hypernet_sample x = hypernet_draw(r.cx, r.hn);
        step_ok(&r);
        for (int g = 0; g < n; g++) {
            count[g] += (double)x.m_hard->data[g];
            shared[g] += (double)x.s_hard->data[g];
        }
    }
    ok(hypernet_scores(r.hn, r.cx, score, own, NULL), NULL);
    struct structure *st = structure_full(r.frame);
    hypernet_read(r.frame, score, own, st);
    double within = 4 * 0.5 / sqrt(draws);
    for (int i = 0; i < r.frame->nsites; i++) {
        const struct site *t = &r.frame->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            double kept = 1 - exp(-exp(score[g])), taken = exp(-exp(own[g]));
            assert_true(fabs(count[g] / draws - kept) < within);
            assert_int_equal(st->m[g], kept >= 0.5);
            if (t->source < 0)
                continue;
            assert_true(fabs(shared[g] / draws - taken) < within);
            assert_int_equal(st->s[g], taken > 0.5);
        }
    }
    structure_destroy(st);
    free(count);
    rig_close(&r);
}

static void options_make_constants(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 2; k++) {
        struct rig r;
        unsigned options = k ? ALL_ON & ~0x20u : ALL_ON & ~0x10u; /* no sharing; no pruning */
        rig_open(&r, frame_of(2, 2, 8, 2, 8, options_of(options, 2)), &config);
        int n = r.frame->ngroups;
        double *score = calloc(2 * (size_t)n, sizeof *score), params = 0;
        step_begin(&r, 3);
        struct hypernet_sample x = hypernet_draw(r.cx, r.hn);
        struct tensor *R = hypernet_budget(r.cx, r.hn, &x, 0.9, &params);
        ctx_backward(r.cx, R);
        step_ok(&r);
        for (int g = 0; g < n; g++) {
            if (k)
                assert_true(x.s_hard->data[g] == 0 && x.s_soft->data[g] == 0);
            else
                assert_true(x.m_hard->data[g] == 1 && x.m_soft->data[g] == 1);
        }
        struct structure *st = structure_full(r.frame);
        ok(hypernet_scores(r.hn, r.cx, score, score + n, NULL), NULL);
        for (int g = 0; g < 2 * n; g++)
            score[g] -= 100; /* would prune and share everything */
        hypernet_read(r.frame, score, score + n, st);
        struct structure_count c;
        structure_count(st, &c);
        assert_int_equal(k ? c.shared : c.pruned, 0);
        structure_destroy(st);
        free(score);
        rig_close(&r);
    }
}

static void more_sites_than_width_widen_the_inputs(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, frame_of(24, 24, 4, 2, 3, options_of(ALL_ON, 3)), &config); /* 96 sites */
    assert_int_equal(params_find(hypernet_params(r.hn), "hyper.forward.w_ih")->spec.dim[1], 128);
    assert_null(params_find(hypernet_params(r.hn), "hyper.vision.0.msa.own"));
    assert_non_null(params_find(hypernet_params(r.hn), "hyper.text.23.ffn.own"));
    rig_close(&r);
}

/* R and dR/dm, dR/ds of the hard bits, against structure_params(). */
static void budget_is_the_log_ratio(void **state)
{
    (void)state;
    struct rig r;
    struct hypernet_config cfg = config;
    cfg.bias = 0.5;
    rig_open(&r, frame_of(2, 4, 8, 2, 16, options_of(ALL_ON, 3)), &cfg);
    int n = r.frame->ngroups;
    double *m = calloc(4 * (size_t)n, sizeof *m), *s = m + n, *dm = s + n, *ds = dm + n;
    for (int k = 0; k < 2; k++) {
        double target = k ? 0.05 : 0.999, params = 0;
        step_begin(&r, 5);
        struct hypernet_sample x = hypernet_draw(r.cx, r.hn);
        struct tensor *R = hypernet_budget(r.cx, r.hn, &x, target, &params);
        ctx_backward(r.cx, op_scale(r.cx, R, 8));
        step_ok(&r);
        for (int g = 0; g < n; g++) {
            m[g] = (double)x.m_hard->data[g];
            s[g] = (double)x.s_hard->data[g];
        }
        double P = structure_params(r.frame, m, s, dm, ds), goal = target * (double)r.frame->total;
        assert_true(params == P);
        assert_true(fabs((double)R->data[0] - fabs(log(P / goal))) < NEAR);
        assert_int_equal(P > goal, k);
        for (int g = 0; g < n; g++) {
            double sign = k ? 8 : -8;
            assert_true(fabs((double)x.m_hard->grad[g] - sign * dm[g] / P) < NEAR * 1e-2);
            assert_true(fabs((double)x.s_hard->grad[g] - sign * ds[g] / P) < NEAR * 1e-2);
        }
    }
    free(m);
    rig_close(&r);
}

static void search_step(struct rig *r, struct adamw *opt, uint64_t step, double target,
                        double *ret_kept)
{
    struct adamw_config adam = adamw_defaults;
    struct params *p = hypernet_params(r->hn);
    double params = 0;
    adam.lr[PARAM_HYPER] = 1e-3;
    adam.weight_decay = 1e-2;
    params_zero_grads(p);
    step_begin(r, step);
    struct hypernet_sample x = hypernet_draw(r->cx, r->hn);
    struct tensor *R = hypernet_budget(r->cx, r->hn, &x, target, &params);
    ctx_backward(r->cx, op_scale(r->cx, R, 8));
    step_ok(r);
    adamw_step(opt, p, &adam, clip_scale(grad_norm(ctx_backend(r->cx), p), 1.0));
    *ret_kept = params / (double)r->frame->total;
}

/* method.md 4: on the budget alone P goes from 1 to the target within some hundred steps, and stays. The read-out
 * and the bisection then give structures of that size. */
static void the_budget_alone_leads_to_the_target(void **state)
{
    (void)state;
    struct rig r;
    struct adamw *opt;
    struct err err = {0};
    struct frame *f = frame_of(4, 4, 32, 4, 64, options_of(ALL_ON, 3));
    rig_open(&r, f, &config);
    ok(adamw_create(&opt, backend_find("cpu"), hypernet_params(r.hn), &err), &err);
    double kept = 0, late = 0, worst = 0;
    search_step(&r, opt, 0, 0.6, &kept);
    assert_true(kept > 0.95);
    for (uint64_t step = 1; step < 300; step++) {
        search_step(&r, opt, step, 0.6, &kept);
        if (step >= 200) {
            late += kept / 100;
            worst = fmax(worst, fabs(kept - 0.6));
        }
    }
    assert_true(fabs(late - 0.6) < 0.03 && worst < 0.12);
    size_t n = (size_t)f->ngroups;
    double *score = calloc(2 * n, sizeof *score), threshold = 0;
    ok(hypernet_scores(r.hn, r.cx, score, score + n, &err), &err);
    struct structure *st = structure_full(f);
    int64_t target = f->total * 6 / 10;
    ok(structure_bisect(st, score, score + n, target, &threshold, &err), &err);
    struct structure_count c;
    structure_count(st, &c);
    assert_true(c.whole <= target && c.kept > 0.57);
    free(score);
    structure_destroy(st);
    adamw_destroy(opt);
    rig_close(&r);
}

static void impossible_settings_are_refused(void **state)
{
    (void)state;
    struct frame *f = frame_of(1, 1, 4, 2, 3, options_of(ALL_ON, 2));
    struct hypernet *hn = NULL;
    struct err err;
    struct hypernet_config bad = config;
    bad.tau = 0;
    assert_int_equal(hypernet_create(&hn, f, &bad, &err), ST_INVALID);
    assert_non_null(strstr(err.text, "tau 0"));
    bad = config;
    bad.gru = 0;
    assert_int_equal(hypernet_create(&hn, f, &bad, &err), ST_INVALID);
    assert_null(hn);
    frame_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_keyed_by_the_step),
        cmocka_unit_test(hard_follows_soft),
        cmocka_unit_test(a_search_starts_near_the_full_model),
        cmocka_unit_test(the_network_is_what_it_says),
        cmocka_unit_test(scores_tell_how_often_a_bit_is_1),
        cmocka_unit_test(options_make_constants),
        cmocka_unit_test(more_sites_than_width_widen_the_inputs),
        cmocka_unit_test(budget_is_the_log_ratio),
        cmocka_unit_test(the_budget_alone_leads_to_the_target),
        cmocka_unit_test(impossible_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
