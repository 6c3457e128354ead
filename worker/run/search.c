/* search.c - weights and structure in turn (method.md 6).
 *
 * Every step is a weight step; every K-th is followed by a hypernetwork step on held-out data and a
 * read-out. At the freeze the structure is read out once by bisection and stands; from then on the
 * pull draws the weights towards it.
 */
#include "run/publish.h"
#include "run/run.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "engine/op/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- read-outs ------------------------------------------------------------------------------- */

static enum status report_structure_version(struct run *r, struct err *err)
{
    struct structure_count count;
    structure_count(r->structure, &count);
    r->state.kept = count.kept;
    r->state.version++;
    if (!run_root(r))
        return ST_OK;
    struct buf json;
    buf_init(&json, 16u << 20);
    structure_write_json(r->structure, &json);
    char name[64];
    snprintf(name, sizeof name, "structure/%06d.json", r->state.version);
    char *folder = job_folder_path(r->folder, "structure"),
         *path = job_folder_path(r->folder, name);
    enum status st =
        folder && path ? file_mkdirs(folder, 0700, err) : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = publish_text(r->folder, path, &json, err);
    const struct report_structure record = {
        .total_step = (uint64_t)r->state.total_step,
        .params_kept = count.kept,
        .pruned = count.groups ? (double)count.pruned / count.groups : 0,
        .shared = count.text_groups ? (double)count.shared / count.text_groups : 0,
        .json = buf_str(&json),
    };
    if (st == ST_OK && r->report)
        report_structure(r->report, &record, NULL);
    free(folder);
    free(path);
    buf_fini(&json);
    return st;
}

/* The history of the structure is a result: which version, when, how large, at what loss. */
static void note_version(struct run *r)
{
    struct json_object *list = json_find(r->result, "structures"), *o = json_object_new_object();
    if (!list) {
        list = json_object_new_array();
        json_object_object_add(r->result, "structures", list);
    }
    json_object_object_add(o, "version", json_object_new_int(r->state.version));
    json_object_object_add(o, "step", json_object_new_int64(r->state.step));
    json_object_object_add(o, "kept", json_object_new_double(r->state.kept));
    json_object_object_add(o, "loss", json_object_new_double(r->state.hyper_loss));
    json_object_array_add(list, o);
}

/* Takes the newest read-out, rank 0's; a version is what differs from the last. `st`: whether `next` could be made. */
static enum status read_out(struct run *r, enum status st, struct structure *next, struct err *err)
{
    TRY(run_agree(r, st, err));
    r->comm->broadcast(r->comm, next->m, (size_t)r->frame->ngroups, 0);
    r->comm->broadcast(r->comm, next->s, (size_t)r->frame->ngroups, 0);
    if (!structure_equal(next, r->structure) || r->state.version == 0) {
        structure_copy(r->structure, next);
        st = report_structure_version(r, err);
        note_version(r);
    }
    return run_agree(r, st, err);
}

struct scores {
    double *m, *own;
};

static void scores_fini(struct scores *s)
{
    free(s->m);
    free(s->own);
}

static enum status scores_init(struct scores *s, struct run *r, struct err *err)
{
    size_t n = (size_t)r->frame->ngroups;
    *s = (struct scores){calloc(n, sizeof(double)), calloc(n, sizeof(double))};
    enum status st = s->m && s->own ? hypernet_scores(r->hyper, r->cx, s->m, s->own, err)
                                    : err_set(err, ST_NOMEM, "out of memory for a read-out");
    if (st != ST_OK)
        scores_fini(s);
    return st;
}

static enum status soft_read_out(struct run *r, struct err *err)
{
    struct scores scores;
    struct structure *next = NULL;
    enum status st = structure_create(&next, r->frame, err);
    if (st == ST_OK)
        st = scores_init(&scores, r, err);
    if (st == ST_OK) {
        hypernet_read(r->frame, scores.m, scores.own, next);
        scores_fini(&scores);
    }
    st = read_out(r, st, next, err);
    structure_destroy(next);
    return st;
}

/* ---- the hypernetwork's step ----------------------------------------------------------------- */

static void freeze_weights(struct run *r, bool frozen)
{
    for (int g = 0; g < PARAM_HYPER; g++)
        params_freeze(model_params(r->model), (enum param_group)g, frozen);
}

