/* test_agree.c - which failure the ranks agree on, with as many ranks as a job may have: each a thread. */
#include "run/run.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RANKS 1100

/* ---- the transport --------------------------------------------------------------------------- */

static pthread_barrier_t all;
static double term[RANKS];
static void *source;

/* Between the two barriers everybody's term is there; after them it may be written anew. */
static double sum(const struct comm *c, double x)
{
    double sum = 0;
    term[c->rank] = x;
    pthread_barrier_wait(&all);
    for (int i = 0; i < c->size; i++)
        sum += term[i];
    pthread_barrier_wait(&all);
    return sum;
}

static void sum_double(struct comm *c, double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = sum(c, x[i]);
}

static void broadcast(struct comm *c, void *data, size_t bytes, int root)
{
    if (c->rank == root)
        source = data;
    pthread_barrier_wait(&all);
    if (c->rank != root)
        memcpy(data, source, bytes);
    pthread_barrier_wait(&all);
}

/* ---- ranks ----------------------------------------------------------------------------------- */

struct rank {
    struct comm comm;
    struct run run;
    enum status own, agreed;
    struct err err;
};
static struct rank ranks[RANKS];

static void *agree(void *arg)
{
    struct rank *r = arg;
    if (r->own != ST_OK)
        err_set(&r->err, r->own, "disk %d is full", r->comm.rank);
    r->agreed = run_agree(&r->run, r->own, &r->err);
    return NULL;
}

/* Ranks [first, end) of `size` fail: the first with ST_IO, those after it with others. */
static void meet(int size, int first, int end)
{
    pthread_t thread[RANKS];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    pthread_barrier_init(&all, NULL, (unsigned)size);
    for (int i = 0; i < size; i++) {
        struct rank *r = &ranks[i];
        *r = (struct rank){
            .comm = {.rank = i, .size = size, .sum_double = sum_double, .broadcast = broadcast}};
        r->run.comm = &r->comm;
        r->own = i < first || i >= end ? ST_OK : i == first ? ST_IO : ST_CORRUPT;
        assert_int_equal(pthread_create(&thread[i], &attr, agree, r), 0);
    }
    for (int i = 0; i < size; i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&all);
    pthread_attr_destroy(&attr);
}

static void expect_first(int size, int first, int end)
{
    char own[64], others[96];
    snprintf(own, sizeof own, "disk %d is full", first);
    snprintf(others, sizeof others, "rank %d: %s", first, own);
    meet(size, first, end);
    for (int i = 0; i < size; i++) {
        assert_int_equal(ranks[i].agreed, ST_IO);
        assert_int_equal(ranks[i].err.code, ST_IO);
        assert_string_equal(ranks[i].err.text, i == first ? own : others);
    }
}

static void the_lowest_rank_that_failed_speaks(void **state)
{
    (void)state;
    expect_first(1, 0, 1);
    expect_first(2, 1, 2);
    expect_first(3, 0, 3);
    expect_first(7, 4, 5);
    /* A sum of many failures must not look like one of a lower rank. */
    expect_first(64, 8, 64);
    expect_first(128, 64, 128);
    expect_first(RANKS, 1000, RANKS);
}

static void nobody_failed(void **state)
{
    (void)state;
    meet(5, 5, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ranks[i].agreed, ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_rank_that_failed_speaks),
        cmocka_unit_test(nobody_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
