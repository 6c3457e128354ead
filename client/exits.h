/* exits.h - the program's exit codes: one table for the code, `espalier help exit-codes` and
 * docs/spec/exit-codes.md. */
#ifndef CLIENT_EXITS_H
#define CLIENT_EXITS_H

#include "base/buf.h"
#include "base/err.h"
#include "espalier/v1/job.pb-c.h"

enum exit_code {
    EXIT_JOB_FAILED = 20,
    EXIT_JOB_CANCELLED = 21,
    EXIT_JOB_TIMEOUT = 22,
    EXIT_UNWELL = 23,
    EXIT_INTERRUPTED = 130,
};

/* Exit code of a job that has ended; -1 while it has not. */
int exit_of_state(Espalier__V1__JobState state);

/* Number i of the table: its meaning, NULL behind the last; *ret_code is its code. */
const char *exits_at(int i, int *ret_code);
void exits_help(struct buf *out, bool markdown);

#endif
