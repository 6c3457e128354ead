/* checkpoint.c - everything a job is, in one file, and the way back (docs/spec/checkpoint.md).
 *
 * checkpoints/step-NNNNNNNNN.safetensors, N = total_step * 16 + stage, so that names sort by age.
 * Order of a write: temp file, fsync, rename, fsync of the folder, report, then old ones go (retain.c);
 * never the one that the job would go on from.
 */
#include "run/moments.h"
#include "run/publish.h"
#include "run/retain.h"
#include "run/run.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/ckpt/state.h"
#include "jobfile/keep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 64
#define BLOCKS_MAX 7
#define DENSE_NAME "checkpoints/dense.safetensors"

/* ---- the recipe's part of the state, as JSON ------------------------------------------------- */

static void put_int(struct json_object *o, const char *key, int64_t v)
{
    json_object_object_add(o, key, json_object_new_int64(v));
}

static void put_num(struct json_object *o, const char *key, double v)
{
    json_object_object_add(o, key, json_object_new_double(v));
}

static void put_text(struct json_object *o, const char *key, const char *v)
{
    json_object_object_add(o, key, json_object_new_string(v));
}

static struct json_object *metrics_to_json(const struct run_state *s)
{
    struct json_object *o = json_object_new_object();
    for (enum best_by by = 0; by < BEST_COUNT; by++)
        if (isfinite(s->metric[by]))
            put_num(o, keep_metric_name(by), s->metric[by]);
    return o;
}

static struct json_object *state_to_json(struct run *r)
{
    const struct run_state *s = &r->state;
    struct json_object *o = json_object_new_object(), *seconds = json_object_new_array();
    put_text(o, "stage", stage_name(s->stage));
    put_int(o, "stage_number", s->stage);
    put_int(o, "step", s->step);
    put_int(o, "total_step", s->total_step);
    put_int(o, "skipped", s->skipped);
    put_int(o, "nan_row", s->nan_row);
    put_int(o, "collapse_row", s->collapse_row);
    put_int(o, "hardened", s->hardened);
    put_int(o, "frozen_at", s->frozen_at);
    put_int(o, "hyper_steps", s->hyper_steps);
    put_int(o, "version", s->version);
    put_num(o, "kept", s->kept);
    put_num(o, "sampled", s->sampled);
    put_num(o, "hyper_loss", s->hyper_loss);
    put_num(o, "hyper_seconds", s->hyper_seconds);
    put_int(o, "adam_steps", r->opt ? adamw_steps(r->opt) : -1);
    put_int(o, "hyper_adam_steps", r->hyper_opt ? adamw_steps(r->hyper_opt) : -1);
    for (int i = 0; i < STAGE_COUNT; i++)
        json_object_array_add(seconds, json_object_new_double(s->seconds[i]));
    json_object_object_add(o, "seconds", seconds);
    json_object_object_add(o, "metrics", metrics_to_json(s));
    put_int(o, "attempt", r->folder->attempt);
    put_int(o, "ranks", r->comm->size);
    put_int(o, "threads", r->job->resources_threads);
    put_text(o, "kernel_set", backend_describe(r->backend));
    put_text(o, "data_digest", r->corpus->digest);
    put_int(o, "seed", r->job->train_seed);
    json_object_object_add(o, "result", json_object_get(r->result));
    return o;
}

static void state_from_json(struct run_state *s, struct json_object *o)
{
    s->stage = (enum stage)json_get_int(o, "stage_number", 0);
    s->step = json_get_int(o, "step", 0);
    s->total_step = json_get_int(o, "total_step", 0);
    s->skipped = json_get_int(o, "skipped", 0);
    s->nan_row = (int)json_get_int(o, "nan_row", 0);
    s->collapse_row = (int)json_get_int(o, "collapse_row", 0);
    s->hardened = json_get_int(o, "hardened", 0) != 0;
    s->frozen_at = json_get_int(o, "frozen_at", -1);
    s->hyper_steps = json_get_int(o, "hyper_steps", 0);
    s->version = (int)json_get_int(o, "version", 0);
    s->kept = json_get_num(o, "kept", 1);
    s->sampled = json_get_num(o, "sampled", 1);
    s->hyper_loss = json_get_num(o, "hyper_loss", 0);
    for (enum best_by by = 0; by < BEST_COUNT; by++)
        s->metric[by] = json_get_num(json_find(o, "metrics"), keep_metric_name(by), NAN);
    s->hyper_seconds = json_get_num(o, "hyper_seconds", 0);
    struct json_object *seconds = json_find(o, "seconds");
    for (size_t i = 0; i < STAGE_COUNT && i < json_object_array_length(seconds); i++)
        s->seconds[i] = json_object_get_double(json_object_array_get_idx(seconds, i));
}

