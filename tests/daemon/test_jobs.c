/* The table of jobs that are not over: what it keeps count of is what a walk through it finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "job/jobs.h"

static const struct resources node = {64, 8, INT64_C(1) << 40};

static struct job draw_job(struct rng *rng, int64_t id)
{
    return (struct job){
        .id = id,
        .state = JOB_QUEUED,
        .need = {1 + rng_next_below(rng, 3), rng_next_below(rng, 2), rng_next_below(rng, 1000)},
        .in_slurm = rng_next_below(rng, 4) == 0};
}

static struct jobs_load walk(const struct jobs *jobs, int64_t *ret_in_slurm)
{
    struct jobs_load load = {.free = node};
    *ret_in_slurm = 0;
    for (size_t i = 0; i < jobs->n; i++) {
        const struct job *job = &jobs->list[i]->job;
        load.running += job_state_holds(job->state);
        load.waiting += job_state_is_waiting(job->state);
        *ret_in_slurm += job_state_is_waiting(job->state) && job->in_slurm;
        if (job_state_holds(job->state) && !job->in_slurm)
            resources_take(&load.free, &job->need);
    }
    return load;
}

static void check(const struct jobs *jobs)
{
    int64_t in_slurm;
    size_t changed = 0, listed = 0;
    struct jobs_load found = walk(jobs, &in_slurm), kept = jobs_load(jobs, &node);
    assert_memory_equal(&found, &kept, sizeof found);
    assert_int_equal(jobs->waiting_in_slurm, in_slurm);
    for (size_t i = 0; i < jobs->n; i++)
        changed += jobs->list[i]->changed;
    for (const struct active *a = jobs->changed; a; a = a->next_changed, listed++)
        assert_ptr_equal(jobs_find(jobs, a->job.id), a);
    assert_int_equal(listed, changed);
    assert_int_equal(jobs->n_changed, changed);
}

static void counts_are_what_a_walk_finds(void **state)
{
    (void)state;
    static const enum job_state states[] = {JOB_HELD,     JOB_QUEUED,   JOB_SUBMITTED, JOB_RUNNING,
                                            JOB_STOPPING, JOB_REQUEUED, JOB_COMPLETED, JOB_FAILED};
    struct jobs *jobs;
    struct rng rng = {.key = {.seed = 7, .purpose = RNG_TEST}};
    int64_t next_id = 1;
    assert_int_equal(jobs_create(&jobs, NULL), ST_OK);
    for (int i = 0; i < 20000; i++) {
        uint32_t what = rng_next_below(&rng, 10);
        if (what < 2 && jobs->n < 40) {
            struct job job = draw_job(&rng, next_id++);
            assert_int_equal(jobs_add(jobs, &job, NULL), ST_OK);
        } else if (what < 8 && jobs->n > 0) {
            struct active *a = jobs->list[rng_next_below(&rng, (uint32_t)jobs->n)];
            struct job job = a->job;
            job.state = states[rng_next_below(&rng, sizeof states / sizeof *states)];
            jobs_set(jobs, a, &job);
        } else if (what == 8) {
            jobs_take_changed(jobs);
        } else {
            jobs_drop_over(jobs);
            assert_int_equal(jobs->over, 0);
        }
        check(jobs);
    }
    jobs_destroy(jobs);
}

static void what_changed_comes_out_in_order(void **state)
{
    (void)state;
    struct jobs *jobs;
    struct rng rng = {.key = {.seed = 8, .purpose = RNG_TEST}};
    assert_int_equal(jobs_create(&jobs, NULL), ST_OK);
    for (int64_t id = 1; id <= 3; id++) {
        struct job job = draw_job(&rng, id);
        assert_int_equal(jobs_add(jobs, &job, NULL), ST_OK);
        jobs_take_changed(jobs);
    }
    static const int64_t order[] = {3, 1, 2, 1};
    for (size_t i = 0; i < 4; i++) {
        struct active *a = jobs_find(jobs, order[i]);
        struct job job = a->job;
        jobs_set(jobs, a, &job);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(jobs_take_changed(jobs)->job.id, order[i]);
    assert_null(jobs_take_changed(jobs));
    jobs_destroy(jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_what_a_walk_finds),
        cmocka_unit_test(what_changed_comes_out_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
