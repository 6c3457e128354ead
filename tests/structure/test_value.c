/* test_value.c - the structure as a value: frame, ownership, counting, bisection. */
#include "random_structure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ALL_ON 0x37u /* every option but block_ffn, as in the job file's defaults */

static int source_of(const struct frame *f, const char *name)
{
    return f->site[frame_find(f, name)].source;
}

static void sites_are_paired_and_chained(void **state)
{
    (void)state;
    struct frame *f = frame_of(12, 6, 8, 2, 5, options_of(ALL_ON, 3));
    assert_int_equal(f->nsites, 36);
    assert_int_equal(f->ngroups, 18 * (2 + 5));
    assert_string_equal(f->site[7].name, "vision.3.ffn");
    assert_int_equal(f->site[7].cost, 16);
    assert_int_equal(f->site[7].bias, 1);
    assert_int_equal(f->site[6].cost, 4 * 8 * 4);
    assert_int_equal(f->site[6].bias, 12);
    /* floor((l + .5) * 12 / 6): 1, 3, 5, 7, 9, 11 */
    assert_int_equal(source_of(f, "text.0.msa"), frame_find(f, "vision.1.msa"));
    assert_int_equal(source_of(f, "text.3.msa"), frame_find(f, "vision.7.msa"));
    assert_int_equal(source_of(f, "text.1.msa"), frame_find(f, "text.0.msa"));
    assert_int_equal(source_of(f, "text.5.msa"), frame_find(f, "text.3.msa"));
    assert_int_equal(source_of(f, "text.5.ffn"), frame_find(f, "vision.11.ffn"));
    assert_int_equal(source_of(f, "vision.5.ffn"), -1);
    assert_int_equal(frame_find(f, "text.6.msa"), -1);
    frame_destroy(f);
}

static void a_site_without_source_says_why(void **state)
{
    (void)state;
    struct frame *f = frame_of(2, 2, 8, 2, 5, options_of(ALL_ON & ~0x20u, 2));
    assert_string_equal(f->site[4].no_source, "sharing is off (method.share)");
    frame_destroy(f);
    f = frame_of(2, 2, 8, 2, 5, options_of(ALL_ON & ~1u, 2));
    assert_string_equal(f->site[4].no_source, "cross-modal sharing is off (method.cross_msa)");
    assert_int_equal(f->site[6].source, 4);
    assert_null(f->site[6].no_source);
    frame_destroy(f);
    struct frame_options options = options_of(ALL_ON, 2);
    struct side_shape vision = {2, 8, 2, 5}, text = {2, 12, 2, 5};
    assert_int_equal(frame_create(&f, &vision, &text, &options, 100000, 100000, NULL), ST_OK);
    assert_string_equal(f->site[4].no_source, "the backbones' widths differ");
    frame_destroy(f);
    text = (struct side_shape){2, 8, 2, 6};
    assert_int_equal(frame_create(&f, &vision, &text, &options, 100000, 100000, NULL), ST_OK);
    assert_string_equal(f->site[5].no_source, "the backbones' FFN widths differ");
    assert_int_equal(f->site[4].source, 0);
    frame_destroy(f);
}

static void head_counts_that_divide_meet_in_the_larger_head(void **state)
{
    (void)state;
    struct frame_options options = options_of(ALL_ON, 2);
    struct side_shape vision = {1, 24, 12, 5}, text = {1, 24, 4, 5};
    struct frame *f = NULL;
    assert_int_equal(frame_create(&f, &vision, &text, &options, 100000, 100000, NULL), ST_OK);
    assert_int_equal(f->site[0].groups, 4);
    assert_int_equal(f->site[2].groups, 4);
    assert_int_equal(f->site[0].cost, 4 * 24 * 6);
    assert_int_equal(f->site[2].source, 0);
    frame_destroy(f);
    text.heads = 8;
    assert_int_equal(frame_create(&f, &vision, &text, &options, 100000, 100000, NULL), ST_OK);
    assert_int_equal(f->site[0].groups, 12);
    assert_int_equal(f->site[2].groups, 8);
    assert_string_equal(f->site[2].no_source, "neither backbone's head count divides the other's");
    frame_destroy(f);
}

