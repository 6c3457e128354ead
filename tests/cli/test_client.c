/* test_client.c - the client's parts that need no daemon: arguments, numbers, tables, bars, JSON, the live view. */
#include "base/file.h"
#include "base/json.h"
#include "client/args.h"
#include "client/commands.h"
#include "client/job_text.h"
#include "client/job_view.h"
#include "client/message.h"
#include "term/bar.h"
#include "term/format.h"
#include "term/table.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* main.c is no part of the library; help.c asks for the table. */
const struct command *command_at(int i)
{
    return i == 0 ? &command_jobs : NULL;
}
const struct command *command_find(const char *name)
{
    return strcmp(name, "jobs") ? NULL : &command_jobs;
}

static const struct term plain = {.fd = 1, .unicode = false, .columns = 80, .rows = 24};
static const struct term drawn = {.fd = 1, .tty = true, .unicode = true, .columns = 80, .rows = 24};

/* ---- arguments -------------------------------------------------------------------------------------- */

static const struct option_row table[] = {{'f', "follow", NULL, ""},
                                          {'n', "limit", "N", ""},
                                          {0, "set", "K=V", ""},
                                          {0, NULL, NULL, NULL}};
static const struct option_row *const tables[] = {table, NULL};

static enum status parse(struct args *a, struct err *err, int n, const char *const *words)
{
    return args_parse(a, tables, n, (char **)words, err);
}

static void arguments_in_all_spellings(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "-f",  "--set=x=1", "--set", "y=2", "-n",
                                        "7", "-n8", "-",         "--",    "-f"};
    struct args a;
    int64_t n;
    assert_int_equal(parse(&a, NULL, 11, words), ST_OK);
    assert_int_equal(a.npositionals, 3);
    assert_string_equal(a.positional[1], "-");
    assert_string_equal(a.positional[2], "-f");
    assert_true(args_flag(&a, "follow"));
    assert_string_equal(args_value(&a, "set", NULL), "y=2");
    assert_int_equal(args_number(&a, "limit", 1, 1, 10, &n, NULL), ST_OK);
    assert_int_equal(n, 8);
    assert_int_equal(args_number(&a, "limit", 1, 1, 7, &n, NULL), ST_INVALID);
}

static void wrong_arguments_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *word, *says;
    } cases[] = {
        {"--folow", "did you mean --follow?"},
        {"--xyzzy", "--help lists them"},
        {"-z", "unknown option '-z'"},
        {"--limit", "--limit needs a value: --limit N"},
        {"-n", "-n needs a value"},
        {"--follow=3", "--follow takes no value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct args a;
        struct err err;
        assert_int_equal(parse(&a, &err, 1, &cases[i].word), ST_INVALID);
        if (!strstr(err.text, cases[i].says))
            fail_msg("'%s' says '%s'", cases[i].word, err.text);
    }
}

/* ---- numbers and text ------------------------------------------------------------------------------- */

