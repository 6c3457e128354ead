/* follow.h - a job until it is over: a live view, plain lines, JSON lines, or nothing. */
#ifndef CLIENT_FOLLOW_H
#define CLIENT_FOLLOW_H

#include "client/ask.h"
#include "client/cli.h"

enum follow_how { FOLLOW_VIEW, FOLLOW_LINES, FOLLOW_JSON, FOLLOW_QUIET };

/* --json, a terminal, or a pipe. */
enum follow_how follow_how(const struct cli *cli);

/* Exit code: the job's result (exits.h); EXIT_INTERRUPTED after Ctrl-C; that of ST_TIMEOUT after timeout_s
 * (0 = none). id is a number. */
int follow_job(struct cli *cli, const char *id, enum follow_how how, int64_t timeout_s);
/* The same without a limit, showing only what is asked for; ask->follow is not looked at. */
int follow_job_asking(struct cli *cli, const char *id, enum follow_how how, const struct ask *ask);

#endif
