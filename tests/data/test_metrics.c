/* test_metrics.c - overlaps by hand, P@k, families, merging. */
#include "engine/data/metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void near(double a, double b)
{
    if (fabs(a - b) > 1e-6)
        fail_msg("%.9g is not %.9g", a, b);
}

static void overlaps_are_those_of_paper(void **state)
{
    (void)state;
    const real unit[4] = {1, 1, 2, 2}; /* 0..2 */
    const real half[4] = {2, 1, 2, 2}; /* 1..3 x 0..2: 2 of 6 */
    const real apart[4] = {4, 1, 2, 2};
    const real corner[4] = {2, 2, 2, 2}; /* 1 of 7, hull 9 */
    const real none[4] = {1, 1, 0, 2}, bad[4] = {(real)NAN, 1, 2, 2};
    near(box_iou(unit, unit), 1);
    near(box_giou(unit, unit), 1);
    near(box_iou(unit, half), 2.0 / 6);
    near(box_giou(unit, half), 2.0 / 6);
    near(box_iou(unit, apart), 0);
    near(box_giou(unit, apart), -2.0 / 10);
    near(box_iou(unit, corner), 1.0 / 7);
    near(box_giou(unit, corner), 1.0 / 7 - 2.0 / 9);
    near(box_iou(unit, none), 0);
    near(box_giou(unit, none), -1);
    near(box_giou(bad, unit), -1);
}

/* Query q answers with the true box when its bit is set, else with one far away. */
static void add(struct rec_metrics *m, int family, const real *score, int Q, unsigned right)
{
    real box[16 * 4];
    const real truth[4] = {0.5f, 0.5f, 0.2f, 0.2f};
    for (int q = 0; q < Q; q++) {
        memcpy(box + 4 * q, truth, sizeof truth);
        if (!(right >> q & 1))
            box[4 * q] = 5;
    }
    rec_metrics_add(m, family, score, box, Q, truth);
}

static void hits_count_by_falling_score(void **state)
{
    (void)state;
    struct rec_metrics m = {0};
    const real score[8] = {0.1f, 0.9f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f, 0.3f};
    add(&m, 0, score, 8, 1u << 1); /* first */
    add(&m, 0, score, 8, 1u << 2); /* second */
    add(&m, 0, score, 8, 1u << 5); /* fifth */
    add(&m, 1, score, 8, 1u << 6); /* sixth */
    add(&m, 1, score, 8, 0);
    add(&m, -1, score, 8, 1u << 0 | 1u << 1);
    near(rec_family(&m, 0, METRIC_IOU, METRIC_P1).p, 1.0 / 3);
    near(rec_family(&m, 0, METRIC_IOU, METRIC_P5).p, 1);
    near(rec_family(&m, 1, METRIC_GIOU, METRIC_P5).p, 0);
    near(rec_family(&m, 1, METRIC_GIOU, METRIC_P10).p, 0.5);
    near(rec_micro(&m, METRIC_IOU, METRIC_P1).p, 2.0 / 6);
    near(rec_micro(&m, METRIC_IOU, METRIC_P1).se, sqrt(2.0 / 6 * 4.0 / 6 / 6));
    near(rec_macro(&m, METRIC_IOU, METRIC_P1).p, (1.0 / 3 + 0 + 1) / 3);
    near(rec_macro(&m, METRIC_IOU, METRIC_P1).se, sqrt(1.0 / 3 * 2.0 / 3 / 3) / 3);
    assert_int_equal(rec_micro(&m, METRIC_IOU, METRIC_P1).records, 6);
    assert_true(isnan(rec_family(&m, 5, METRIC_IOU, METRIC_P1).p));
    struct rec_metrics empty = {0};
    assert_true(isnan(rec_macro(&empty, METRIC_IOU, METRIC_P1).p));
}

static void ties_and_nan_have_an_order(void **state)
{
    (void)state;
    struct rec_metrics m = {0};
    const real equal[3] = {0.5f, 0.5f, 0.5f};
    const real nan_first[3] = {(real)NAN, 0.1f, (real)NAN};
    add(&m, 0, equal, 3, 1u << 0);
    add(&m, 1, equal, 3, 1u << 1);
    add(&m, 2, nan_first, 3, 1u << 1);
    add(&m, 3, nan_first, 3, 1u << 0);
    near(rec_family(&m, 0, METRIC_IOU, METRIC_P1).p, 1);
    near(rec_family(&m, 1, METRIC_IOU, METRIC_P1).p, 0);
    near(rec_family(&m, 2, METRIC_IOU, METRIC_P1).p, 1);
    near(rec_family(&m, 3, METRIC_IOU, METRIC_P1).p, 0);
}

/* IoU .516, GIoU .472: a hit by one measure only. */
static void giou_is_the_stricter_one(void **state)
{
    (void)state;
    struct rec_metrics m = {0};
    const real score[1] = {1}, truth[4] = {1, 1, 2, 2}, answer[4] = {1.34f, 1.36f, 2, 2};
    near(box_iou(answer, truth), 0.5158405335758677);
    near(box_giou(answer, truth), 0.47151198077273865);
    rec_metrics_add(&m, 1, score, answer, 1, truth);
    near(rec_family(&m, 1, METRIC_IOU, METRIC_P1).p, 1);
    near(rec_family(&m, 1, METRIC_GIOU, METRIC_P1).p, 0);
}

static void ranks_add_up(void **state)
{
    (void)state;
    struct rec_metrics whole = {0}, part[3];
    memset(part, 0, sizeof part);
    for (int i = 0; i < 60; i++) {
        real score[4];
        for (int q = 0; q < 4; q++)
            score[q] = (real)((i * 7 + q * 13) % 11);
        add(&whole, i % 4, score, 4, (unsigned)(i * 5) & 15);
        add(&part[i % 3], i % 4, score, 4, (unsigned)(i * 5) & 15);
    }
    int64_t sum[METRIC_WORDS] = {0}; /* as an all-reduce sees it */
    for (int i = 0; i < 3; i++) {
        int64_t words[METRIC_WORDS];
        memcpy(words, &part[i], sizeof words);
        for (size_t k = 0; k < METRIC_WORDS; k++)
            sum[k] += words[k];
    }
    assert_int_equal(sizeof whole, sizeof sum);
    assert_memory_equal(sum, &whole, sizeof whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlaps_are_those_of_paper),
        cmocka_unit_test(hits_count_by_falling_score),
        cmocka_unit_test(ties_and_nan_have_an_order),
        cmocka_unit_test(giou_is_the_stricter_one),
        cmocka_unit_test(ranks_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
