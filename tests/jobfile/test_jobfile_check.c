/* test_jobfile_check.c - what several keys say together: files, phases, batch, model, target,
 * schedule. */
#include "jobtest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RUN(cases) jobtest_run(cases, (int)(sizeof cases / sizeof *cases))
#define SEARCH "phases.search.steps: 4000\n"

static void files_must_be_there(void **state)
{
    (void)state;
    char missing[128], text[256];
    snprintf(missing, sizeof missing, "%s/none.safetensors: No such file", jobtest_folder());
    snprintf(text, sizeof text, "model.init: %s/sub\n", jobtest_folder());
    const struct jobtest_case cases[] = {
        {NULL, "model.init: none.safetensors\n", "model.init", missing, 8, 13, false, 1},
        {NULL, "model.init: /nowhere/x\n", "model.init", "/nowhere/x: No such file", 8, 13, false,
         1},
        {NULL, "model.init: ~/x\n", "model.init", "~ is not expanded", 8, 13, false, 1},
        {NULL, "model.init: gone/deep/x\n", "model.init",
         "/gone; relative paths start at the job file's folder; `espalier pull JOB` fetches an", 8,
         13, false, 1},
        {NULL, "model.init: sub\n", "model.init", "is a folder; a file is expected", 8, 13, false,
         1},
        {NULL, "model.init: /dev/null\n", "model.init", "not a regular file", 8, 13, false, 1},
        {NULL, text, "model.init", "is a folder", 8, 13, false, 1},
        {"phases.task.steps: 900\ndata: {task: task.json, vocabulary: v.txt}\n", NULL,
         "data.vocabulary", "`espalier data words` makes one", 2, 37, false, 1},
    };
    RUN(cases);
}

static void files_are_not_looked_for_from_afar(void **state)
{
    (void)state;
    static const char text[] =
        "data: {pretrain: a, vocabulary: b, eval: c}\nphases.pretrain.steps: 500\n";
    struct jobfile *job = NULL;
    struct findings f;
    const struct jobfile_source source = {.text = text, .len = strlen(text), .folder = "/no/where"};
    assert_int_equal(jobfile_parse(&job, &source, &f, NULL), ST_OK);
    assert_string_equal(job->data_pretrain, "/no/where/a");
    assert_int_equal(f.n, 0);
    jobfile_destroy(job);
    findings_fini(&f);
}

/* A path of the file that --set replaces is not missed. */
static void replaced_paths_are_not_missed(void **state)
{
    (void)state;
    static const struct jobfile_override over = {"model.init", "task.json"};
    char text[512];
    struct jobfile *job = NULL;
    struct findings f;
    snprintf(text, sizeof text, "%smodel.init: gone.safetensors\n", jobtest_good);
    assert_int_equal(jobtest_parse(&job, text, &over, 1, &f, NULL), ST_OK);
    jobfile_destroy(job);
    findings_fini(&f);
}

static void phases_must_make_sense(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {"name: x\n", NULL, "phases", "no phase has any steps", 0, 0, false, 1},
        {"phases.task.steps: 900\ndata: {vocabulary: words.txt, eval: eval.json}\n", NULL,
         "phases.task.steps", "trains on data.task, which is not set", 1, 20, false, 1},
        {"phases.task: {steps: 900, data: both}\ndata.vocabulary: words.txt\n", NULL,
         "phases.task.steps", "trains on data.pretrain", 1, 22, false, 2},
        {"phases.task.steps: 900\ndata.task: task.json\n", NULL, "data.vocabulary", "is not set", 0,
         0, false, 1},
        {"phases.task.steps: 900\ndata: {task: task.json, vocabulary: words.txt}\n", NULL,
         "data.eval", "nothing will be evaluated", 0, 0, true, 0},
        {NULL, "phases.task: {steps: 900, lr: 0}\n", "phases.task.lr", "is 0 in a phase", 8, 31,
         false, 1},
        {NULL, "phases.task: {steps: 100}\n", "phases.task.steps",
         "before the learning rate's warm-up of 200", 8, 22, true, 0},
        {NULL, "model.init: task.json\nphases.warmup.steps: 900\n", "phases.warmup.steps",
         "model.init is set", 9, 22, true, 0},
        {NULL, "phases.finetune.steps: 900\n", "phases.finetune.steps", "no hardened model", 8, 24,
         false, 1},
        {"data: {task: task.json, eval: eval.json, vocabulary: words.txt}\n" SEARCH, NULL,
         "phases.search.steps", "starts best from trained weights", 2, 22, true, 0},
    };
    RUN(cases);
}

