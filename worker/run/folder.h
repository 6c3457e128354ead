/* folder.h - the job's folder as the coordinator lays it (docs/spec/worker-environment.md), read
 * once at start.
 *
 * The fence file beside the checkpoints holds the highest attempt ever started; an older attempt
 * that wakes up later finds it and changes nothing.
 */
#ifndef RUN_FOLDER_H
#define RUN_FOLDER_H

#include "base/err.h"
#include "jobfile/jobfile.h"

struct job_folder {
    char *dir; /* absolute; all owned */
    char *job_id;
    int attempt;
    char *report_address; /* NULL: no coordinator */
    char *report_ca;      /* PEM file for a tls: address; NULL = the system's */
    char *token;
    char *resume_from; /* a checkpoint's path in dir; NULL = the newest */
    int resume_since;  /* the first attempt that goes on from it */
    struct jobfile *job;
    int64_t threads_asked; /* its resources.threads, which cores_settle() may lower */
    char *yaml;            /* original bytes */
    size_t yaml_len;
    const char *
        trace_path; /* of the command line, borrowed; NULL: trace.json, where the job file asks for it */
};

/* Reads job.yaml, overrides.json, attempt.json. A folder without attempt.json is attempt 1 without
 * a coordinator. */
enum status job_folder_open(struct job_folder *ret_f, const char *dir, struct err *err);
void job_folder_close(struct job_folder *f);
/* dir/name; owned by the caller; NULL when out of memory. */
char *job_folder_path(const struct job_folder *f, const char *name);
/* ST_STATE when a higher attempt has been started; a fence that cannot be read is an error too, none at all is not. */
enum status job_folder_check_fence(const struct job_folder *f, struct err *err);

#endif
