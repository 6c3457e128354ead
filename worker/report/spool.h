/* spool.h - the file in which records wait. Private to report/.
 *
 * Frames, each: one byte of kind, 4 bytes of length, 8 bytes of FNV-1a over the payload
 * (little-endian), the payload. The first frame is SPOOL_HEAD, a packed ReportRequest with job and
 * attempt; then SPOOL_RECORD (a packed Record) and SPOOL_ACK (8 bytes: every record up to that
 * number is delivered) as they come. Only appended to; a rewrite replaces the file by a shorter one
 * in one rename. What follows the first frame that is torn is dropped. One process at a time
 * (flock).
 */
#ifndef REPORT_SPOOL_H
#define REPORT_SPOOL_H

#include "base/err.h"
#include "report/record.h"

#include <stdbool.h>

struct spool {
    int fd;     /* -1 = no file */
    char *path; /* owned */
    size_t bytes;
};

enum spool_kind { SPOOL_HEAD = 'H', SPOOL_RECORD = 'R', SPOOL_ACK = 'A' };

/* Opens or makes the file and adds the records that were not acknowledged to `waiting`.
 * *ret_last is the highest number ever used. ST_STATE: another job, attempt or process has it;
 * ST_CORRUPT: no spool; ST_LIMIT: larger than max.                                               */
enum status spool_open(struct spool *s, const char *path, const char *job_id, uint32_t attempt,
                       size_t max, struct record_queue *waiting, uint64_t *ret_last,
                       struct err *err);
void spool_close(struct spool *s);

/* After a failure the file is as before. */
enum status spool_append(struct spool *s, enum spool_kind kind, const void *data, size_t len,
                         struct err *err);
enum status spool_append_ack(struct spool *s, uint64_t number, struct err *err);
enum status spool_sync(struct spool *s, struct err *err);

/* The file with the waiting records alone, and `acked` as what went before them; durable. */
enum status spool_rewrite(struct spool *s, const char *job_id, uint32_t attempt, uint64_t acked,
                          const struct record_queue *waiting, struct err *err);

#endif
