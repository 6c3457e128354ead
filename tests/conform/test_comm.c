/* test_comm.c - what comm.h promises, on `self` and on `mpi` with any number of ranks: test_comm self | mpi. */
#include "comm/comm.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 3000001 /* above a blocking sum's chunk, and odd */

static struct comm *comm;

/* Element i of rank r: whole numbers, so that a sum in any order is exact; of a product with few enough bits that bf16 holds
 * every partial sum of five ranks. */
static float element(int rank, int64_t i)
{
    return (float)((rank + 1) * (i % 7));
}

static float expected(int64_t i)
{
    return (float)(comm->size * (comm->size + 1) / 2 * (i % 7));
}

static float *fill(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = element(comm->rank, i);
    return x;
}

static void check(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] != expected(i))
            fail_msg("rank %d: element %lld is %g, not %g", comm->rank, (long long)i, (double)x[i],
                     (double)expected(i));
}

static void sums_are_there_on_every_rank(void **state)
{
    (void)state;
    float *x = fill(N);
    comm->sum_float(comm, x, N);
    check(x, N);
    double d[2] = {comm->rank, 1};
    comm->sum_double(comm, d, 2);
    assert_true(d[0] == comm->size * (comm->size - 1) / 2.0 && d[1] == comm->size);
    free(x);
}

static void a_broadcast_reaches_every_rank(void **state)
{
    (void)state;
    for (int root = 0; root < comm->size; root++) {
        unsigned char *data = malloc(N);
        memset(data, comm->rank == root ? 7 + root : 0, N);
        comm->broadcast(comm, data, N, root);
        for (int64_t i = 0; i < N; i++)
            assert_int_equal(data[i], 7 + root);
        free(data);
    }
}

/* Sizes below the number of ranks, uneven ones, and several of the transport's pieces. */
static void parts_reach_every_rank(void **state)
{
    (void)state;
    const int64_t sizes[] = {1, 2, 7, 100003, 6 * (int64_t)N};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k], begin, end, covered = 0;
        float *x = calloc((size_t)n, sizeof *x);
        comm_part(n, comm->rank, comm->size, &begin, &end);
        for (int64_t i = begin; i < end; i++)
            x[i] = (float)(i % 8191);
        comm->share_float(comm, x, n);
        for (int64_t i = 0; i < n; i++)
            if (x[i] != (float)(i % 8191))
                fail_msg("rank %d: element %lld of %lld is %g", comm->rank, (long long)i,
                         (long long)n, (double)x[i]);
        for (int r = 0; r < comm->size; r++) {
            comm_part(n, r, comm->size, &begin, &end);
            assert_int_equal(begin, covered);
            covered = end;
        }
        assert_int_equal(covered, n);
        free(x);
    }
}

/* Several sums under way, asked for in any order, with other collective calls in between. */
static void sums_under_way_do_not_meet_other_calls(void **state)
{
    (void)state;
    enum { SUMS = 6 };
    struct comm_sum sum[SUMS];
    for (int k = 0; k < SUMS; k++) {
        int64_t n = 1 + k * 100003;
        sum[k] = (struct comm_sum){.x = fill(n), .n = n};
        if (k % 2)
            sum[k].rounded = malloc((size_t)n * sizeof *sum[k].rounded);
        comm->sum_start(comm, &sum[k]);
        (void)comm->sum_done(comm, &sum[0]);
    }
    double d = 1;
    comm->sum_double(comm, &d, 1);
    assert_true(d == comm->size);
    while (!comm->sum_done(comm, &sum[2]))
        continue;
    for (int k = SUMS - 1; k >= 0; k--) {
        comm->sum_wait(comm, &sum[k]);
        check(sum[k].x, sum[k].n);
        free(sum[k].x);
        free(sum[k].rounded);
    }
}

/* The largest |ours - rank 0's| over all ranks. */
static double disagreement(const float *x, int64_t n)
{
    double worst = 0;
    float *first = malloc((size_t)n * sizeof *first);
    memcpy(first, x, (size_t)n * sizeof *first);
    comm->broadcast(comm, first, (size_t)n * sizeof *first, 0);
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)x[i] - first[i]));
    free(first);
    comm->sum_double(comm, &worst, 1);
    return worst;
}

static void fill_uneven(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = sinf((float)(i + 1) * (1.1f + 0.3f * (float)comm->rank)) + 2;
}

/* Numbers that bf16 does not hold: all ranks get the same, within what comm.h says; twice the same. */
static void rounded_sums_are_near_and_repeat(void **state)
{
    (void)state;
    enum { COUNT = 20011 };
    float *x[2], *exact = malloc(COUNT * sizeof *exact);
    uint16_t *rounded = malloc(COUNT * sizeof *rounded);
    fill_uneven(exact, COUNT);
    comm->sum_float(comm, exact, COUNT);
    for (int k = 0; k < 2; k++) {
        x[k] = malloc(COUNT * sizeof *x[k]);
        fill_uneven(x[k], COUNT);
        struct comm_sum sum = {.x = x[k], .n = COUNT, .rounded = rounded};
        comm->sum_start(comm, &sum);
        comm->sum_wait(comm, &sum);
        assert_true(disagreement(x[k], COUNT) == 0);
    }
    assert_memory_equal(x[0], x[1], COUNT * sizeof *x[0]);
    double square = 0, error = 0, roundings = 1 + log2(comm->size);
    for (int64_t i = 0; i < COUNT; i++) {
        double d = (double)x[0][i] - exact[i];
        assert_true(fabs(d) <= roundings * ldexp(1, -8) * exact[i]);
        error += d * d;
        square += (double)exact[i] * exact[i];
    }
    assert_true(sqrt(error / square) <= ldexp(1, -9) * sqrt(roundings));
    free(x[0]);
    free(x[1]);
    free(exact);
    free(rounded);
}

static void what_is_not_a_number_stays_so(void **state)
{
    (void)state;
    uint32_t low_nan = 0x7f800001; /* its upper half alone would be an infinity */
    float x[3] = {(float)INFINITY, 0, -(float)INFINITY};
    uint16_t rounded[3];
    if (comm->rank == comm->size - 1)
        memcpy(&x[1], &low_nan, sizeof low_nan);
    struct comm_sum sum = {.x = x, .n = 3, .rounded = rounded};
    comm->sum_start(comm, &sum);
    comm->sum_wait(comm, &sum);
    assert_true(x[0] > 0 && isinf(x[0]) && isnan(x[1]) && x[2] < 0 && isinf(x[2]));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_there_on_every_rank),
        cmocka_unit_test(a_broadcast_reaches_every_rank),
        cmocka_unit_test(parts_reach_every_rank),
        cmocka_unit_test(sums_under_way_do_not_meet_other_calls),
        cmocka_unit_test(rounded_sums_are_near_and_repeat),
        cmocka_unit_test(what_is_not_a_number_stays_so),
    };
    comm = comm_self();
    if (argc > 1 && strcmp(argv[1], "mpi") == 0 &&
        comm_mpi_open(&comm, &argc, &argv, NULL) != ST_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm->barrier(comm);
    comm->close(comm);
    return failed;
}
