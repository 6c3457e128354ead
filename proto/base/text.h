/* text.h - small readings of text that every table of keys needs: numbers, choices, the nearest word. Pure. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buf.h"

#include <stdbool.h>

#define WORD_MAX 95 /* bytes of a word that word_distance() compares */

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b; both at most WORD_MAX bytes. */
int word_distance(const char *a, const char *b);

/* Index of `text` in "a|b|c", or -1; and the way back ("" when out of range). */
int enum_index(const char *list, const char *text);
void enum_name(const char *list, int index, char ret_name[32]);
/* All of them, with `between` in the place of the bars. */
void enum_print(struct buf *out, const char *list, const char *between);

/* A double-quoted YAML scalar; the text has no control characters, which no key takes. */
void quoted_print(struct buf *out, const char *text);

/* Plain decimal notation only: no hexadecimal, no inf, no nan, nothing behind the number. */
bool real_read(double *ret_value, const char *text);
/* Shortest decimal text that reads back as the same double. */
void real_print(char ret_text[32], double value);

#endif
