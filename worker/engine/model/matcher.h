/* matcher.h - rectangular assignment of least total cost (Hungarian matching of DETR).
 *
 * Shortest augmenting paths (Jonker & Volgenant 1987, in the rectangular form of Crouse 2016),
 * doubles, deterministic: of equally short paths the lowest column is taken. A cost that is not
 * finite counts as very expensive.
 */
#ifndef ENGINE_MODEL_MATCHER_H
#define ENGINE_MODEL_MATCHER_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of work memory for rows x cols. */
size_t matcher_work(int rows, int cols);
/* cost [rows,cols]; ret_col[i] = the column of row i, -1 where there are more rows than columns and
 * i stays alone. Returns the number matched, min(rows, cols). */
int matcher_assign(int32_t *ret_col, const double *cost, int rows, int cols, void *work);

#endif
