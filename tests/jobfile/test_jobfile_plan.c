/* test_jobfile_plan.c - the other readers of the schema: the printed job, help and the document;
 * the plan. */
#include "jobtest.h"

#include "base/file.h"
#include "jobfile/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SEARCH "phases.search.steps: 4000\n"

/* What is printed is a job file, and means the same job. */
static void printed_jobs_read_back(void **state)
{
    (void)state;
    static const char *const more[] = {
        NULL,
        "model: {size: small, queries: 20}\ntrain.weight_decay: 0.1\nphases.task: {lr: 1.7e-5, "
        "steps: "
        "777}\n",
        SEARCH "method: {target: 0.61803398874989479, mask: hard, prune: true}\n"
               "model.init: \"task.json\"\n",
    };
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        struct jobfile *first = jobtest_job(more[i]), *second = NULL;
        struct findings f;
        struct buf a, b;
        buf_init(&a, 65536);
        buf_init(&b, 65536);
        jobfile_print(first, &a);
        assert_int_equal(jobtest_parse(&second, buf_str(&a), NULL, 0, &f, NULL), ST_OK);
        jobfile_print(second, &b);
        assert_string_equal(buf_str(&a), buf_str(&b));
        assert_true(first->method_target == second->method_target);
        assert_true(first->task_lr == second->task_lr);
        assert_string_equal(first->data_task, second->data_task);
        buf_fini(&a);
        buf_fini(&b);
        findings_fini(&f);
        jobfile_destroy(first);
        jobfile_destroy(second);
    }
}

static void odd_texts_print_as_yaml(void **state)
{
    (void)state;
    static const struct jobfile_override over = {"name", "'quote \" back \\ # : { é'"};
    struct jobfile *first = NULL, *second = NULL;
    struct findings f, g;
    struct buf a;
    buf_init(&a, 65536);
    assert_int_equal(jobtest_parse(&first, jobtest_good, &over, 1, &f, NULL), ST_OK);
    jobfile_print(first, &a);
    assert_int_equal(jobtest_parse(&second, buf_str(&a), NULL, 0, &g, NULL), ST_OK);
    assert_string_equal(second->name, "quote \" back \\ # : { é");
    jobfile_destroy(first);
    jobfile_destroy(second);
    findings_fini(&f);
    findings_fini(&g);
    buf_fini(&a);
}

static void sizes_fill_the_model_in(void **state)
{
    (void)state;
    struct model_shape shape;
    struct jobfile *job = jobtest_job("model: {size: small, queries: 20, dropout: 0.1}\n");
    jobfile_model_shape(job, &shape);
    assert_int_equal(shape.width, 384);
    assert_int_equal(shape.vision_layers, 12);
    assert_int_equal(shape.fusion_ffn, 1024);
    assert_int_equal(shape.queries, 20);
    assert_int_equal(shape.slots, 64);
    assert_int_equal(shape.vocabulary, JOBTEST_WORDS + 4);
    assert_true(shape.dropout == 0.1);
    jobfile_destroy(job);
}

static void vocabularies_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int words;
    } cases[] = {{"a\nb\nc\n", 3}, {"a\nb\nc", 3}, {"a\r\nb\r\n", 2}, {"a\n\nb\n\n", 2}, {"", -4}};
    char path[128];
    snprintf(path, sizeof path, "%s/words.txt", jobtest_folder());
    struct buf keep;
    buf_init(&keep, 65536);
    assert_int_equal(file_read(&keep, path, NULL), ST_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_shape shape;
        assert_int_equal(file_write_atomic(path, cases[i].text, strlen(cases[i].text), 0600, NULL),
                         ST_OK);
        struct jobfile *job = jobtest_job(NULL);
        jobfile_model_shape(job, &shape);
        assert_int_equal(shape.vocabulary, cases[i].words + 4);
        jobfile_destroy(job);
    }
    assert_int_equal(file_write_atomic(path, keep.data, keep.len, 0600, NULL), ST_OK);
    buf_fini(&keep);
}

static void a_vocabulary_written_over_is_counted_anew(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/over.txt", jobtest_folder());
    assert_int_equal(file_write_atomic(path, "a\nb\nc\n", 6, 0600, NULL), ST_OK);
    assert_int_equal(vocabulary_lines(path), 3);
    FILE *same = fopen(path, "r+"); /* the same inode and size */
    assert_non_null(same);
    assert_int_equal(fputs("abcde\n", same) < 0, 0);
    assert_int_equal(fclose(same), 0);
    assert_int_equal(vocabulary_lines(path), 1);
    assert_int_equal(unlink(path), 0);
}

static bool has_note(const struct job_plan *plan, const char *says)
{
    for (int i = 0; i < plan->n_notes; i++)
        if (strstr(plan->notes[i], says))
            return true;
    return false;
}

