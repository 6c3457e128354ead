/* test_jobfile_read.c - from bytes to single values: syntax, keys, types, ranges, --set. */
#include "jobtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RUN(cases) jobtest_run(cases, (int)(sizeof cases / sizeof *cases))

static void a_good_file_is_silent(void **state)
{
    (void)state;
    struct jobfile *job = NULL;
    struct findings f;
    char path[256];
    assert_int_equal(jobtest_parse(&job, jobtest_good, NULL, 0, &f, NULL), ST_OK);
    assert_int_equal(f.n, 0);
    assert_string_equal(job->name, "good");
    assert_int_equal(job->pretrain_steps, 5000);
    assert_int_equal(job->train_batch, 16);
    assert_true(job->pretrain_lr == 5e-4 && job->task_lr == 3e-4);
    assert_true(job->method_cross_msa && !job->method_block_ffn);
    assert_int_equal(job->evaluate_weights, WEIGHTS_EMA);
    snprintf(path, sizeof path, "%s/task.json", jobtest_folder());
    assert_string_equal(job->data_task, path);
    assert_string_equal(job->model_init, "");
    jobfile_destroy(job);
    findings_fini(&f);
}

/* The C enums name the lists of schema.def in the same order. */
static void enums_follow_their_lists(void **state)
{
    (void)state;
    struct jobfile *job = jobtest_job("model.size: small\n"
                                      "model.stem: patch\n"
                                      "phases.task: {schedule: cosine, data: both}\n"
                                      "method: {mask: hard, align_step: none, align_source: user}\n"
                                      "train.on_collapse: ignore\n"
                                      "evaluate.weights: raw\n"
                                      "export.dtype: f16\n");
    assert_int_equal(job->model_size, SIZE_SMALL);
    assert_int_equal(job->model_stem, STEM_PATCH);
    assert_int_equal(job->task_schedule, SCHEDULE_COSINE);
    assert_int_equal(job->task_data, DATA_BOTH);
    assert_int_equal(job->method_mask, MASK_HARD);
    assert_int_equal(job->method_align_step, ALIGN_NONE);
    assert_int_equal(job->method_align_source, ALIGN_USER);
    assert_int_equal(job->train_on_collapse, COLLAPSE_IGNORE);
    assert_int_equal(job->evaluate_weights, WEIGHTS_RAW);
    assert_int_equal(job->export_dtype, EXPORT_F16);
    jobfile_destroy(job);
}

static void bytes_that_are_no_job_file(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {"", NULL, "phases", "nothing to do", 0, 0, false, 1},
        {"# only a comment\n", NULL, "phases", "nothing to do", 0, 0, false, 1},
        {"name: \xff\n", NULL, "", "byte 0xff is not UTF-8", 1, 7, false, 1},
        {"a: 1\nname: \xc0\xaf\n", NULL, "", "byte 0xc0 is not UTF-8", 2, 7, false, 1},
        {"\x7f"
         "ELF\x02\x01\x01",
         NULL, "", "is this a job file?", 1, 5, false, 1},
        {"name: \xed\xa0\x80\n", NULL, "", "byte 0xed", 1, 7, false, 1},
        {"just a sentence\n", NULL, "", "a job file is a list of keys", 1, 1, false, 1},
        {"- a\n- b\n", NULL, "", "a job file is a list of keys", 1, 1, false, 1},
        {"name: [1, 2\n", NULL, "", "not valid YAML", -1, 0, false, 2},
        {"train:\n\tbatch: 3\n", NULL, "", "use spaces", 2, 1, false, 1},
        {NULL, "---\nname: two\n", "", "second YAML document", 8, 1, false, 1},
    };
    RUN(cases);
}