static void numbers_read_well(void **state)
{
    (void)state;
    char t[FORMAT_MAX];
    assert_string_equal(format_duration(t, 0.048), "48 ms");
    assert_string_equal(format_duration(t, 0.9999), "1.0 s");
    assert_string_equal(format_duration(t, 7.24), "7.2 s");
    assert_string_equal(format_duration(t, 9.97), "0:10");
    assert_string_equal(format_duration(t, 3599.6), "1:00:00");
    assert_string_equal(format_duration(t, 187), "3:07");
    assert_string_equal(format_duration(t, 3723), "1:02:03");
    assert_string_equal(format_duration(t, 3 * 86400 + 4 * 3600 + 300), "3d 04:05");
    assert_string_equal(format_duration(t, -1), "-");
    assert_string_equal(format_duration(t, NAN), "-");
    assert_string_equal(format_size(t, 812), "812 B");
    assert_string_equal(format_size(t, 4404019), "4.2 MiB");
    assert_string_equal(format_size(t, 1048575), "1.0 MiB");
    assert_string_equal(format_count(t, 0), "0");
    assert_string_equal(format_count(t, 1234567), "1,234,567");
    assert_string_equal(format_count(t, UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(format_percent(t, 0.6439), "64.4 %");
    assert_string_equal(format_time(t, 0), "-");
}

static void text_is_measured_in_columns(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(term_width("abc"), 3);
    assert_int_equal(term_width("\x1b[1mabc\x1b[0m"), 3);
    assert_int_equal(term_width("\xc3\xa4\xe2\x96\x88"), 2);
    term_fit(&b, &plain, "\x1b[1mabcdef\x1b[0m", 4);
    assert_string_equal(buf_str(&b), "\x1b[1mabc~\x1b[0m");
    buf_clear(&b);
    term_fit(&b, &plain, "abcd", 4);
    assert_string_equal(buf_str(&b), "abcd");
    buf_clear(&b);
    term_clean(&b, "a\x1b[2Jb\tc\n", 9);
    assert_string_equal(buf_str(&b), "a?[2Jb\tc\n");
    buf_fini(&b);
}

static void tables_align_and_give_way(void **state)
{
    (void)state;
    static const struct table_column columns[] = {
        {.heading = "ID", .right = true}, {.heading = "NAME", .flexible = true}, {.heading = "S"}};
    struct term narrow = drawn;
    struct table t;
    struct buf b;
    buf_init(&b, 1000);
    table_init(&t, columns, 3);
    table_cell(&t, STYLE_PLAIN, "7");
    table_cell(&t, STYLE_PLAIN, "a name that is long");
    table_cell(&t, STYLE_BOLD, "UP");
    table_print(&t, &plain, &b);
    assert_string_equal(buf_str(&b), "ID  NAME                 S\n"
                                     " 7  a name that is long  UP\n");
    buf_clear(&b);
    narrow.columns = 18;
    narrow.unicode = false;
    table_print(&t, &narrow, &b);
    assert_string_equal(buf_str(&b), "ID  NAME        S\n"
                                     " 7  a name th~  UP\n");
    buf_fini(&b);
    table_fini(&t);
}

static void no_blanks_where_a_column_gave_way(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{.heading = "STATE"},
                                                  {.heading = "WRITTEN", .optional = true}};
    struct term narrow = drawn;
    struct table t;
    struct buf b;
    buf_init(&b, 1000);
    narrow.columns = 9;
    table_init(&t, columns, 2);
    table_cell(&t, STYLE_PLAIN, "%s", "");
    table_cell(&t, STYLE_PLAIN, "2026-01-01");
    table_print(&t, &narrow, &b);
    assert_string_equal(buf_str(&b), "STATE\n\n");
    buf_fini(&b);
    table_fini(&t);
}

static void a_column_that_is_left_out_makes_room(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{.heading = "NAME", .flexible = true},
                                                  {.heading = "SUBMITTED", .optional = true}};
    struct term narrow = drawn;
    struct table t;
    struct buf b;
    buf_init(&b, 1000);
    narrow.columns = 24;
    table_init(&t, columns, 2);
    table_cell(&t, STYLE_PLAIN, "a name of twenty-odd");
    table_cell(&t, STYLE_PLAIN, "2026-01-01 12:34");
    table_print(&t, &narrow, &b);
    assert_string_equal(buf_str(&b), "NAME\na name of twenty-odd\n");
    buf_fini(&b);
    table_fini(&t);
}