static void impossible_frames_are_refused(void **state)
{
    (void)state;
    static const struct side_shape good = {2, 8, 2, 5};
    static const struct {
        struct side_shape vision;
        int block;
        int64_t total, backbones;
        const char *says;
    } bad[] = {
        {{0, 8, 2, 5}, 3, 9999, 9999, "vision.layers must be 1 to 256, got 0"},
        {{257, 8, 2, 5}, 3, 9999, 9999, "vision.layers must be 1 to 256, got 257"},
        {{2, 8, 3, 5}, 3, 9999, 9999, "vision.heads must divide the width 8, got 3"},
        {{2, 8, -2, 5}, 3, 9999, 9999, "vision.heads must divide the width 8, got -2"},
        {{2, 99999, 1, 5}, 3, 9999, 9999, "vision.width must be 1 to 65536, got 99999"},
        {{2, 8, 2, 0}, 3, 9999, 9999, "vision.ffn must be 1 to 65536, got 0"},
        {{2, 8, 2, 5}, 0, 9999, 9999, "block_size must be 1 to 256, got 0"},
        {{2, 8, 2, 5}, 3, 10, 10, "cannot hold sites of"},
        {{2, 8, 2, 5}, 3, 9999, 99999, "cannot hold sites of"},
        {{256, 8, 2, 65536}, 3, 9999, 9999, "more than 4194304 groups"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct frame_options options = options_of(ALL_ON, bad[i].block);
        struct frame *f = NULL;
        struct err err = {0};
        assert_int_not_equal(
            frame_create(&f, &bad[i].vision, &good, &options, bad[i].total, bad[i].backbones, &err),
            ST_OK);
        assert_null(f);
        if (!strstr(err.text, bad[i].says))
            fail_msg("case %zu says \"%s\"", i, err.text);
    }
}

/* P by the definition: every group that a kept group's chain ends in is stored once. */
static int64_t params_by_owners(const struct structure *st)
{
    const struct frame *f = st->frame;
    uint8_t *stored = calloc((size_t)f->ngroups, 1);
    int64_t params = f->total;
    for (int i = 0; i < f->nsites; i++)
        for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++) {
            int owner_site = -1;
            if (st->m[g])
                stored[structure_owner(st, i, g, &owner_site)] = 1;
            else
                params -= f->site[i].bias;
        }
    uint8_t *said = malloc((size_t)f->ngroups);
    structure_stored(st, said);
    assert_memory_equal(stored, said, (size_t)f->ngroups);
    for (int i = 0; i < f->nsites; i++)
        for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++)
            params -= stored[g] ? 0 : f->site[i].cost;
    free(stored);
    free(said);
    return params;
}

static void bits_to_reals(const struct structure *st, double *m, double *s)
{
    for (int g = 0; g < st->frame->ngroups; g++) {
        m[g] = st->m[g];
        s[g] = st->s[g];
    }
}

static void three_ways_of_counting_agree(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        for (uint64_t seed = 0; seed < 12; seed++) {
            int Lv = 1 + (int)(seed % 5), Lt = 1 + (int)(seed * 7 % 6), block = 1 + (int)(seed % 4);
            struct frame *f = frame_of(Lv, Lt, 6, 3, 4, options_of(bits, block));
            struct structure *st =
                structure_random(f, seed * 64 + bits, 0.1 * (double)(seed % 11), 0.5);
            double *m = calloc((size_t)f->ngroups, sizeof *m), *s = calloc((size_t)f->ngroups, 8);
            bits_to_reals(st, m, s);
            struct structure_count c;
            structure_count(st, &c);
            int64_t truth = params_by_owners(st);
            assert_int_equal(c.whole, truth);
            assert_true(structure_params(f, m, s, NULL, NULL) == (double)truth);
            assert_int_equal(c.backbones, f->backbones - (f->total - truth));
            assert_true(truth >= 1000);
            free(m);
            free(s);
            structure_destroy(st);
            frame_destroy(f);
        }
    }
}