static void large_and_binary_files_are_refused(void **state)
{
    (void)state;
    static char big[10 << 20];
    struct jobfile *job = NULL;
    struct findings f;
    struct err err;
    memset(big, '#', sizeof big);
    struct jobfile_source source = {.text = big, .len = sizeof big, .folder = "/"};
    assert_int_equal(jobfile_parse(&job, &source, &f, &err), ST_INVALID);
    assert_non_null(jobtest_find(&f, "", "10485760 bytes"));
    assert_int_equal(f.n, 1);
    findings_fini(&f);
    big[100] = '\0';
    source.len = 4096;
    assert_int_equal(jobfile_parse(&job, &source, &f, &err), ST_INVALID);
    assert_non_null(jobtest_find(&f, "", "byte 0x00"));
    assert_int_equal(f.list[0].column, 101);
    findings_fini(&f);
    assert_null(job);
}

static void hostile_yaml_ends_early(void **state)
{
    (void)state;
    static char deep[200000];
    struct jobfile *job = NULL;
    struct findings f;
    memset(deep, '[', sizeof deep - 1);
    assert_int_equal(jobtest_parse(&job, deep, NULL, 0, &f, NULL), ST_INVALID);
    assert_true(f.errors >= 1 && f.n <= 3);
    findings_fini(&f);
    char *p = deep;
    for (int i = 0; i < 5000; i++)
        p += sprintf(p, "k%d: 1\n", i);
    assert_int_equal(jobtest_parse(&job, deep, NULL, 0, &f, NULL), ST_INVALID);
    assert_true(f.truncated);
    assert_int_equal(f.n, JOBFILE_MAX_FINDINGS);
    assert_int_equal(f.errors, JOBFILE_MAX_FINDINGS);
    findings_fini(&f);
}

static void yaml_features_without_use_are_refused(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "train: &a\n  batch: 16\n", "", "anchors", 8, 8, false, 1},
        {NULL, "train.seed: *b\n", "", "anchors", 8, 13, false, 1},
        {NULL, "train.seed: !!int 3\n", "", "tags", 8, 13, false, 1},
        {NULL, "train.seed: [1, 2]\n", "train.seed", "found a list", 8, 13, false, 1},
        {NULL, "train.seed: {a: 1}\n", "train.seed", "found keys below it", 8, 13, false, 1},
        {NULL, "train: 3\n", "train", "expects keys below it", 8, 8, false, 1},
        {NULL, "? [a, b]\n: 3\n", "", "a key must be a word", 8, 3, false, 1},
    };
    RUN(cases);
}

static void unknown_keys_get_the_nearest(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "phases.serach.steps: 3\n", "phases.serach.steps", "nearest is phases.search.steps",
         8, 1, false, 1},
        {NULL, "phasse:\n  search:\n    steps: 4\n    lr: 3\n", "phasse", "nearest is phases", 8, 1,
         false, 1},
        {NULL, "phases: {serach: {steps: 3}, finetune: {steps: 2}}\n", "phases.serach",
         "nearest is phases.search", 8, 10, false, 1}, /* and not that the search is missing */
        {NULL, "train:\n  bach: 8\n", "train.bach", "nearest is train.batch", 9, 3, false, 1},
        {NULL, "train:\n  ranks: 8\n", "train.ranks", "nearest is resources.ranks", 9, 3, false, 1},
        {NULL, "batch: 8\n", "batch", "nearest is train.batch", 8, 1, false, 1},
        {NULL, "colour_of_the_sky: 8\n", "colour_of_the_sky", "espalier help job-file", 8, 1, false,
         1},
        {NULL, "\"\": 8\n", "", "no such key", 8, 1, false, 1},
    };
    RUN(cases);
}

static void keys_come_once(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "name: again\n", "name", "given twice; first on line 1", 8, 1, false, 1},
        {NULL, "data:\n  holdout: 0.1\n", "data", "given twice; first on line 2", 8, 1, false, 1},
        {NULL, "phases:\n  pretrain:\n    steps: 3\n", "phases.pretrain.steps",
         "given twice; first on line 7", 10, 5, false, 1},
    };
    RUN(cases);
}

