/* The state table: against its drawing, and what follows from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "job/state.h"
#include "job/text.h"

#include <stdio.h>
#include <string.h>

static void read_spec(struct buf *b)
{
    struct err err;
    buf_init(b, 1u << 20);
    if (file_read(b, TEST_SOURCE_DIR "/../docs/spec/job-states.md", &err) != ST_OK)
        fail_msg("%s", err.text);
}

/* "    QUEUED --> SUBMITTED: place" or "...: cancel (cancelled)" */
static bool parse_edge(const char *line, char from[32], char to[32], char event[32],
                       char reason[32])
{
    reason[0] = '\0';
    int n = sscanf(line, " %31s --> %31[^:]: %31s (%31[^)])", from, to, event, reason);
    if (n >= 3 && strcmp(from, "[*]") == 0)
        strcpy(from, "NONE");
    return n >= 3;
}

static void assert_edge(const struct job_edge *e, const char *line)
{
    char from[32], to[32], event[32], reason[32];
    assert_true(parse_edge(line, from, to, event, reason));
    assert_string_equal(from, job_state_name(e->from));
    assert_string_equal(to, job_state_name(e->to));
    assert_string_equal(event, job_event_name(e->event));
    assert_string_equal(reason, e->reason == REASON_GIVEN ? "given" : job_reason_name(e->reason));
}

static void drawing_equals_table(void **state)
{
    (void)state;
    struct buf b;
    size_t n, i = 0;
    const struct job_edge *edges = job_edges(&n);
    read_spec(&b);
    char *rest = b.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!strstr(line, " --> ") || strncmp(line, "    ", 4) != 0)
            continue;
        if (i == n)
            fail_msg("the drawing has an edge that the table lacks: %s", line);
        assert_edge(&edges[i++], line);
    }
    assert_int_equal(i, n);
    buf_fini(&b);
}

static void reasons_are_documented(void **state)
{
    (void)state;
    struct buf b;
    char row[256];
    read_spec(&b);
    for (int r = REASON_CANCELLED; r < JOB_REASON_COUNT; r++) {
        enum retry_class c = job_reason_retry((enum job_reason)r);
        int limit = job_reason_limit((enum job_reason)r);
        char own[16];
        snprintf(own, sizeof own, "%d", limit);
        snprintf(row, sizeof row, "| `%s` | %s | %s | ", job_reason_name((enum job_reason)r),
                 c == RETRY_NONE  ? "no"
                 : c == RETRY_NOW ? "yes, now"
                                  : "yes, elsewhere where there is a choice",
                 c == RETRY_NONE ? ""
                 : limit         ? own
                                 : "shares `retries`");
        if (!strstr(b.data, row))
            fail_msg("docs/spec/job-states.md has no row that begins with: %s", row);
    }
    buf_fini(&b);
}

