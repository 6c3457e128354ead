/* roff.h - pieces of a manual page in man(7): every page of ours is made from a table by these. */
#ifndef BASE_ROFF_H
#define BASE_ROFF_H

#include "base/buf.h"

/* ".TH ..." and NAME. name "espalier", section 1, summary "what it is". */
void roff_begin(struct buf *out, const char *name, int section, const char *version,
                const char *summary);
void roff_heading(struct buf *out, const char *text);    /* .SH */
void roff_subheading(struct buf *out, const char *text); /* .SS */
/* Running text: `words` in bold, an empty line begins a paragraph. */
void roff_text(struct buf *out, const char *text);
/* Lines as they are, indented. */
void roff_lines(struct buf *out, const char *text);
/* A tagged paragraph: tag in bold, its value (NULL allowed) in italics, then running text. */
void roff_tagged(struct buf *out, const char *tag, const char *value, const char *text);

#endif
