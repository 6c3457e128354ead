/* reduce.h - the gradient's sum over ranks, in buckets that travel while backward goes on.
 *
 * The gradient block is cut from its end into buckets: the table holds parameters in forward order, so backward is
 * done with the last ones first. A bucket's sum starts once the tape has said of each parameter in it that nothing more will
 * be added, and all buckets before it have started: the order is the same on every rank, whatever its tape.
 * After every node of the tape the transport gets a chance to go on.
 *
 *     reduce_begin(r)                     a step
 *     cfg.watch = reduce_watch(r)         for the last backward of the step; none before it adds to a sum under way
 *     reduce_start_rest(r)                also on a rank whose step failed or had no sample
 *     reduce_finish(r)                    params_grads() are the sums, equal on all ranks
 */
#ifndef RUN_REDUCE_H
#define RUN_REDUCE_H

#include "comm/comm.h"
#include "engine/core/ctx.h"
#include "engine/core/param.h"
#include "engine/core/trace.h"

struct reduce;

/* Of all steps since creation. */
struct reduce_cost {
    int64_t steps;
    double
        bytes; /* given to the transport by this rank; a tree or a ring moves up to twice as many */
    double inside; /* seconds of backward spent in the transport */
    double wait;   /* exposed: seconds after backward until the last sum was there */
    double share;  /* exposed: seconds of reduce_share() */
};

/* comm, p (allocated) and trace (NULL allowed) are borrowed. bf16: numbers travel rounded, see struct comm_sum.
 * bucket: elements of one; 0 = an eighth of the model, so that a small one overlaps too, but at most 6 MiB of floats. */
enum status reduce_create(struct reduce **ret_r, struct comm *comm, struct params *p, bool bf16,
                          int64_t bucket, struct trace *trace, struct err *err);
void reduce_destroy(struct reduce *r); /* NULL allowed */

void reduce_begin(struct reduce *r);
/* NULL with one rank: there is nothing to start. */
const struct ctx_watch *reduce_watch(const struct reduce *r);
void reduce_start_rest(struct reduce *r);
void reduce_finish(struct reduce *r);

/* After an update of the rank's part (comm_part()) of values, in the layout of p: all parts to all ranks. */
void reduce_share(struct reduce *r, real *values);

struct reduce_cost reduce_cost(const struct reduce *r);

#endif
