/* record.h - the records that wait for their acknowledgement, in order of their numbers. Private to
 * report/.
 *
 * A record is kept as the packed bytes of espalier.v1.Record. `series` names what it is one of
 * many of (progress, a metric's name); 0 = a record that is never thinned.
 */
#ifndef REPORT_RECORD_H
#define REPORT_RECORD_H

#include <stddef.h>
#include <stdint.h>

#define RECORD_SERIES_MAX                                                                          \
    256 /* series told apart when thinning; the records of further ones stay */

struct record {
    struct record *prev, *next;
    uint64_t number, series;
    size_t len;
    uint8_t bytes[];
};

struct record_queue {
    struct record *first, *last;
    size_t n, bytes;
};

/* Copies the bytes; NULL when out of memory. */
struct record *record_create(uint64_t number, uint64_t series, const uint8_t *bytes, size_t len);

void record_push(struct record_queue *q, struct record *r); /* takes r */
void record_drop(struct record_queue *q, struct record *r);
void record_drop_to(struct record_queue *q, uint64_t number); /* every record up to number */
void record_drop_all(struct record_queue *q);

/* Drops every second record of each series; the newest of a series stays. */
void record_thin(struct record_queue *q);

/* The series of packed bytes: what record_thin() goes by. 0 if they are no thinnable record. */
uint64_t record_series(const uint8_t *bytes, size_t len);

#endif
