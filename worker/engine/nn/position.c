/* position.c - 2-D sine positions with a mask.
 *
 * With a rectangular mask the cumulative counts of the spec take few values: in a valid column, row
 * r counts min(r+1, valid_rows); in a padded column, 0. So each axis needs one row of sines a
 * count.
 */
#include "engine/nn/position.h"

#include <math.h>
#include <string.h>

/* table[c, 0..half): the axis' channels for cumulative count c = 0..cells, of which `valid` are
 * real. */
static void axis_table(real *table, int64_t cells, int64_t valid, int64_t half)
{
    const double turn = 6.283185307179586;
    for (int64_t c = 0; c <= cells; c++) {
        double at = (double)c / ((double)valid + 1e-6) * turn;
        for (int64_t i = 0; i < half; i++) {
            int64_t pair = i - i % 2;
            double angle = at / pow(10000.0, (double)pair / (double)half);
            table[c * half + i] = (real)(i % 2 ? cos(angle) : sin(angle));
        }
    }
}

static int64_t count(int64_t at, int64_t valid, int64_t across, int64_t across_valid)
{
    if (across >= across_valid)
        return 0;
    return at < valid ? at + 1 : valid;
}

void position_sine2d(real *to, real *axis, int64_t rows, int64_t cols, int64_t valid_rows,
                     int64_t valid_cols, int64_t width)
{
    int64_t half = width / 2;
    real *down = axis, *right = axis + (rows + 1) * half;
    axis_table(down, rows, valid_rows, half);
    axis_table(right, cols, valid_cols, half);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t c = 0; c < cols; c++, to += width) {
            int64_t y = count(r, valid_rows, c, valid_cols);
            int64_t x = count(c, valid_cols, r, valid_rows);
            memcpy(to, down + y * half, (size_t)half * sizeof *to);
            memcpy(to + half, right + x * half, (size_t)half * sizeof *to);
        }
    }
}

struct tensor *position_add(struct ctx *cx, struct tensor *x, struct tensor *pos)
{
    return pos && pos->dims == 2 ? op_add_tail(cx, x, pos) : op_add(cx, x, pos);
}