static void words_go_to_further_lines(void **state)
{
    (void)state;
    struct term narrow = drawn;
    struct buf b;
    buf_init(&b, 1000);
    narrow.columns = 30;
    buf_puts(&b, "name: ");
    term_wrap(&b, &narrow, 6, "twelve bytes and some\x1b[2J more, \xc3\xa9t\xc3\xa9");
    assert_string_equal(buf_str(&b), "name: twelve bytes and\n"
                                     "      some?[2J more, \xc3\xa9t\xc3\xa9");
    buf_clear(&b);
    term_wrap(&b, &narrow, 0, "a_word_that_is_longer_than_all_the_columns and more");
    assert_string_equal(buf_str(&b), "a_word_that_is_longer_than_all_the_columns\nand more");
    buf_clear(&b);
    buf_puts(&b, "two: ");
    term_wrap(&b, &narrow, 2, "a line that ends\nand another that is longer than it");
    assert_string_equal(buf_str(&b), "two: a line that ends\n"
                                     "and another that is longer\n"
                                     "  than it");
    buf_clear(&b);
    term_wrap(&b, &plain, 6, "twelve bytes and some more, and more than that, piped");
    assert_null(strchr(buf_str(&b), '\n'));
    buf_fini(&b);
}

static void findings_are_as_wide_as_the_terminal(void **state)
{
    (void)state;
    static const char file[] = "name: x\nphases: {search: {steps: 40}}\n";
    struct term narrow = drawn;
    struct findings f = {0};
    struct buf b;
    buf_init(&b, 1000);
    narrow.columns = 40;
    findings_add(&f, true, 2, 26, "phases.search.steps", "%s", "40 steps are too few to settle in");
    findings_text(&b, &narrow, "job.yaml", file, strlen(file), &f);
    assert_string_equal(buf_str(&b), "job.yaml:2:26: warning: phases.search.steps: \n"
                                     "  40 steps are too few to settle in\n"
                                     "    phases: {search: {steps: 40}}\n"
                                     "                             ^\n");
    buf_clear(&b);
    findings_text(&b, &plain, "job.yaml", NULL, 0, &f);
    assert_string_equal(buf_str(&b),
                        "job.yaml:2:26: warning: phases.search.steps: 40 steps are too "
                        "few to settle in\n");
    buf_fini(&b);
    findings_fini(&f);
}

static void bars_fill_from_the_left(void **state)
{
    (void)state;
    static const struct {
        double part;
        const char *bar;
    } cases[] = {{0, "........"},  {0.5, "####...."}, {1, "########"},   {7, "########"},
                 {-1, "........"}, {NAN, "........"}, {0.99, "#######."}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b;
        buf_init(&b, 1000);
        bar_draw(&b, &plain, 8, cases[i].part, STYLE_GREEN);
        assert_string_equal(buf_str(&b), cases[i].bar);
        buf_clear(&b);
        bar_draw(&b, &drawn, 8, cases[i].part, STYLE_GREEN);
        assert_int_equal(term_width(buf_str(&b)), 8);
        buf_fini(&b);
    }
}

/* ---- messages as JSON --------------------------------------------------------------------------------- */

static void messages_become_json(void **state)
{
    (void)state;
    Espalier__V1__Event event = ESPALIER__V1__EVENT__INIT;
    Espalier__V1__Progress progress = ESPALIER__V1__PROGRESS__INIT;
    event.cursor = 9007199254740993;
    event.job_id = (char *)"12";
    event.kind_case = ESPALIER__V1__EVENT__KIND_PROGRESS;
    event.progress = &progress;
    progress.phase = (char *)"se\"arch";
    progress.loss = NAN;
    progress.params_kept = 0.62;
    struct json_object *json = message_json(&event.base);
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
    assert_non_null(strstr(text, "\"cursor\":9007199254740993,\"job_id\":\"12\""));
    assert_non_null(strstr(text, "\"phase\":\"se\\\"arch\""));
    assert_non_null(strstr(text, "\"loss\":null,\"params_kept\":0.62,"));
    assert_null(strstr(text, "metric"));
    json_object_put(json);
}

static void bytes_become_text_or_base64(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } cases[] = {{"name: x\n", 8, "\"name: x\\n\""},
                 {"\xff", 1, "\"\\/w==\""},
                 {"\0a", 2, "\"AGE=\""},
                 {"\xff\xfe\xfd", 3, "\"\\/\\/79\""},
                 {"", 0, "\"\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Espalier__V1__LogChunk chunk = ESPALIER__V1__LOG_CHUNK__INIT;
        chunk.text.data = (uint8_t *)cases[i].bytes;
        chunk.text.len = cases[i].len;
        struct json_object *json = message_json(&chunk.base);
        assert_string_equal(
            json_object_to_json_string_ext(json_find(json, "text"), JSON_C_TO_STRING_PLAIN),
            cases[i].json);
        json_object_put(json);
    }
}

