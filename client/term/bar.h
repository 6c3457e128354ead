/* bar.h - a progress bar: one line of cells, filled from the left. */
#ifndef TERM_BAR_H
#define TERM_BAR_H

#include "base/term.h"

/* part in [0,1], cut to it; NaN draws an empty bar. */
void bar_draw(struct buf *out, const struct term *t, int columns, double part, enum style style);

#endif
