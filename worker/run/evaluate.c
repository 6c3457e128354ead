/* evaluate.c - scores on the evaluation set, with everything that must stand beside them: sizes,
 * MACs, speed. */
#include "run/publish.h"
#include "run/run.h"

#include "base/clock.h"
#include "base/json.h"
#include "engine/ckpt/export.h"
#include "engine/data/metrics.h"
#include "jobfile/keep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void score_batch(struct rec_metrics *m, const struct dataset *set, const struct batch *batch,
                        const real *score, const real *box, int64_t Q)
{
    for (int64_t b = 0; b < batch->B; b++) {
        struct record record;
        dataset_get(set, batch->record[b], &record);
        rec_metrics_add(m, record.family, score + b * Q, box + b * Q * 4, Q,
                        batch->box + 4 * batch->first_box[b]);
    }
}

static enum status score_share(struct run *r, struct loader *loader, struct rec_metrics *m,
                               struct err *err)
{
    int64_t Q = r->shape.queries, most = r->job->evaluate_batch;
    real *score = malloc(sizeof(real) * (size_t)(most * Q));
    real *box = malloc(sizeof(real) * (size_t)(most * Q * 4));
    enum status st = score && box ? ST_OK : err_set(err, ST_NOMEM, "out of memory for predictions");
    for (int64_t step = 0; st == ST_OK && step < loader_epoch_steps(loader); step++) {
        const struct batch *batch;
        pulse_mark(r->pulse, PULSE_EVALUATE, r->state.total_step);
        st = loader_batch(loader, step, 0, &batch, err);
        if (st != ST_OK || batch->B == 0)
            continue;
        st = model_predict(r->cx, r->model, batch, score, box, err);
        if (st == ST_OK)
            score_batch(m, r->corpus->set[CORPUS_EVAL], batch, score, box, Q);
    }
    pulse_mark(r->pulse, PULSE_GATHER, r->state.total_step);
    free(score);
    free(box);
    return st;
}

static void sum_over_ranks(struct comm *c, struct rec_metrics *m)
{
    double sums[METRIC_WORDS];
    int64_t words[METRIC_WORDS];
    memcpy(words, m, sizeof words);
    for (size_t i = 0; i < METRIC_WORDS; i++)
        sums[i] = (double)words[i];
    c->sum_double(c, sums, METRIC_WORDS);
    for (size_t i = 0; i < METRIC_WORDS; i++)
        words[i] = (int64_t)sums[i];
    memcpy(m, words, sizeof words);
}

/* ---- the row of result.json ------------------------------------------------------------------ */

static void put(struct json_object *o, const char *key, double v)
{
    json_object_object_add(o, key, isfinite(v) ? json_object_new_double(v) : NULL);
}

static void put_families(struct json_object *row, const struct rec_metrics *m,
                         const struct dataset *set)
{
    static const struct {
        const char *key;
        int by, at;
    } scores[] = {{"p1_by_family", METRIC_IOU, METRIC_P1},
                  {"p5_by_family", METRIC_IOU, METRIC_P5},
                  {"p10_by_family", METRIC_IOU, METRIC_P10},
                  {"p1_giou_by_family", METRIC_GIOU, METRIC_P1}};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        struct json_object *o = json_object_new_object();
        for (int f = 0; f < dataset_families(set); f++)
            put(o, dataset_family(set, f)->name, rec_family(m, f, scores[i].by, scores[i].at).p);
        json_object_object_add(row, scores[i].key, o);
    }
    struct json_object *count = json_object_new_object(), *blind = json_object_new_object();
    for (int f = 0; f < dataset_families(set); f++) {
        const struct dataset_family *family = dataset_family(set, f);
        json_object_object_add(
            count, family->name,
            json_object_new_int64(rec_family(m, f, METRIC_IOU, METRIC_P1).records));
        struct json_object *b = json_object_new_object();
        put(b, "random", family->random);
        put(b, "head_noun", family->head_noun);
        put(b, "attributes", family->attributes);
        json_object_object_add(blind, family->name, b);
    }
    json_object_object_add(row, "expressions_by_family", count);
    json_object_object_add(row, "blind_by_family", blind);
}

/* What a checkpoint can be measured by, of one evaluation. */
static double score_of(const struct rec_metrics *m, enum best_by by)
{
    switch (by) {
    case BEST_P5:
        return rec_micro(m, METRIC_IOU, METRIC_P5).p;
    case BEST_P10:
        return rec_micro(m, METRIC_IOU, METRIC_P10).p;
    case BEST_P1_MACRO:
        return rec_macro(m, METRIC_IOU, METRIC_P1).p;
    case BEST_P1_GIOU:
        return rec_micro(m, METRIC_GIOU, METRIC_P1).p;
    default:
        return rec_micro(m, METRIC_IOU, METRIC_P1).p;
    }
}

static void put_scores(struct json_object *row, const struct rec_metrics *m,
                       const struct dataset *set)
{
    struct rec_score p1 = rec_micro(m, METRIC_IOU, METRIC_P1);
    for (enum best_by by = BEST_LOSS + 1; by < BEST_COUNT; by++)
        put(row, keep_metric_name(by), score_of(m, by));
    put(row, "p1_standard_error", p1.se);
    json_object_object_add(row, "expressions", json_object_new_int64(p1.records));
    put_families(row, m, set);
}