static int collect_blocks(struct run *r, struct moments *mo, struct state_block *b)
{
    struct params *p = model_params(r->model);
    int n = 0;
    b[n++] = (struct state_block){.prefix = "w", .layout = p, .data = params_values(p)};
    b[n++] = (struct state_block){.prefix = "ema", .layout = p, .data = r->ema};
    n += moments_blocks(mo, b + n);
    if (r->hyper) {
        struct params *h = hypernet_params(r->hyper);
        b[n++] = (struct state_block){.prefix = "hyper", .layout = h, .data = params_values(h)};
        b[n++] = (struct state_block){
            .prefix = "hyper.adam.m", .layout = h, .data = adamw_m(r->hyper_opt)};
        b[n++] = (struct state_block){
            .prefix = "hyper.adam.v", .layout = h, .data = adamw_v(r->hyper_opt)};
    }
    return n;
}

/* ---- writing --------------------------------------------------------------------------------- */

static enum status write_state(struct run *r, const char *name, struct moments *mo,
                               char ret_sha[HASH_HEX_SIZE], struct err *err)
{
    struct state_block blocks[BLOCKS_MAX];
    int n = collect_blocks(r, mo, blocks);
    char *path = job_folder_path(r->folder, name), *pending = NULL;
    struct json_object *o = state_to_json(r);
    enum status st = path && o ? publish_begin(r->folder, "checkpoints", &pending, err)
                               : err_set(err, ST_NOMEM, "out of memory for a checkpoint");
    if (st == ST_OK)
        st = state_write(pending, blocks, n, r->structure,
                         json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), ret_sha, err);
    if (st == ST_OK)
        st = publish_summed(r->folder, pending, path, ret_sha, err);
    json_object_put(o);
    free(path);
    free(pending);
    return st;
}

/* ---- telling the coordinator, and letting old ones go ----------------------------------------- */

static void tell_checkpoint(struct run *r, const struct checkpoint_file *c)
{
    const enum best_by by = (enum best_by)r->job->checkpoint_best_by;
    const struct report_checkpoint note = {.path = c->path,
                                           .total_step = (uint64_t)c->total_step,
                                           .size_bytes = (uint64_t)c->bytes,
                                           .sha256 = c->sha256,
                                           .phase = stage_name((enum stage)c->stage),
                                           .metric_name =
                                               c->has_metric ? keep_metric_name(by) : NULL,
                                           .metric = c->has_metric ? c->metric : 0,
                                           .attempt = (uint32_t)c->attempt};
    if (r->report)
        report_checkpoint(r->report, &note, NULL);
}

static void tell_inventory(struct run *r, const struct checkpoint_set *set)
{
    const char **paths = calloc((size_t)set->n + 1, sizeof *paths);
    for (int i = 0; paths && i < set->n; i++)
        paths[i] = set->list[i].path;
    if (paths && r->report)
        report_inventory(r->report, paths, (size_t)set->n, NULL);
    free(paths);
}

static void collect(struct run *r)
{
    struct checkpoint_set left = {0};
    struct err err;
    enum status st = job_folder_check_fence(r->folder, &err);
    if (st == ST_OK)
        st = checkpoints_collect(r->folder, &left, &err);
    if (st == ST_OK)
        tell_inventory(r, &left);
    else
        log_warn("%s", err.text);
    checkpoints_fini(&left);
}

/* What a kill left between a file and its report is told now; a report that is known counts once. */
static void tell_what_is_there(struct run *r)
{
    struct checkpoint_set set = {0};
    struct err err;
    if (!run_root(r) || !r->report)
        return;
    if (checkpoints_find(r->folder, false, &set, &err) != ST_OK)
        log_warn("%s", err.text);
    for (int i = 0; i < set.n; i++)
        if (set.list[i].sha256[0] && set.list[i].total_step >= 0)
            tell_checkpoint(r, &set.list[i]);
    tell_inventory(r, &set);
    checkpoints_fini(&set);
}

