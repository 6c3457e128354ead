/* folder.c - see folder.h. */
#include "job/folder.h"

#include "base/file.h"
#include "base/json.h"
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_MAX 1024 /* bytes of a log that are looked at for its last lines */

void folder_path(const struct daemon *d, int64_t job_id, char ret_path[FOLDER_PATH_MAX])
{
    snprintf(ret_path, FOLDER_PATH_MAX, "%s/jobs/%lld", d->options.home, (long long)job_id);
}

int64_t folder_last(const char *home)
{
    char path[FOLDER_PATH_MAX];
    int64_t last = 0;
    snprintf(path, sizeof path, "%s/jobs", home);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char *end;
        long long id = strtoll(e->d_name, &end, 10);
        if (end != e->d_name && !*end && id > last)
            last = id;
    }
    if (dir)
        closedir(dir);
    return last;
}

void folder_attempt_path(const struct daemon *d, const struct job *job,
                         char ret_path[FOLDER_PATH_MAX])
{
    snprintf(ret_path, FOLDER_PATH_MAX, "%s/jobs/%lld/attempts/%d", d->options.home,
             (long long)job->id, job->attempt.number);
}

static enum status write_in(const char *dir, const char *name, const void *data, size_t len,
                            struct err *err)
{
    char path[FOLDER_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return file_write_atomic(path, data, len, 0600, err);
}

/* Which node, cores and GPUs each rank has; NULL when nothing is known: then the worker takes what it finds. */
static struct json_object *placement_json(struct daemon *d, const struct job *job)
{
    struct json_object *list = NULL;
    struct buf text;
    buf_init(&text, STORE_PLACEMENT_MAX);
    if (store_placement_load(d->store, job->id, job->attempt.number, &text, NULL) == ST_OK)
        json_parse(&list, buf_str(&text), text.len, "a placement", NULL);
    buf_fini(&text);
    return list;
}

static enum status write_attempt(struct daemon *d, const struct job *job, const char *dir,
                                 const char *base, struct err *err)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)job->id);
    struct json_object *obj = json_object_new_object();
    json_object_object_add(obj, "job_id", json_object_new_string(id));
    json_object_object_add(obj, "attempt", json_object_new_int(job->attempt.number));
    const struct config *c = &d->options.config;
    bool far = c->tls_report_address[0];
    json_object_object_add(obj, "report_address",
                           json_object_new_string(far ? c->tls_report_address : d->options.listen));
    if (far && c->tls_report_ca[0])
        json_object_object_add(obj, "report_ca", json_object_new_string(c->tls_report_ca));
    json_object_object_add(obj, "token", json_object_new_string(job->attempt.token));
    json_object_object_add(obj, "folder", json_object_new_string(base));
    if (job->resume_from[0]) {
        json_object_object_add(obj, "resume_from", json_object_new_string(job->resume_from));
        json_object_object_add(obj, "resume_since", json_object_new_int(job->resume_since));
    }
    struct json_object *ranks = placement_json(d, job);
    if (ranks)
        json_object_object_add(obj, "ranks", ranks);
    json_object_object_add(obj, "pin", json_object_new_boolean(d->options.config.pin_cores));
    const char *text = json_object_to_json_string_ext(obj, JSON_C_TO_STRING_NOSLASHESCAPE);
    enum status st = text ? write_in(dir, "attempt.json", text, strlen(text), err)
                          : err_set(err, ST_NOMEM, "out of memory for attempt.json");
    json_object_put(obj);
    return st;
}

/* Only ever grows: a lower number in it is an older attempt's, a higher one cannot be ours to lower. */
static enum status write_fence(const struct job *job, const char *dir, struct err *err)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%d\n", job->attempt.number);
    return write_in(dir, "checkpoints/fence", text, (size_t)n, err);
}

static enum status make_folders(const struct daemon *d, const struct job *job, const char *dir,
                                struct err *err)
{
    static const char *const names[] = {"checkpoints", "export", "structure", "spool"};
    char path[FOLDER_PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%.900s/%s", dir, names[i]);
        TRY(file_mkdirs(path, 0700, err));
    }
    folder_attempt_path(d, job, path);
    return file_mkdirs(path, 0700, err);
}

/* Only a job that starts on a structure has the file. */
static enum status write_structure(struct daemon *d, const struct job *job, const char *dir,
                                   struct err *err)
{
    struct buf json;
    buf_init(&json, RPC_MESSAGE_MAX);
    enum status st = store_start_structure_load(d->store, job->id, &json, err);
    if (st == ST_OK && json.len)
        st = write_in(dir, "start-structure.json", buf_str(&json), json.len, err);
    buf_fini(&json);
    return st;
}

