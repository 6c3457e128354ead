/* live.h - a block of lines at the bottom of the terminal that is drawn again in place.
 *
 * Plain ANSI (cursor up, clear to the end), no alternate screen: what was last drawn stays when the
 * program ends, and the scroll-back is the user's. Every line is cut to the terminal's width, so
 * that a line is one row.
 */
#ifndef TERM_LIVE_H
#define TERM_LIVE_H

#include "base/term.h"

#define LIVE_LINES_MAX 64

struct live {
    struct term *term;         /* borrowed */
    int nlines;                /* drawn last */
    int width[LIVE_LINES_MAX]; /* their columns: a narrower terminal has wrapped them since */
    bool hidden;               /* cursor */
};

void live_init(struct live *l, struct term *term);
/* Replaces the block by the text's lines (each ended by \n). */
void live_draw(struct live *l, const char *text);
/* Leaves the block as it is and shows the cursor again. */
void live_end(struct live *l);

#endif
