/* collect.c - see collect.h. */
#include "job/collect.h"

#include "base/log.h"
#include "daemon.h"
#include "job/folder.h"
#include "job/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The stage is the lowest hex digit of the file's number (docs/spec/checkpoint.md 1). */
static int stage_of(const char *name)
{
    return (int)(strtoll(name + strlen("step-"), NULL, 10) % 16);
}

static bool is_checkpoint(const char *name)
{
    size_t len = strlen(name);
    return strncmp(name, "step-", 5) == 0 && len > 12 && len < JOB_FILE_MAX - 32 &&
           strcmp(name + len - 12, ".safetensors") == 0;
}

static void find_files(struct collection *c, const char *job_dir)
{
    char dir[FOLDER_PATH_MAX + 16], path[FOLDER_PATH_MAX + JOB_FILE_MAX];
    struct stat sb;
    snprintf(dir, sizeof dir, "%s/checkpoints", job_dir);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && c->n < COLLECT_MAX && (e = readdir(d));) {
        if (!is_checkpoint(e->d_name))
            continue;
        struct collected *f = &c->list[c->n];
        *f = (struct collected){.file = true, .stage = stage_of(e->d_name)};
        snprintf(f->path, sizeof f->path, "checkpoints/%.200s", e->d_name);
        snprintf(path, sizeof path, "%s/%.200s", dir, e->d_name);
        if (lstat(path, &sb) < 0 || !S_ISREG(sb.st_mode))
            continue;
        f->bytes = sb.st_size;
        c->n++;
    }
    if (d)
        closedir(d);
}

static struct collected *find_path(struct collection *c, const char *path)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->list[i].path, path) == 0)
            return &c->list[i];
    return NULL;
}

static bool join_row(const struct stored_checkpoint *row, void *user)
{
    struct collection *c = user;
    struct collected *f = find_path(c, row->path);
    if (!f && c->n == COLLECT_MAX)
        return false;
    if (!f) {
        f = &c->list[c->n++];
        *f = (struct collected){.pinned = row->pinned, .bytes = row->pinned ? row->size_bytes : 0};
        snprintf(f->path, sizeof f->path, "%s", row->path);
    }
    f->row = true;
    f->has_metric = row->metric_name[0] && keep_metric_find(row->metric_name) == c->rule.by;
    f->metric = row->metric;
    return true;
}

/* Rows without a file, what is pinned, then by age, which the name tells. */
static int by_age(const void *a, const void *b)
{
    const struct collected *x = a, *y = b;
    int class_x = x->file ? 2 : x->pinned, class_y = y->file ? 2 : y->pinned;
    return class_x != class_y ? class_x - class_y : strcmp(x->path, y->path);
}

static void apply_rule(struct collection *c, struct keep_item *items)
{
    size_t first = 0;
    for (; first < c->n && !c->list[first].file; first++) {
        c->list[first].stays = c->list[first].pinned;
        c->list[first].why = c->list[first].pinned ? "pinned" : "missing";
    }
    struct collected *file = c->list + first;
    size_t n = c->n - first;
    for (size_t i = 0; i < n; i++)
        items[i] = (struct keep_item){.bytes = file[i].bytes,
                                      .stage = file[i].stage,
                                      .has_metric = file[i].has_metric,
                                      .metric = file[i].metric};
    keep_apply(&c->rule, items, n);
    for (size_t i = 0; i < n; i++) {
        file[i].stays = items[i].stays;
        file[i].why = items[i].why;
        c->kept_bytes += items[i].stays ? items[i].bytes : 0;
    }
}

enum status collection_plan(struct daemon *d, int64_t job_id, struct collection *ret_c,
                            struct err *err)
{
    char dir[FOLDER_PATH_MAX];
    struct keep_item *items = calloc(COLLECT_MAX, sizeof *items);
    *ret_c = (struct collection){.list = calloc(COLLECT_MAX, sizeof *ret_c->list)};
    enum status st = items && ret_c->list
                         ? store_keep_rule_load(d->store, job_id, &ret_c->rule, err)
                         : err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (st == ST_OK) {
        folder_path(d, job_id, dir);
        find_files(ret_c, dir);
        st = store_checkpoints(d->store, job_id, join_row, ret_c, err);
    }
    if (st == ST_OK) {
        qsort(ret_c->list, ret_c->n, sizeof *ret_c->list, by_age);
        apply_rule(ret_c, items);
    }
    free(items);
    return st;
}

enum status collection_drop_rows(struct daemon *d, int64_t job_id, const struct collection *c,
                                 struct err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->list[i].stays && c->list[i].row)
            TRY(store_checkpoint_remove(d->store, job_id, c->list[i].path, err));
    return ST_OK;
}

/* Into the sweeper's list: deleting gigabytes is not the loop's business. */
static void drop_file(struct daemon *d, int64_t job_id, const char *path)
{
    char dir[FOLDER_PATH_MAX], from[FOLDER_PATH_MAX + JOB_FILE_MAX],
        to[FOLDER_PATH_MAX + JOB_FILE_MAX];
    folder_path(d, job_id, dir);
    snprintf(from, sizeof from, "%s/%s", dir, path);
    snprintf(to, sizeof to, "%.900s/trash/%lld-%.200s", d->options.home, (long long)job_id,
             strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
    if (rename(from, to) < 0 && errno != ENOENT) {
        log_warn("cannot move %s out of the way: %s", from, strerror(errno));
        return;
    }
    snprintf(from, sizeof from, "%s/%.200s.sha256", dir, path);
    if (unlink(from) < 0 && errno != ENOENT)
        log_warn("cannot remove %s: %s", from, strerror(errno));
}

void collection_drop_files(struct daemon *d, int64_t job_id, const struct collection *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->list[i].stays && c->list[i].file)
            drop_file(d, job_id, c->list[i].path);
    sweep_folders(d);
}

void collection_fini(struct collection *c)
{
    free(c->list);
    c->list = NULL;
}
