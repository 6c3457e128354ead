/* The queue and the placing as pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "job/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GIB ((int64_t)1 << 30)
#define MOST 8 /* nodes, jobs of one test */

/* One rank of so many cores and GPUs. */
static struct queue_job need(int64_t id, int priority, int64_t cores, int64_t gpus)
{
    return (struct queue_job){id, priority, {1, {cores, gpus, GIB}, PLACE_ANYWHERE}};
}

static struct queue_job gang_of(int64_t id, int ranks, int64_t cores)
{
    return (struct queue_job){id, 50, {ranks, {cores, 0, GIB}, PLACE_ANYWHERE}};
}

static struct node rows[MOST];
static struct nodes set;

/* Nodes "n0", "n1", ... with so many cores; the first is the daemon's. */
static const struct nodes *nodes_of(int n, const int64_t *cores, int64_t gpus)
{
    set = (struct nodes){n, rows};
    for (int i = 0; i < n; i++) {
        rows[i] = (struct node){.has = {cores[i], gpus, 64 * GIB}, .local = i == 0};
        snprintf(rows[i].host, sizeof rows[i].host, "n%d", i);
    }
    return &set;
}

static const struct nodes *one_node(void)
{
    return nodes_of(1, (const int64_t[]){8}, 2);
}

struct picked {
    size_t n;
    int64_t id[64];
    int on[64][MOST];
};

static bool note_start(const struct queue_job *job, const int *on, void *user)
{
    struct picked *p = user;
    p->id[p->n] = job->id;
    memcpy(p->on[p->n++], on, (size_t)set.n * sizeof *on);
    return true;
}

static struct picked pick_from(struct queue_job *w, size_t n, struct resources *room)
{
    struct picked p = {0};
    queue_pick(w, n, &set, room, note_start, &p);
    return p;
}

/* On empty nodes. */
static struct picked pick(struct queue_job *w, size_t n)
{
    struct resources room[MOST];
    for (int i = 0; i < set.n; i++)
        room[i] = set.list[i].has;
    return pick_from(w, n, room);
}

/* ---- the order -------------------------------------------------------------------------------- */

static void priority_then_age(void **state)
{
    (void)state;
    struct queue_job w[] = {need(3, 50, 2, 0), need(1, 50, 2, 0), need(2, 90, 2, 0)};
    one_node();
    struct picked p = pick(w, 3);
    assert_int_equal(p.n, 3);
    assert_int_equal(p.id[0], 2);
    assert_int_equal(p.id[1], 1);
    assert_int_equal(p.id[2], 3);
}

static void as_many_as_fit(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 3, 0), need(2, 50, 3, 0), need(3, 50, 3, 0)};
    one_node();
    struct picked p = pick(w, 3);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.id[1], 2);
    assert_int_equal(pick(NULL, 0).n, 0);
}

static void a_large_job_is_not_passed_by(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 8, 0), need(2, 50, 1, 0)};
    struct resources half = {4, 2, 64 * GIB};
    one_node();
    assert_int_equal(pick_from(w, 2, &half).n, 0);
}

static void a_job_that_waits_for_gpus_leaves_cores(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 1, 2), need(2, 50, 4, 0)};
    struct resources no_gpu = {8, 0, 64 * GIB};
    one_node();
    struct picked p = pick_from(w, 2, &no_gpu);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.id[0], 2);
}

static void memory_counts(void **state)
{
    (void)state;
    struct queue_job w[] = {need(1, 50, 1, 0)};
    w[0].gang.each.memory_bytes = 65 * GIB;
    one_node();
    assert_int_equal(pick(w, 1).n, 0);
}

/* ---- several nodes ---------------------------------------------------------------------------- */

static void one_node_is_better_than_two(void **state)
{
    (void)state;
    struct queue_job w[] = {gang_of(1, 4, 1)};
    nodes_of(3, (const int64_t[]){3, 8, 4}, 0);
    struct picked p = pick(w, 1);
    assert_int_equal(p.on[0][2], 4); /* the one that is left fullest */
}

static void a_gang_spreads_when_it_must(void **state)
{
    (void)state;
    struct queue_job w[] = {gang_of(1, 5, 2)};
    nodes_of(3, (const int64_t[]){4, 4, 7}, 0);
    struct picked p = pick(w, 1);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.on[0][2], 3); /* 7 cores hold 3 ranks of 2 */
    assert_int_equal(p.on[0][0], 2);
    assert_int_equal(p.on[0][1], 0);
}