static void full_structure_counts_as_dense(void **state)
{
    (void)state;
    struct frame *f = frame_of(4, 4, 8, 2, 5, options_of(ALL_ON, 3));
    struct structure *st = structure_full(f);
    struct structure_count c;
    structure_count(st, &c);
    assert_int_equal(c.whole, f->total);
    assert_int_equal(c.backbones, f->backbones);
    assert_true(c.kept == 1.0);
    assert_int_equal(c.pruned, 0);
    assert_int_equal(c.shared, 0);
    assert_int_equal(c.text_groups, 4 * 7);
    structure_destroy(st);
    frame_destroy(f);
}

/* The chain of method.md 2 by hand: one head, text.1 takes from text.0 takes from vision. */
static void a_pruned_owner_still_stores_for_its_user(void **state)
{
    (void)state;
    struct frame *f = frame_of(1, 2, 4, 1, 1, options_of(ALL_ON, 2));
    struct structure *st = structure_full(f);
    int v = f->site[0].first, b = f->site[2].first, k = f->site[4].first, site = -1;
    int64_t cost = f->site[0].cost, bias = f->site[0].bias;
    st->s[b] = st->s[k] = 1;
    assert_int_equal(structure_owner(st, 4, k, &site), v);
    assert_int_equal(site, 0);
    assert_int_equal(params_by_owners(st), f->total - 2 * cost);
    st->m[v] = st->m[b] = 0;
    assert_int_equal(params_by_owners(st), f->total - 2 * cost - 2 * bias);
    st->s[b] = 0;
    assert_int_equal(structure_owner(st, 4, k, &site), b);
    assert_int_equal(params_by_owners(st), f->total - 2 * cost - 2 * bias);
    st->m[k] = 0;
    assert_int_equal(params_by_owners(st), f->total - 3 * cost - 3 * bias);
    uint8_t needed[9];
    structure_needed(st, needed);
    assert_int_equal(needed[v] + needed[b] + needed[k], 0);
    structure_destroy(st);
    frame_destroy(f);
}

static void reals_random(const struct frame *f, uint64_t seed, double *m, double *s)
{
    struct rng rng = {.key = {.seed = seed, .purpose = RNG_TEST, .stream = 2}};
    for (int g = 0; g < f->ngroups; g++) {
        double kind =
            rng_next_uniform(&rng); /* a third exact bits, where products of factors are 0 */
        m[g] = kind < 0.33 ? (double)rng_next_below(&rng, 2) : rng_next_uniform(&rng);
        s[g] = kind < 0.33 ? (double)rng_next_below(&rng, 2) : rng_next_uniform(&rng);
    }
}

/* P is a polynomial of degree 1 in every single m and s, so central differences are exact up to
 * rounding. */
static void gradients_of_params_match_differences(void **state)
{
    (void)state;
    double m[200], s[200], dm[200], ds[200];
    for (unsigned bits = 0; bits < 16; bits++) {
        struct frame *f = frame_of(3, 6, 6, 3, 4, options_of(bits | 0x30u, 3));
        assert_true(f->ngroups <= 200);
        for (uint64_t seed = 0; seed < 4; seed++) {
            reals_random(f, seed, m, s);
            structure_params(f, m, s, dm, ds);
            for (int g = 0; g < 2 * f->ngroups; g++) {
                double *x = g < f->ngroups ? &m[g] : &s[g - f->ngroups], x0 = *x, h = 0.25;
                double got = g < f->ngroups ? dm[g] : ds[g - f->ngroups];
                *x = x0 + h;
                double up = structure_params(f, m, s, NULL, NULL);
                *x = x0 - h;
                double down = structure_params(f, m, s, NULL, NULL);
                *x = x0;
                assert_true(fabs((up - down) / (2 * h) - got) < 1e-7);
            }
        }
        frame_destroy(f);
    }
}

