/* live.c - see live.h. */
#include "term/live.h"

#include <string.h>

void live_init(struct live *l, struct term *term)
{
    *l = (struct live){.term = term};
}

/* Rows from the block's first line to the cursor, after the terminal may have wrapped long lines.
 */
static int rows_up(const struct live *l)
{
    int rows = 0;
    for (int i = 0; i < l->nlines; i++)
        rows += l->width[i] > l->term->columns ? (l->width[i] - 1) / l->term->columns + 1 : 1;
    return rows;
}

void live_draw(struct live *l, const char *text)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    if (!l->hidden)
        buf_puts(&out, "\x1b[?25l");
    int up = rows_up(l);
    if (up)
        buf_printf(&out, "\x1b[%dA", up);
    buf_puts(&out, "\r");
    l->hidden = true;
    l->nlines = 0;
    while (*text && l->nlines < LIVE_LINES_MAX) {
        struct buf line, cut;
        size_t n = strcspn(text, "\n");
        buf_init(&line, 1 << 16);
        buf_init(&cut, 1 << 16);
        buf_add(&line, text, n);
        term_fit(&cut, l->term, buf_str(&line), l->term->columns - 1);
        l->width[l->nlines++] = term_width(buf_str(&cut));
        buf_printf(&out, "%s\x1b[K\n", buf_str(&cut));
        buf_fini(&line);
        buf_fini(&cut);
        text += n + (text[n] == '\n');
    }
    buf_puts(&out, "\x1b[J");
    term_write(l->term, buf_str(&out), out.len, NULL);
    buf_fini(&out);
}

void live_end(struct live *l)
{
    if (l->hidden)
        term_write(l->term, "\x1b[?25h", 6, NULL);
    l->hidden = false;
    l->nlines = 0;
}