static enum status write_submission(struct daemon *d, const struct job *job, const char *dir,
                                    struct err *err)
{
    struct buf file, base, overrides;
    buf_init(&file, 4u << 20);
    buf_init(&base, 1u << 16);
    buf_init(&overrides, 4u << 20);
    enum status st = store_submission_load(d->store, job->id, &file, &base, &overrides, err);
    if (st == ST_OK)
        st = write_in(dir, "job.yaml", buf_str(&file), file.len, err);
    if (st == ST_OK)
        st = write_in(dir, "overrides.json", buf_str(&overrides), overrides.len, err);
    if (st == ST_OK)
        st = write_attempt(d, job, dir, buf_str(&base), err);
    buf_fini(&file);
    buf_fini(&base);
    buf_fini(&overrides);
    return st;
}

enum status folder_prepare(struct daemon *d, const struct job *job, struct err *err)
{
    char dir[FOLDER_PATH_MAX];
    folder_path(d, job->id, dir);
    TRY(make_folders(d, job, dir, err));
    TRY(write_fence(job, dir, err));
    TRY(write_structure(d, job, dir, err));
    return write_submission(d, job, dir, err);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* mpirun frames what it says with lines of dashes: they say nothing. */
static bool is_ruler(const char *line, size_t len)
{
    return strspn(line, "-=\r") >= len;
}

static size_t add_printable(char *out, size_t n, size_t size, const char *line, size_t len)
{
    for (const char *between = " | "; n > 0 && *between && n + 1 < size; between++)
        out[n++] = *between;
    for (size_t i = 0; i < len && n + 1 < size; i++)
        if (line[i] != '\r')
            out[n++] = line[i] >= ' ' && line[i] < 127 ? line[i] : '?';
    return n;
}

/* text ends with a NUL. */
static void printable_lines(char *out, size_t size, char *text)
{
    size_t n = 0;
    for (char *line; (line = strsep(&text, "\n"));)
        if (!is_ruler(line, strlen(line)))
            n = add_printable(out, n, size, line, strlen(line));
    out[n] = '\0';
}

void folder_log_tail(const struct daemon *d, int64_t job_id, char *out, size_t max)
{
    char dir[FOLDER_PATH_MAX], path[FOLDER_PATH_MAX + 16], text[TAIL_MAX + 1], lines[2 * TAIL_MAX];
    *out = '\0';
    folder_path(d, job_id, dir);
    snprintf(path, sizeof path, "%s/log.txt", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat sb;
    if (fd < 0)
        return;
    ssize_t n = 0;
    if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode))
        n = pread(fd, text, TAIL_MAX, sb.st_size > TAIL_MAX ? sb.st_size - TAIL_MAX : 0);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    printable_lines(lines, sizeof lines, text);
    /* What came last matters most: too much of it is cut in front, at a line's begin where there is one. */
    size_t len = strlen(lines);
    const char *from = len < max ? lines : lines + len - max + 1;
    const char *line = from > lines ? strstr(from, " | ") : NULL;
    snprintf(out, max, "%s", line ? line + 3 : from);
}

/* Symbolic links are resolved first: what counts is where the file really is. */
static enum status confine(const char *dir, const char *name, char ret_path[PATH_MAX],
                           struct err *err)
{
    char joined[FOLDER_PATH_MAX + 512], root[PATH_MAX];
    if (*name == '\0' || *name == '/' || strlen(name) >= 512)
        return err_set(err, ST_DENIED, "'%.100s' is no file of the job", name);
    snprintf(joined, sizeof joined, "%s/%s", dir, name);
    if (!realpath(dir, root) || !realpath(joined, ret_path))
        return err_errno(err, "cannot open '%.100s'", name);
    size_t n = strlen(root);
    if (strncmp(ret_path, root, n) != 0 || ret_path[n] != '/')
        return err_set(err, ST_DENIED, "'%.100s' leads out of the job's folder", name);
    return ST_OK;
}

enum status folder_open(const struct daemon *d, int64_t job_id, const char *name, int *ret_fd,
                        uint64_t *ret_size, struct err *err)
{
    char dir[FOLDER_PATH_MAX], path[PATH_MAX];
    struct stat sb;
    folder_path(d, job_id, dir);
    TRY(confine(dir, name, path, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return err_errno(err, "cannot open '%.100s'", name);
    if (fstat(fd, &sb) < 0 || !S_ISREG(sb.st_mode)) {
        close(fd);
        return err_set(err, ST_DENIED, "'%.100s' is not a regular file", name);
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)sb.st_size;
    return ST_OK;
}
