/* change.h - the one function that changes a job's state. */
#ifndef JOB_CHANGE_H
#define JOB_CHANGE_H

#include "base/err.h"
#include "job/jobs.h"

struct daemon;

/* What the record says beside the edge; NULLs become "". */
struct change {
    const char *actor;      /* user | daemon | worker | launcher */
    enum job_reason reason; /* for edges that take it from the event */
    const char *text;
    int64_t wait_ms;         /* ON_END_RETRY: until the next attempt may be placed */
    const char *resume_from; /* ON_RETRY: the checkpoint to go back to; NULL or "": the newest */
};

/* Appends the event and the snapshot to the open group, then updates memory; effects come after the commit
 * (act.h). ON_PLACE begins a new attempt. ST_STATE with a sentence if there is no such edge;
 * any other failure also fails the group (group_fail). */
enum status job_apply(struct daemon *d, struct active *a, enum job_event event,
                      const struct change *change, struct err *err);

/* The same for a job that is not there yet: sets the id and adds it to memory. event: ON_SUBMIT or ON_SUBMIT_HELD. */
enum status job_submit(struct daemon *d, struct job *job, enum job_event event,
                       const struct submission *sub, const char *digest, const char *actor,
                       struct err *err);

/* Also leaves a note in the job's events. */
enum status job_set_priority(struct daemon *d, struct active *a, int priority, const char *actor,
                             struct err *err);

/* Makes the whole group fail: it will be rolled back, and everybody who waits for it gets this sentence. */
enum status group_fail(struct daemon *d, const struct err *err);

/* A token nobody can guess: 64 hex digits from the kernel. */
enum status token_make(char ret_token[JOB_TOKEN_MAX], struct err *err);

#endif
