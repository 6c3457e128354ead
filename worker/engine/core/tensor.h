/* tensor.h - a dense row-major array of at most four dimensions, and its gradient.
 *
 * Lifetimes: parameters live in the parameter table's blocks for the whole run
 * (engine/core/param.h); everything else lives in the step arena of a ctx and is gone after
 * the next ctx_begin(). A tensor never owns its memory. grad is NULL where no gradient is wanted; backward
 * accumulates into it. Large gradients of operators' outputs exist only while backward needs them, see
 * ctx_tensor(). What a block made is gone after it, see ctx_block(): its data is NULL then, unless backward needs it.
 */
#ifndef ENGINE_TENSOR_H
#define ENGINE_TENSOR_H

#include "engine/core/real.h"

#include <stdbool.h>
#include <stdint.h>

#define TENSOR_DIMS 4

struct node;

struct tensor {
    real *data;
    real *grad;
    int dims;
    int64_t dim[TENSOR_DIMS];
    const char *name;             /* of a parameter; NULL for activations; for messages */
    struct tensor *base;          /* of a view: the tensor whose memory it shows; else NULL */
    const struct node *last_adds; /* the tape's own, during a watched backward */
    /* the tape's own, of tensors made inside a block (ctx_block()) */
    struct tensor *made_before; /* list of the block's; NULL at its end */
    struct node *maker;         /* whose output it is */
    int reads;                  /* nodes whose backward will still read its data */
    bool inner;                 /* its data is given back when nobody needs it */
};

static inline int64_t tensor_size(const struct tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++)
        n *= t->dim[i];
    return n;
}

static inline int64_t tensor_last(const struct tensor *t) /* size of the last dimension */
{
    return t->dims ? t->dim[t->dims - 1] : 1;
}

static inline int64_t tensor_rows(const struct tensor *t) /* all but the last */
{
    int64_t last = tensor_last(t);
    return last ? tensor_size(t) / last : 0;
}

#endif
