/* table.h - aligned columns. Cells are added row by row; the first row is the heading.
 *
 * One column may give way: it is cut where the table is wider than the terminal. Piped tables are
 * not cut.
 */
#ifndef TERM_TABLE_H
#define TERM_TABLE_H

#include "base/term.h"

#define TABLE_COLUMNS_MAX 12

struct table_column {
    const char *heading;
    bool right;    /* numbers */
    bool flexible; /* gives way; at most one */
    bool optional; /* left out, the last one first, where the terminal is still too narrow */
};

struct table {
    const struct table_column *column; /* borrowed */
    int ncolumns, ncells, room;
    struct table_cell {
        char *text;
        enum style style;
    } * cell; /* owned, row by row */
    bool failed;
};

void table_init(struct table *t, const struct table_column *column, int ncolumns);
void table_fini(struct table *t);
void table_cell(struct table *t, enum style style, const char *fmt, ...) BASE_PRINTF(3, 4);
void table_print(const struct table *t, const struct term *term, struct buf *out);

#endif
