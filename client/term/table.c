/* table.c - see table.h. */
#include "term/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2

void table_init(struct table *t, const struct table_column *column, int ncolumns)
{
    *t = (struct table){.column = column, .ncolumns = ncolumns};
}

void table_fini(struct table *t)
{
    for (int i = 0; i < t->ncells; i++)
        free(t->cell[i].text);
    free(t->cell);
    *t = (struct table){0};
}

void table_cell(struct table *t, enum style style, const char *fmt, ...)
{
    if (t->ncells == t->room) {
        int room = t->room ? 2 * t->room : 64;
        struct table_cell *cell = realloc(t->cell, (size_t)room * sizeof *cell);
        t->failed |= !cell;
        if (!cell)
            return;
        t->cell = cell;
        t->room = room;
    }
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        t->failed = true;
    else
        t->cell[t->ncells++] = (struct table_cell){text, style};
    va_end(ap);
}

#define HIDDEN (-GAP)    /* width of a column that is left out: its gap goes too */
#define FLEXIBLE_GOOD 12 /* the flexible column stays this wide until the optional ones are gone */
#define FLEXIBLE_LEAST 6

static int total_width(const struct table *t, const int *width)
{
    int total = -GAP;
    for (int c = 0; c < t->ncolumns; c++)
        total += width[c] + GAP;
    return total;
}

/* Takes from the flexible column what is too much, down to `least`. */
static void shrink(const struct table *t, int columns, int least, int *width)
{
    for (int c = 0; c < t->ncolumns; c++) {
        int more = total_width(t, width) - columns, room = width[c] - least;
        if (t->column[c].flexible && more > 0 && room > 0)
            width[c] -= more < room ? more : room;
    }
}

static void measure(const struct table *t, const struct term *term, int width[TABLE_COLUMNS_MAX])
{
    for (int c = 0; c < t->ncolumns; c++) {
        width[c] = term_width(t->column[c].heading);
        for (int i = c; i < t->ncells; i += t->ncolumns) {
            int w = term_width(t->cell[i].text);
            width[c] = w > width[c] ? w : width[c];
        }
    }
    if (!term->tty)
        return;
    int whole[TABLE_COLUMNS_MAX];
    memcpy(whole, width, sizeof whole);
    shrink(t, term->columns, FLEXIBLE_GOOD, width);
    for (int c = t->ncolumns - 1; c >= 0 && total_width(t, width) > term->columns; c--)
        width[c] = t->column[c].optional ? HIDDEN : width[c];
    for (int c = 0; c < t->ncolumns; c++) /* what is left out may have made room */
        width[c] = t->column[c].flexible ? whole[c] : width[c];
    shrink(t, term->columns, FLEXIBLE_LEAST, width);
}

static void print_cell(const struct table *t, const struct term *term, struct buf *out, int c,
                       const char *text, enum style style, int width, bool last)
{
    struct buf fitted;
    buf_init(&fitted, 1 << 16);
    term_fit(&fitted, term, text, width);
    int pad = width - term_width(buf_str(&fitted));
    bool right = t->column[c].right;
    buf_printf(out, "%*s", right ? pad : 0, "");
    term_style(out, term, style, "%s", buf_str(&fitted));
    buf_printf(out, "%*s", right || last ? 0 : pad, ""); /* no blanks at the end of a line */
    buf_fini(&fitted);
}

/* cell NULL: the heading. */
static void print_row(const struct table *t, const struct term *term, const int *width,
                      const struct table_cell *cell, struct buf *out)
{
    bool first = true;
    int last = 0;
    for (int c = 0; c < t->ncolumns; c++)
        last = width[c] == HIDDEN ? last : c;
    for (int c = 0; c <= last; c++) {
        if (width[c] == HIDDEN)
            continue;
        buf_printf(out, "%*s", first ? 0 : GAP, "");
        print_cell(t, term, out, c, cell ? cell[c].text : t->column[c].heading,
                   cell ? cell[c].style : STYLE_DIM, width[c], c == last);
        first = false;
    }
    buf_puts(out, "\n");
}

void table_print(const struct table *t, const struct term *term, struct buf *out)
{
    int width[TABLE_COLUMNS_MAX] = {0};
    measure(t, term, width);
    print_row(t, term, width, NULL, out);
    for (int at = 0; at + t->ncolumns <= t->ncells; at += t->ncolumns)
        print_row(t, term, width, &t->cell[at], out);
}