static void params_never_rise_with_a_threshold(void **state)
{
    (void)state;
    double m[400], s[400], score[800];
    struct frame *f = frame_of(4, 6, 6, 3, 4, options_of(ALL_ON | 8u, 3));
    assert_true(f->ngroups <= 400);
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rng_key key = {.seed = seed, .purpose = RNG_TEST};
        for (int g = 0; g < 2 * f->ngroups; g++)
            score[g] = rng_uniform(&key, (uint64_t)g);
        double before = INFINITY;
        for (int percent = -1; percent < 102; percent++) {
            double t = 0.01 * percent;
            for (int i = 0; i < f->nsites; i++)
                for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++) {
                    m[g] = score[g] > t;
                    s[g] = f->site[i].source >= 0 && !(score[f->ngroups + g] > t);
                }
            double now = structure_params(f, m, s, NULL, NULL);
            assert_true(now <= before);
            before = now;
        }
    }
    frame_destroy(f);
}

static bool every_site_keeps_one(const struct structure *st)
{
    for (int i = 0; i < st->frame->nsites; i++) {
        const struct site *t = &st->frame->site[i];
        if (!memchr(st->m + t->first, 1, (size_t)t->groups))
            return false;
    }
    return true;
}

/* All structures of a small frame that the options allow, at least one group of every site kept. */
static int64_t smallest_by_trying(const struct frame *f)
{
    int where[32], n = 0;
    for (int g = 0; f->options.prune && g < f->ngroups; g++)
        where[n++] = g;
    for (int i = 0; i < f->nsites; i++)
        for (int g = 0; f->site[i].source >= 0 && g < f->site[i].groups; g++)
            where[n++] = f->ngroups + f->site[i].first + g;
    struct structure *st = structure_full(f);
    int64_t best = f->total;
    for (uint32_t bits = 0; bits < (UINT32_C(1) << n); bits++) {
        for (int i = 0; i < n; i++) {
            uint8_t bit = bits >> i & 1;
            if (where[i] < f->ngroups)
                st->m[where[i]] = bit;
            else
                st->s[where[i] - f->ngroups] = bit;
        }
        if (!every_site_keeps_one(st))
            continue;
        struct structure_count c;
        structure_count(st, &c);
        best = c.whole < best ? c.whole : best;
    }
    structure_destroy(st);
    return best;
}

static void smallest_is_what_trying_all_finds(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 64; bits++) {
        struct frame *f = frame_of(1, 2, 4, 2, 1, options_of(bits, 2));
        assert_int_equal(frame_smallest(f), smallest_by_trying(f));
        frame_destroy(f);
    }
}

static void scores_random(const struct frame *f, uint64_t seed, double *score_m, double *score_own)
{
    struct rng_key key = {.seed = seed, .purpose = RNG_TEST, .stream = 5};
    for (int g = 0; g < f->ngroups; g++) {
        score_m[g] = 4 * rng_normal(&key, (uint64_t)g);
        score_own[g] = 4 * rng_normal(&key, (uint64_t)g + (uint64_t)f->ngroups);
    }
}

static void bisect_meets_every_target(void **state)
{
    (void)state;
    double score_m[400], score_own[400], threshold;
    for (unsigned bits = 0; bits < 64; bits++) {
        struct frame *f = frame_of(3, 5, 6, 3, 8, options_of(bits, 3));
        struct structure *st = structure_full(f);
        struct structure_count c;
        int64_t smallest = frame_smallest(f), span = f->total - smallest;
        for (int step = 0; step <= 10; step++) {
            int64_t target = smallest + span * step / 10;
            scores_random(f, bits, score_m, score_own);
            assert_int_equal(structure_bisect(st, score_m, score_own, target, &threshold, NULL),
                             ST_OK);
            structure_count(st, &c);
            assert_true(c.whole <= target && every_site_keeps_one(st));
            /* one head more or less is the finest step there is; below the joint guard takes over
             */
            if (step >= 5)
                assert_true(target - c.whole <= f->site[0].cost + f->site[0].bias);
            if (step == 0)
                assert_int_equal(c.whole, smallest);
            if (!f->options.prune)
                assert_int_equal(c.pruned, 0);
            if (!f->options.share)
                assert_int_equal(c.shared, 0);
        }
        structure_destroy(st);
        frame_destroy(f);
    }
}

