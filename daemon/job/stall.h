/* stall.h - whether a living attempt still makes steps, and if not, which rank keeps it from them.
 *
 * A step is seen in two ways: reported progress, and the marks of the ranks (pulse.h), which do not need the report link. What the daemon
 * could not see because it did not run itself does not count. A stall is told, never acted upon, unless the job file
 * says `on_stall: restart`.
 */
#ifndef JOB_STALL_H
#define JOB_STALL_H

#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct active;

/* In memory only: after a restart of the daemon the silence is counted from there. Times are monotonic. */
struct stall_watch {
    int attempt; /* that is watched; another one begins anew */
    bool looked; /* beats are known */
    uint64_t beats;
    int64_t looked_ms, moved_ms;
    int64_t reported_ms, interval_ms; /* of progress; interval: between the last two reports */
    int64_t heard_ms; /* the newest report of any kind, also an empty one; 0 = none */
    int64_t asked_ms; /* for the stack; 0 = not yet */
    int rank;         /* that was asked */
};

/* A report of progress came. */
void stall_note_step(const struct daemon *d, struct active *a);

/* Any report came, also an empty one: the link lives. */
void stall_note_contact(const struct daemon *d, struct active *a);

/* Whether a silence is the ranks' and not the link's: their marks stand still (found: how many are there), or they were still
 * heard when half of the limit had passed. Without either a healthy job looks the same, and nothing is done to it. Pure. */
bool stall_is_evident(const struct stall_watch *w, int64_t limit_ms, int found);

/* At every tick for an attempt of which is known that it lives. */
void stall_check(struct daemon *d, struct active *a, const char *attempt_dir);

/* How long no step is a stall: the longer of stall_ms and stall_factor steps. Without the ranks' marks a step is only known by
 * reports, of which there may be fewer: then it is also as long as stall_factor times between two reports. Pure. */
int64_t stall_limit_ms(const struct job *job, double step_seconds, int64_t interval_ms,
                       bool has_pulse);

#endif