static void batches_divide(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "train.batch: 16\nresources.ranks: 3\n", "train.batch",
         "a batch of 16 does not divide by 3 ranks; use train.batch 15 or 18", 8, 14, false, 1},
        {NULL, "resources.ranks: 3\n", "resources.ranks", "use train.batch 15 or 18", 8, 18, false,
         1},
        {NULL, "train.batch: 2\nresources.ranks: 4\n", "train.batch", "4 ranks without a sample", 8,
         14, false, 1},
        {NULL, "train: {batch: 16, micro_batch: 3}\nresources.ranks: 2\n", "train.micro_batch",
         "does not divide the 8 samples", 8, 33, false, 1},
    };
    RUN(cases);
    struct jobfile *job = jobtest_job("train: {batch: 24, micro_batch: 3}\nresources.ranks: 4\n");
    jobfile_destroy(job);
}

static void models_fit_together(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "model.image: 100\n", "model.image",
         "100 does not divide into patches of model.patch 8", 8, 14, false, 1},
        {NULL, "model.heads: 5\n", "model.heads", "does not divide into heads", 8, 14, false, 1},
        {NULL, "model: {fusion_width: 64, fusion_heads: 7}\n", "model.fusion_heads",
         "does not divide", 8, 41, false, 1},
        {NULL, "model: {patch: 12, image: 96}\n", "model.patch", "power of two", 8, 16, false, 1},
        {NULL, "model: {image: 100, heads: 5}\n", "model.heads", "does not divide", 8, 28, false,
         2},
    };
    RUN(cases);
    struct jobfile *job = jobtest_job("model: {stem: patch, patch: 12, image: 96}\n");
    jobfile_destroy(job);
}

static void targets_must_be_reachable(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, SEARCH "method.target: 0\n", "method.target", "cannot be reached", 9, 16, false, 1},
        {NULL, SEARCH "method.target: 0.01\n", "method.target", "the smallest model has", 9, 16,
         false, 1},
        {NULL, SEARCH "method.target: 1\n", "method.target", "must be below 1", 9, 16, false, 1},
        {NULL, SEARCH "method.target: 1.5\n", "method.target", "between 0 and 1", 9, 16, false, 1},
        {NULL, SEARCH "method: {target: 0.5, prune: false}\n", "method.target", "cannot be reached",
         9, 18, false, 1},
        {NULL, SEARCH "method: {prune: false, share: false}\n", "method.prune", "nothing to decide",
         9, 17, false, 1},
    };
    RUN(cases);
    /* Without a search the target has no meaning. */
    struct jobfile *job = jobtest_job("method.target: 0\n");
    jobfile_destroy(job);
}

/* The number that the refusal names is itself accepted, and the next lower one is not. */
static void the_named_target_is_accepted(void **state)
{
    (void)state;
    char text[512];
    struct jobfile *job = NULL;
    struct findings f;
    snprintf(text, sizeof text, "%s" SEARCH "method.target: 0.01\n", jobtest_good);
    assert_int_equal(jobtest_parse(&job, text, NULL, 0, &f, NULL), ST_INVALID);
    const struct finding *one = jobtest_find(&f, "method.target", "use ");
    assert_non_null(one);
    double reach = strtod(strstr(one->text, "use ") + 4, NULL);
    assert_true(reach > 0.05 && reach < 0.6);
    findings_fini(&f);
    snprintf(text, sizeof text, "%s" SEARCH "method.target: %.4f\n", jobtest_good, reach);
    assert_int_equal(jobtest_parse(&job, text, NULL, 0, &f, NULL), ST_OK);
    struct job_plan plan;
    assert_int_equal(jobfile_plan(job, &plan, NULL), ST_OK);
    assert_true(plan.params_smallest <= plan.params_target);
    jobfile_destroy(job);
    findings_fini(&f);
    snprintf(text, sizeof text, "%s" SEARCH "method.target: %.4f\n", jobtest_good, reach - 2e-4);
    assert_int_equal(jobtest_parse(&job, text, NULL, 0, &f, NULL), ST_INVALID);
    findings_fini(&f);
}

