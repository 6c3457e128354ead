/* collect.c - see collect.h. */
#include "job/collect.h"

#include "base/log.h"
#include "daemon.h"
#include "job/folder.h"
#include "job/sweep.h"
#include "jobfile/keep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct found {
    char path[JOB_FILE_MAX];
    int64_t bytes;
    bool row, file, has_metric;
    double metric;
    int stage;
};

struct search {
    struct found *list; /* owned; COLLECT_MAX */
    size_t n;
};

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

static void find_files(struct search *s, const char *job_dir)
{
    char dir[FOLDER_PATH_MAX + 16], path[FOLDER_PATH_MAX + JOB_FILE_MAX];
    struct stat sb;
    snprintf(dir, sizeof dir, "%s/checkpoints", job_dir);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && s->n < COLLECT_MAX && (e = readdir(d));) {
        if (!is_checkpoint(e->d_name))
            continue;
        struct found *f = &s->list[s->n];
        *f = (struct found){.file = true, .stage = stage_of(e->d_name)};
        snprintf(f->path, sizeof f->path, "checkpoints/%.200s", e->d_name);
        snprintf(path, sizeof path, "%s/%.200s", dir, e->d_name);
        if (lstat(path, &sb) < 0 || !S_ISREG(sb.st_mode))
            continue;
        f->bytes = sb.st_size;
        s->n++;
    }
    if (d)
        closedir(d);
}

static bool join_row(const struct stored_checkpoint *c, void *user)
{
    struct search *s = user;
    if (c->pinned)
        return true;
    struct found *f = NULL;
    for (size_t i = 0; i < s->n && !f; i++)
        f = strcmp(s->list[i].path, c->path) == 0 ? &s->list[i] : NULL;
    if (!f && s->n == COLLECT_MAX)
        return false;
    if (!f) {
        f = &s->list[s->n++];
        *f = (struct found){0};
        snprintf(f->path, sizeof f->path, "%s", c->path);
    }
    f->row = true;
    f->has_metric = c->metric_name[0] != '\0';
    f->metric = c->metric;
    return true;
}

/* Rows without a file first, then by age, which the name tells. */
static int by_age(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->file != y->file ? x->file - y->file : strcmp(x->path, y->path);
}

static void add_collected(struct collection *c, const struct found *f, const char *why)
{
    struct collected *to = &c->list[c->n++];
    *to = (struct collected){.bytes = f->bytes, .why = why, .row = f->row, .file = f->file};
    snprintf(to->path, sizeof to->path, "%s", f->path);
}

static void apply_rule(const struct keep_rule *rule, const struct search *s,
                       struct keep_item *items, struct collection *c)
{
    size_t missing = 0;
    while (missing < s->n && !s->list[missing].file)
        add_collected(c, &s->list[missing++], "missing");
    size_t n = s->n - missing;
    for (size_t i = 0; i < n; i++) {
        const struct found *f = &s->list[missing + i];
        items[i] = (struct keep_item){
            .bytes = f->bytes, .stage = f->stage, .has_metric = f->has_metric, .metric = f->metric};
    }
    keep_apply(rule, items, n);
    for (size_t i = 0; i < n; i++) {
        if (items[i].why)
            add_collected(c, &s->list[missing + i], items[i].why);
        else
            c->kept_bytes += items[i].bytes;
    }
}

enum status collection_plan(struct daemon *d, int64_t job_id, struct collection *ret_c,
                            struct err *err)
{
    char dir[FOLDER_PATH_MAX];
    struct keep_rule rule;
    struct search s = {calloc(COLLECT_MAX, sizeof *s.list), 0};
    struct keep_item *items = calloc(COLLECT_MAX, sizeof *items);
    *ret_c = (struct collection){.list = calloc(COLLECT_MAX, sizeof *ret_c->list)};
    enum status st = s.list && items && ret_c->list
                         ? store_keep_rule_load(d->store, job_id, &rule, err)
                         : err_set(err, ST_NOMEM, "the daemon is out of memory");
    if (st == ST_OK) {
        folder_path(d, job_id, dir);
        find_files(&s, dir);
        st = store_checkpoints(d->store, job_id, join_row, &s, err);
    }
    if (st == ST_OK) {
        qsort(s.list, s.n, sizeof *s.list, by_age);
        apply_rule(&rule, &s, items, ret_c);
    }
    free(items);
    free(s.list);
    return st;
}

enum status collection_drop_rows(struct daemon *d, int64_t job_id, const struct collection *c,
                                 struct err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].row)
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
        if (c->list[i].file)
            drop_file(d, job_id, c->list[i].path);
    sweep_folders(d);
}

void collection_fini(struct collection *c)
{
    free(c->list);
    c->list = NULL;
}