/* Of a hypernetwork step, over all ranks; the last two are rank 0's. */
enum { HYPER_BAD, HYPER_LOSS, HYPER_NORM, HYPER_SAMPLED, HYPER_SUMS };

static enum status hyper_micro(struct run *r, const struct batch *batch, double share, double *sums,
                               struct err *err)
{
    const struct ctx_config cfg = {.record = true,
                                   .recompute = r->job->train_recompute == RECOMPUTE_BLOCK,
                                   .seed = (uint64_t)r->job->train_seed,
                                   .step = (uint64_t)r->state.hyper_steps,
                                   .sample0 = batch->sample0};
    ctx_begin(r->cx, &cfg);
    struct hypernet_sample sample = hypernet_draw(r->cx, r->hyper);
    bool soft = r->job->method_mask == MASK_SOFT;
    binding_use_soft(model_binding(r->model), soft ? sample.m_soft : sample.m_hard,
                     soft ? sample.s_soft : sample.s_hard);
    struct model_losses losses;
    double params = 0;
    struct tensor *terms[2];
    terms[0] = model_loss(r->cx, r->model, batch, &losses);
    terms[1] = hypernet_budget(r->cx, r->hyper, &sample, r->job->method_target, &params);
    /* R is the same on every rank and micro-batch; their shares add up to one. */
    const double weight[2] = {1, r->job->method_lambda * share};
    ctx_backward(r->cx, op_weighted_sum(r->cx, terms, weight, 2));
    r->state.sampled = params / (double)r->frame->total;
    sums[HYPER_LOSS] += losses.total;
    return ctx_finish(r->cx, err);
}

static enum status hyper_gradient(struct run *r, double *sums, struct err *err)
{
    params_zero_grads(hypernet_params(r->hyper));
    int64_t micros = loader_micros(r->held_out);
    double share = 1.0 / (double)(micros * r->comm->size);
    for (int64_t m = 0; m < micros; m++) {
        const struct batch *batch;
        TRY(loader_batch(r->held_out, r->state.hyper_steps, m, &batch, err));
        enum status st = hyper_micro(r, batch, share, sums, err);
        if (st == ST_NUMERIC)
            sums[HYPER_BAD] += 1;
        else if (st != ST_OK)
            return st;
    }
    return ST_OK;
}

static enum status hyper_step(struct run *r, struct err *err)
{
    int64_t started = clock_mono_ns(), traced = trace_begin(r->trace);
    double sums[HYPER_SUMS] = {0};
    freeze_weights(r, true);
    enum status st = hyper_gradient(r, sums, err);
    freeze_weights(r, false);
    binding_use_own(model_binding(r->model));
    TRY(run_agree(r, st, err));
    struct params *p = hypernet_params(r->hyper);
    int64_t summed = trace_begin(r->trace);
    r->comm->sum_float(r->comm, params_grads(p), params_size(p));
    if (run_root(r)) {
        sums[HYPER_NORM] = grad_norm(r->backend, p);
        sums[HYPER_SAMPLED] = r->state.sampled;
    }
    r->comm->sum_double(r->comm, sums, HYPER_SUMS);
    trace_end(r->trace, TRACE_HYPERNET_SUM, 0, r->state.hyper_steps, summed);
    double norm = sums[HYPER_NORM];
    r->state.sampled = sums[HYPER_SAMPLED];
    if (sums[HYPER_BAD] == 0 && isfinite(norm)) {
        r->state.hyper_loss = sums[HYPER_LOSS];
        struct adamw_config cfg = adamw_defaults;
        cfg.lr[PARAM_HYPER] = r->job->method_hyper_lr;
        cfg.weight_decay = r->job->method_hyper_decay;
        adamw_step(r->hyper_opt, p, &cfg, clip_scale(norm, r->job->method_hyper_clip));
    } else {
        run_note(r, REPORT_WARNING,
                 "hypernetwork step %lld had a loss of NaN or Inf and is skipped",
                 (long long)r->state.hyper_steps);
    }
    r->state.hyper_steps++;
    st = soft_read_out(r, err);
    r->state.hyper_seconds += 1e-9 * (double)(clock_mono_ns() - started);
    trace_end(r->trace, TRACE_HYPERNET, 0, r->state.hyper_steps, traced);
    return st;
}

