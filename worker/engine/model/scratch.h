/* scratch.h - host memory of one step: masks, targets, costs; kept from step to step.
 *
 * The step arena of a ctx may be a device's; what the host makes for operators (constants that
 * outlive the step) lives here. Blocks are kept, so a steady step allocates nothing; the maximum
 * stands from birth.
 */
#ifndef ENGINE_MODEL_SCRATCH_H
#define ENGINE_MODEL_SCRATCH_H

#include "engine/core/ctx.h"

#include <stddef.h>

#define SCRATCH_BLOCKS 24

struct scratch {
    struct scratch_block {
        char *data; /* owned */
        size_t size, used;
    } block[SCRATCH_BLOCKS];
    int blocks;
};

void scratch_reset(struct scratch *s); /* everything handed out before is free again */
void scratch_fini(struct scratch *s);
/* Zeroed memory until the next reset; NULL after recording ST_NOMEM or ST_LIMIT in cx, or when cx
 * has failed already. */
void *scratch_get(struct scratch *s, struct ctx *cx, size_t count, size_t size);
/* The values of a tensor on the host, valid as long; NULL after a failure. */
const real *scratch_download(struct scratch *s, struct ctx *cx, const struct tensor *t);
/* The value of a scalar tensor; 0 after a failure. */
double scratch_scalar(struct scratch *s, struct ctx *cx, const struct tensor *scalar);

#endif
