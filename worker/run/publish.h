/* publish.h - how a file of an attempt gets its place, where an older attempt may wake up at any moment.
 *
 * It is written under a name that no other attempt uses; then the fence is read, and only then it is renamed. What is left
 * is the moment between the look and the rename. A checkpoint has its SHA-256 beside it, so what slips through that moment is
 * passed over by a resume instead of being taken for whole.
 */
#ifndef RUN_PUBLISH_H
#define RUN_PUBLISH_H

#include "base/buf.h"
#include "base/hash.h"
#include "run/folder.h"

/* DIR/SUB/pending-N.safetensors, N the attempt's number: to be written, then published. Makes the folder. The name is owned by
 * the caller. ST_STATE when the attempt has been superseded. */
enum status publish_begin(const struct job_folder *f, const char *sub, char **ret_pending,
                          struct err *err);
/* Renames it to path, durably. On failure it is removed, and path is as it was. */
enum status publish(const struct job_folder *f, const char *pending, const char *path,
                    struct err *err);
/* The same, with path.sha256 beside it in sha256sum's format. */
enum status publish_summed(const struct job_folder *f, const char *pending, const char *path,
                           const char sha[HASH_HEX_SIZE], struct err *err);
/* A text of no great length under path, whole or not at all. A path that is NULL and a text that is not whole are ST_NOMEM. */
enum status publish_text(const struct job_folder *f, const char *path, const struct buf *text,
                         struct err *err);
/* ST_CORRUPT if the bytes are not those that were published, or their sum is not there. */
enum status publish_check_sum(const char *path, struct err *err);

/* Rank 0, at the start: removes what killed attempts, this number's included, were writing. */
void publish_sweep(const struct job_folder *f);

#endif
