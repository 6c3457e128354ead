/* checkpoint.c - everything a job is, in one file, and the way back (docs/spec/checkpoint.md).
 *
 * checkpoints/step-NNNNNNNNN.safetensors, N = total_step * 16 + stage, so that names sort by age.
 * Order of a write: temp file, fsync, rename, fsync of the folder, report, then the old ones go;
 * never the only one.
 */
#include "run/run.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/ckpt/state.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SIZE 64
#define MAX_FILES 4096
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
    put_int(o, "hardened", s->hardened);
    put_int(o, "frozen_at", s->frozen_at);
    put_int(o, "hyper_steps", s->hyper_steps);
    put_int(o, "version", s->version);
    put_num(o, "kept", s->kept);
    put_num(o, "sampled", s->sampled);
    put_num(o, "hyper_loss", s->hyper_loss);
    put_num(o, "best", s->best);
    put_num(o, "hyper_seconds", s->hyper_seconds);
    put_int(o, "adam_steps", r->opt ? adamw_steps(r->opt) : -1);
    put_int(o, "hyper_adam_steps", r->hyper_opt ? adamw_steps(r->hyper_opt) : -1);
    for (int i = 0; i < STAGE_COUNT; i++)
        json_object_array_add(seconds, json_object_new_double(s->seconds[i]));
    json_object_object_add(o, "seconds", seconds);
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
    s->hardened = json_get_int(o, "hardened", 0) != 0;
    s->frozen_at = json_get_int(o, "frozen_at", -1);
    s->hyper_steps = json_get_int(o, "hyper_steps", 0);
    s->version = (int)json_get_int(o, "version", 0);
    s->kept = json_get_num(o, "kept", 1);
    s->sampled = json_get_num(o, "sampled", 1);
    s->hyper_loss = json_get_num(o, "hyper_loss", 0);
    s->best = json_get_num(o, "best", -1);
    s->hyper_seconds = json_get_num(o, "hyper_seconds", 0);
    struct json_object *seconds = json_find(o, "seconds");
    for (size_t i = 0; i < STAGE_COUNT && i < json_object_array_length(seconds); i++)
        s->seconds[i] = json_object_get_double(json_object_array_get_idx(seconds, i));
}

static int collect_blocks(struct run *r, struct state_block *b)
{
    struct params *p = model_params(r->model);
    int n = 0;
    b[n++] = (struct state_block){"w", p, params_values(p)};
    b[n++] = (struct state_block){"ema", p, r->ema};
    if (r->opt) {
        b[n++] = (struct state_block){"adam.m", p, adamw_m(r->opt)};
        b[n++] = (struct state_block){"adam.v", p, adamw_v(r->opt)};
    }
    if (r->hyper) {
        struct params *h = hypernet_params(r->hyper);
        b[n++] = (struct state_block){"hyper", h, params_values(h)};
        b[n++] = (struct state_block){"hyper.adam.m", h, adamw_m(r->hyper_opt)};
        b[n++] = (struct state_block){"hyper.adam.v", h, adamw_v(r->hyper_opt)};
    }
    return n;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A sum of older bytes must not outlive them: the file would pass for damaged. */
static void drop_sum(const char *path)
{
    char sum_path[4096];
    snprintf(sum_path, sizeof sum_path, "%s.sha256", path);
    unlink(sum_path);
}

/* NAME.sha256 beside the file, in sha256sum's format: what a resume holds the bytes against. */
static enum status write_sum(const char *path, const char sha[HASH_HEX_SIZE], struct err *err)
{
    struct buf line;
    char sum_path[4096];
    snprintf(sum_path, sizeof sum_path, "%s.sha256", path);
    buf_init(&line, 4096);
    buf_printf(&line, "%s  %s\n", sha, path_base(path));
    enum status st = file_write_atomic(sum_path, buf_str(&line), line.len, 0600, err);
    buf_fini(&line);
    return st;
}

/* ST_CORRUPT if the bytes are not those that were written. A file without its sum was written by a process that was
 * killed right after it; the one before it is still there, since old ones go after the sum. */
static enum status check_sum(const char *path, struct err *err)
{
    struct buf line;
    char sum_path[4096], sha[HASH_HEX_SIZE];
    snprintf(sum_path, sizeof sum_path, "%s.sha256", path);
    if (!file_exists(sum_path))
        return err_set(err, ST_CORRUPT, "%s has no %s beside it: its writing was not finished",
                       path, path_base(sum_path));
    buf_init(&line, 4096);
    enum status st = file_read(&line, sum_path, err);
    if (st == ST_OK)
        st = hash_file(sha, path, err);
    if (st == ST_OK && strncmp(buf_str(&line), sha, HASH_HEX_SIZE - 1) != 0)
        st = err_set(err, ST_CORRUPT, "%s is damaged: its SHA-256 is not the one in %s", path,
                     path_base(sum_path));
    buf_fini(&line);
    return st;
}

/* The fence is read again behind the long part, the writing: an attempt that was asleep meanwhile may have been
 * superseded, and must not put its file over a newer one's. */
static enum status publish(struct run *r, const char *pending, const char *path, struct err *err)
{
    enum status st = job_folder_check_fence(r->folder, err);
    if (st == ST_OK) {
        drop_sum(path);
        st = rename(pending, path) == 0 ? file_sync_parent(path, err)
                                        : err_errno(err, "cannot rename %s to %s", pending, path);
    }
    if (st != ST_OK)
        unlink(pending);
    return st;
}

static enum status write_state(struct run *r, const char *name, char ret_sha[HASH_HEX_SIZE],
                               struct err *err)
{
    struct state_block blocks[BLOCKS_MAX];
    int n = collect_blocks(r, blocks);
    char relative[NAME_SIZE];
    snprintf(relative, sizeof relative, "checkpoints/pending-%d.safetensors", r->folder->attempt);
    char *path = job_folder_path(r->folder, name), *pending = job_folder_path(r->folder, relative);
    struct json_object *o = state_to_json(r);
    enum status st = path && pending && o
                         ? job_folder_check_fence(r->folder, err)
                         : err_set(err, ST_NOMEM, "out of memory for a checkpoint");
    if (st == ST_OK)
        st = state_write(pending, blocks, n, r->structure,
                         json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), ret_sha, err);
    if (st == ST_OK)
        st = publish(r, pending, path, err);
    if (st == ST_OK)
        st = write_sum(path, ret_sha, err);
    json_object_put(o);
    free(path);
    free(pending);
    return st;
}

