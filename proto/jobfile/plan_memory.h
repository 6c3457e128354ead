/* plan_memory.h - what one step holds in memory, from the model's numbers alone. Used by plan.c; a test compares it with a step. */
#ifndef JOBFILE_PLAN_MEMORY_H
#define JOBFILE_PLAN_MEMORY_H

#include "structure/shape.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the step arena at its fullest: a micro-batch of images of full size with captions of max_tokens.
 * dense: the dense auxiliary losses are in use. recompute: train.recompute is `block`. */
int64_t plan_step_bytes(const struct model_shape *s, int64_t batch, bool dense, bool recompute);

#endif
