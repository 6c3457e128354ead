/* The queue as a pure function. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "job/queue.h"

#include <string.h>

#define GIB ((int64_t)1 << 30)

static struct queue_job need(int64_t id, int priority, int64_t cores, int64_t gpus)
{
    return (struct queue_job){id, priority, {cores, gpus, GIB}};
}

static const struct resources node = {8, 2, 64 * GIB};

static void priority_then_age(void **state)
{
    (void)state;
    struct queue_job w[] = {need(3, 50, 2, 0), need(1, 50, 2, 0), need(2, 90, 2, 0)};
    int64_t ids[3];
    assert_int_equal(queue_pick(w, 3, node, ids), 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 1);
    assert_int_equal(ids[2], 3);
}

static void as_many_as_fit(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 3, 0), need(2, 50, 3, 0), need(3, 50, 3, 0)};
    int64_t ids[3];
    assert_int_equal(queue_pick(w, 3, node, ids), 2);
    assert_int_equal(ids[1], 2);
    assert_int_equal(queue_pick(NULL, 0, node, ids), 0);
}

static void a_large_job_is_not_starved(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 8, 0), need(2, 50, 1, 0)};
    int64_t ids[2];
    struct resources half = {4, 2, 64 * GIB};
    assert_int_equal(queue_pick(w, 2, half, ids), 0);
}

static void a_job_that_waits_for_gpus_leaves_cores(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 1, 2), need(2, 50, 4, 0)};
    int64_t ids[2];
    struct resources no_gpu = {8, 0, 64 * GIB};
    assert_int_equal(queue_pick(w, 2, no_gpu, ids), 1);
    assert_int_equal(ids[0], 2);
}

static void memory_counts(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 1, 0)};
    int64_t ids[1];
    w[0].need.memory_bytes = 65 * GIB;
    assert_int_equal(queue_pick(w, 1, node, ids), 0);
}

/* Random queues: never more than there is, and what was passed over did not fit beside all before it. */
static void never_more_than_there_is(void **state)
{
    (void)state;
    struct rng r = {{7, 0, RNG_TEST, 0}, 0};
    for (int round = 0; round < 2000; round++) {
        struct queue_job w[12];
        int64_t ids[12], cores = 0, gpus = 0;
        size_t n = rng_next_below(&r, 13);
        for (size_t i = 0; i < n; i++)
            w[i] = need((int64_t)i + 1, (int)rng_next_below(&r, 3), 1 + rng_next_below(&r, 8),
                        rng_next_below(&r, 3));
        size_t picked = queue_pick(w, n, node, ids);
        for (size_t k = 0; k < picked; k++)
            for (size_t i = 0; i < n; i++)
                if (w[i].id == ids[k]) {
                    cores += w[i].need.cores;
                    gpus += w[i].need.gpus;
                }
        assert_true(cores <= node.cores && gpus <= node.gpus);
        assert_true(n == 0 || picked >= 1);
        if (n > 0) /* the first in order always fits an empty node */
            assert_int_equal(ids[0], w[0].id);
    }
}

static void what_never_fits_is_named(void **state)
{
    (void)state;
    struct err err;
    struct resources ok = {8, 2, 64 * GIB}, cores = {9, 0, 0}, gpus = {1, 4, 0},
                     memory = {1, 0, 128 * GIB};
    assert_int_equal(queue_check_fits(&node, &ok, 4, &err), ST_OK);
    assert_int_equal(queue_check_fits(&node, &cores, 3, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "needs 9 cores (3 ranks x 3 threads) and this daemon has 8"));
    assert_int_equal(queue_check_fits(&node, &gpus, 4, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "needs 4 GPUs (4 ranks x 1) and this daemon has 2"));
    assert_int_equal(queue_check_fits(&node, &memory, 2, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "131072 MiB of memory (2 ranks x 65536 MiB)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_then_age),
        cmocka_unit_test(as_many_as_fit),
        cmocka_unit_test(a_large_job_is_not_starved),
        cmocka_unit_test(a_job_that_waits_for_gpus_leaves_cores),
        cmocka_unit_test(memory_counts),
        cmocka_unit_test(never_more_than_there_is),
        cmocka_unit_test(what_never_fits_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