static void values_have_types_and_ranges(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "train.batch: many\n", "train.batch", "expects a whole number, got many", 8, 14,
         false, 1},
        {NULL, "train.batch: 1.5\n", "train.batch", "expects a whole number, got 1.5", 8, 14, false,
         1},
        {NULL, "train.batch: \"16\"\n", "train.batch", "expects a whole number, got \"16\"", 8, 14,
         false, 1},
        {NULL, "train.batch: 0x10\n", "train.batch", "expects a whole number, got 0x10", 8, 14,
         false, 1},
        {NULL, "train.batch:\n", "train.batch", "has no value", 8, 13, false, 1},
        {NULL, "train.batch: 1e400\n", "train.batch", "expects a whole number", 8, 14, false, 1},
        {NULL, "train.seed: 9007199254740993\n", "train.seed", "between 0 and 9007199254740992", 8,
         13, false, 1},
        {NULL, "train.seed: -1\n", "train.seed", "between 0 and", 8, 13, false, 1},
        {NULL, "resources.ranks: 0\n", "resources.ranks", "between 1 and 4096, got 0", 8, 18, false,
         1},
        {NULL, "resources.ranks: 10000\n", "resources.ranks", "between 1 and 4096, got 10000", 8,
         18, false, 1},
        {NULL, "phases.task.lr: .nan\n", "phases.task.lr", "must be a finite number, got .nan", 8,
         17, false, 1},
        {NULL, "phases.task.lr: NaN\n", "phases.task.lr", "must be a finite number, got NaN", 8, 17,
         false, 1},
        {NULL, "phases.task.lr: -.inf\n", "phases.task.lr", "must be a finite number, got -.inf", 8,
         17, false, 1},
        {NULL, "phases.task.lr: 1e999\n", "phases.task.lr", "too large", 8, 17, false, 1},
        {NULL, "phases.task.lr: 3e-4x\n", "phases.task.lr", "expects a number, got 3e-4x", 8, 17,
         false, 1},
        {NULL, "phases.task.lr: -0.1\n", "phases.task.lr", "between 0 and 1, got -0.1", 8, 17,
         false, 1},
        {NULL, "method.prune: yes\n", "method.prune", "expects true or false, got yes", 8, 15,
         false, 1},
        {NULL, "method.mask: Soft\n", "method.mask", "expects one of soft, hard, got Soft", 8, 14,
         false, 1},
        {NULL, "method.mask: soft|hard\n", "method.mask", "expects one of soft, hard", 8, 14, false,
         1},
        {NULL, "model.kind: glip\n", "model.kind", "expects mdetr, got glip", 8, 13, false, 1},
    };
    RUN(cases);
}

static void texts_have_limits(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {"name: 0123456789012345678901234567890123456789012345678901234567890123456789\n", NULL,
         "name", "is 70 bytes long, at most 64", 1, 7, false, 2},
        {"name: \"a\\x07b\"\n", NULL, "name", "control character (byte 0x07)", 1, 7, false, 2},
        {"name: \"a\\0b\"\n", NULL, "name", "NUL character", 1, 7, false, 2},
        {NULL,
         "data.holdout: "
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
         "data.holdout", "aaa...", 8, 15, false, 1},
    };
    RUN(cases);
}

static void all_faults_at_once_in_order(void **state)
{
    (void)state;
    static const char text[] = "nmae: x\n"
                               "train: {batch: none, seed: -4}\n"
                               "phases:\n"
                               "  pretrain: {steps: 10, warmup_steps: 1}\n"
                               "  serach: {steps: 10}\n"
                               "method.mask: loud\n";
    struct jobfile *job = NULL;
    struct findings f;
    struct err err;
    assert_int_equal(jobtest_parse(&job, text, NULL, 0, &f, &err), ST_INVALID);
    /* Five in the text; data.pretrain and data.vocabulary are missing besides. */
    assert_int_equal(f.errors, 7);
    for (int i = 1; i < f.n; i++)
        assert_true((unsigned)f.list[i - 1].line - 1 <= (unsigned)f.list[i].line - 1);
    assert_non_null(strstr(err.text, "line 1: nmae: no such key; nearest is name (and 6 more)"));
    findings_fini(&f);
}

