/* collect.c - see collect.h. */
#include "job/collect.h"

#include "base/file.h"
#include "base/log.h"
#include "daemon.h"
#include "job/change.h"
#include "job/folder.h"
#include "job/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void find_files(struct collection *c, const char *job_dir)
{
    char dir[FOLDER_PATH_MAX + 16], path[FOLDER_PATH_MAX + JOB_FILE_MAX];
    struct stat sb;
    snprintf(dir, sizeof dir, "%s/checkpoints", job_dir);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && c->n < COLLECT_MAX && (e = readdir(d));) {
        if (!keep_is_checkpoint(e->d_name))
            continue;
        struct collected *f = &c->list[c->n];
        *f = (struct collected){.file = true, .stage = keep_stage(e->d_name)};
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
    f->time_ms = row->time_ms;
    return true;
}

/* Rows without a file, what is pinned, then by age, which the name tells. */
static int by_age(const void *a, const void *b)
{
    const struct collected *x = a, *y = b;
    int class_x = x->file ? 2 : x->pinned, class_y = y->file ? 2 : y->pinned;
    return class_x != class_y ? class_x - class_y : strcmp(x->path, y->path);
}

bool collect_is_leftover(const char *path, int64_t time_ms, const char *newest)
{
    return time_ms == 0 && strcmp(path, newest) < 0;
}

static const char *why_no_file(const struct collection *c, const struct collected *f)
{
    const struct collected *last = &c->list[c->n - 1];
    if (f->pinned)
        return "pinned";
    return collect_is_leftover(f->path, f->time_ms, last->file ? last->path : "") ? "collected"
                                                                                  : "missing";
}

/* What a person told the next attempt to go on from; a pinned one stays anyway. */
static void keep_start(struct collection *c, const struct job *job)
{
    struct collected *f = find_path(c, job->resume_from);
    if (!f || !f->file || f->stays || job->attempt.number > job->resume_since)
        return;
    f->stays = true;
    f->why = "to be resumed from";
    c->kept_bytes += f->bytes;
}

static void apply_rule(struct collection *c, struct keep_item *items)
{
    size_t first = 0;
    for (; first < c->n && !c->list[first].file; first++) {
        c->list[first].stays = c->list[first].pinned;
        c->list[first].why = why_no_file(c, &c->list[first]);
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
        const struct active *a = jobs_find(d->jobs, job_id);
        if (a)
            keep_start(ret_c, &a->job);
    }
    free(items);
    return st;
}

enum status collection_drop_rows(struct daemon *d, int64_t job_id, const struct collection *c,
                                 struct err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->list[i].stays && c->list[i].row)
            if (store_checkpoint_remove(d->store, job_id, c->list[i].path, err) != ST_OK)
                return group_fail(d, err);
    return ST_OK;
}

static void drop_sum(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        log_warn("cannot remove %s: %s", path, strerror(errno));
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
    snprintf(from, sizeof from, "%s/%.200s" KEEP_SUM, dir, path);
    drop_sum(from);
}

/* Sums whose file an earlier collection had moved when it was killed. */
static void drop_lone_sums(struct daemon *d, int64_t job_id)
{
    char job_dir[FOLDER_PATH_MAX], dir[FOLDER_PATH_MAX + 16], path[FOLDER_PATH_MAX + JOB_FILE_MAX],
        sum[sizeof path + sizeof KEEP_SUM], file[KEEP_NAME_MAX];
    folder_path(d, job_id, job_dir);
    snprintf(dir, sizeof dir, "%s/checkpoints", job_dir);
    DIR *open = opendir(dir);
    for (struct dirent *e; open && (e = readdir(open));) {
        if (!keep_is_sum(e->d_name, file))
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, file);
        snprintf(sum, sizeof sum, "%s" KEEP_SUM, path);
        if (!file_exists(path))
            drop_sum(sum);
    }
    if (open)
        closedir(open);
}

void collection_drop_files(struct daemon *d, int64_t job_id, const struct collection *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (!c->list[i].stays && c->list[i].file)
            drop_file(d, job_id, c->list[i].path);
    drop_lone_sums(d, job_id);
    sweep_folders(d);
}

void collection_fini(struct collection *c)
{
    free(c->list);
    c->list = NULL;
}
