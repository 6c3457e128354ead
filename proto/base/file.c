/* file.c - see file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum status file_read(struct buf *b, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open %s", path);
    enum status st = ST_OK;
    char chunk[65536];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = err_errno(err, "cannot read %s", path);
        if (n <= 0)
            break;
        buf_add(b, chunk, (size_t)n);
        if (!buf_ok(b)) {
            st = err_set(err, ST_LIMIT, "%s is larger than the limit of %zu bytes", path, b->max);
            break;
        }
    }
    close(fd);
    return st;
}

enum status file_mkdirs(const char *path, mode_t mode, struct err *err)
{
    char *copy = strdup(path);
    if (!copy)
        return err_set(err, ST_NOMEM, "out of memory for the path %s", path);
    enum status st = ST_OK;
    for (char *p = copy + 1; st == ST_OK; p++) {
        if (*p && *p != '/')
            continue;
        char keep = *p;
        *p = '\0';
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            st = err_errno(err, "cannot create the folder %s", copy);
        *p = keep;
        if (!keep)
            break;
    }
    struct stat sb;
    if (st == ST_OK && (stat(path, &sb) < 0 || !S_ISDIR(sb.st_mode)))
        st = err_set(err, ST_EXISTS, "%s is there already and is not a folder", path);
    free(copy);
    return st;
}

enum status file_sync_parent(const char *path, struct err *err)
{
    char *dir = path_dir(path);
    if (!dir)
        return err_set(err, ST_NOMEM, "out of memory for the path %s", path);
    enum status st = ST_OK;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        st = err_errno(err, "cannot sync the folder %s", dir);
    if (fd >= 0)
        close(fd);
    free(dir);
    return st;
}

enum status file_writer_open(struct file_writer *w, const char *path, mode_t mode, struct err *err)
{
    *w = (struct file_writer){.fd = -1, .path = strdup(path)};
    if (!w->path || asprintf(&w->temp, "%s.tmp.%ld", path, (long)getpid()) < 0) {
        free(w->path);
        *w = (struct file_writer){.fd = -1};
        return err_set(err, ST_NOMEM, "out of memory for the path %s", path);
    }
    w->fd = open(w->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (w->fd < 0) {
        enum status st = err_errno(err, "cannot create %s", w->temp);
        file_writer_abandon(w);
        return st;
    }
    return ST_OK;
}

enum status file_writer_add(struct file_writer *w, const void *data, size_t len, struct err *err)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(w->fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "cannot write %s", w->temp);
        p += n;
        len -= (size_t)n;
    }
    return ST_OK;
}

enum status file_writer_commit(struct file_writer *w, struct err *err)
{
    enum status st = ST_OK;
    if (fsync(w->fd) < 0)
        st = err_errno(err, "cannot sync %s", w->temp);
    if (close(w->fd) < 0 && st == ST_OK)
        st = err_errno(err, "cannot close %s", w->temp);
    w->fd = -1;
    if (st == ST_OK && rename(w->temp, w->path) < 0)
        st = err_errno(err, "cannot rename %s to %s", w->temp, w->path);
    if (st == ST_OK) {
        st = file_sync_parent(w->path, err);
        free(w->temp);
        w->temp = NULL;
    }
    file_writer_abandon(w);
    return st;
}

void file_writer_abandon(struct file_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->temp)
        unlink(w->temp);
    free(w->temp);
    free(w->path);
    *w = (struct file_writer){.fd = -1};
}

enum status file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                              struct err *err)
{
    struct file_writer w;
    TRY(file_writer_open(&w, path, mode, err));
    enum status st = file_writer_add(&w, data, len, err);
    if (st == ST_OK)
        return file_writer_commit(&w, err);
    file_writer_abandon(&w);
    return st;
}

char *path_join(const char *dir, const char *name)
{
    char *out = NULL;
    if (name[0] == '/')
        return strdup(name);
    return asprintf(&out, "%s/%s", dir, name) < 0 ? NULL : out;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