static void states_have_short_names(void **state)
{
    (void)state;
    char t[16];
    assert_string_equal(state_text(ESPALIER__V1__JOB_STATE__JOB_STATE_UNREACHABLE, t),
                        "UNREACHABLE");
    assert_string_equal(state_text((Espalier__V1__JobState)99, t), "99");
    assert_string_equal(enum_text(&espalier__v1__severity__descriptor, 1, t), "ERROR");
}

/* ---- the live view ------------------------------------------------------------------------------------ */

static const char job_text[] =
    "phases: {pretrain: {steps: 100, warmup_steps: 1}, search: {steps: 1000}, "
    "finetune: {steps: 50, warmup_steps: 1}}\n"
    "data: {pretrain: a, task: a, eval: b, vocabulary: c}\n";

static void view_with_job(struct job_view *v)
{
    Espalier__V1__Job job = ESPALIER__V1__JOB__INIT;
    job.id = (char *)"12";
    job.name = (char *)"first";
    job.job_file.data = (uint8_t *)job_text;
    job.job_file.len = strlen(job_text);
    job.submitted_ms = 1000;
    job_view_init(v, &job);
}

static void give_progress(struct job_view *v, const char *phase, unsigned step, unsigned steps)
{
    Espalier__V1__Event event = ESPALIER__V1__EVENT__INIT;
    Espalier__V1__Progress p = ESPALIER__V1__PROGRESS__INIT;
    event.kind_case = ESPALIER__V1__EVENT__KIND_PROGRESS;
    event.progress = &p;
    p.phase = (char *)phase;
    p.step = step;
    p.steps = steps;
    p.loss = 2.5;
    p.params_kept = 0.8;
    p.params_target = 0.62;
    p.step_seconds = 0.048;
    p.eta_seconds = 130;
    job_view_event(v, &plain, &event);
}

static void give_state(struct job_view *v, Espalier__V1__JobState to, int64_t time_ms)
{
    Espalier__V1__Event event = ESPALIER__V1__EVENT__INIT;
    Espalier__V1__StateChange s = ESPALIER__V1__STATE_CHANGE__INIT;
    event.time_ms = time_ms;
    event.kind_case = ESPALIER__V1__EVENT__KIND_STATE;
    event.state = &s;
    s.to = to;
    s.attempt = 2;
    job_view_event(v, &plain, &event);
}

static void views_follow_a_job(void **state)
{
    (void)state;
    struct job_view v;
    struct buf b;
    buf_init(&b, 65536);
    view_with_job(&v);
    assert_int_equal(v.nphases, 7); /* pretrain dense search harden finetune evaluate export */
    give_state(&v, ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING, 2000);
    give_progress(&v, "pretrain", 50, 100);
    job_view_draw(&v, &plain, 62000, &b);
    assert_non_null(strstr(buf_str(&b), "job 12  first  RUNNING  attempt 2  running 1:00\n"));
    assert_non_null(
        strstr(buf_str(&b), "  pretrain  ####################....................  50 / 100\n"));
    assert_non_null(strstr(buf_str(&b), "80.0 %, target 62.0 %"));
    assert_non_null(strstr(buf_str(&b), "loss      2.5       step 48 ms     ETA 2:10"));
    assert_non_null(strstr(buf_str(&b), "state"));
    buf_clear(&b);
    give_progress(&v, "brand_new", 1, 2);
    assert_int_equal(v.nphases, 8);
    give_state(&v, ESPALIER__V1__JOB_STATE__JOB_STATE_COMPLETED, 122000);
    job_view_draw(&v, &plain, 900000, &b);
    assert_non_null(strstr(buf_str(&b), "COMPLETED  attempt 2  after 2:00"));
    buf_fini(&b);
}