static enum status checkpoint_root(struct run *r, struct moments *mo, struct err *err)
{
    char name[NAME_SIZE], sha[HASH_HEX_SIZE];
    snprintf(name, sizeof name, "checkpoints/step-%012lld.safetensors",
             (long long)r->state.total_step * 16 + r->state.stage);
    char *path = job_folder_path(r->folder, name);
    enum status st =
        path ? write_state(r, name, mo, sha, err) : err_set(err, ST_NOMEM, "out of memory");
    struct stat sb;
    if (st == ST_OK && stat(path, &sb) < 0)
        st = err_errno(err, "cannot find the checkpoint %s after writing it", path);
    if (st == ST_OK) {
        log_info("checkpoint %s, %lld bytes", name, (long long)sb.st_size);
        double metric = r->state.metric[r->job->checkpoint_best_by];
        struct checkpoint_file c = {.bytes = sb.st_size,
                                    .total_step = r->state.total_step,
                                    .stage = (int)r->state.stage,
                                    .has_metric = isfinite(metric),
                                    .metric = metric};
        snprintf(c.path, sizeof c.path, "%s", name);
        snprintf(c.sha256, sizeof c.sha256, "%s", sha);
        tell_checkpoint(r, &c);
        collect(r);
    }
    free(path);
    return st == ST_OK ? ST_OK
                       : err_prefix(err, "checkpoint at step %lld", (long long)r->state.total_step);
}