static void findings_print_like_a_compiler(void **state)
{
    (void)state;
    struct findings f = {0};
    struct buf out;
    buf_init(&out, 1000);
    findings_add(&f, false, 12, 5, "train.batch", "must be %d", 3);
    findings_add(&f, true, 0, 0, "", "odd");
    finding_print(&out, &term_none, "job.yaml", &f.list[0]);
    assert_string_equal(buf_str(&out), "job.yaml:12:5: error: train.batch: must be 3\n");
    buf_clear(&out);
    finding_print(&out, &term_none, "job.yaml", &f.list[1]);
    assert_string_equal(buf_str(&out), "job.yaml: warning: odd\n");
    buf_fini(&out);
    findings_fini(&f);
}

/* ---- --set ----------------------------------------------------------------------------------- */

static void overrides_win_and_the_last_of_them(void **state)
{
    (void)state;
    static const struct jobfile_override over[] = {
        {"phases.pretrain.steps", "7000"},
        {"name", "\"a: b\""},
        {"train.batch", "8"},
        {"train.batch", "4"},
        {"method.prune", "false"},
        {"data.eval", "task.json"},
        {"phases.task.lr", "1e-5"},
    };
    struct jobfile *job = NULL;
    struct findings f;
    assert_int_equal(jobtest_parse(&job, jobtest_good, over, 7, &f, NULL), ST_OK);
    assert_int_equal(job->pretrain_steps, 7000);
    assert_string_equal(job->name, "a: b");
    assert_int_equal(job->train_batch, 4);
    assert_false(job->method_prune);
    assert_true(job->task_lr == 1e-5);
    assert_non_null(strstr(job->data_eval, "/task.json"));
    jobfile_destroy(job);
    findings_fini(&f);
}

static void overrides_are_checked(void **state)
{
    (void)state;
    static const struct {
        struct jobfile_override over;
        const char *key, *says;
    } cases[] = {
        {{"train.bacth", "8"}, "train.bacth", "nearest is train.batch"},
        {{"train", "8"}, "train", "a key inside"},
        {{"train.batch", ""}, "train.batch", "has no value"},
        {{"train.batch", "[1]"}, "train.batch", "not one plain value"},
        {{"train.batch", "a: b"}, "train.batch", "not one plain value"},
        {{"train.batch", "&x 3"}, "train.batch", "not one plain value"},
        {{"name", "'open"}, "name", "not one plain value"},
        {{"name", "\xff"}, "name", "not UTF-8"},
        {{"\xff", "1"}, "", "does not exist"},
        {{"train.batch", "nan"}, "train.batch", "whole number, got nan"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct jobfile *job = NULL;
        struct findings f;
        assert_int_equal(jobtest_parse(&job, jobtest_good, &cases[i].over, 1, &f, NULL),
                         ST_INVALID);
        const struct finding *one = jobtest_find(&f, cases[i].key, cases[i].says);
        if (!one || one->line != 0)
            fail_msg("case %zu: found '%s'", i, f.list[0].text);
        assert_int_equal(f.errors, 1);
        findings_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_silent),
        cmocka_unit_test(enums_follow_their_lists),
        cmocka_unit_test(bytes_that_are_no_job_file),
        cmocka_unit_test(large_and_binary_files_are_refused),
        cmocka_unit_test(hostile_yaml_ends_early),
        cmocka_unit_test(yaml_features_without_use_are_refused),
        cmocka_unit_test(unknown_keys_get_the_nearest),
        cmocka_unit_test(keys_come_once),
        cmocka_unit_test(values_have_types_and_ranges),
        cmocka_unit_test(texts_have_limits),
        cmocka_unit_test(all_faults_at_once_in_order),
        cmocka_unit_test(findings_print_like_a_compiler),
        cmocka_unit_test(overrides_win_and_the_last_of_them),
        cmocka_unit_test(overrides_are_checked),
    };
    return cmocka_run_group_tests(tests, jobtest_setup, jobtest_teardown);
}
