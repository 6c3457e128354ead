/* file.h - whole files, durably. Paths are UTF-8 bytes; every error names the path. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends the file's bytes to b; ST_LIMIT if it does not fit into b->max. */
enum status file_read(struct buf *b, const char *path, struct err *err);

/* Replaces path by data: temp file beside it, write, fsync, rename, fsync of the folder. After ST_OK
 * the new content survives a crash; after a failure the old content is whole. mode as in open().  */
enum status file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                              struct err *err);

/* mkdir -p; ST_OK if it is there already. */
enum status file_mkdirs(const char *path, mode_t mode, struct err *err);

/* fsync of the folder that holds path. */
enum status file_sync_parent(const char *path, struct err *err);

/* Opens a temp file beside path for writing ("path.tmp.PID"); file_commit() fsyncs, renames it to
 * path and fsyncs the folder; file_abandon() removes it. For writers that stream.              */
struct file_writer {
    int fd;            /* -1 when closed */
    char *path, *temp; /* owned */
};
enum status file_writer_open(struct file_writer *w, const char *path, mode_t mode, struct err *err);
enum status file_writer_add(struct file_writer *w, const void *data, size_t len, struct err *err);
enum status file_writer_commit(struct file_writer *w, struct err *err);
void file_writer_abandon(struct file_writer *w); /* NULL, closed or committed allowed */

/* "dir/name", or name itself when it is absolute; owned by the caller; NULL when out of memory. */
char *path_join(const char *dir, const char *name);
const char *path_base(const char *path); /* borrowed: after the last '/' */
char *path_dir(const char *path);        /* owned: "." when there is no '/' */
bool file_exists(const char *path);

#endif