static void all_ranks_or_none(void **state)
{
    (void)state;
    struct queue_job w[] = {gang_of(1, 3, 3)};
    struct resources room[] = {{4, 0, 64 * GIB}, {5, 0, 64 * GIB}};
    nodes_of(2, (const int64_t[]){4, 8}, 0); /* 9 cores are free, but not 3 x 3 */
    assert_int_equal(pick_from(w, 1, room).n, 0);
}

static void what_waits_keeps_one_place_and_leaves_the_rest(void **state)
{
    (void)state;
    struct queue_job w[] = {gang_of(1, 4, 1), need(2, 50, 1, 0), need(3, 50, 1, 0)};
    struct resources room[] = {{2, 0, 64 * GIB}, {1, 0, 64 * GIB}};
    nodes_of(2, (const int64_t[]){4, 2}, 0);
    w[0].gang.ranks = 4;
    w[0].gang.each.memory_bytes = 0;
    room[1].memory_bytes = 2 * GIB;
    rows[1].has.memory_bytes = 2 * GIB;
    struct picked p = pick_from(w, 3, room); /* job 1 waits for n0, whose two free cores are its */
    assert_int_equal(p.n, 1);
    assert_int_equal(p.id[0], 2);
    assert_int_equal(p.on[0][1], 1);
}

static void drained_nodes_take_nothing(void **state)
{
    (void)state;
    struct queue_job w[] = {gang_of(1, 2, 1), gang_of(2, 1, 8)};
    nodes_of(2, (const int64_t[]){2, 8}, 0);
    rows[1].drained = true;
    struct picked p = pick(w, 2);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.on[0][0], 2);
}

static void a_node_to_avoid_is_avoided_where_there_is_a_choice(void **state)
{
    (void)state;
    struct queue_job w[] = {gang_of(1, 2, 1)};
    nodes_of(2, (const int64_t[]){2, 8}, 0);
    w[0].gang.avoid = 0;
    assert_int_equal(pick(w, 1).on[0][1], 2);
    w[0].gang.avoid = 1;
    w[0].gang.ranks = 3;
    assert_int_equal(pick(w, 1).on[0][1], 3); /* better there than nowhere */
}

static void what_never_fits_is_named(void **state)
{
    (void)state;
    struct err err;
    struct gang ok = {4, {2, 0, GIB}, -1}, cores = {3, {3, 0, 0}, -1}, gpus = {4, {1, 1, 0}, -1},
                memory = {2, {1, 0, 64 * GIB}, -1}, split = {2, {5, 0, 0}, -1};
    const struct nodes *n = one_node();
    assert_int_equal(place_check_fits(n, &ok, &err), ST_OK);
    assert_int_equal(place_check_fits(n, &cores, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "needs 9 cores (3 ranks x 3 threads) and this daemon has 8"));
    assert_int_equal(place_check_fits(n, &gpus, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "needs 4 GPUs (4 ranks x 1) and this daemon has 2"));
    assert_int_equal(place_check_fits(n, &memory, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "131072 MiB of memory (2 ranks x 65536 MiB)"));
    n = nodes_of(2, (const int64_t[]){4, 6}, 0);
    assert_int_equal(place_check_fits(n, &split, &err), ST_LIMIT);
    assert_non_null(strstr(err.text, "only 1 of the job's 2 ranks have room on the 2 nodes"));
    assert_non_null(strstr(err.text, "needs 5 cores"));
}

/* ---- cores and GPUs --------------------------------------------------------------------------- */