static int by_name_descending(const void *a, const void *b)
{
    return strcmp(b, a);
}

/* Names of checkpoints, newest first; the count. */
static int list_checkpoints(const struct run *r, char (*names)[NAME_SIZE])
{
    char *dir = job_folder_path(r->folder, "checkpoints");
    DIR *d = dir ? opendir(dir) : NULL;
    int n = 0;
    for (struct dirent *e; d && n < MAX_FILES && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (strncmp(e->d_name, "step-", 5) == 0 && len > 12 && len < NAME_SIZE &&
            strcmp(e->d_name + len - 12, ".safetensors") == 0)
            memcpy(names[n++], e->d_name, len + 1);
    }
    if (d)
        closedir(d);
    free(dir);
    qsort(names, (size_t)n, NAME_SIZE, by_name_descending);
    return n;
}

static void remove_old(const struct run *r)
{
    char(*names)[NAME_SIZE] = calloc(MAX_FILES, NAME_SIZE);
    int n = names ? list_checkpoints(r, names) : 0;
    for (int i = (int)r->job->train_checkpoint_keep; i < n; i++) {
        static const char *const parts[] = {"", ".sha256"};
        for (int k = 0; k < 2; k++) {
            char relative[NAME_SIZE + 32];
            snprintf(relative, sizeof relative, "checkpoints/%s%s", names[i], parts[k]);
            char *path = job_folder_path(r->folder, relative);
            if (path)
                unlink(path);
            free(path);
        }
    }
    free(names);
}

static enum status checkpoint_root(struct run *r, struct err *err)
{
    char name[NAME_SIZE], sha[HASH_HEX_SIZE];
    snprintf(name, sizeof name, "checkpoints/step-%012lld.safetensors",
             (long long)(r->state.total_step * 16 + r->state.stage));
    char *folder = job_folder_path(r->folder, "checkpoints"),
         *path = job_folder_path(r->folder, name);
    enum status st =
        folder && path ? file_mkdirs(folder, 0700, err) : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = write_state(r, name, sha, err);
    struct stat sb;
    if (st == ST_OK && stat(path, &sb) < 0)
        st = err_errno(err, "cannot find the checkpoint %s after writing it", path);
    if (st == ST_OK) {
        log_info("checkpoint %s, %lld bytes", name, (long long)sb.st_size);
        if (r->report)
            report_checkpoint(r->report, name, (uint64_t)r->state.total_step, (uint64_t)sb.st_size,
                              sha, NULL);
        remove_old(r);
    }
    free(folder);
    free(path);
    return st == ST_OK ? ST_OK
                       : err_prefix(err, "checkpoint at step %lld", (long long)r->state.total_step);
}

