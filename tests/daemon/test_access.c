/* test_access.c - the permission table, whose job it is, and how often somebody may call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/access.h"
#include "service/rate.h"

#include <stdio.h>
#include <string.h>

static void the_table_is_that_of_the_document(void **state)
{
    (void)state;
    static const char *const expected[ROLES] = {"+---", "++--", "+++-", "++++"};
    for (int role = 0; role < ROLES; role++)
        for (int right = 0; right < RIGHTS; right++)
            assert_int_equal(access_allows((enum role)role, (enum right)right),
                             expected[role][right] == '+');
    assert_false(access_allows(ROLES, RIGHT_OPEN));
    assert_false(access_allows(ROLE_OPERATOR, RIGHTS));
    assert_string_equal(role_name(ROLE_READ_ONLY), "read-only");
}

static void a_job_is_its_owners(void **state)
{
    (void)state;
    struct err err;
    struct rpc_identity anna = {.name = "anna", .role = ROLE_USER},
                        eye = {.name = "eye", .role = ROLE_READ_ONLY};
    assert_int_equal(access_check_job(&anna, 1, "anna", &err), ST_OK);
    assert_int_equal(access_check_job(&anna, 1, "bert", &err), ST_DENIED);
    assert_null(strstr(err.text, "bert"));
    assert_int_equal(access_check_job(&eye, 1, "bert", &err), ST_OK);
    assert_int_equal(access_check_job(NULL, 1, "anna", &err), ST_DENIED);
    assert_string_equal(access_only_owner(&anna), "anna");
    assert_null(access_only_owner(&eye));
}

static void a_second_has_so_many_calls(void **state)
{
    (void)state;
    struct rates r = {.per_s = 10};
    int taken = 0;
    for (int i = 0; i < 30; i++)
        taken += rate_take(&r, "anna", 1000);
    assert_int_equal(taken, 10);
    assert_true(rate_take(&r, "bert", 1000));
    assert_false(rate_take(&r, "anna", 1050));
    assert_true(rate_take(&r, "anna", 1100));
    assert_false(rate_take(&r, "anna", 1100));
    /* A long rest saves up a second's worth, not more. */
    for (int i = taken = 0; i < 30; i++)
        taken += rate_take(&r, "anna", 1000000);
    assert_int_equal(taken, 10);
}

static void many_names_push_out_the_quietest(void **state)
{
    (void)state;
    struct rates r = {.per_s = 1};
    char name[16];
    assert_true(rate_take(&r, "anna", 1));
    assert_false(rate_take(&r, "anna", 2));
    for (int i = 0; i < RATE_NAMES - 1; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_true(rate_take(&r, name, 3));
    }
    assert_false(rate_take(&r, "anna", 4)); /* still known */
    assert_true(rate_take(&r, "one more", 5));
    assert_false(rate_take(&r, "anna", 6));
    struct rates none = {.per_s = 0};
    for (int i = 0; i < 100; i++)
        assert_true(rate_take(&none, "anna", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_that_of_the_document),
        cmocka_unit_test(a_job_is_its_owners),
        cmocka_unit_test(a_second_has_so_many_calls),
        cmocka_unit_test(many_names_push_out_the_quietest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
