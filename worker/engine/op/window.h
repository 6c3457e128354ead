/* window.h - the windows of a convolution or a pooling, checked. For op files alone. */
#ifndef ENGINE_OP_WINDOW_H
#define ENGINE_OP_WINDOW_H

#include "engine/op/support.h"

/* False after a failure that says why there are none. */
static inline bool op_windows(struct ctx *cx, const char *op, const struct tensor *x,
                              struct op_window w, struct im2col_dims *ret_dims)
{
    int64_t span = (int64_t)w.dilation * (w.k - 1) + 1;
    if (x->dims != 4 || w.k < 1 || w.stride < 1 || w.pad < 0 || w.dilation < 1 ||
        x->dim[1] + 2 * w.pad < span || x->dim[2] + 2 * w.pad < span) {
        ctx_fail(cx, ST_INTERNAL, "%s: %s has no windows of %d, stride %d, padding %d, dilation %d",
                 op, op_text("x", x).s, w.k, w.stride, w.pad, w.dilation);
        return false;
    }
    *ret_dims = (struct im2col_dims){.B = x->dim[0],
                                     .H = x->dim[1],
                                     .W = x->dim[2],
                                     .C = x->dim[3],
                                     .k = w.k,
                                     .stride = w.stride,
                                     .pad = w.pad,
                                     .dilation = w.dilation};
    ret_dims->ho = (x->dim[1] + 2 * w.pad - span) / w.stride + 1;
    ret_dims->wo = (x->dim[2] + 2 * w.pad - span) / w.stride + 1;
    return true;
}

#endif
