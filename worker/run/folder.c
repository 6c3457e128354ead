/* folder.c - see folder.h. */
#include "run/folder.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define SMALL_FILE_MAX (16u << 20)
#define OVERRIDES_MAX 256

char *job_folder_path(const struct job_folder *f, const char *name)
{
    return path_join(f->dir, name);
}

/* A field of attempt.json as an owned string; NULL when absent or empty. */
static char *take_text(struct json_object *obj, const char *key)
{
    const char *text = json_get_str(obj, key, "");
    return *text ? strdup(text) : NULL;
}

static enum status read_attempt(struct job_folder *f, char **ret_base, struct err *err)
{
    char *path = job_folder_path(f, "attempt.json");
    if (!path)
        return err_set(err, ST_NOMEM, "out of memory opening %s", f->dir);
    struct json_object *obj = NULL;
    enum status st = ST_OK;
    if (file_exists(path))
        st = json_read_file(&obj, path, SMALL_FILE_MAX, err);
    if (st == ST_OK) {
        f->job_id = take_text(obj, "job_id");
        f->attempt = (int)json_get_int(obj, "attempt", 1);
        f->report_address = take_text(obj, "report_address");
        f->report_ca = take_text(obj, "report_ca");
        f->token = take_text(obj, "token");
        f->resume_from = take_text(obj, "resume_from");
        f->resume_since = (int)json_get_int(obj, "resume_since", 0);
        *ret_base = take_text(obj, "folder");
        if (!*ret_base)
            *ret_base = strdup(f->dir);
    }
    json_object_put(obj);
    free(path);
    return st;
}

static int collect_overrides(struct json_object *list, struct jobfile_override *over)
{
    int n = 0;
    size_t len = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < len && n < OVERRIDES_MAX; i++) {
        struct json_object *o = json_object_array_get_idx(list, i);
        over[n].key = json_get_str(o, "key", NULL);
        over[n].value = json_get_str(o, "value", NULL);
        n += over[n].key && over[n].value;
    }
    return n;
}

/* The first error stands for all: the coordinator has checked the same bytes before. */
static enum status parse_job(struct job_folder *f, const char *base, struct json_object *overrides,
                             struct err *err)
{
    struct jobfile_override over[OVERRIDES_MAX];
    struct findings found = {0};
    const struct jobfile_source source = {.text = f->yaml,
                                          .len = f->yaml_len,
                                          .folder = base,
                                          .over = over,
                                          .n_over = collect_overrides(overrides, over),
                                          .check_paths = true};
    enum status st = jobfile_parse(&f->job, &source, &found, err);
    for (int i = 0; st == ST_INVALID && i < found.n; i++)
        if (!found.list[i].warning) {
            err_set(err, ST_INVALID, "job.yaml:%d: %s: %s", found.list[i].line, found.list[i].key,
                    found.list[i].text);
            break;
        }
    findings_fini(&found);
    return st;
}

static enum status read_job(struct job_folder *f, const char *base, struct err *err)
{
    char *yaml_path = job_folder_path(f, "job.yaml");
    char *over_path = job_folder_path(f, "overrides.json");
    struct json_object *overrides = NULL;
    struct buf b;
    buf_init(&b, JOBFILE_MAX_BYTES);
    enum status st = yaml_path && over_path ? ST_OK : err_set(err, ST_NOMEM, "out of memory");
    if (st == ST_OK)
        st = file_read(&b, yaml_path, err);
    if (st == ST_OK && file_exists(over_path))
        st = json_read_file(&overrides, over_path, SMALL_FILE_MAX, err);
    if (st == ST_OK) {
        f->yaml_len = b.len;
        f->yaml = buf_take(&b);
        st = f->yaml ? parse_job(f, base, overrides, err) : err_set(err, ST_NOMEM, "out of memory");
    }
    json_object_put(overrides);
    buf_fini(&b);
    free(yaml_path);
    free(over_path);
    return st;
}

enum status job_folder_open(struct job_folder *ret_f, const char *dir, struct err *err)
{
    struct job_folder f = {.dir = realpath(dir, NULL), .attempt = 1};
    if (!f.dir)
        return err_errno(err, "cannot open the job folder %s", dir);
    char *base = NULL;
    enum status st = read_attempt(&f, &base, err);
    if (st == ST_OK)
        st = read_job(&f, base, err);
    free(base);
    if (st == ST_OK) {
        f.threads_asked = f.job->resources_threads;
        *ret_f = f;
    } else
        job_folder_close(&f);
    return st;
}

void job_folder_close(struct job_folder *f)
{
    if (!f)
        return;
    jobfile_destroy(f->job);
    free(f->dir);
    free(f->job_id);
    free(f->report_address);
    free(f->report_ca);
    free(f->token);
    free(f->resume_from);
    free(f->yaml);
    *f = (struct job_folder){0};
}

/* One that is there and does not say a number could hold a higher one. */
static enum status read_fence(const char *path, long *ret_highest, struct err *err)
{
    struct buf b;
    char *end = NULL;
    buf_init(&b, 64);
    enum status st = file_read(&b, path, err);
    if (st == ST_OK) {
        *ret_highest = strtol(buf_str(&b), &end, 10);
        if (*ret_highest < 1 || strcmp(end, "\n") != 0)
            st = err_set(err, ST_CORRUPT,
                         "%s does not hold an attempt's number and a newline; nothing is written. "
                         "`espalier retry` writes it anew",
                         path);
    }
    buf_fini(&b);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status job_folder_check_fence(const struct job_folder *f, struct err *err)
{
    char *path = job_folder_path(f, "checkpoints/fence");
    long highest = 0;
    enum status st = path ? read_fence(path, &highest, err)
                          : err_set(err, ST_NOMEM, "out of memory for the fence's name");
    free(path);
    if (st == ST_OK && highest > f->attempt)
        st =
            err_set(err, ST_STATE,
                    "attempt %d of this job has been superseded by attempt %ld; nothing is written",
                    f->attempt, highest);
    return st;
}