static void ranks_get_cores_and_gpus_of_their_own(void **state)
{
    (void)state;
    const struct nodes *n = nodes_of(2, (const int64_t[]){4, 8}, 3);
    struct rooms *rooms = rooms_create(n);
    struct gang g = {3, {2, 1, GIB}, PLACE_ANYWHERE};
    struct placement *first = rooms_place(rooms, &g, (const int[]){1, 2}), *second, *back = NULL;
    assert_int_equal(first->node[0], 0); /* rank 0 beside the daemon */
    assert_int_equal(first->node[2], 1);
    assert_int_equal(first->core[4], 2); /* rank 2: cores 2 and 3 of n1 */
    assert_int_equal(first->gpu[2], 1);
    assert_int_equal(rooms->free[1].cores, 4);
    assert_int_equal(rooms->free[1].memory_bytes, 62 * GIB);
    g.ranks = 1;
    second = rooms_place(rooms, &g, (const int[]){1, 0});
    assert_int_equal(second->core[0], 2);
    assert_int_equal(second->gpu[0], 1);
    assert_null(rooms_place(rooms, &g, (const int[]){1, 0}));
    char *text = placement_print(first, n);
    assert_non_null(strstr(text, "\"host\":\"n1\""));
    struct err err;
    assert_int_equal(placement_parse(&back, text, n, &err), ST_OK);
    assert_memory_equal(back->core, first->core, 6 * sizeof(int));
    assert_memory_equal(back->node, first->node, 3 * sizeof(int));
    free(text);
    placement_destroy(back);
    placement_destroy(first);
    placement_destroy(second);
    rooms_destroy(rooms);
}

static void a_placement_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "[1]",
                                      "[{\"host\":\"a\"}]",
                                      "[{\"host\":\"a\",\"cores\":[0],\"gpus\":[]},{\"host\":\"a\","
                                      "\"cores\":[1,2],\"gpus\":[]}]"};
    struct placement *p = NULL;
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_not_equal(placement_parse(&p, bad[i], one_node(), &err), ST_OK);
    assert_int_equal(
        placement_parse(&p, "[{\"host\":\"gone\",\"cores\":[0],\"gpus\":[]}]", one_node(), &err),
        ST_OK);
    assert_int_equal(p->node[0], -1); /* that node left the configuration: the job counts nowhere */
    struct rooms *rooms = rooms_create(&set);
    rooms_take(rooms, p, GIB);
    assert_int_equal(rooms->free[0].cores, 8);
    rooms_destroy(rooms);
    placement_destroy(p);
}

/* ---- at random -------------------------------------------------------------------------------- */

static void random_nodes(struct rng *r)
{
    int64_t cores[4];
    for (int i = 0; i < 4; i++)
        cores[i] = 1 + rng_next_below(r, 8);
    nodes_of(1 + (int)rng_next_below(r, 4), cores, rng_next_below(r, 3));
}

static struct queue_job random_job(struct rng *r, int64_t id)
{
    struct queue_job j =
        need(id, (int)rng_next_below(r, 3), 1 + rng_next_below(r, 4), rng_next_below(r, 2));
    j.gang.ranks = 1 + (int)rng_next_below(r, 4);
    return j;
}

/* Never more on a node than it has, all ranks of a job at once, and the first in order starts if it can at all. */
static void never_more_than_there_is(void **state)
{
    (void)state;
    struct rng r = {{7, 0, RNG_TEST, 0}, 0};
    struct err err;
    for (int round = 0; round < 3000; round++) {
        struct queue_job w[12];
        struct resources used[MOST] = {{0}};
        random_nodes(&r);
        size_t n = rng_next_below(&r, 13);
        for (size_t i = 0; i < n; i++)
            w[i] = random_job(&r, (int64_t)i + 1);
        struct picked p = pick(w, n);
        for (size_t k = 0; k < p.n; k++) {
            int ranks = 0;
            size_t i = 0;
            while (w[i].id != p.id[k])
                i++;
            for (int at = 0; at < set.n; at++) {
                ranks += p.on[k][at];
                used[at].cores += p.on[k][at] * w[i].gang.each.cores;
                used[at].gpus += p.on[k][at] * w[i].gang.each.gpus;
            }
            assert_int_equal(ranks, w[i].gang.ranks);
        }
        for (int at = 0; at < set.n; at++)
            assert_true(used[at].cores <= rows[at].has.cores && used[at].gpus <= rows[at].has.gpus);
        if (n > 0 && place_check_fits(&set, &w[0].gang, &err) == ST_OK)
            assert_int_equal(p.id[0], w[0].id);
    }
}

#define CROWD 40 /* jobs that may be there at a time */

struct life {
    struct queue_job job;
    struct placement *at; /* NULL: waits */
    int ends;
};

struct crowd {
    struct life life[CROWD];
    int n, now;
    struct rooms *rooms; /* of this moment */
    struct rng *rng;
};

