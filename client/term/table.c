/* table.c - see table.h. */
#include "term/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

static void measure(const struct table *t, const struct term *term, int width[TABLE_COLUMNS_MAX])
{
    int total = GAP * (t->ncolumns - 1), flexible = -1;
    for (int c = 0; c < t->ncolumns; c++) {
        width[c] = text_width(t->column[c].heading);
        for (int i = c; i < t->ncells; i += t->ncolumns) {
            int w = text_width(t->cell[i].text);
            width[c] = w > width[c] ? w : width[c];
        }
        total += width[c];
        flexible = t->column[c].flexible ? c : flexible;
    }
    if (term->tty && flexible >= 0 && total > term->columns) {
        width[flexible] -= total - term->columns;
        width[flexible] = width[flexible] < 6 ? 6 : width[flexible];
    }
}

static void print_cell(const struct table *t, const struct term *term, struct buf *out, int c,
                       const char *text, enum style style, int width)
{
    struct buf fitted;
    buf_init(&fitted, 1 << 16);
    text_fit(&fitted, term, text, width);
    int pad = width - text_width(buf_str(&fitted));
    bool last = c == t->ncolumns - 1;
    if (t->column[c].right)
        buf_printf(out, "%*s", pad, "");
    term_style(out, term, style, "%s", buf_str(&fitted));
    if (!t->column[c].right && !last)
        buf_printf(out, "%*s", pad, "");
    buf_puts(out, last ? "\n" : "  ");
    buf_fini(&fitted);
}

void table_print(const struct table *t, const struct term *term, struct buf *out)
{
    int width[TABLE_COLUMNS_MAX];
    measure(t, term, width);
    for (int c = 0; c < t->ncolumns; c++)
        print_cell(t, term, out, c, t->column[c].heading, STYLE_DIM, width[c]);
    for (int row = 0; row + t->ncolumns <= t->ncells; row += t->ncolumns)
        for (int c = 0; c < t->ncolumns; c++) {
            const struct table_cell *cell = &t->cell[row + c];
            print_cell(t, term, out, c, cell->text, cell->style, width[c]);
        }
}
