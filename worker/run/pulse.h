/* pulse.h - a rank's sign of life, for whoever looks at it from outside: attempts/N/rank-R in the job's folder.
 *
 * One line that the rank writes anew at every mark, without fsync: who it is (pid, start time, boot id, host), how many
 * marks it has made, and where it stands. Ranks make the same marks in the same order, so the one that others
 * wait for is the one that stands behind. SIGUSR2 makes the rank leave its stack in attempts/N/stack-R.txt and go on.
 * docs/spec/worker-environment.md has the form of both.
 */
#ifndef RUN_PULSE_H
#define RUN_PULSE_H

#include "base/err.h"

#include <stdint.h>

struct pulse;

/* In the order of a step. */
enum pulse_at { PULSE_START, PULSE_COMPUTE, PULSE_SUM, PULSE_EVALUATE, PULSE_GATHER, PULSE_DONE };

/* attempt_dir must exist; ST_NOT_FOUND without one: then nobody looks. One a process; on its main thread. */
enum status pulse_open(struct pulse **ret_pulse, const char *attempt_dir, int rank,
                       struct err *err);
void pulse_close(struct pulse *p); /* NULL allowed; the files stay */

/* A microsecond or two. NULL allowed. What cannot be written is left: the next mark tries again. */
void pulse_mark(struct pulse *p, enum pulse_at at, int64_t total_step);

#endif