/* At most one edge for a state and an event: else the table's order would decide. */
static void edges_are_unique(void **state)
{
    (void)state;
    size_t n;
    const struct job_edge *e = job_edges(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            assert_false(e[i].from == e[j].from && e[i].event == e[j].event);
}

/* But a person's retry, and after success not even that. */
static void nothing_follows_an_end(void **state)
{
    (void)state;
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        for (int ev = 0; ev < JOB_EVENT_COUNT; ev++)
            if (job_state_is_over((enum job_state)s) && (ev != ON_RETRY || s == JOB_COMPLETED))
                assert_null(job_next((enum job_state)s, (enum job_event)ev));
}

/* No ghost: from every state there is a way to an end, and from every one that is not STOPPING a cancel. */
static void every_state_can_end(void **state)
{
    (void)state;
    for (int s = JOB_QUEUED; s < JOB_STATE_COUNT; s++) {
        if (job_state_is_over((enum job_state)s))
            continue;
        bool ends = s == JOB_STOPPING ? job_next(JOB_STOPPING, ON_END_CANCELLED) != NULL
                                      : job_next((enum job_state)s, ON_CANCEL) != NULL;
        if (!ends)
            fail_msg("%s cannot be ended", job_state_name((enum job_state)s));
    }
}

/* Whatever an attempt that may run comes to, its end must be possible in every state that holds resources. */
static void every_end_is_possible(void **state)
{
    (void)state;
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        for (int kind = 0; kind <= END_NOT_LAUNCHED; kind++)
            for (int code = 0; code < 2; code++) {
                struct job_end end = {.kind = (enum end_kind)kind, .exit_code = code};
                enum job_reason why;
                if (!job_state_holds((enum job_state)s))
                    continue;
                for (int spent = 0; spent < 4; spent += 3)
                    for (int stalled = 0; stalled < 2; stalled++) {
                        enum job_event ev = job_end_event(
                            &end, (enum job_state)s, stalled ? REASON_STALLED : REASON_CANCELLED,
                            REASON_RANK_LOST, &(struct job_spent){spent, spent}, 2, &why);
                        if (!job_next((enum job_state)s, ev))
                            fail_msg("%s: no edge for %s", job_state_name((enum job_state)s),
                                     job_event_name(ev));
                    }
            }
}

/* The n-th end that counts, of a job with two retries. */
static enum job_event ended(struct job_end end, enum job_state s, enum job_reason why, int n,
                            enum job_reason *ret_reason)
{
    return job_end_event(&end, s, why, job_end_reason(&end, s, why), &(struct job_spent){n, n}, 2,
                         ret_reason);
}

static void ends_are_judged(void **state)
{
    (void)state;
    enum job_reason r;
    struct job_end ok = {.kind = END_EXITED, .done = true, .done_success = true};
    assert_int_equal(ended(ok, JOB_RUNNING, REASON_NONE, 1, &r), ON_END_OK);
    assert_int_equal(ended(ok, JOB_STOPPING, REASON_CANCELLED, 1, &r), ON_END_OK);
    ok.exit_code = 1; /* both are needed */
    assert_int_equal(ended(ok, JOB_RUNNING, REASON_NONE, 1, &r), ON_END_RETRY);
    assert_int_equal(r, REASON_WORKER_FAILED);

    struct job_end silent = {.kind = END_EXITED};
    assert_int_equal(ended(silent, JOB_RUNNING, REASON_NONE, 1, &r), ON_END_RETRY);
    assert_int_equal(r, REASON_NO_DONE_RECORD);

    struct job_end killed = {.kind = END_EXITED, .exit_code = 137};
    assert_int_equal(ended(killed, JOB_RUNNING, REASON_NONE, 2, &r), ON_END_RETRY);
    assert_int_equal(r, REASON_RANK_LOST);
    assert_int_equal(ended(killed, JOB_RUNNING, REASON_NONE, 3, &r), ON_END_FAILED);
    assert_int_equal(r, REASON_RANK_LOST);
    assert_int_equal(ended(killed, JOB_STOPPING, REASON_CANCELLED, 1, &r), ON_END_CANCELLED);
    assert_int_equal(ended(killed, JOB_STOPPING, REASON_TIME_LIMIT, 1, &r), ON_END_TIMEOUT);
    assert_int_equal(ended(killed, JOB_PAUSING, REASON_PAUSED, 1, &r), ON_END_PAUSED);

    struct job_end nan = {
        .kind = END_EXITED, .exit_code = 14, .done = true, .done_reason = "nan_loss"};
    assert_int_equal(ended(nan, JOB_RUNNING, REASON_NONE, 1, &r), ON_END_FAILED);
    assert_int_equal(r, REASON_NAN_LOSS);
    assert_int_equal(ended(killed, JOB_STOPPING, REASON_STALLED, 1, &r), ON_END_RETRY);
    assert_int_equal(r, REASON_STALLED);
    assert_int_equal(ended(killed, JOB_STOPPING, REASON_STALLED, 3, &r), ON_END_FAILED);

    nan.done_reason = "no such reason";
    assert_int_equal(ended(nan, JOB_RUNNING, REASON_NONE, 1, &r), ON_END_RETRY);
    assert_int_equal(r, REASON_WORKER_FAILED);
}

/* What a cluster says counts, but not against what the worker said itself. */
static void clusters_end_jobs(void **state)
{
    (void)state;
    static const struct {
        enum end_kind kind;
        const char *done_reason;
        enum job_state in;
        enum job_reason why;
        enum job_event event;
        enum job_reason reason;
    } cases[] = {
        {END_PREEMPTED, "stopped", JOB_RUNNING, REASON_NONE, ON_PREEMPT, REASON_NONE},
        {END_PREEMPTED, "nan_loss", JOB_RUNNING, REASON_NONE, ON_END_FAILED, REASON_NAN_LOSS},
        {END_WALL_TIME, "stopped", JOB_RUNNING, REASON_NONE, ON_END_RETRY, REASON_WALL_TIME},
        {END_WALL_TIME, "stopped", JOB_STOPPING, REASON_CANCELLED, ON_END_CANCELLED, REASON_NONE},
        {END_WALL_TIME, "stopped", JOB_PAUSING, REASON_PAUSED, ON_END_PAUSED, REASON_NONE},
        {END_NODE_LOST, NULL, JOB_UNREACHABLE, REASON_NO_CONTACT, ON_END_RETRY, REASON_NODE_LOST},
        {END_NO_MEMORY, NULL, JOB_RUNNING, REASON_NONE, ON_END_FAILED, REASON_OUT_OF_MEMORY},
        {END_CANCELLED, NULL, JOB_SUBMITTED, REASON_NONE, ON_END_CANCELLED, REASON_NONE},
        {END_CANCELLED, NULL, JOB_PAUSING, REASON_PAUSED, ON_END_PAUSED, REASON_NONE},
        {END_CANCELLED, NULL, JOB_STOPPING, REASON_STALLED, ON_END_RETRY, REASON_STALLED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct job_end end = {.kind = cases[i].kind,
                              .exit_code = 1,
                              .done = cases[i].done_reason != NULL,
                              .done_reason = cases[i].done_reason};
        enum job_reason r;
        assert_int_equal(ended(end, cases[i].in, cases[i].why, 1, &r), cases[i].event);
        assert_int_equal(r, cases[i].reason);
        assert_non_null(job_next(cases[i].in, cases[i].event));
    }
    struct job_end nothing = {.kind = END_WALL_TIME, .exit_code = 1, .no_checkpoint = true};
    enum job_reason r;
    assert_int_equal(ended(nothing, JOB_RUNNING, REASON_NONE, 3, &r), ON_END_FAILED);
    assert_int_equal(r, REASON_TOO_SHORT);
}

/* What is not the job's fault has its own limit and leaves the job's retries alone. */
static void foreign_faults_do_not_spend_retries(void **state)
{
    (void)state;
    enum job_reason r;
    struct job_end restarted = {.kind = END_HOST_RESTARTED};
    int limit = job_reason_limit(REASON_HOST_RESTARTED);
    assert_true(limit > 2);
    for (int same = 1; same <= limit + 1; same++) {
        enum job_event ev =
            job_end_event(&restarted, JOB_RUNNING, REASON_NONE, REASON_HOST_RESTARTED,
                          &(struct job_spent){.same = same, .counted = 2}, 2, &r);
        assert_int_equal(ev, same <= limit ? ON_END_RETRY : ON_END_FAILED);
    }
}

static void waits_double_up_to_the_most(void **state)
{
    (void)state;
    int64_t first = job_retry_wait_ms(REASON_RANK_LOST, &(struct job_spent){1, 1}, 0, 300000);
    assert_true(first > 0);
    for (int n = 2; n < 7; n++)
        assert_int_equal(job_retry_wait_ms(REASON_RANK_LOST, &(struct job_spent){1, n}, 0, 300000),
                         first << (n - 1));
    struct job_spent many = {1000, 1000};
    assert_int_equal(job_retry_wait_ms(REASON_RANK_LOST, &many, 0, 300000), 300000);
    assert_int_equal(job_retry_wait_ms(REASON_RANK_LOST, &many, 3600000, 300000), first);
    assert_int_equal(job_retry_wait_ms(REASON_RANK_LOST, &many, 0, 0), 0);
    for (int reason = 0; reason < JOB_REASON_COUNT; reason++) {
        bool again = job_reason_retry((enum job_reason)reason) != RETRY_NONE;
        assert_int_equal(
            job_retry_wait_ms((enum job_reason)reason, &(struct job_spent){1, 1}, 0, 300000) > 0,
            again);
    }
}

/* Its folder is away (a home that is not mounted): started again it would run twice under one number. */
static void what_has_begun_is_never_unborn(void **state)
{
    (void)state;
    static const enum job_state unborn[] = {JOB_SUBMITTED, JOB_STARTING, JOB_PAUSING, JOB_STOPPING};
    unsigned may = 0;
    for (size_t i = 0; i < sizeof unborn / sizeof *unborn; i++)
        may |= 1u << unborn[i];
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        assert_int_equal(job_state_may_be_unborn((enum job_state)s, false), may >> s & 1);
        assert_false(job_state_may_be_unborn((enum job_state)s, true));
    }
}

static void text_stays_utf8(void **state)
{
    (void)state;
    char out[8];
    text_clean(out, sizeof out, "abc\xC3\xA4");
    assert_string_equal(out, "abc\xC3\xA4");
    text_clean(out, sizeof out, "abcdef\xC3\xA4"); /* the last character does not fit whole */
    assert_string_equal(out, "abcdef");
    text_clean(out, sizeof out, "a\xFFz\xE2\x82");
    assert_string_equal(out, "a?z??");
    text_clean(out, sizeof out, "\xED\xA0\x80\xC0\xAF");
    assert_string_equal(out, "?????");
    text_clean(out, sizeof out, NULL);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drawing_equals_table),
        cmocka_unit_test(reasons_are_documented),
        cmocka_unit_test(edges_are_unique),
        cmocka_unit_test(nothing_follows_an_end),
        cmocka_unit_test(every_state_can_end),
        cmocka_unit_test(every_end_is_possible),
        cmocka_unit_test(ends_are_judged),
        cmocka_unit_test(clusters_end_jobs),
        cmocka_unit_test(what_has_begun_is_never_unborn),
        cmocka_unit_test(text_stays_utf8),
        cmocka_unit_test(foreign_faults_do_not_spend_retries),
        cmocka_unit_test(waits_double_up_to_the_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
