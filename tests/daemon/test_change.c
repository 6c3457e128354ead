/* What a change of state leaves in memory and in the store, and what a tick makes of it, on a clock that is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "daemon.h"
#include "job/act.h"
#include "job/change.h"
#include "job/collect.h"
#include "job/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bed {
    struct daemon daemon;
    struct clock_fake clock;
    char dir[64], path[96];
};

static int set_up(void **state)
{
    static char none[] = "";
    struct bed *bed = calloc(1, sizeof *bed);
    struct err err;
    strcpy(bed->dir, "/tmp/espalier-change-XXXXXX");
    if (!mkdtemp(bed->dir))
        return -1;
    snprintf(bed->path, sizeof bed->path, "%s/store", bed->dir);
    clock_fake_init(&bed->clock, 1000000);
    bed->daemon.clock = &bed->clock.clock;
    bed->daemon.options.home = bed->dir;
    bed->daemon.options.listen = "unix:none";
    bed->daemon.options.config.tls_report_address = none;
    *state = bed;
    bool ok = store_open(&bed->daemon.store, bed->path, &err) == ST_OK &&
              jobs_create(&bed->daemon.jobs, &err) == ST_OK;
    return ok ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    jobs_destroy(bed->daemon.jobs);
    store_close(bed->daemon.store);
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", bed->dir);
    int rc = system(command);
    free(bed);
    return rc;
}

static struct active *submit(struct bed *bed)
{
    struct job job = {.name = "j", .owner = "me", .ranks = 1, .threads = 1};
    struct submission sub = {.request_id = "r",
                             .job_file = "x",
                             .job_file_len = 1,
                             .file_name = "f",
                             .folder = "/",
                             .overrides_json = "[]"};
    struct err err;
    if (job_submit(&bed->daemon, &job, ON_SUBMIT, &sub, "digest", "user", &err) != ST_OK)
        fail_msg("%s", err.text);
    return jobs_find(bed->daemon.jobs, job.id);
}

static void apply(struct bed *bed, struct active *a, enum job_event event, int64_t after_ms)
{
    struct err err;
    clock_fake_advance(&bed->clock, after_ms);
    if (job_apply(&bed->daemon, a, event, &(struct change){.actor = "daemon"}, &err) != ST_OK)
        fail_msg("%s", err.text);
}

/* An hour in a cluster's queue is none of the attempt's time limit, also for a daemon that is started in between. */
static void an_attempt_begins_when_it_is_started(void **state)
{
    struct bed *bed = *state;
    struct active *a = submit(bed);
    struct job read;
    apply(bed, a, ON_PLACE, 1000);
    apply(bed, a, ON_START, 3600000);
    int64_t began = bed->clock.wall;
    assert_int_equal(a->job.attempt.started_ms, began);
    apply(bed, a, ON_HELLO, 5000);
    assert_int_equal(a->job.attempt.started_ms, began);
    assert_int_equal(store_job_load(bed->daemon.store, a->job.id, &read, NULL), ST_OK);
    assert_int_equal(read.attempt.started_ms, began);
}

static void a_first_report_begins_it_too(void **state)
{
    struct bed *bed = *state;
    struct active *a = submit(bed);
    apply(bed, a, ON_PLACE, 1000);
    apply(bed, a, ON_HELLO, 3600000);
    assert_int_equal(a->job.attempt.started_ms, bed->clock.wall);
}

static void write_checkpoint(struct bed *bed, const struct job *job, const char *path)
{
    char dir[128], file[256];
    struct stored_checkpoint row = {.path = path, .sha256 = "", .phase = "", .metric_name = ""};
    struct err err;
    snprintf(dir, sizeof dir, "%s/jobs/%lld/checkpoints", bed->dir, (long long)job->id);
    snprintf(file, sizeof file, "%s/jobs/%lld/%s", bed->dir, (long long)job->id, path);
    if (file_mkdirs(dir, 0700, &err) != ST_OK ||
        file_write_atomic(file, "x", 1, 0600, &err) != ST_OK ||
        store_checkpoint_add(bed->daemon.store, job->id, &row, &err) != ST_OK)
        fail_msg("%s", err.text);
}

static const char *fate(struct bed *bed, const struct job *job, const char *path)
{
    struct collection c;
    static char why[32];
    assert_int_equal(collection_plan(&bed->daemon, job->id, &c, NULL), ST_OK);
    for (size_t i = 0; i < c.n; i++)
        if (strcmp(c.list[i].path, path) == 0)
            snprintf(why, sizeof why, "%s%s", c.list[i].stays ? "stays, " : "", c.list[i].why);
    collection_fini(&c);
    return why;
}

/* The rule keeps the newest alone, but a person said `retry --from` the first: without it the attempt could not begin. */
static void what_is_to_be_resumed_from_is_not_collected(void **state)
{
    static const char first[] = "checkpoints/step-000000000016.safetensors",
                      newest[] = "checkpoints/step-000000000032.safetensors";
    struct bed *bed = *state;
    struct active *a = submit(bed);
    struct err err;
    const struct keep_rule rule = {.last = 1};
    assert_int_equal(store_keep_rule_set(bed->daemon.store, a->job.id, &rule, &err), ST_OK);
    write_checkpoint(bed, &a->job, first);
    write_checkpoint(bed, &a->job, newest);
    assert_string_equal(fate(bed, &a->job, first), "old");
    snprintf(a->job.resume_from, sizeof a->job.resume_from, "%s", first);
    a->job.resume_since = a->job.attempt.number + 1;
    assert_string_equal(fate(bed, &a->job, first), "stays, to be resumed from");
    a->job.attempt.number = a->job.resume_since + 1; /* it has gone on from there */
    assert_string_equal(fate(bed, &a->job, first), "old");
}

