/* position.h - fixed 2-D sine positions, made on the host (docs/spec/model-mdetr.md 3). */
#ifndef ENGINE_NN_POSITION_H
#define ENGINE_NN_POSITION_H

#include "engine/op/op.h"

/* to [rows*cols, width]: positions of a grid whose top-left valid_rows x valid_cols cells are real;
 * width even. axis: scratch of (rows + cols + 2) * width/2 numbers. */
void position_sine2d(real *to, real *axis, int64_t rows, int64_t cols, int64_t valid_rows,
                     int64_t valid_cols, int64_t width);

/* x [B,T,d] + pos, which is [T,d] (every sample alike) or [B,T,d]. */
struct tensor *position_add(struct ctx *cx, struct tensor *x, struct tensor *pos);

#endif
