/* test_backend.c - what a job computes with, and what it is told where the processor cannot. */
#include "engine/backend/cpu/pool.h"
#include "jobfile/schema.h"
#include "run/moments.h"
#include "run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool rounding_there;
static const struct backend cpu = {.name = "cpu"}, rounding = {.name = "cpu-bf16"};

const struct backend *__wrap_backend_find(const char *name);
const struct backend *__wrap_backend_find(const char *name)
{
    if (strcmp(name, "cpu") == 0)
        return &cpu;
    return rounding_there && strcmp(name, "cpu-bf16") == 0 ? &rounding : NULL;
}

static void precision_chooses(void **state)
{
    (void)state;
    struct jobfile job = {.train_precision = PRECISION_F32};
    const struct backend *be = NULL;
    struct err err;
    assert_int_equal(run_backend(&be, &job, &err), ST_OK);
    assert_ptr_equal(be, &cpu);
    rounding_there = true;
    job.train_precision = PRECISION_BF16;
    assert_int_equal(run_backend(&be, &job, &err), ST_OK);
    assert_ptr_equal(be, &rounding);
}

static void refusal_names_the_remedy(void **state)
{
    (void)state;
    const struct jobfile job = {.train_precision = PRECISION_BF16};
    const struct backend *be = NULL;
    struct err err;
    rounding_there = false;
    assert_int_equal(run_backend(&be, &job, &err), ST_UNSUPPORTED);
    assert_null(be);
    assert_non_null(strstr(err.text, "set train.precision: f32"));
}

/* Fewer threads than a job was given cores for would leave them idle, and say nothing. */
static void all_threads_that_may_be_asked_for_can_be_had(void **state)
{
    (void)state;
    assert_true(POOL_MAX >= schema_keys[KEY_resources_threads].hi);
}

static void so_many_moments_are_not_shared_out(void **state)
{
    (void)state;
    struct jobfile job = {.train_shard_optimizer = true};
    struct comm comm = {.size = 2};
    const struct run r = {.job = &job, .comm = &comm};
    struct err err;
    assert_int_equal(moments_check(&r, INT32_MAX, &err), ST_OK);
    assert_int_equal(moments_check(&r, (int64_t)INT32_MAX + 1, &err), ST_UNSUPPORTED);
    assert_non_null(strstr(err.text, "has 2147483648 parameters"));
    comm.size = 1;
    assert_int_equal(moments_check(&r, (int64_t)INT32_MAX + 1, &err), ST_OK);
    comm.size = 2;
    job.train_shard_optimizer = false;
    assert_int_equal(moments_check(&r, (int64_t)INT32_MAX + 1, &err), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precision_chooses), cmocka_unit_test(refusal_names_the_remedy),
        cmocka_unit_test(all_threads_that_may_be_asked_for_can_be_had),
        cmocka_unit_test(so_many_moments_are_not_shared_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
