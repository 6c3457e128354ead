/* moments.h - AdamW's moments in a checkpoint, when every rank holds a part of them (train.shard_optimizer).
 *
 * The file is the same as without: whole blocks "adam.m" and "adam.v". Between steps the gradient's block is free; there the ranks put
 * together first m, then v, while rank 0 writes. So no rank ever needs memory for whole moments.
 *
 *     struct moments mo = {.r = r};
 *     on rank 0: n += moments_blocks(&mo, blocks + n), and write them
 *     on all ranks, also after a failure: moments_finish(&mo)
 */
#ifndef RUN_MOMENTS_H
#define RUN_MOMENTS_H

#include "engine/ckpt/state.h"
#include "run/run.h"

struct moments {
    struct run *r;
    int gathered; /* 0: none yet; 1: m stands in the gradient's block; 2: v */
};

/* This rank's part of the model's table; the whole of it unless train.shard_optimizer. */
void moments_part(const struct run *r, int64_t *ret_begin, int64_t *ret_end);
bool moments_sharded(const struct run *r);
/* ST_UNSUPPORTED if the transport cannot put together the parts of so many parameters. */
enum status moments_check(const struct run *r, int64_t parameters, struct err *err);

/* Up to two blocks; none without an optimiser. They point into mo. */
int moments_blocks(struct moments *mo, struct state_block *block);
/* Collective: what was not gathered for the file is gathered all the same, since all ranks must take part as often. */
void moments_finish(struct moments *mo);
/* After a block was read whole: keeps this rank's part. Blocks of anything else are left alone. */
void moments_keep(struct moments *mo, const struct state_block *block);

#endif
