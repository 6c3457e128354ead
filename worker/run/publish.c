/* publish.c - see publish.h. */
#include "run/publish.h"

#include "base/file.h"
#include "base/log.h"
#include "jobfile/keep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PENDING "pending-"

enum status publish_begin(const struct job_folder *f, const char *sub, char **ret_pending,
                          struct err *err)
{
    char name[96];
    snprintf(name, sizeof name, "%.40s/" PENDING "%d.safetensors", sub, f->attempt);
    char *folder = job_folder_path(f, sub), *pending = job_folder_path(f, name);
    enum status st = folder && pending ? job_folder_check_fence(f, err)
                                       : err_set(err, ST_NOMEM, "out of memory for a file's name");
    if (st == ST_OK)
        st = file_mkdirs(folder, 0700, err);
    if (st == ST_OK)
        *ret_pending = pending;
    else
        free(pending);
    free(folder);
    return st;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void sum_path(char out[4096], const char *path)
{
    snprintf(out, 4096, "%s" KEEP_SUM, path);
}

/* A sum of older bytes must not outlive them: the file would pass for damaged. */
static void drop_sum(const char *path)
{
    char sum[4096];
    sum_path(sum, path);
    unlink(sum);
}

static enum status write_sum(const char *path, const char sha[HASH_HEX_SIZE], struct err *err)
{
    struct buf line;
    char sum[4096];
    sum_path(sum, path);
    buf_init(&line, 4096);
    buf_printf(&line, "%s  %s\n", sha, path_base(path));
    enum status st = file_write_atomic(sum, buf_str(&line), line.len, 0600, err);
    buf_fini(&line);
    return st;
}

/* ---- the place ------------------------------------------------------------------------------- */

static enum status place(const struct job_folder *f, const char *pending, const char *path,
                         bool summed, struct err *err)
{
    enum status st = job_folder_check_fence(f, err);
    if (st == ST_OK && summed)
        drop_sum(path);
    if (st == ST_OK)
        st = rename(pending, path) == 0 ? file_sync_parent(path, err)
                                        : err_errno(err, "cannot rename %s to %s", pending, path);
    if (st != ST_OK)
        unlink(pending);
    return st;
}

enum status publish(const struct job_folder *f, const char *pending, const char *path,
                    struct err *err)
{
    return place(f, pending, path, false, err);
}

/* Behind the rename, too, an attempt may sleep until a newer one has put its own file there, whose sum is not ours to
 * replace. */
enum status publish_summed(const struct job_folder *f, const char *pending, const char *path,
                           const char sha[HASH_HEX_SIZE], struct err *err)
{
    TRY(place(f, pending, path, true, err));
    TRY(job_folder_check_fence(f, err));
    return write_sum(path, sha, err);
}

enum status publish_text(const struct job_folder *f, const char *path, const struct buf *text,
                         struct err *err)
{
    if (!path || !buf_ok(text))
        return err_set(err, ST_NOMEM, "out of memory writing %s", path ? path : "a file");
    TRY(job_folder_check_fence(f, err));
    return file_write_atomic(path, buf_str(text), text->len, 0600, err);
}

/* A file without its sum was written by a process that was killed right after it; the one before it is still there, since old
 * ones go after the sum. */
enum status publish_check_sum(const char *path, struct err *err)
{
    struct buf line;
    char sum[4096], sha[HASH_HEX_SIZE];
    sum_path(sum, path);
    if (!file_exists(sum))
        return err_set(err, ST_CORRUPT, "%s has no %s beside it: its writing was not finished",
                       path, path_base(sum));
    buf_init(&line, 4096);
    enum status st = file_read(&line, sum, err);
    if (st == ST_OK)
        st = hash_file(sha, path, err);
    if (st == ST_OK && strncmp(buf_str(&line), sha, HASH_HEX_SIZE - 1) != 0)
        st = err_set(err, ST_CORRUPT, "%s is damaged: its SHA-256 is not the one in %s", path,
                     path_base(sum));
    buf_fini(&line);
    return st;
}

/* ---- what is left of a kill ------------------------------------------------------------------ */

/* Of an attempt that is over: newer ones may be at work. */
static bool is_over(const struct job_folder *f, const char *name)
{
    size_t head = strlen(PENDING);
    if (strncmp(name, PENDING, head) != 0)
        return false;
    char *end;
    long attempt = strtol(name + head, &end, 10);
    return end > name + head && *end == '.' && attempt <= f->attempt;
}

static void sweep(const struct job_folder *f, const char *sub)
{
    char *folder = job_folder_path(f, sub);
    DIR *dir = folder ? opendir(folder) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (is_over(f, e->d_name) && unlinkat(dirfd(dir), e->d_name, 0) < 0)
            log_warn("cannot remove %s/%s: %s", sub, e->d_name, strerror(errno));
    if (dir)
        closedir(dir);
    free(folder);
}

void publish_sweep(const struct job_folder *f)
{
    sweep(f, "checkpoints");
    sweep(f, "export");
}
