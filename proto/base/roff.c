/* roff.c - see roff.h. */
#include "base/roff.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define PAGES_DATE "2026-11-24" /* when the wording of the pages last changed */

/* One character; `first`: a line's first, where a dot or a quote would begin a request. */
static void put(struct buf *out, char c, bool first)
{
    if (first && (c == '.' || c == '\''))
        buf_puts(out, "\\&");
    if (c == '\\')
        buf_puts(out, "\\e");
    else if (c == '-')
        buf_puts(out, "\\-");
    else
        buf_add(out, &c, 1);
}

static void put_all(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++)
        put(out, *c, c == text);
}

void roff_begin(struct buf *out, const char *name, int section, const char *version,
                const char *summary)
{
    buf_puts(out, ".TH ");
    for (const char *c = name; *c; c++)
        put(out, (char)toupper((unsigned char)*c), false);
    buf_printf(out, " %d \"" PAGES_DATE "\" \"espalier %s\" \"Espalier\"\n.SH NAME\n", section,
               version);
    put_all(out, name);
    buf_puts(out, " \\- ");
    put_all(out, summary);
    buf_puts(out, "\n");
}

void roff_heading(struct buf *out, const char *text)
{
    buf_puts(out, ".SH ");
    put_all(out, text);
    buf_puts(out, "\n");
}

void roff_subheading(struct buf *out, const char *text)
{
    buf_puts(out, ".SS ");
    put_all(out, text);
    buf_puts(out, "\n");
}

void roff_text(struct buf *out, const char *text)
{
    bool bold = false, first = true;
    while (*text == '\n')
        text++;
    for (const char *c = text; *c; c++) {
        if (c[0] == '\n' && c[1] == '\n') {
            buf_puts(out, "\n.PP\n");
            c += strspn(c, "\n") - 1;
            first = true;
        } else if (*c == '\n') {
            if (c[1])
                buf_puts(out, "\n");
            first = true;
        } else if (*c == '`') {
            bold = !bold;
            buf_puts(out, bold ? "\\fB" : "\\fR");
            first = false;
        } else if (!(first && *c == ' ')) { /* a blank in front would break the line */
            put(out, *c, first);
            first = false;
        }
    }
    buf_puts(out, bold ? "\\fR\n" : "\n");
}

void roff_lines(struct buf *out, const char *text)
{
    bool first = true;
    buf_puts(out, ".PP\n.RS 4\n.nf\n");
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            buf_puts(out, "\n");
        else
            put(out, *c, first);
        first = *c == '\n';
    }
    buf_puts(out, first ? ".fi\n.RE\n" : "\n.fi\n.RE\n");
}

void roff_tagged(struct buf *out, const char *tag, const char *value, const char *text)
{
    buf_puts(out, ".TP\n\\fB");
    put_all(out, tag);
    buf_puts(out, "\\fR");
    if (value) {
        buf_puts(out, " \\fI");
        put_all(out, value);
        buf_puts(out, "\\fR");
    }
    buf_puts(out, "\n");
    roff_text(out, text);
}
