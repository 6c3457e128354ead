/* term.h - what an output stream is: a terminal or not, how wide, with colours or not, with which
 * characters.
 *
 * Text is UTF-8 in a struct buf and is written by term_write() in one go. Widths are columns, not
 * bytes.
 */
#ifndef BASE_TERM_H
#define BASE_TERM_H

#include "base/buf.h"

#include <stdbool.h>

enum term_colour { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

struct term {
    int fd;
    bool tty;
    bool colour;  /* ANSI colours are wanted: --color, NO_COLOR, TERM=dumb, tty */
    bool unicode; /* the locale is UTF-8: bars and lines may be drawn with its characters */
    int columns;  /* of the terminal; 80 (or $COLUMNS) elsewhere */
    int rows;     /* of the terminal; 24 elsewhere */
};

/* No terminal, no colours, lines as long as they are: what becomes part of a message. */
extern const struct term term_none;

/* Looks at the stream and at the environment; call setlocale(LC_CTYPE, "") before. */
void term_init(struct term *t, int fd, enum term_colour choice);
/* After SIGWINCH. */
void term_resize(struct term *t);

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

/* Appends text in a style; plain where the stream has no colours. */
void term_style(struct buf *out, const struct term *t, enum style style, const char *fmt, ...)
    BASE_PRINTF(4, 5);

/* Columns that the text takes; escape sequences take none. */
int term_width(const char *text);
/* Appends at most `columns` columns of the text; what is cut ends in an ellipsis. */
void term_fit(struct buf *out, const struct term *t, const char *text, int columns);
/* Appends foreign text with control characters replaced, so that it cannot command the terminal. */
void term_clean(struct buf *out, const char *text, size_t len);

/* The same behind what the last line of `out` holds already: words go to further lines, each begun by the margin, where
 * they would pass the last of so many columns. columns 0: one line. */
void wrap_print(struct buf *out, int columns, const char *margin, const char *text);
/* As wide as the terminal, further lines indented; elsewhere it is one line. */
void term_wrap(struct buf *out, const struct term *t, int indent, const char *text);

/* Writes everything; a reader that went away ends the program by SIGPIPE as usual. */
enum status term_write(const struct term *t, const char *data, size_t len, struct err *err);

#endif
