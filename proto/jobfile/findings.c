/* findings.c - the list of findings: struct findings of jobfile.h. */
#include "jobfile/findings.h"

#include <stdio.h>
#include <stdlib.h>

#define INDENT 2 /* of further lines; the line of the file that may be shown below has more */

void findings_fini(struct findings *f)
{
    if (!f)
        return;
    free(f->list);
    *f = (struct findings){0};
}

void findings_add(struct findings *f, bool warning, int line, int column, const char *key,
                  const char *fmt, ...)
{
    /* Counted even when it cannot be kept: an error never turns into an accepted job. */
    f->errors += !warning;
    if (f->n == JOBFILE_MAX_FINDINGS) {
        f->truncated = true;
        return;
    }
    if (f->n % 16 == 0) {
        struct finding *list = realloc(f->list, ((size_t)f->n + 16) * sizeof *list);
        if (!list) {
            f->truncated = true;
            return;
        }
        f->list = list;
    }
    struct finding *one = &f->list[f->n++];
    *one = (struct finding){.warning = warning, .line = line, .column = column};
    snprintf(one->key, sizeof one->key, "%s", key);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(one->text, sizeof one->text, fmt, ap);
    va_end(ap);
}

void finding_print(struct buf *out, const struct term *t, const char *file_name,
                   const struct finding *f)
{
    char where[32] = "";
    if (f->line > 0)
        snprintf(where, sizeof where, ":%d:%d", f->line, f->column);
    term_style(out, t, STYLE_BOLD, "%s%s:", file_name, where);
    buf_puts(out, " ");
    term_style(out, t, f->warning ? STYLE_YELLOW : STYLE_RED,
               "%s:", f->warning ? "warning" : "error");
    buf_puts(out, " ");
    if (f->key[0])
        buf_printf(out, "%s: ", f->key);
    term_wrap(out, t, INDENT, f->text);
    buf_puts(out, "\n");
}