static enum status put_sizes(struct run *r, struct json_object *row, const struct structure *st,
                             struct err *err)
{
    struct structure_count count;
    struct structure *full = NULL;
    if (!st)
        TRY(structure_create(&full, r->frame, err));
    structure_count(st ? st : full, &count);
    json_object_object_add(row, "params_whole", json_object_new_int64(count.whole));
    json_object_object_add(row, "params_backbones", json_object_new_int64(count.backbones));
    put(row, "kept_whole", count.kept);
    put(row, "kept_backbones", (double)count.backbones / (double)count.dense_backbones);
    put(row, "groups_pruned", count.groups ? (double)count.pruned / count.groups : 0);
    put(row, "text_groups_shared",
        count.text_groups ? (double)count.shared / count.text_groups : 0);
    json_object_object_add(row, "macs",
                           json_object_new_int64(model_shape_macs(&r->shape, st ? st : full)));
    json_object_object_add(row, "resident_bytes", json_object_new_int64(4 * count.whole));
    structure_destroy(full);
    return ST_OK;
}

/* Bytes that the model takes on disk in the shared form: written, measured, removed. */
static enum status put_file_bytes(struct run *r, struct json_object *row, struct err *err)
{
    char *path = NULL;
    const struct export_options opt = {.dtype = r->job->export_dtype == EXPORT_F16 ? DTYPE_F16
                                                                                   : DTYPE_F32};
    struct stat sb;
    enum status st = publish_begin(r->folder, "export", &path, err);
    if (st == ST_OK)
        st = export_shared(path, r->model, params_values(model_params(r->model)), &opt, NULL, err);
    if (st == ST_OK && stat(path, &sb) == 0)
        json_object_object_add(row, "file_bytes", json_object_new_int64(sb.st_size));
    if (path)
        unlink(path);
    free(path);
    return st;
}

static enum status put_row(struct run *r, const char *name, const struct structure *st,
                           const struct rec_metrics *m, double seconds, struct err *err)
{
    struct json_object *row = json_object_new_object();
    enum status status = put_sizes(r, row, st, err);
    put_scores(row, m, r->corpus->set[CORPUS_EVAL]);
    int64_t expressions = rec_micro(m, METRIC_IOU, METRIC_P1).records;
    put(row, "images_per_second", (double)expressions / fmax(seconds, 1e-9));
    json_object_object_add(
        row, "weights",
        json_object_new_string(r->job->evaluate_weights == WEIGHTS_EMA ? "ema" : "raw"));
    json_object_object_add(r->result, name, row);
    if (status == ST_OK && run_root(r))
        status = put_file_bytes(r, row, err);
    char metric[64];
    snprintf(metric, sizeof metric, "eval.%s.p1", name);
    double p1 = rec_micro(m, METRIC_IOU, METRIC_P1).p;
    run_metric(r, metric, p1, "fraction");
    run_note(
        r, REPORT_INFO, "%s: P@1 %.4f (macro %.4f, GIoU %.4f), %lld parameters, %lld expressions",
        name, p1, rec_macro(m, METRIC_IOU, METRIC_P1).p, rec_micro(m, METRIC_GIOU, METRIC_P1).p,
        (long long)json_object_get_int64(json_find(row, "params_whole")), (long long)expressions);
    return status;
}

/* The evaluation set through the copy of the weights that is chosen; counts of all ranks. */
static enum status score_set(struct run *r, struct rec_metrics *m, struct err *err)
{
    struct loader *loader = NULL;
    bool ema = r->job->evaluate_weights == WEIGHTS_EMA;
    if (ema)
        run_swap_ema(r);
    enum status status = corpus_eval_loader(&loader, r->corpus, r->job, &r->shape, r->comm, err);
    if (status == ST_OK)
        status = score_share(r, loader, m, err);
    loader_destroy(loader);
    if (ema)
        run_swap_ema(r);
    TRY(run_agree(r, status, err));
    sum_over_ranks(r->comm, m);
    return ST_OK;
}

enum status evaluate_model(struct run *r, const char *name, const struct structure *st,
                           struct err *err)
{
    struct rec_metrics m = {0};
    int64_t started = clock_mono_ns();
    if (!r->corpus->set[CORPUS_EVAL])
        return ST_OK;
    TRY(score_set(r, &m, err));
    double seconds = 1e-9 * (double)(clock_mono_ns() - started);
    return run_agree(r, put_row(r, name, st, &m, seconds, err), err);
}

enum status evaluate_checkpoint(struct run *r, struct err *err)
{
    struct rec_metrics m = {0};
    char name[64];
    if (!r->corpus->set[CORPUS_EVAL])
        return ST_OK;
    run_book_time(r, r->state.stage);
    enum status st = score_set(r, &m, err);
    run_book_time(r, STAGE_EVALUATE);
    if (st != ST_OK)
        return st;
    for (enum best_by by = BEST_LOSS + 1; by < BEST_COUNT; by++) {
        snprintf(name, sizeof name, "eval.%s", keep_metric_name(by));
        r->state.metric[by] = score_of(&m, by);
        run_metric(r, name, r->state.metric[by], "fraction");
    }
    return ST_OK;
}

void run_forget_metrics(struct run *r, enum best_by from)
{
    for (enum best_by by = from; by < BEST_COUNT; by++)
        r->state.metric[by] = NAN;
}
