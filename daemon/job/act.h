/* act.h - what a state asks for (idempotent effects), and what is found out about running attempts. */
#ifndef JOB_ACT_H
#define JOB_ACT_H

#include "job/jobs.h"
#include "launch/launch.h"

struct daemon;

#define JOB_LOST_AFTER_MS 10000 /* polls that can tell nothing, until UNREACHABLE */

/* The effects of the state that a job came into, after its commit: SUBMITTED starts the attempt, STOPPING asks the
 * worker. Depends on the state alone and may be repeated; what it finds is applied as an event in the next group. */
void job_act(struct daemon *d, struct active *a);

/* A look at every job that holds resources: evidence, stop ladder, time limit. About four times a second. */
void jobs_tick(struct daemon *d);

/* What the launcher knows about the job's attempt now. */
void job_poll(struct daemon *d, struct active *a, struct evidence *ret_ev);

/* New attempts after ones that ended badly, as the job file or the daemon says. */
int job_retries(const struct daemon *d, const struct job *job);

/* The reason a worker is given with ReportReply.stop; NULL = it should go on. */
const char *job_stop_reason(const struct job *job);
/* From the request to stop or pause until SIGKILL. */
int64_t job_kill_ms(const struct daemon *d, enum job_state state);

#endif