/* ---- an attempt that never began ------------------------------------------------------------- */

/* A launcher that says what the test says. */
struct told {
    struct launch base;
    enum evidence_kind kind;
    int starts;
};

static enum status told_start(struct launch *l, const struct launch_spec *spec, struct err *err)
{
    (void)spec, (void)err;
    ((struct told *)l)->starts++;
    return ST_OK;
}

static void told_poll(struct launch *l, const struct launch_spec *spec, struct evidence *ret_ev)
{
    (void)spec;
    *ret_ev = (struct evidence){.kind = ((struct told *)l)->kind};
}

static const struct launch_ops told_ops = {.name = "told", .start = told_start, .poll = told_poll};

static void tick(struct bed *bed, struct told *told, enum evidence_kind kind, int64_t after_ms)
{
    bed->daemon.launch = &told->base;
    told->kind = kind;
    clock_fake_advance(&bed->clock, after_ms);
    while (jobs_take_changed(bed->daemon.jobs))
        ;
    jobs_tick(&bed->daemon);
}

static void what_was_not_started_cannot_be_lost(void **state)
{
    struct bed *bed = *state;
    struct told told = {.base.ops = &told_ops};
    struct active *a = submit(bed);
    apply(bed, a, ON_PLACE, 1000);
    tick(bed, &told, EVIDENCE_UNKNOWN, 1000);
    tick(bed, &told, EVIDENCE_UNKNOWN, 3600000);
    assert_int_equal(a->job.state, JOB_SUBMITTED);
    tick(bed, &told, EVIDENCE_ABSENT, 1000);
    assert_int_equal(a->job.state, JOB_STARTING);
    assert_int_equal(told.starts, 1);
}

/* In a cluster it may have begun. */
static void what_was_handed_over_can_be_lost(void **state)
{
    struct bed *bed = *state;
    struct told told = {.base.ops = &told_ops};
    struct active *a = submit(bed);
    a->job.in_slurm = true;
    apply(bed, a, ON_PLACE, 1000);
    tick(bed, &told, EVIDENCE_UNKNOWN, 1000);
    tick(bed, &told, EVIDENCE_UNKNOWN, 3600000);
    assert_int_equal(a->job.state, JOB_UNREACHABLE);
}

/* Its launcher finds a full process table, again and again: neither a stall nor time of the attempt. */
static void a_launcher_that_cannot_start_spends_nothing(void **state)
{
    struct bed *bed = *state;
    struct told told = {.base.ops = &told_ops};
    struct active *a = submit(bed);
    a->job.time_limit_ms = 5000;
    a->job.stall_ms = 2000;
    apply(bed, a, ON_PLACE, 1000);
    tick(bed, &told, EVIDENCE_ABSENT, 1000);
    for (int i = 0; i < 60; i++) {
        tick(bed, &told, EVIDENCE_STARTING, 500);
        tick(bed, &told, EVIDENCE_ABSENT, 500);
    }
    assert_int_equal(a->job.state, JOB_STARTING);
    assert_int_equal(a->job.attempt.started_ms, bed->clock.wall);
    assert_int_equal(a->job.attempt.number, 1);
}

/* Where nothing can be started, the next try comes later each time, and nearly every minute in the end; a new attempt
 * begins at once. */
static void a_start_that_fails_is_tried_ever_more_rarely(void **state)
{
    struct bed *bed = *state;
    struct told told = {.base.ops = &told_ops};
    struct active *a = submit(bed);
    apply(bed, a, ON_PLACE, 1000);
    bed->daemon.launch = &told.base;
    job_act(&bed->daemon, a);
    assert_int_equal(told.starts, 1);
    for (int64_t most_ms = 1000; most_ms < 600000; most_ms *= 2) {
        int64_t limit_ms = most_ms < 60000 ? most_ms : 60000, waited_ms = 0;
        for (int before = told.starts; told.starts == before; waited_ms += 250)
            tick(bed, &told, EVIDENCE_ABSENT, 250);
        assert_in_range(waited_ms, limit_ms * 3 / 4, limit_ms + 250);
    }
    apply(bed, a, ON_END_RETRY, 0);
    apply(bed, a, ON_PLACE, 0);
    int before = told.starts;
    job_act(&bed->daemon, a);
    assert_int_equal(told.starts, before + 1);
    tick(bed, &told, EVIDENCE_ABSENT, 1000);
    assert_int_equal(told.starts, before + 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_attempt_begins_when_it_is_started),
        TEST(a_first_report_begins_it_too),
        TEST(what_is_to_be_resumed_from_is_not_collected),
        TEST(what_was_not_started_cannot_be_lost),
        TEST(what_was_handed_over_can_be_lost),
        TEST(a_launcher_that_cannot_start_spends_nothing),
        TEST(a_start_that_fails_is_tried_ever_more_rarely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
