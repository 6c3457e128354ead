/* test_matcher.c - the assignment against all permutations. */
#include "base/rng.h"
#include "engine/model/matcher.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { SIDE = 7 };

static double total(const double *cost, int cols, const int32_t *col, int rows)
{
    double sum = 0;
    for (int i = 0; i < rows; i++)
        sum += col[i] < 0 ? 0 : cost[i * cols + col[i]];
    return sum;
}

/* The least total over all ways to give `left` of the rows from `row` on a column of their own. */
static double least(const double *cost, int rows, int cols, int row, int left, unsigned taken)
{
    if (left == 0)
        return 0;
    double best = rows - row > left ? least(cost, rows, cols, row + 1, left, taken) : INFINITY;
    for (int j = 0; j < cols; j++) {
        if (taken >> j & 1)
            continue;
        double rest = least(cost, rows, cols, row + 1, left - 1, taken | 1u << j);
        best = fmin(best, cost[row * cols + j] + rest);
    }
    return best;
}

static int assign(int32_t *col, const double *cost, int rows, int cols)
{
    void *work = malloc(matcher_work(rows, cols));
    assert_non_null(work);
    int n = matcher_assign(col, cost, rows, cols, work);
    free(work);
    return n;
}

static void assert_valid(const int32_t *col, int rows, int cols, int matched)
{
    unsigned taken = 0;
    int n = 0;
    for (int i = 0; i < rows; i++) {
        if (col[i] < 0)
            continue;
        assert_true(col[i] < cols);
        assert_false(taken >> col[i] & 1);
        taken |= 1u << col[i];
        n++;
    }
    assert_int_equal(n, matched);
    assert_int_equal(n, rows < cols ? rows : cols);
}

static void equals_brute_force(void **state)
{
    (void)state;
    double cost[SIDE * SIDE];
    int32_t col[SIDE];
    struct rng r = {.key = {1, 0, RNG_TEST, 0}};
    for (int round = 0; round < 300; round++) {
        int rows = 1 + (int)rng_next_below(&r, SIDE - 1),
            cols = 1 + (int)rng_next_below(&r, SIDE - 1);
        for (int i = 0; i < rows * cols; i++) /* whole numbers now and then: ties */
            cost[i] = round % 3 ? 10 * rng_next_normal(&r) : (double)rng_next_below(&r, 4);
        int n = assign(col, cost, rows, cols);
        assert_valid(col, rows, cols, n);
        double want = least(cost, rows, cols, 0, n, 0), got = total(cost, cols, col, rows);
        if (fabs(want - got) > 1e-9)
            fail_msg("%d x %d: total %.12g, the least is %.12g", rows, cols, got, want);
    }
}

static void ties_take_the_lowest_column(void **state)
{
    (void)state;
    const double equal[3 * 5] = {0};
    int32_t col[3];
    assign(col, equal, 3, 5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(col[i], i);
}

static void nothing_to_match(void **state)
{
    (void)state;
    const double cost[1] = {0};
    int32_t col[1] = {9};
    assert_int_equal(assign(col, cost, 0, 4), 0);
    assert_int_equal(col[0], 9);
}

static void not_a_number_is_avoided(void **state)
{
    (void)state;
    const double cost[2 * 3] = {NAN, 5, INFINITY, -INFINITY, NAN, 7};
    int32_t col[2];
    assert_int_equal(assign(col, cost, 2, 3), 2);
    assert_int_equal(col[0], 1);
    assert_int_equal(col[1], 2);
    const double all[2 * 2] = {NAN, NAN, NAN, NAN};
    assert_int_equal(assign(col, all, 2, 2), 2);
    assert_valid(col, 2, 2, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_brute_force),
        cmocka_unit_test(ties_take_the_lowest_column),
        cmocka_unit_test(nothing_to_match),
        cmocka_unit_test(not_a_number_is_avoided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
