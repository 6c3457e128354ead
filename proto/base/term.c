/* term.c - see term.h. */
#include "base/term.h"

#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define WRAP_LEAST 20 /* columns; a narrower terminal wraps by itself */
#define INDENT_MAX 120
#define ELLIPSIS "\xe2\x80\xa6"

const struct term term_none = {.fd = -1, .columns = 80, .rows = 24};

static bool colour_wanted(bool tty, enum term_colour choice)
{
    const char *none = getenv("NO_COLOR"), *kind = getenv("TERM");
    if (choice != COLOUR_AUTO)
        return choice == COLOUR_ALWAYS;
    return tty && !(none && none[0]) && kind && strcmp(kind, "dumb") != 0;
}

void term_resize(struct term *t)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    long given = columns ? strtol(columns, NULL, 10) : 0;
    t->columns = given >= 20 && given <= 1000 ? (int)given : 80;
    t->rows = 24;
    if (t->tty && ioctl(t->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        t->columns = size.ws_col;
        t->rows = size.ws_row;
    }
}

void term_init(struct term *t, int fd, enum term_colour choice)
{
    *t = (struct term){.fd = fd, .tty = isatty(fd) == 1};
    t->colour = colour_wanted(t->tty, choice);
    t->unicode = !strcmp(nl_langinfo(CODESET), "UTF-8");
    term_resize(t);
}

void term_style(struct buf *out, const struct term *t, enum style style, const char *fmt, ...)
{
    static const char *const codes[] = {"",         "\x1b[1m",  "\x1b[2m", "\x1b[31m",
                                        "\x1b[32m", "\x1b[33m", "\x1b[36m"};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    bool coloured = t->colour && style != STYLE_PLAIN;
    buf_puts(out, coloured ? codes[style] : "");
    buf_puts(out, text);
    buf_puts(out, coloured ? "\x1b[0m" : "");
}

/* ---- width ----------------------------------------------------------------------------------- */

/* One step through the text: bytes taken, and columns shown. */
static size_t term_step(const char *text, int *ret_columns)
{
    if (text[0] == '\x1b') {
        size_t n = 1 + strcspn(text + 1, "ABCDEFGHJKSTfmnsulh");
        *ret_columns = 0;
        return text[n] ? n + 1 : n;
    }
    wchar_t wide;
    mbstate_t state = {0};
    size_t n = mbrtowc(&wide, text, MB_LEN_MAX, &state);
    if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
        /* Not a character of this locale: take a whole UTF-8 sequence as one column. */
        n = 1;
        while (((unsigned char)text[n] & 0xc0) == 0x80)
            n++;
        *ret_columns = 1;
        return n;
    }
    int columns = wcwidth(wide);
    *ret_columns = columns < 0 ? 1 : columns;
    return n;
}

int term_width(const char *text)
{
    int width = 0, columns;
    while (*text) {
        text += term_step(text, &columns);
        width += columns;
    }
    return width;
}

void term_fit(struct buf *out, const struct term *t, const char *text, int columns)
{
    if (term_width(text) <= columns) {
        buf_puts(out, text);
        return;
    }
    int width = 0, step;
    bool escaped = false;
    while (*text) {
        size_t n = term_step(text, &step);
        if (step > 0 && width + step > columns - 1)
            break;
        escaped |= text[0] == '\x1b';
        buf_add(out, text, n);
        text += n;
        width += step;
    }
    buf_puts(out, columns < 1 ? "" : t->unicode ? ELLIPSIS : "~");
    buf_puts(out, escaped ? "\x1b[0m" : "");
}

void term_clean(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool safe = c >= 0x20 ? c != 0x7f : c == '\n' || c == '\t';
        buf_add(out, safe ? text + i : "?", 1);
    }
}

/* Columns of a word; escape sequences are shown by term_clean(), so they count. */
static int word_width(const char *text, size_t len)
{
    int width = 0;
    for (size_t i = 0; i < len; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

void wrap_print(struct buf *out, int columns, const char *margin, const char *text)
{
    const char *line = out->len ? strrchr(buf_str(out), '\n') : NULL;
    int begin = term_width(margin), at = out->len ? term_width(line ? line + 1 : buf_str(out)) : 0;
    while (*text) {
        size_t blank = strspn(text, " "), end = blank + strcspn(text + blank, " \n");
        if (columns > 0 && at > begin && at + word_width(text, end) > columns) {
            buf_printf(out, "\n%s", margin);
            text += blank;
            end -= blank;
            at = begin;
        }
        term_clean(out, text, end);
        at += word_width(text, end);
        text += end;
        if (*text == '\n') {
            buf_puts(out, "\n");
            text++;
            at = 0;
        }
    }
}

void term_wrap(struct buf *out, const struct term *t, int indent, const char *text)
{
    char margin[INDENT_MAX + 1];
    bool wrap = t->tty && indent <= INDENT_MAX && t->columns - indent >= WRAP_LEAST;
    snprintf(margin, sizeof margin, "%*s", wrap ? indent : 0, "");
    wrap_print(out, wrap ? t->columns : 0, margin, text);
}

enum status term_write(const struct term *t, const char *data, size_t len, struct err *err)
{
    while (len > 0) {
        ssize_t n = write(t->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, "cannot write the output");
        data += n;
        len -= (size_t)n;
    }
    return ST_OK;
}
