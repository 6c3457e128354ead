/* records.h - what a worker reports, turned into events and results. */
#ifndef JOB_RECORDS_H
#define JOB_RECORDS_H

#include "base/err.h"
#include "espalier/v1/report.pb-c.h"
#include "job/jobs.h"

#include <stddef.h>

struct daemon;

#define RECORDS_MAX 1000 /* a batch, as report.proto says */

/* Takes the records of the job's newest attempt whose numbers are above attempt.reported; the rest is known
 * already. A record that makes no sense becomes a warning in the job's events, so that it is not sent for ever.
 * A failure fails the group. */
enum status records_take(struct daemon *d, struct active *a, Espalier__V1__Record *const *records,
                         size_t n, struct err *err);

/* Takes what the newest attempt left in its spool file; its processes are gone. The file is left for the next
 * start of the daemon if the group fails: what was taken is known by its number. */
enum status records_take_spool(struct daemon *d, struct active *a, struct err *err);

#endif