/* ---- freeze and pull ------------------------------------------------------------------------- */

/* No later than at the last step, which in a short search comes before freeze_latest: only a bisected structure meets the target. */
static bool time_to_freeze(const struct run *r, const struct phase_plan *plan)
{
    const struct jobfile *job = r->job;
    double at = (double)r->state.step / (double)plan->steps;
    if (r->state.frozen_at >= 0)
        return false;
    if (r->state.step + 1 == plan->steps)
        return true;
    if (at < job->method_freeze_at)
        return false;
    return r->state.sampled <= 1.05 * job->method_target || at >= job->method_freeze_latest;
}

/* R_align and the norms it draws to 0, as metrics and as result[key]. */
static void report_alignment(struct run *r, const char *when, const char *key)
{
    struct align_report a;
    struct json_object *o = json_object_new_object();
    char name[64];
    align_measure(model_params(r->model), r->structure, &a);
    json_object_object_add(o, "r_align", json_object_new_double(a.r_align));
    json_object_object_add(o, "zero_norm_median", json_object_new_double(a.zero_norm));
    json_object_object_add(o, "pair_norm_median", json_object_new_double(a.pair_norm));
    json_object_object_add(o, "zero_groups", json_object_new_int(a.zero_groups));
    json_object_object_add(o, "pairs", json_object_new_int(a.pairs));
    json_object_object_add(r->result, key, o);
    snprintf(name, sizeof name, "align.%s.r_align", when);
    run_metric(r, name, a.r_align, "");
    snprintf(name, sizeof name, "align.%s.zero_norm", when);
    run_metric(r, name, a.zero_norm, "");
    snprintf(name, sizeof name, "align.%s.pair_norm", when);
    run_metric(r, name, a.pair_norm, "");
}

static void note_freeze(struct run *r, const char *how)
{
    r->state.frozen_at = r->state.step;
    run_note(r, REPORT_INFO,
             "structure frozen at step %lld: %.1f %% of the parameters are kept (%s)",
             (long long)r->state.step, 100 * r->state.kept, how);
    report_alignment(r, "freeze", "alignment_at_freeze");
}

/* A search that has just begun and has a structure to start on is frozen before its first step. */
static enum status start_frozen(struct run *r, struct err *err)
{
    struct structure *given = NULL;
    bool any = false;
    if (r->state.step > 0 || r->state.version > 0 || r->state.frozen_at >= 0)
        return ST_OK;
    enum status st = run_agree(r, structure_create(&given, r->frame, err), err);
    if (st == ST_OK)
        st = run_start_structure(r, given, &any, err);
    if (st == ST_OK && any)
        st = read_out(r, st, given, err);
    structure_destroy(given);
    if (st == ST_OK && any)
        note_freeze(r, "as given");
    return st;
}

static enum status freeze(struct run *r, struct err *err)
{
    struct scores scores;
    struct structure *next = NULL;
    double threshold;
    int64_t target = (int64_t)(r->job->method_target * (double)r->frame->total);
    enum status st = structure_create(&next, r->frame, err);
    if (st == ST_OK)
        st = scores_init(&scores, r, err);
    if (st == ST_OK) {
        st = structure_bisect(next, scores.m, scores.own, target, &threshold, err);
        scores_fini(&scores);
    }
    st = read_out(r, st, next, err);
    structure_destroy(next);
    if (st != ST_OK)
        return st;
    char how[80];
    snprintf(how, sizeof how, "target %.1f %%, last sample %.1f %%", 100 * r->job->method_target,
             100 * r->state.sampled);
    note_freeze(r, how);
    return ST_OK;
}

/* Geometric from gamma_start to gamma_end over gamma_ramp of what is left after the freeze. */
static double pull_strength(const struct run *r, const struct phase_plan *plan)
{
    const struct jobfile *job = r->job;
    double span = job->method_gamma_ramp * (double)(plan->steps - r->state.frozen_at);
    double part = span > 0 ? (double)(r->state.step - r->state.frozen_at) / span : 1;
    if (job->method_gamma_start <= 0)
        return job->method_gamma_end * fmin(part, 1);
    return job->method_gamma_start *
           pow(job->method_gamma_end / job->method_gamma_start, fmin(part, 1));
}