static void bisect_follows_the_scores(void **state)
{
    (void)state;
    double score_m[400], score_own[400], threshold = 0;
    struct frame *f = frame_of(3, 5, 6, 3, 8, options_of(ALL_ON, 3));
    struct structure *st = structure_full(f);
    scores_random(f, 3, score_m, score_own);
    assert_int_equal(structure_bisect(st, score_m, score_own, f->total * 7 / 10, &threshold, NULL),
                     ST_OK);
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        for (int g = t->first; g < t->first + t->groups; g++) {
            if (score_m[g] > threshold)
                assert_int_equal(st->m[g], 1);
            if (t->source >= 0)
                assert_int_equal(st->s[g], score_own[g] <= threshold);
        }
    }
    assert_int_equal(structure_bisect(st, score_m, score_own, f->total, &threshold, NULL), ST_OK);
    assert_true(threshold == -INFINITY);
    structure_destroy(st);
    frame_destroy(f);
}

static void bisect_refuses_what_cannot_be(void **state)
{
    (void)state;
    double score_m[400], score_own[400], threshold = 7;
    struct frame *f = frame_of(3, 5, 6, 3, 8, options_of(ALL_ON, 3));
    struct structure *st = structure_full(f);
    struct err err;
    scores_random(f, 3, score_m, score_own);
    assert_int_equal(
        structure_bisect(st, score_m, score_own, frame_smallest(f) - 1, &threshold, &err),
        ST_INVALID);
    assert_non_null(strstr(err.text, "is below what can be reached with these options"));
    score_m[3] = NAN;
    assert_int_equal(structure_bisect(st, score_m, score_own, f->total / 2, &threshold, &err),
                     ST_NUMERIC);
    assert_non_null(strstr(err.text, "group 0 of vision.0.ffn"));
    assert_true(threshold == 7);
    structure_destroy(st);
    frame_destroy(f);
}

static void differences_are_counted_by_direction(void **state)
{
    (void)state;
    struct frame *f = frame_of(2, 2, 6, 3, 8, options_of(ALL_ON, 2));
    struct structure *a = structure_full(f), *b = structure_full(f);
    a->m[0] = a->m[1] = 0;
    b->m[2] = 0;
    b->s[f->site[4].first] = 1;
    struct structure_diff d;
    structure_diff(a, b, &d);
    assert_int_equal(d.m_on, 2);
    assert_int_equal(d.m_off, 1);
    assert_int_equal(d.s_on, 1);
    assert_int_equal(d.s_off, 0);
    assert_false(structure_equal(a, b));
    structure_copy(b, a);
    assert_true(structure_equal(a, b));
    structure_destroy(a);
    structure_destroy(b);
    frame_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sites_are_paired_and_chained),
        cmocka_unit_test(a_site_without_source_says_why),
        cmocka_unit_test(head_counts_that_divide_meet_in_the_larger_head),
        cmocka_unit_test(impossible_frames_are_refused),
        cmocka_unit_test(three_ways_of_counting_agree),
        cmocka_unit_test(full_structure_counts_as_dense),
        cmocka_unit_test(a_pruned_owner_still_stores_for_its_user),
        cmocka_unit_test(gradients_of_params_match_differences),
        cmocka_unit_test(params_never_rise_with_a_threshold),
        cmocka_unit_test(smallest_is_what_trying_all_finds),
        cmocka_unit_test(bisect_meets_every_target),
        cmocka_unit_test(bisect_follows_the_scores),
        cmocka_unit_test(bisect_refuses_what_cannot_be),
        cmocka_unit_test(differences_are_counted_by_direction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
