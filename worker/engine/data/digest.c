/* digest.c - the data digest of docs/spec/data.md 1. */
#include "engine/data/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum status add_bytes(struct hash *h, int fd, const char *path, struct err *err)
{
    unsigned char chunk[16384];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "reading %s", path);
        if (n == 0)
            return ST_OK;
        hash_add(h, chunk, (size_t)n);
    }
}

static enum status add_file(struct hash *h, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat sb;
    if (fd < 0)
        return err_errno(err, "data file %s", path);
    enum status st;
    if (fstat(fd, &sb)) {
        st = err_errno(err, "data file %s", path);
    } else {
        unsigned char length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (unsigned char)((uint64_t)sb.st_size >> 8 * i);
        hash_add(h, length, sizeof length);
        st = add_bytes(h, fd, path, err);
    }
    close(fd);
    return st;
}

enum status dataset_digest(char ret_hex[HASH_HEX_SIZE], const char *const *path, int paths,
                           struct err *err)
{
    struct hash *h = hash_create();
    if (!h)
        return err_set(err, ST_NOMEM, "out of memory hashing the data files");
    enum status st = ST_OK;
    for (int i = 0; i < paths && st == ST_OK; i++)
        if (path[i] && path[i][0])
            st = add_file(h, path[i], err);
    if (st == ST_OK)
        hash_finish(h, ret_hex);
    hash_destroy(h);
    return st;
}
