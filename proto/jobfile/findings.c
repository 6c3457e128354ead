/* findings.c - the list of findings: struct findings of jobfile.h. */
#include "jobfile/findings.h"

#include <stdio.h>
#include <stdlib.h>

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

void finding_print(struct buf *out, const char *file_name, const struct finding *f)
{
    buf_puts(out, file_name);
    if (f->line > 0)
        buf_printf(out, ":%d:%d", f->line, f->column);
    buf_printf(out, ": %s: ", f->warning ? "warning" : "error");
    if (f->key[0])
        buf_printf(out, "%s: ", f->key);
    buf_puts(out, f->text);
}
