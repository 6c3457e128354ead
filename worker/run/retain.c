/* retain.c - see retain.h. */
#include "run/retain.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/ckpt/state.h"
#include "jobfile/keep.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096

/* ---- one file -------------------------------------------------------------------------------- */

static void read_sum(const char *path, char ret_sha[HASH_HEX_SIZE])
{
    char sum[4096];
    struct buf line;
    buf_init(&line, 4096);
    snprintf(sum, sizeof sum, "%s" KEEP_SUM, path);
    ret_sha[0] = '\0';
    if (file_exists(sum) && file_read(&line, sum, NULL) == ST_OK && line.len >= HASH_HEX_SIZE - 1)
        snprintf(ret_sha, HASH_HEX_SIZE, "%.64s", buf_str(&line));
    buf_fini(&line);
}

/* What the recipe wrote into its head; a file whose head cannot be read still has a name, which tells its age. */
static void read_head(const char *path, enum best_by by, struct checkpoint_file *c)
{
    struct safetensors *f = NULL;
    struct json_object *o = NULL;
    const char *json;
    c->total_step = -1;
    c->stage = keep_stage(path_base(c->path));
    if (state_open(&f, &json, path, NULL) == ST_OK &&
        json_parse(&o, json, strlen(json), path, NULL) == ST_OK) {
        c->total_step = json_get_int(o, "total_step", 0);
        c->attempt = (int)json_get_int(o, "attempt", 0);
        c->metric = json_get_num(json_find(o, "metrics"), keep_metric_name(by), NAN);
        c->has_metric = isfinite(c->metric);
    }
    json_object_put(o);
    safetensors_close(f);
}

static bool read_file(const struct job_folder *folder, const char *dir, const char *name,
                      struct checkpoint_file *ret_c)
{
    struct checkpoint_file c = {0};
    struct stat sb;
    snprintf(c.path, sizeof c.path, "%.40s/%.80s", dir, name);
    char *path = job_folder_path(folder, c.path);
    bool good = path && lstat(path, &sb) == 0 && S_ISREG(sb.st_mode);
    if (good) {
        c.bytes = sb.st_size;
        read_head(path, (enum best_by)folder->job->checkpoint_best_by, &c);
        read_sum(path, c.sha256);
        *ret_c = c;
    }
    free(path);
    return good;
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool has_name(const struct checkpoint_set *set, const char *name)
{
    for (int i = 0; i < set->n; i++)
        if (strcmp(path_base(set->list[i].path), name) == 0)
            return true;
    return false;
}

/* A person went back to before it (rewind.c); what is pinned of that time stays in its place. */
static bool is_left_behind(const struct job_folder *folder, const struct checkpoint_file *c)
{
    return folder->resume_from && c->attempt < folder->resume_since &&
           strcmp(path_base(c->path), path_base(folder->resume_from)) > 0;
}

static void add_folder(const struct job_folder *folder, const char *dir, struct checkpoint_set *set)
{
    char *path = job_folder_path(folder, dir);
    DIR *d = path ? opendir(path) : NULL;
    for (struct dirent *e; d && set->n < FILES_MAX && (e = readdir(d));)
        if (keep_is_checkpoint(e->d_name) && !has_name(set, e->d_name) &&
            read_file(folder, dir, e->d_name, &set->list[set->n]))
            set->n += !is_left_behind(folder, &set->list[set->n]);
    if (d)
        closedir(d);
    free(path);
}

/* By age, which the name tells. */
static int by_age(const void *a, const void *b)
{
    const struct checkpoint_file *x = a, *y = b;
    return strcmp(path_base(x->path), path_base(y->path));
}

enum status checkpoints_find(const struct job_folder *folder, bool pinned,
                             struct checkpoint_set *ret_set, struct err *err)
{
    *ret_set = (struct checkpoint_set){.list = calloc(FILES_MAX, sizeof *ret_set->list)};
    if (!ret_set->list)
        return err_set(err, ST_NOMEM, "out of memory for the list of checkpoints");
    add_folder(folder, "checkpoints", ret_set);
    if (pinned)
        add_folder(folder, "checkpoints/pinned", ret_set);
    qsort(ret_set->list, (size_t)ret_set->n, sizeof *ret_set->list, by_age);
    return ST_OK;
}

void checkpoints_fini(struct checkpoint_set *set)
{
    free(set->list);
    *set = (struct checkpoint_set){0};
}

/* ---- collecting ------------------------------------------------------------------------------ */

static bool remove_one(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    log_warn("cannot remove %s: %s", path, strerror(errno));
    return false;
}

/* The file, then its sum. */
static bool remove_checkpoint(const struct job_folder *folder, const char *name)
{
    char sum[4096];
    char *path = job_folder_path(folder, name);
    bool gone = path && remove_one(path);
    if (gone) {
        snprintf(sum, sizeof sum, "%s" KEEP_SUM, path);
        remove_one(sum);
    }
    free(path);
    return gone;
}

/* Sums whose file a killed collection has removed. */
static void remove_lone_sums(const struct job_folder *folder)
{
    char name[CHECKPOINT_PATH_MAX], file[KEEP_NAME_MAX];
    char *path = job_folder_path(folder, "checkpoints");
    DIR *d = path ? opendir(path) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!keep_is_sum(e->d_name, file))
            continue;
        snprintf(name, sizeof name, "checkpoints/%s", file);
        char *whole = job_folder_path(folder, name);
        if (whole && !file_exists(whole))
            remove_checkpoint(folder, name);
        free(whole);
    }
    if (d)
        closedir(d);
    free(path);
}

static void choose(const struct job_folder *folder, const struct checkpoint_set *set,
                   struct keep_item *items)
{
    const struct keep_rule rule = keep_rule_of(folder->job);
    for (int i = 0; i < set->n; i++)
        items[i] = (struct keep_item){.bytes = set->list[i].bytes,
                                      .stage = set->list[i].stage,
                                      .has_metric = set->list[i].has_metric,
                                      .metric = set->list[i].metric};
    keep_apply(&rule, items, (size_t)set->n);
}

enum status checkpoints_collect(const struct job_folder *folder, struct checkpoint_set *ret_set,
                                struct err *err)
{
    TRY(checkpoints_find(folder, false, ret_set, err));
    struct keep_item *items = calloc((size_t)ret_set->n + 1, sizeof *items);
    if (!items) {
        checkpoints_fini(ret_set);
        return err_set(err, ST_NOMEM, "out of memory for the list of checkpoints");
    }
    choose(folder, ret_set, items);
    int left = 0;
    for (int i = 0; i < ret_set->n; i++)
        if (items[i].stays || !remove_checkpoint(folder, ret_set->list[i].path))
            ret_set->list[left++] = ret_set->list[i];
    ret_set->n = left;
    remove_lone_sums(folder);
    free(items);
    return ST_OK;
}
