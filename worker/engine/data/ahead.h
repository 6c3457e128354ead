/* ahead.h - batches that threads prepare before they are asked for: a ring with a bounded number of places. Private to
 * engine/data.
 *
 * The loader's caller, one thread, plans batches in the order in which they will be asked for, and takes them in that order.
 * Each place has buffers of its own and is worked on by one thread, so a batch does not depend on how many threads there are.
 * Threads start with the first plan and sleep whenever there is nothing to prepare.
 */
#ifndef ENGINE_DATA_AHEAD_H
#define ENGINE_DATA_AHEAD_H

#include "engine/data/collate.h"

struct ahead;

/* One batch to come; record[n] is copied. */
struct ahead_plan {
    const struct loader_source *source; /* borrowed */
    const int64_t *record;
    int64_t n;
    struct collate_global global;
    int64_t step, m; /* which it is */
};

/* 0 threads: ahead_take() does the work. trace NULL allowed; lane: of the first thread. */
struct ahead_config {
    const struct tokenizer *tokenizer; /* borrowed */
    int side, threads, lane;
    struct trace *trace;
};
enum status ahead_create(struct ahead **ret_a, const struct ahead_config *cfg, struct err *err);
void ahead_destroy(struct ahead *a); /* NULL allowed */

/* Whether the next to be taken is this one. */
bool ahead_next_is(const struct ahead *a, int64_t step, int64_t m);
/* Room for one more; never while the batch taken last fills the only place. */
bool ahead_has_room(const struct ahead *a);
enum status ahead_plan(struct ahead *a, const struct ahead_plan *plan, struct err *err);
/* Forgets all that is planned; the batch taken last too. */
void ahead_forget(struct ahead *a);
/* The oldest plan's batch, borrowed until the next call; the failure of preparing it is this call's. */
enum status ahead_take(struct ahead *a, const struct batch **ret_batch, struct err *err);
/* Gives the batch taken last back. */
void ahead_release(struct ahead *a);

#endif
