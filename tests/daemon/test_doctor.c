/* The doctor's judgements on file systems nobody has here, what it reads from ranks, and the table of advice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "doctor/doctor.h"
#include "job/advice.h"

#include <stdlib.h>
#include <string.h>

static struct doctor *fresh(void **state)
{
    struct doctor *d = *state;
    memset(d, 0, sizeof *d);
    return d;
}

static void a_store_on_a_shared_file_system_is_named(void **state)
{
    struct doctor *d = fresh(state);
    judge_store(d, "/home/x/espalier.db", 0x6969);
    assert_int_equal(d->list[0].result, CHECK_WARNING);
    assert_non_null(strstr(d->list[0].text, "/home/x/espalier.db lies on NFS"));
    assert_non_null(strstr(d->list[0].remedy, "set store: "));
    judge_store(d, "/home/x", 0xff534d42); /* a magic number with the sign bit */
    assert_non_null(strstr(d->list[1].text, "on CIFS"));
    judge_store(d, "/home/x", (long)(int)0xff534d42); /* as a signed field gives it */
    assert_non_null(strstr(d->list[2].text, "on CIFS"));
    judge_store(d, "/var/lib", 0xef53);
    assert_int_equal(d->list[3].result, CHECK_OK);
}

static void a_full_disk_is_a_fault(void **state)
{
    struct doctor *d = fresh(state);
    judge_disk(d, "/data", (uint64_t)10 << 20, 1000000);
    assert_int_equal(d->list[0].result, CHECK_FAULT);
    assert_non_null(strstr(d->list[0].text, "10 MiB"));
    judge_disk(d, "/data", (uint64_t)1 << 30, 1000000);
    assert_int_equal(d->list[1].result, CHECK_WARNING);
    judge_disk(d, "/data", (uint64_t)1 << 40, 10);
    assert_int_equal(d->list[2].result, CHECK_FAULT);
    assert_non_null(strstr(d->list[2].text, "room for 10 files"));
    judge_disk(d, "/data", (uint64_t)1 << 40, 1000000);
    assert_int_equal(d->list[3].result, CHECK_OK);
}

static void too_many_checks_overwrite_the_last(void **state)
{
    struct doctor *d = fresh(state);
    for (int i = 0; i < CHECKS_MAX + 5; i++)
        doctor_say(d, "x", CHECK_OK, "number %d", i);
    assert_int_equal(d->n, CHECKS_MAX);
    assert_string_equal(d->list[CHECKS_MAX - 1].text, "number 260");
}

static void probes_are_found_among_other_lines(void **state)
{
    (void)state;
    struct buf b;
    struct probe p[2];
    char words[20];
    buf_init(&b, 1 << 16);
    buf_puts(&b,
             "----\n  warning of mpirun {not json}\n"
             "{\"rank\": 1, \"ranks\": 2, \"host\": \"a\", \"cpus\": 3, \"gpus\": 1, \"version\": "
             "\"9\"}\n"
             "[1,0]<stdout>:{\"rank\": 0, \"ranks\": 2, \"host\": \"b\", \"home\": \"ok\"}\nend");
    assert_int_equal(probes_read(&b, p, 2), 2);
    assert_int_equal(p[0].rank, 1);
    assert_int_equal(p[0].gpus, 1);
    assert_string_equal(p[1].host, "b");
    assert_string_equal(p[1].home, "ok");
    first_words(&b, words, sizeof words);
    assert_string_equal(words, "warning of mpirun {");
    buf_clear(&b);
    buf_puts(&b, "{}\n{\"rank\": 0}\n{\n");
    assert_int_equal(probes_read(&b, p, 2), 0);
    buf_fini(&b);
}

static void a_program_that_hangs_is_given_up(void **state)
{
    (void)state;
    const char *hang[] = {"sh", "-c", "echo begun; sleep 60 & sleep 60", NULL};
    const char *gone[] = {"espalier-no-such-program", NULL}, *bad[] = {"sh", "-c", "exit 7", NULL};
    struct buf b;
    struct err err;
    int code = 0;
    buf_init(&b, 1 << 16);
    assert_int_equal(capture(hang, 300, &b, &code, &err), ST_TIMEOUT);
    assert_string_equal(buf_str(&b), "begun\n");
    assert_int_equal(capture(gone, 300, &b, &code, &err), ST_NOT_FOUND);
    assert_int_equal(capture(bad, 5000, &b, &code, &err), ST_OK);
    assert_int_equal(code, 7);
    buf_fini(&b);
}

/* Every reason that ends an attempt says what a person can do; a new reason needs a row. */
static void every_reason_has_advice(void **state)
{
    (void)state;
    for (int r = REASON_NONE + 1; r < JOB_REASON_COUNT; r++)
        if (r != REASON_RESOLVED && reason_advice((enum job_reason)r, true)[0] == '\0')
            fail_msg("no advice for '%s'", job_reason_name((enum job_reason)r));
    assert_non_null(strstr(reason_advice(REASON_NODE_LOST, true), "sinfo"));
    assert_null(strstr(reason_advice(REASON_NODE_LOST, false), "sinfo"));
    assert_non_null(strstr(reason_advice(REASON_LAUNCH_FAILED, true), "--test-only"));
    assert_non_null(strstr(reason_advice(REASON_LAUNCH_FAILED, false), "mpirun"));
}

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct doctor));
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_on_a_shared_file_system_is_named),
        cmocka_unit_test(a_full_disk_is_a_fault),
        cmocka_unit_test(too_many_checks_overwrite_the_last),
        cmocka_unit_test(probes_are_found_among_other_lines),
        cmocka_unit_test(a_program_that_hangs_is_given_up),
        cmocka_unit_test(every_reason_has_advice),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