enum status run_checkpoint(struct run *r, struct err *err)
{
    run_book_time(r);
    return run_agree(r, run_root(r) ? checkpoint_root(r, err) : ST_OK, err);
}

/* ---- reading
 * ------------------------------------------------------------------------------------------------
 */

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
    if (strcmp(kernel, backend_describe(r->backend)) != 0 ||
        json_get_int(o, "ranks", 0) != r->comm->size ||
        json_get_int(o, "threads", 0) != r->job->resources_threads)
        run_note(r, REPORT_WARNING,
                 "resumed on other ranks, threads or kernels than before (%s, %lld ranks): the run "
                 "goes on, "
                 "but not bit by bit as it would have",
                 kernel, (long long)json_get_int(o, "ranks", 0));
    if (strcmp(json_get_str(o, "data_digest", ""), r->corpus->digest) != 0)
        run_note(r, REPORT_WARNING, "the data files have changed since the checkpoint was written");
}

static enum status read_blocks(struct run *r, struct safetensors *f, struct err *err)
{
    struct state_block blocks[BLOCKS_MAX];
    int n = collect_blocks(r, blocks);
    for (int i = 0; i < n; i++)
        TRY(state_read_block(f, &blocks[i], err));
    return ST_OK;
}

/* Every rank reads the same file. */
static enum status load_state(struct run *r, const char *name, struct err *err)
{
    char *path = job_folder_path(r->folder, name);
    struct safetensors *f = NULL;
    struct json_object *o = NULL;
    const char *json;
    enum status st = path ? check_sum(path, err) : err_set(err, ST_NOMEM, "out of memory");
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

/* Rank 0 chooses; the name goes to all. An empty name: none. */
static void choose(struct run *r, int skip, char name[NAME_SIZE + 16])
{
    memset(name, 0, NAME_SIZE + 16);
    if (run_root(r)) {
        char(*names)[NAME_SIZE] = calloc(MAX_FILES, NAME_SIZE);
        int n = names ? list_checkpoints(r, names) : 0;
        if (skip < n)
            snprintf(name, NAME_SIZE + 16, "checkpoints/%s", names[skip]);
        free(names);
    }
    r->comm->broadcast(r->comm, name, NAME_SIZE + 16, 0);
}

enum status run_resume(struct run *r, struct err *err)
{
    char name[NAME_SIZE + 16];
    TRY(run_agree(r, run_rewind(r, err), err));
    for (int skip = 0;; skip++) {
        choose(r, skip, name);
        if (!name[0])
            return ST_OK;
        struct err local = {0};
        enum status st = run_agree(r, load_state(r, name, &local), &local);
        if (st == ST_OK) {
            r->resumed_step = r->state.total_step;
            run_note(r, REPORT_INFO, "resumed from %s at %s step %lld", name,
                     stage_name(r->state.stage), (long long)r->state.step);
            return ST_OK;
        }
        if (st != ST_CORRUPT)
            return err_set(err, st, "cannot resume: %s", local.text);
        run_note(r, REPORT_WARNING, "checkpoint passed over: %s", local.text);
    }
}

/* ---- the dense model between the stages ------------------------------------------------------ */

enum status run_save_dense(struct run *r, struct err *err)
{
    char sha[HASH_HEX_SIZE];
    char *folder = job_folder_path(r->folder, "checkpoints");
    enum status st = ST_OK;
    if (run_root(r)) {
        st = folder ? file_mkdirs(folder, 0700, err) : err_set(err, ST_NOMEM, "out of memory");
        if (st == ST_OK)
            st = write_state(r, DENSE_NAME, sha, err);
    }
    free(folder);
    return run_agree(r, st, err);
}

static enum status load_dense(struct run *r, struct err *err)
{
    struct params *p = model_params(r->model);
    const struct state_block w = {"w", p, params_values(p)}, ema = {"ema", p, r->ema};
    struct safetensors *f = NULL;
    const char *json;
    char *path = job_folder_path(r->folder, DENSE_NAME);
    enum status st = path ? check_sum(path, err) : err_set(err, ST_NOMEM, "out of memory");
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
