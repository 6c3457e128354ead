/* metrics.h - the Prometheus page: plain HTTP on loopback, served by a thread of its own.
 *
 * That thread sees nothing but the last `struct metrics_page` that the loop published, a copy behind a lock: a slow or hostile
 * reader costs the loop nothing. No page, no thread where metrics.listen is not set.
 */
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/err.h"
#include "job/state.h"

#include <stdbool.h>

struct daemon;

/* Reads "127.0.0.1:9470", "[::1]:0"; ST_INVALID when it is none, or not loopback. For
 * the configuration's check. */
enum status metrics_check_address(const char *text, struct err *err);

enum status metrics_create(struct daemon *d, struct err *err);
void metrics_destroy(struct daemon *d);

/* At the end of a pass: publishes, at most four times a second. */
void metrics_pass(struct daemon *d);
/* How long the loop may wait: less than `ms` when something is still to be published; -1 = for ever. */
int metrics_wait_ms(const struct daemon *d, int ms);
/* A job went from one state to another; JOB_NONE as `from`: it is new. */
void metrics_note_change(struct daemon *d, enum job_state from, enum job_state to);
/* The counts of states in memory are no longer those of the store: count anew. */
void metrics_recount(struct daemon *d);

#endif