static void searches_have_a_schedule(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, SEARCH "method: {freeze_at: 0.8, freeze_latest: 0.7}\n", "method.freeze_latest",
         "freeze_at 0.8 must be at most", 9, 41, false, 1},
        {NULL, SEARCH "method: {warm: 0.6}\n", "method.warm", "must be below method.freeze_at 0.6",
         9, 16, false, 1},
        {NULL, "phases.search.steps: 400\n", "phases.search.steps", "give 10 hypernetwork steps", 8,
         22, true, 0},
        {NULL, SEARCH "method.gamma_start: 0\n", "method.gamma_start", "must be above 0", 9, 21,
         false, 1},
        {NULL, SEARCH "method.gamma_end: 0\n", "method.gamma_end", "must be above 0", 9, 19, false,
         1},
    };
    RUN(cases);
    struct jobfile *job = jobtest_job(SEARCH "method: {align_step: none, gamma_start: 0}\n");
    jobfile_destroy(job);
}

static void what_slurm_is_told(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "slurm.options: --licenses=a:1 --output=x\n", "slurm.options",
         "--output is set by espalier itself and cannot be changed", 8, 16, false, 1},
        {NULL, "slurm.options: --time=9\n", "slurm.options", "set from slurm.time_minutes", 8, 16,
         false, 1},
        {NULL, "slurm.partition: a b\n", "slurm.partition", "'a b' has a blank", 8, 18, false, 1},
        {NULL, "slurm.account: \"$(id)\"\n", "slurm.account", "Slurm knows no such name", 8, 16,
         false, 1},
        {NULL, "slurm.nodes: 2\n", "slurm.nodes", "2 nodes, but 1 rank in all; use 1", 8, 14, false,
         1},
        {NULL, "slurm.time_minutes: 1\n", "slurm.warn_seconds", "nothing would be computed", -1, 0,
         false, 1},
        {NULL, "resources.launcher: mpirun\nslurm.qos: high\n", "slurm.qos", "has no effect", 9, 12,
         true, 0},
    };
    RUN(cases);
}

static void results_can_be_had(void **state)
{
    (void)state;
    static const struct jobtest_case cases[] = {
        {NULL, "train.ema: 0\n", "train.ema", "set evaluate.weights: raw", 8, 12, false, 1},
        {NULL, SEARCH "export: {shared: false, expanded: false}\n", "export.shared", "not exported",
         9, 18, true, 0},
        {NULL, "checkpoint.best_by: p1\n", "checkpoint.best_by", "evaluate.at_checkpoints: true", 8,
         21, false, 1},
        {"checkpoint.best_by: p1\nevaluate.at_checkpoints: true\nphases.pretrain.steps: 500\n"
         "data: {pretrain: pretrain.json, vocabulary: words.txt}\n",
         NULL, "checkpoint.best_by", "measured on data.eval, which is not set", 1, 21, false, 1},
        {NULL, "checkpoint.best_by: accuracy\n", "checkpoint.best_by", "p1_giou", 8, 21, false, 1},
    };
    RUN(cases);
    struct jobfile *job = jobtest_job("train.ema: 0\nevaluate.weights: raw\n");
    jobfile_destroy(job);
    job = jobtest_job("checkpoint.best_by: p5\nevaluate.at_checkpoints: true\n");
    assert_int_equal(job->checkpoint_best_by, BEST_P5);
    jobfile_destroy(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_must_be_there),
        cmocka_unit_test(files_are_not_looked_for_from_afar),
        cmocka_unit_test(replaced_paths_are_not_missed),
        cmocka_unit_test(phases_must_make_sense),
        cmocka_unit_test(batches_divide),
        cmocka_unit_test(models_fit_together),
        cmocka_unit_test(targets_must_be_reachable),
        cmocka_unit_test(the_named_target_is_accepted),
        cmocka_unit_test(searches_have_a_schedule),
        cmocka_unit_test(what_slurm_is_told),
        cmocka_unit_test(results_can_be_had),
    };
    return cmocka_run_group_tests(tests, jobtest_setup, jobtest_teardown);
}
