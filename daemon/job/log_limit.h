/* log_limit.h - a job's log has a maximum: its oldest parts are given back to the file system.
 *
 * The ranks append to one file, whoever started them; nobody stands between them and it, so that no death of ours
 * can block or end a job. What is given up becomes a hole: offsets stay what they were, and the file itself says
 * where its content begins.
 */
#ifndef JOB_LOG_LIMIT_H
#define JOB_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* At most `parts` parts of `part_bytes` (a multiple of 64 KiB) are kept beside the one that is being written. */
struct log_limit {
    int64_t part_bytes;
    int parts;
};

/* Gives up what is over the limit. *cut: where the last call cut, 0 at first. False: the file system cannot. */
bool log_trim(const char *path, const struct log_limit *limit, int64_t *cut);

/* The logs of all jobs that hold resources, every LOG_TRIM_MS. A file system without holes is told of once. */
#define LOG_TRIM_MS 2000
void logs_trim(struct daemon *d);

/* Where the first whole line is that is still there; 0 for a log that was never cut. Moves the file's position. */
int64_t log_first_line(int fd);

#endif