enum status run_checkpoint(struct run *r, struct err *err)
{
    struct moments mo = {.r = r};
    run_book_time(r, r->state.stage);
    enum status st = run_root(r) ? checkpoint_root(r, &mo, err) : ST_OK;
    moments_finish(&mo);
    return run_agree(r, st, err);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum status make_blocks(struct run *r, struct json_object *o, struct err *err)
{
    bool warmup = r->state.stage == STAGE_WARMUP;
    TRY(run_remodel(r, r->state.hardened, warmup, err));
    if (json_get_int(o, "adam_steps", -1) >= 0) {
        TRY(run_fresh_optimiser(r, err));
        adamw_set_steps(r->opt, json_get_int(o, "adam_steps", 0));
    }
    if (json_get_int(o, "hyper_adam_steps", -1) >= 0) {
        TRY(run_fresh_hypernet(r, err));
        adamw_set_steps(r->hyper_opt, json_get_int(o, "hyper_adam_steps", 0));
    }
    return ST_OK;
}

static void warn_of_changes(struct run *r, struct json_object *o)
{
    const char *kernel = json_get_str(o, "kernel_set", "");
    long long ranks = json_get_int(o, "ranks", 0), threads = json_get_int(o, "threads", 0);
    if (ranks != r->comm->size)
        run_note(
            r, REPORT_WARNING,
            "resumed with %d rank%s from a checkpoint of %lld: the global batch is the same, but "
            "sums are rounded in another order, so the run goes on without being bit-identical",
            r->comm->size, r->comm->size == 1 ? "" : "s", ranks);
    if (threads != r->job->resources_threads)
        run_note(r, REPORT_WARNING,
                 "resumed with %lld threads a rank from a checkpoint of %lld: the run goes on "
                 "without being bit-identical",
                 (long long)r->job->resources_threads, threads);
    if (strcmp(kernel, backend_describe(r->backend)) != 0)
        run_note(r, REPORT_WARNING,
                 "resumed with the kernels %s from a checkpoint of %s: the run goes on without "
                 "being bit-identical",
                 backend_describe(r->backend), kernel);
    if (strcmp(json_get_str(o, "data_digest", ""), r->corpus->digest) != 0)
        run_note(r, REPORT_WARNING, "the data files have changed since the checkpoint was written");
}

static enum status read_blocks(struct run *r, struct safetensors *f, struct err *err)
{
    struct state_block blocks[BLOCKS_MAX];
    struct moments mo = {.r = r};
    int n = collect_blocks(r, &mo, blocks);
    for (int i = 0; i < n; i++) {
        TRY(state_read_block(f, &blocks[i], err));
        moments_keep(&mo, &blocks[i]);
    }
    return ST_OK;
}

/* Every rank reads the same file. */
static enum status load_state(struct run *r, const char *name, struct err *err)
{
    char *path = job_folder_path(r->folder, name);
    struct safetensors *f = NULL;
    struct json_object *o = NULL;
    const char *json;
    enum status st = path ? publish_check_sum(path, err) : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = state_open(&f, &json, path, err);
    if (st == ST_OK)
        st = json_parse(&o, json, strlen(json), path, err);
    if (st == ST_OK)
        st = state_read_structure(f, r->structure, err);
    if (st == ST_OK) {
        state_from_json(&r->state, o);
        st = make_blocks(r, o, err);
    }
    if (st == ST_OK)
        st = read_blocks(r, f, err);
    if (st == ST_OK) {
        json_object_put(r->result);
        r->result = json_object_get(json_find(o, "result"));
        warn_of_changes(r, o);
    }
    json_object_put(o);
    safetensors_close(f);
    free(path);
    return st;
}

/* Rank 0 chooses; the path goes to all. An empty one: none is left. */
static void choose(struct run *r, const struct checkpoint_set *set, int skip,
                   char path[CHECKPOINT_PATH_MAX])
{
    memset(path, 0, CHECKPOINT_PATH_MAX);
    if (run_root(r) && skip < set->n)
        snprintf(path, CHECKPOINT_PATH_MAX, "%s", set->list[set->n - 1 - skip].path);
    r->comm->broadcast(r->comm, path, CHECKPOINT_PATH_MAX, 0);
}

/* Whether what was just passed over is what a person named: then nothing older will do. */
static bool is_named(const struct run *r, const char *path)
{
    return r->folder->resume_from && strcmp(r->folder->resume_from, path) == 0;
}

static enum status resume_from_set(struct run *r, const struct checkpoint_set *set,
                                   bool *ret_resumed, struct err *err)
{
    char path[CHECKPOINT_PATH_MAX];
    for (int skip = 0;; skip++) {
        choose(r, set, skip, path);
        if (!path[0] && r->folder->resume_from)
            return err_set(err, ST_NOT_FOUND, "cannot resume: the checkpoint %s is gone",
                           r->folder->resume_from);
        *ret_resumed = path[0];
        if (!path[0])
            return ST_OK;
        struct err local = {0};
        enum status st = run_agree(r, load_state(r, path, &local), &local);
        if (st == ST_OK) {
            r->resumed_step = r->state.total_step;
            run_note(r, REPORT_INFO, "resumed from %s at %s step %lld", path,
                     stage_name(r->state.stage), (long long)r->state.step);
            return ST_OK;
        }
        if (st != ST_CORRUPT || is_named(r, path))
            return err_set(err, st, "cannot resume: %s", local.text);
        run_note(r, REPORT_WARNING, "checkpoint passed over: %s", local.text);
        run_forget(r); /* a rank may have read it well */
    }
}

enum status run_resume(struct run *r, bool *ret_resumed, struct err *err)
{
    struct checkpoint_set set = {0};
    if (run_root(r))
        publish_sweep(r->folder);
    TRY(run_agree(r, run_rewind(r, err), err));
    TRY(run_agree(r, run_root(r) ? checkpoints_find(r->folder, true, &set, err) : ST_OK, err));
    enum status st = resume_from_set(r, &set, ret_resumed, err);
    checkpoints_fini(&set);
    if (st == ST_OK)
        tell_what_is_there(r);
    return st;
}

/* ---- the dense model between the stages ------------------------------------------------------ */

enum status run_save_dense(struct run *r, struct err *err)
{
    char sha[HASH_HEX_SIZE];
    struct moments mo = {.r = r};
    enum status st = run_root(r) ? write_state(r, DENSE_NAME, &mo, sha, err) : ST_OK;
    moments_finish(&mo);
    return run_agree(r, st, err);
}

static enum status load_dense(struct run *r, struct err *err)
{
    struct params *p = model_params(r->model);
    const struct state_block w = {.prefix = "w", .layout = p, .data = params_values(p)};
    const struct state_block ema = {.prefix = "ema", .layout = p, .data = r->ema};
    struct safetensors *f = NULL;
    const char *json;
    char *path = job_folder_path(r->folder, DENSE_NAME);
    enum status st = path ? publish_check_sum(path, err) : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = state_open(&f, &json, path, err);
    if (st == ST_OK)
        st = state_read_block(f, &w, err);
    if (st == ST_OK)
        st = state_read_block(f, &ema, err);
    safetensors_close(f);
    free(path);
    return st;
}

enum status run_load_dense(struct run *r, struct err *err)
{
    return run_agree(r, load_dense(r, err), err);
}
