/* folder.h - the job's folder on disk: docs/spec/worker-environment.md. */
#ifndef JOB_FOLDER_H
#define JOB_FOLDER_H

#include "base/buf.h"
#include "base/err.h"
#include "job/job.h"

#include <stdint.h>

struct daemon;

#define FOLDER_PATH_MAX 1024

void folder_path(const struct daemon *d, int64_t job_id, char ret_path[FOLDER_PATH_MAX]);
void folder_attempt_path(const struct daemon *d, const struct job *job,
                         char ret_path[FOLDER_PATH_MAX]);

/* The largest number that a job's folder has below the home; 0 = there is none. */
int64_t folder_last(const char *home);

/* Lays everything an attempt finds, the fence included. May be repeated. */
enum status folder_prepare(struct daemon *d, const struct job *job, struct err *err);

/* The last lines of the log, at most max bytes, printable ASCII, '|' between lines; "" if there are none. */
void folder_log_tail(const struct daemon *d, int64_t job_id, char *out, size_t max);

/* Opens a file of the job for reading; name is relative and may not lead out of the folder. ST_DENIED if it
 * does, ST_NOT_FOUND. The caller closes *ret_fd. */
enum status folder_open(const struct daemon *d, int64_t job_id, const char *name, int *ret_fd,
                        uint64_t *ret_size, struct err *err);

#endif