/* Every phase that a job goes through, in its order, and none that it skips (worker/run/recipe.c). */
static void views_plan_the_phases_of_a_job(void **state)
{
    (void)state;
    static const struct {
        const char *job, *phases;
    } cases[] = {
        {"phases: {warmup: {steps: 9}, pretrain: {steps: 9}, task: {steps: 9}, control: {steps: "
         "9}, "
         "search: {steps: 999}, finetune: {steps: 9}}",
         "warmup pretrain task dense control search harden finetune evaluate export "},
        {"phases: {search: {steps: 999}}", "dense search harden export "},
        {"phases: {task: {steps: 9}}", "task dense export "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Espalier__V1__Job job = ESPALIER__V1__JOB__INIT;
        struct job_view v;
        char text[512], names[256] = "";
        snprintf(text, sizeof text, "%s\ndata: {pretrain: a, task: a, eval: b, vocabulary: c}\n",
                 cases[i].job);
        job.job_file.data = (uint8_t *)text;
        job.job_file.len = strlen(text);
        job_view_init(&v, &job);
        for (int p = 0; p < v.nphases; p++) {
            size_t n = strlen(names);
            snprintf(names + n, sizeof names - n, "%s ", v.phase[p].name);
        }
        assert_string_equal(names, cases[i].phases);
    }
}

/* A block higher than the terminal could not be drawn again in place. */
static void views_fit_the_terminal(void **state)
{
    (void)state;
    struct job_view v;
    view_with_job(&v);
    for (int i = 0; i < 40; i++)
        give_state(&v, ESPALIER__V1__JOB_STATE__JOB_STATE_RUNNING, 2000 + i);
    give_progress(&v, "pretrain", 50, 100);
    for (int rows = 16; rows < 40; rows += 4) {
        struct term small = plain;
        struct buf b;
        int lines = 0;
        small.rows = rows;
        buf_init(&b, 65536);
        job_view_draw(&v, &small, 62000, &b);
        for (const char *c = buf_str(&b); *c; c++)
            lines += *c == '\n';
        assert_true(lines < rows);
        buf_fini(&b);
    }
}

/* ---- documents ------------------------------------------------------------------------------------------ */

static void the_exit_codes_are_current(void **state)
{
    (void)state;
    struct buf made, there;
    buf_init(&made, 65536);
    buf_init(&there, 65536);
    exits_help(&made, true);
    assert_int_equal(file_read(&there, TEST_SOURCE_DIR "/../docs/spec/exit-codes.md", NULL), ST_OK);
    assert_string_equal(buf_str(&made), buf_str(&there));
    for (int st = ST_INVALID; st < STATUS_COUNT; st++) {
        char row[16];
        snprintf(row, sizeof row, "\n| %d | ", status_exit_code((enum status)st));
        assert_non_null(strstr(buf_str(&made), row));
    }
    buf_fini(&made);
    buf_fini(&there);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_in_all_spellings),
        cmocka_unit_test(wrong_arguments_are_explained),
        cmocka_unit_test(numbers_read_well),
        cmocka_unit_test(text_is_measured_in_columns),
        cmocka_unit_test(tables_align_and_give_way),
        cmocka_unit_test(no_blanks_where_a_column_gave_way),
        cmocka_unit_test(a_column_that_is_left_out_makes_room),
        cmocka_unit_test(words_go_to_further_lines),
        cmocka_unit_test(findings_are_as_wide_as_the_terminal),
        cmocka_unit_test(bars_fill_from_the_left),
        cmocka_unit_test(messages_become_json),
        cmocka_unit_test(bytes_become_text_or_base64),
        cmocka_unit_test(states_have_short_names),
        cmocka_unit_test(views_follow_a_job),
        cmocka_unit_test(views_plan_the_phases_of_a_job),
        cmocka_unit_test(views_fit_the_terminal),
        cmocka_unit_test(the_exit_codes_are_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