static void plans_add_up(void **state)
{
    (void)state;
    struct job_plan plan;
    struct jobfile *job = jobtest_job(SEARCH "phases.finetune.steps: 500\n"
                                             "train: {batch: 24, micro_batch: 3}\n"
                                             "resources.ranks: 4\n");
    assert_int_equal(jobfile_plan(job, &plan, NULL), ST_OK);
    assert_int_equal(plan.steps, 5000 + 4000 + 500);
    assert_true(plan.dense.backbones < plan.dense.whole);
    /* The condition on the named sizes: at least 70 % of all weights in the backbones'
     * matrices. */
    assert_true((double)plan.dense.backbone_matrices >= 0.70 * (double)plan.dense.whole);
    assert_int_equal(plan.params_target, (int64_t)(0.62 * (double)plan.dense.whole));
    assert_true(plan.params_smallest < plan.params_target);
    assert_true(plan.memory_bytes > 5 * 4 * plan.dense.whole);
    assert_true(has_note(&plan, "batch 24 = 4 ranks x micro-batch 3 x 2 accumulated"));
    assert_true(has_note(&plan, "100 hypernetwork steps"));
    jobfile_destroy(job);
    /* Of four ranks each holds a quarter of the moments. */
    struct job_plan sharded;
    job = jobtest_job(SEARCH "phases.finetune.steps: 500\n"
                             "train: {batch: 24, micro_batch: 3, shard_optimizer: true}\n"
                             "resources.ranks: 4\n");
    assert_int_equal(jobfile_plan(job, &sharded, NULL), ST_OK);
    assert_int_equal(plan.memory_bytes - sharded.memory_bytes,
                     2 * 4 * (plan.dense.whole - (plan.dense.whole + 3) / 4));
    job->train_ema = 0; /* its block is there all the same */
    assert_int_equal(jobfile_plan(job, &plan, NULL), ST_OK);
    assert_int_equal(plan.memory_bytes, sharded.memory_bytes);
    jobfile_destroy(job);
    job = jobtest_job("model.size: small\ntrain.precision: bf16\n");
    assert_int_equal(jobfile_plan(job, &plan, NULL), ST_OK);
    assert_true(has_note(&plan, "needs a processor with AVX-512 BF16"));
    assert_true((double)plan.dense.backbone_matrices >= 0.70 * (double)plan.dense.whole);
    assert_int_equal(plan.params_target, plan.dense.whole);
    jobfile_destroy(job);
}

/* A job file that does not set a key sets its default: help, document and parser agree by the one
 * table. */
/* The full structure of the model of this file, as JSON. */
static void full_structure(const char *text, struct buf *out)
{
    struct jobfile *job = jobtest_job(text);
    struct model_shape shape;
    struct frame *frame;
    struct structure *full;
    assert_int_equal(plan_frame(job, &shape, &frame, NULL), ST_OK);
    assert_int_equal(structure_create(&full, frame, NULL), ST_OK);
    structure_write_json(full, out);
    structure_destroy(full);
    frame_destroy(frame);
    jobfile_destroy(job);
}

/* Fifty steps would be too few to search; what is given needs no search. */
static void a_structure_that_is_given_is_not_searched_for(void **state)
{
    (void)state;
    struct jobfile *job = NULL;
    struct findings f;
    struct job_plan plan;
    struct err err;
    struct buf json, text;
    buf_init(&json, 1 << 20);
    buf_init(&text, 4096);
    full_structure(SEARCH, &json);
    buf_printf(&text, "%sphases.search.steps: 50\n", jobtest_good);
    struct jobfile_source source = {.text = buf_str(&text),
                                    .len = text.len,
                                    .folder = jobtest_folder(),
                                    .check_paths = true,
                                    .structure = buf_str(&json),
                                    .structure_len = json.len};
    assert_int_equal(jobfile_parse(&job, &source, &f, &err), ST_OK);
    assert_null(jobtest_find(&f, "phases.search.steps", "hypernetwork"));
    assert_int_equal(jobfile_plan(job, &plan, NULL), ST_OK);
    assert_int_equal(plan.params_target, plan.dense.whole);
    assert_true(has_note(&plan, "starts frozen on the structure"));
    assert_false(has_note(&plan, "hypernetwork steps"));
    jobfile_destroy(job);
    findings_fini(&f);
    source.structure_len = 10;
    assert_int_equal(jobfile_parse(&job, &source, &f, &err), ST_INVALID);
    assert_int_equal(f.errors, 0);
    assert_true(strlen(err.text) > 0);
    findings_fini(&f);
    source.structure = NULL;
    assert_int_equal(jobfile_parse(&job, &source, &f, &err), ST_OK);
    assert_non_null(jobtest_find(&f, "phases.search.steps", "hypernetwork"));
    jobfile_destroy(job);
    findings_fini(&f);
    buf_fini(&json);
    buf_fini(&text);
}

static void help_names_every_key(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 1 << 20);
    jobfile_help(&text, false);
    assert_true(buf_ok(&text));
    static const char *const keys[] = {
        "name",
        "model.kind",
        "data.task",
        "phases.warmup.steps",
        "phases.finetune.data",
        "method.freeze_latest",
        "resources.priority",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(strstr(buf_str(&text), keys[i]));
    buf_fini(&text);
}

static void the_document_is_current(void **state)
{
    (void)state;
    struct buf made, there;
    buf_init(&made, 1 << 20);
    buf_init(&there, 1 << 20);
    jobfile_help(&made, true);
    assert_int_equal(file_read(&there, TEST_SOURCE_DIR "/../docs/spec/job-file.md", NULL), ST_OK);
    if (strcmp(buf_str(&made), buf_str(&there)) != 0)
        fail_msg("docs/spec/job-file.md is not what schema.def says: run\n"
                 "  espalier help job-file --markdown > docs/spec/job-file.md");
    buf_fini(&made);
    buf_fini(&there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printed_jobs_read_back),
        cmocka_unit_test(odd_texts_print_as_yaml),
        cmocka_unit_test(sizes_fill_the_model_in),
        cmocka_unit_test(vocabularies_are_counted),
        cmocka_unit_test(a_vocabulary_written_over_is_counted_anew),
        cmocka_unit_test(plans_add_up),
        cmocka_unit_test(a_structure_that_is_given_is_not_searched_for),
        cmocka_unit_test(help_names_every_key),
        cmocka_unit_test(the_document_is_current),
    };
    return cmocka_run_group_tests(tests, jobtest_setup, jobtest_teardown);
}
