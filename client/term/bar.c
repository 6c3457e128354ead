/* bar.c - see bar.h. */
#include "term/bar.h"

void bar_draw(struct buf *out, const struct term *t, int columns, double part, enum style style)
{
    static const char *const eighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                          "\u258c", "\u258b", "\u258a", "\u2589"};
    struct buf filled, rest;
    buf_init(&filled, 4096);
    buf_init(&rest, 4096);
    part = part > 0 ? (part < 1 ? part : 1) : 0;
    int cells = t->unicode ? 8 * columns : columns;
    int full = (int)(part * cells + 1e-9);
    int whole = t->unicode ? full / 8 : full, partial = t->unicode ? full % 8 : 0;
    for (int i = 0; i < columns; i++) {
        if (i < whole)
            buf_puts(&filled, t->unicode ? "\u2588" : "#");
        else if (i == whole && partial)
            buf_puts(&filled, eighths[partial]);
        else
            buf_puts(&rest, t->unicode ? "\u2500" : ".");
    }
    term_style(out, t, style, "%s", buf_str(&filled));
    term_style(out, t, STYLE_DIM, "%s", buf_str(&rest));
    buf_fini(&filled);
    buf_fini(&rest);
}
