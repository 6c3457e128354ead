/* home.c - see home.h. */
#include "home.h"

#include "base/file.h"
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define HOME_MAX 512

/* flock: given up by the kernel with the process, however it ends. */
static enum status lock_file(const char *path, const char *what, int *ret_fd, struct err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        enum status st = errno == EWOULDBLOCK
                             ? err_set(err, ST_EXISTS,
                                       "another espalierd %s; stop that one or choose "
                                       "another",
                                       what)
                             : err_errno(err, "cannot lock %s", path);
        close(fd);
        return st;
    }
    *ret_fd = fd;
    return ST_OK;
}

/* In the home the home's lock covers it. */
static enum status lock_store(struct daemon *d, struct err *err)
{
    char path[HOME_MAX + 32], what[HOME_MAX + 64], *dir = path_dir(d->options.store);
    enum status st = dir ? file_mkdirs(dir, 0700, err) : err_set(err, ST_NOMEM, "out of memory");
    bool elsewhere = dir && strcmp(dir, d->options.home) != 0;
    free(dir);
    if (st != ST_OK || !elsewhere)
        return st;
    if (strlen(d->options.store) > HOME_MAX)
        return err_set(err, ST_INVALID, "the store's path has %zu bytes, at most %d are taken",
                       strlen(d->options.store), HOME_MAX);
    snprintf(path, sizeof path, "%s.lock", d->options.store);
    snprintf(what, sizeof what, "uses the store %s", d->options.store);
    return lock_file(path, what, &d->store_lock, err);
}

enum status home_lock(struct daemon *d, struct err *err)
{
    const char *home = d->options.home;
    char path[HOME_MAX + 32], what[HOME_MAX + 64];
    if (strlen(home) > HOME_MAX)
        return err_set(err, ST_INVALID, "the home's path has %zu bytes, at most %d are taken",
                       strlen(home), HOME_MAX);
    TRY(file_mkdirs(home, 0700, err));
    snprintf(path, sizeof path, "%s/jobs", home);
    TRY(file_mkdirs(path, 0700, err));
    snprintf(path, sizeof path, "%s/lock", home);
    snprintf(what, sizeof what, "uses the home %s", home);
    TRY(lock_file(path, what, &d->home_lock, err));
    return lock_store(d, err);
}

static enum status check_folder(const char *dir, struct err *err)
{
    struct stat sb;
    TRY(file_mkdirs(dir, 0700, err));
    if (stat(dir, &sb) < 0)
        return err_errno(err, "cannot look at %s", dir);
    if (sb.st_uid != geteuid() || (sb.st_mode & 077) != 0)
        return err_set(
            err, ST_DENIED,
            "the socket's folder %s is open to others (mode %03o, owner %u): whoever may "
            "enter it may use the daemon; chmod 700 it or choose another with --listen",
            dir, sb.st_mode & 0777, sb.st_uid);
    return ST_OK;
}

enum status home_lock_socket(struct daemon *d, struct err *err)
{
    const char *socket = d->options.listen + strlen("unix:");
    char path[sizeof((struct sockaddr_un *)0)->sun_path + 8], what[256];
    if (strlen(socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return err_set(
            err, ST_INVALID,
            "the socket's path %s has %zu bytes, at most %zu are possible; choose a shorter "
            "one with --listen",
            socket, strlen(socket), sizeof((struct sockaddr_un *)0)->sun_path - 1);
    char *dir = path_dir(socket);
    enum status st = dir ? check_folder(dir, err) : err_set(err, ST_NOMEM, "out of memory");
    free(dir);
    TRY(st);
    snprintf(path, sizeof path, "%s.lock", socket);
    snprintf(what, sizeof what, "listens on %s", socket);
    return lock_file(path, what, &d->socket_lock, err);
}

/* ---- the home's id --------------------------------------------------------------------------- */

/* 0 = it has none. */
static enum status read_id(const char *path, int64_t *ret_id, struct err *err)
{
    struct buf b;
    char *end;
    *ret_id = 0;
    buf_init(&b, 64);
    enum status st = file_read(&b, path, err);
    if (st == ST_OK) {
        *ret_id = strtoll(buf_str(&b), &end, 16);
        if (*ret_id <= 0 || (*end && strcmp(end, "\n") != 0))
            st = err_set(err, ST_CORRUPT, "%s holds no id of a home; put it back from a backup",
                         path);
    }
    buf_fini(&b);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static enum status make_id(const char *path, int64_t *ret_id, struct err *err)
{
    uint64_t bits;
    char text[24];
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return err_errno(err, "cannot get random bytes for the home's id");
    *ret_id = (int64_t)(bits >> 1 | 1);
    int n = snprintf(text, sizeof text, "%016llx\n", (long long)*ret_id);
    return file_write_atomic(path, text, (size_t)n, 0600, err);
}

static enum status foreign_home(const struct daemon *d, int64_t known, int64_t here,
                                struct err *err)
{
    const char *home = d->options.home;
    if (here == 0)
        return err_set(err, ST_STATE,
                       "%s is not the home that belongs to the job store %s, or its folders are "
                       "away: look whether its file system is mounted; if they are lost for good: "
                       "echo %016llx >%s/id",
                       home, d->options.store, (long long)known, home);
    return err_set(err, ST_STATE,
                   "the job store %s belongs to the home with the id %016llx, and %s has the id "
                   "%016llx; correct home or store in the configuration, or, if they are to belong "
                   "together from now on: echo %016llx >%s/id",
                   d->options.store, (long long)known, home, (long long)here, (long long)known,
                   home);
}

enum status home_check_id(struct daemon *d, struct err *err)
{
    char path[HOME_MAX + 32];
    int64_t here, known = 0;
    snprintf(path, sizeof path, "%s/id", d->options.home);
    TRY(read_id(path, &here, err));
    enum status st = store_mark_load(d->store, STORE_MARK_HOME, &known, err);
    if (st == ST_OK && here != known)
        return foreign_home(d, known, here, err);
    if (st == ST_NOT_FOUND && here == 0)
        TRY(make_id(path, &here, err));
    d->home_id = here;
    if (st != ST_NOT_FOUND)
        return st;
    TRY(store_mark_set(d->store, STORE_MARK_HOME, here, err));
    return store_commit(d->store, err);
}

void home_unlock(struct daemon *d)
{
    if (d->home_lock >= 0)
        close(d->home_lock);
    if (d->store_lock >= 0)
        close(d->store_lock);
    if (d->socket_lock >= 0)
        close(d->socket_lock);
    d->home_lock = d->store_lock = d->socket_lock = -1;
}
