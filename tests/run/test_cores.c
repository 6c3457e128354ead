/* Ranks that were left on the same cores get parts that do not touch; never more threads than cores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/cores.h"

#include <errno.h>
#include <stdio.h>

/* A machine of more CPUs than a cpu_set_t has bits. */
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    (void)pid;
    (void)size;
    (void)set;
    errno = EINVAL;
    return -1;
}

static const int straight[8] = {0, 1, 2, 3, 4, 5, 6, 7};

static struct rank_cores rank_on(const char *host, int from, int to)
{
    struct rank_cores r = {0};
    snprintf(r.host, sizeof r.host, "%s", host);
    for (int i = from; i < to; i++)
        CPU_SET(i, &r.may);
    return r;
}

static void share(const struct rank_cores *rank, int n, int me, const int *order, int threads,
                  struct cores_share *ret_share)
{
    struct cores_met met = {0};
    for (int i = 0; i < n; i++)
        cores_meet(&met, &rank[me], me, &rank[i], i);
    cores_share(&rank[me], &met, order, 8, threads, ret_share);
}

static void left_together_they_part(void **state)
{
    (void)state;
    struct rank_cores rank[3];
    struct cores_share s;
    cpu_set_t all, both;
    CPU_ZERO(&all);
    for (int i = 0; i < 3; i++)
        rank[i] = rank_on("a", 0, 8);
    for (int i = 0; i < 3; i++) {
        share(rank, 3, i, straight, 2, &s);
        assert_true(s.alone);
        assert_int_equal(s.threads, 2);
        assert_true(CPU_COUNT(&s.use) >= 2);
        CPU_AND(&both, &all, &s.use);
        assert_int_equal(CPU_COUNT(&both), 0);
        CPU_OR(&all, &all, &s.use);
    }
    assert_int_equal(CPU_COUNT(&all), 8);
}

/* CPUs k and k + 4 are one core. */
static void siblings_stay_together(void **state)
{
    (void)state;
    static const int order[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    const struct rank_cores rank[2] = {rank_on("a", 0, 8), rank_on("a", 0, 8)};
    struct cores_share s;
    share(rank, 2, 1, order, 1, &s);
    assert_true(CPU_ISSET(2, &s.use) && CPU_ISSET(6, &s.use) && CPU_ISSET(3, &s.use) &&
                CPU_ISSET(7, &s.use));
    assert_int_equal(CPU_COUNT(&s.use), 4);
}

static void what_the_launcher_bound_stays(void **state)
{
    (void)state;
    const struct rank_cores rank[3] = {rank_on("a", 0, 2), rank_on("a", 2, 4), rank_on("b", 0, 2)};
    struct cores_share s;
    for (int i = 0; i < 3; i++) {
        share(rank, 3, i, straight, 2, &s);
        assert_true(s.alone && CPU_EQUAL(&s.use, &rank[i].may));
        assert_int_equal(s.threads, 2);
    }
}

static void too_many_threads_become_fewer(void **state)
{
    (void)state;
    const struct rank_cores rank[3] = {rank_on("a", 0, 4), rank_on("a", 0, 4), rank_on("a", 6, 7)};
    struct cores_share s;
    share(rank, 2, 1, straight, 3, &s); /* 2 x 3 on 4 */
    assert_true(s.alone);
    assert_int_equal(s.threads, 2);
    share(rank, 3, 2, straight, 3, &s); /* mpirun's own binding to one core */
    assert_int_equal(s.threads, 1);
}

static void too_many_ranks_stay_loose(void **state)
{
    (void)state;
    const struct rank_cores rank[3] = {rank_on("a", 0, 2), rank_on("a", 0, 2), rank_on("a", 0, 2)};
    const struct rank_cores crossed[2] = {rank_on("a", 0, 4), rank_on("a", 2, 6)};
    struct cores_share s;
    share(rank, 3, 0, straight, 4, &s);
    assert_false(s.alone);
    assert_int_equal(s.threads, 1);
    share(crossed, 2, 0, straight, 2, &s);
    assert_false(s.alone);
    assert_int_equal(s.threads, 2);
    assert_true(CPU_EQUAL(&s.use, &crossed[0].may));
}

static void crossed_ranks_run_no_more_threads_than_cores(void **state)
{
    (void)state;
    const struct rank_cores rank[3] = {rank_on("a", 0, 4), rank_on("a", 2, 6), rank_on("a", 2, 6)};
    struct cores_share s;
    int threads = 0;
    for (int i = 0; i < 3; i++) {
        share(rank, 3, i, straight, 4, &s);
        threads += s.threads;
    }
    assert_true(threads <= 6);
}

static void one_name_is_not_one_machine(void **state)
{
    (void)state;
    struct rank_cores rank[2] = {rank_on("node", 0, 2), rank_on("node", 0, 2)};
    struct cores_share s;
    snprintf(rank[0].boot, sizeof rank[0].boot, "one");
    snprintf(rank[1].boot, sizeof rank[1].boot, "other");
    share(rank, 2, 1, straight, 2, &s);
    assert_true(s.alone && CPU_EQUAL(&s.use, &rank[1].may));
    assert_int_equal(s.threads, 2);
}

static void broadcast_alone(struct comm *c, void *data, size_t bytes, int root)
{
    (void)c;
    (void)data;
    (void)bytes;
    (void)root;
}

static void cpus_without_a_list_are_left_alone(void **state)
{
    (void)state;
    struct comm comm = {.size = 1, .broadcast = broadcast_alone};
    struct binding b = {0};
    int64_t threads = 3;
    cores_settle(&comm, &threads, &b);
    assert_int_equal(threads, 3);
    assert_false(b.pinned);
    assert_string_equal(b.unbound, "this machine's CPUs cannot be listed");
    assert_string_equal(b.lowered, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(left_together_they_part),
        cmocka_unit_test(siblings_stay_together),
        cmocka_unit_test(what_the_launcher_bound_stays),
        cmocka_unit_test(too_many_threads_become_fewer),
        cmocka_unit_test(too_many_ranks_stay_loose),
        cmocka_unit_test(crossed_ranks_run_no_more_threads_than_cores),
        cmocka_unit_test(one_name_is_not_one_machine),
        cmocka_unit_test(cpus_without_a_list_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