static bool start_life(const struct queue_job *job, const int *on, void *user)
{
    struct crowd *c = user;
    for (int i = 0; i < c->n; i++)
        if (c->life[i].job.id == job->id) {
            c->life[i].at = rooms_place(c->rooms, &job->gang, on);
            c->life[i].ends = c->now + 1 + (int)rng_next_below(c->rng, 9);
            assert_non_null(c->life[i].at);
        }
    return true;
}

/* Of all that run now, no two have the same core of the same node. */
static void assert_apart(const struct crowd *c)
{
    static bool taken[4][16];
    memset(taken, 0, sizeof taken);
    for (int i = 0; i < c->n; i++)
        for (int k = 0; c->life[i].at && k < c->life[i].at->ranks * c->life[i].at->threads; k++) {
            bool *t =
                &taken[c->life[i].at->node[k / c->life[i].at->threads]][c->life[i].at->core[k]];
            assert_false(*t);
            *t = true;
        }
}

static void one_moment(struct crowd *c)
{
    struct queue_job w[CROWD];
    size_t n = 0;
    int kept = 0;
    for (int i = 0; i < c->n; i++) {
        if (c->life[i].at && c->life[i].ends <= c->now)
            placement_destroy(c->life[i].at);
        else
            c->life[kept++] = c->life[i];
    }
    c->n = kept;
    c->rooms = rooms_create(&set);
    for (int i = 0; i < c->n; i++) {
        if (c->life[i].at)
            rooms_take(c->rooms, c->life[i].at, GIB);
        else
            w[n++] = c->life[i].job;
    }
    struct resources room[MOST];
    memcpy(room, c->rooms->free, (size_t)set.n * sizeof *room);
    queue_pick(w, n, &set, room, start_life, c);
    rooms_destroy(c->rooms);
    assert_apart(c);
}

/* A stream of small jobs that never ends does not keep a large one from starting, whatever runs when. */
static void nothing_starves(void **state)
{
    (void)state;
    struct rng r = {{9, 0, RNG_TEST, 0}, 0};
    for (int round = 0; round < 60; round++) {
        struct crowd c = {.rng = &r};
        int64_t cores[] = {2 + rng_next_below(&r, 6), 2 + rng_next_below(&r, 6),
                           2 + rng_next_below(&r, 6)};
        int64_t large = 1000, id = 1;
        bool started = false;
        nodes_of(3, cores, 0);
        struct queue_job big = gang_of(large, (int)(cores[0] + cores[1] + cores[2]), 1);
        if (round % 2)
            big.gang = (struct gang){2, {2, 0, GIB}, PLACE_ANYWHERE};
        for (c.now = 0; !started && c.now < 400; c.now++) {
            while (c.n < CROWD - 1 && rng_next_below(&r, 4) != 0)
                c.life[c.n++] =
                    (struct life){.job = gang_of(c.now < 20 ? id++ : 1000 + id++, 1, 1)};
            if (c.now == 20)
                c.life[c.n++] = (struct life){.job = big};
            for (int i = 0; i < c.n; i++)
                started |= c.life[i].job.id == large && c.life[i].at;
            one_moment(&c);
            for (int i = 0; i < c.n; i++)
                started |= c.life[i].job.id == large && c.life[i].at;
        }
        for (int i = 0; i < c.n; i++)
            placement_destroy(c.life[i].at);
        assert_true(started);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_then_age),
        cmocka_unit_test(as_many_as_fit),
        cmocka_unit_test(a_large_job_is_not_passed_by),
        cmocka_unit_test(a_job_that_waits_for_gpus_leaves_cores),
        cmocka_unit_test(memory_counts),
        cmocka_unit_test(one_node_is_better_than_two),
        cmocka_unit_test(a_gang_spreads_when_it_must),
        cmocka_unit_test(all_ranks_or_none),
        cmocka_unit_test(what_waits_keeps_one_place_and_leaves_the_rest),
        cmocka_unit_test(drained_nodes_take_nothing),
        cmocka_unit_test(a_node_to_avoid_is_avoided_where_there_is_a_choice),
        cmocka_unit_test(what_never_fits_is_named),
        cmocka_unit_test(ranks_get_cores_and_gpus_of_their_own),
        cmocka_unit_test(a_placement_that_is_none_is_refused),
        cmocka_unit_test(never_more_than_there_is),
        cmocka_unit_test(nothing_starves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