/* The option `gradient`: R_align's gradient joins the clipped one of L_task. */
static enum status pull_gradient(struct run *r, const struct phase_plan *plan, struct err *err)
{
    if (r->state.frozen_at < 0 || r->job->method_align_step != ALIGN_GRADIENT)
        return ST_OK;
    const struct ctx_config cfg = {.record = true, .seed = (uint64_t)r->job->train_seed};
    ctx_begin(r->cx, &cfg);
    struct tensor *loss =
        pull_loss(r->cx, model_params(r->model), r->structure, pull_strength(r, plan),
                  r->job->method_align_source == ALIGN_BOTH);
    if (loss)
        ctx_backward(r->cx, loss);
    return run_agree(r, ctx_finish(r->cx, err), err);
}

static void bind_weights(struct run *r)
{
    struct binding *b = model_binding(r->model);
    if (r->job->method_masked_weight_step && r->state.version > 0)
        binding_use_bits(b, r->structure);
    else if (r->state.frozen_at >= 0)
        binding_use_frozen(b, r->structure);
    else
        binding_use_own(b);
}

static enum status before_step(struct run *r, const struct phase_plan *plan, struct err *err)
{
    if (time_to_freeze(r, plan))
        TRY(freeze(r, err));
    bind_weights(r);
    return ST_OK;
}

static enum status after_step(struct run *r, const struct phase_plan *plan,
                              const struct step_result *step, struct err *err)
{
    const struct jobfile *job = r->job;
    if (r->state.frozen_at >= 0) {
        int64_t traced = trace_begin(r->trace);
        if (job->method_align_step == ALIGN_PROXIMAL)
            align_pull(model_params(r->model), r->structure, step->lr, pull_strength(r, plan),
                       job->method_align_source == ALIGN_BOTH);
        trace_end(r->trace, TRACE_PULL, 0, r->state.step, traced);
        return ST_OK;
    }
    int64_t done = r->state.step + 1;
    if (done < (int64_t)(job->method_warm * (double)plan->steps) || done % job->method_every != 0)
        return ST_OK;
    return hyper_step(r, err);
}

/* ---- the stage ------------------------------------------------------------------------------- */

static enum status open_search(struct run *r, struct err *err)
{
    if (!r->hyper && r->state.frozen_at < 0)
        TRY(run_fresh_hypernet(r, err));
    struct phase_plan plan = phase_plan_of(r->job, STAGE_SEARCH);
    return corpus_loader(&r->held_out, r->corpus, r->job, &r->shape, r->comm, plan.data,
                         (uint32_t)STAGE_COUNT, LOADER_HOLDOUT, err);
}

/* The hypernetwork's share of the search's time is a result. */
static void finish_search(struct run *r)
{
    run_book_time(r, STAGE_SEARCH);
    double share = r->state.hyper_seconds / fmax(r->state.seconds[STAGE_SEARCH], 1e-9);
    run_metric(r, "search.hypernet_share", share, "fraction");
    json_object_object_add(r->result, "hypernet_share", json_object_new_double(share));
    json_object_object_add(r->result, "structure_versions", json_object_new_int(r->state.version));
    report_alignment(r, "end", "alignment");
    run_note(r, REPORT_INFO,
             "search ended: %d read-out%s, the hypernetwork took %.1f %% of the time, R_align %.3g",
             r->state.version, r->state.version == 1 ? "" : "s", 100 * share,
             json_get_num(json_find(r->result, "alignment"), "r_align", 0));
}

enum status stage_search(struct run *r, struct err *err)
{
    const struct train_hooks hooks = {.loss = model_loss,
                                      .bind = bind_weights,
                                      .before = before_step,
                                      .pull_gradient = pull_gradient,
                                      .after = after_step};
    TRY(start_frozen(r, err));
    enum status st = run_agree(r, open_search(r, err), err);
    if (st == ST_OK)
        st = train_stage(r, &hooks, err);
    loader_destroy(r->held_out);
    r->held_out = NULL;
    binding_use_own(model_binding(r->model));
    if (st == ST_OK)
        finish_search(r);
    return st;
}
