/* diagnosis.c - see diagnosis.h. */
#include "base/diagnosis.h"

#include <string.h>

#define TEXT_COLUMN 23
#define HELPS "what helps: "

static enum style result_style(const char *result)
{
    static const struct {
        const char *result;
        enum style style;
    } styles[] = {{"OK", STYLE_GREEN}, {"WARNING", STYLE_YELLOW}, {"FAULT", STYLE_RED}};
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
        if (strcmp(styles[i].result, result) == 0)
            return styles[i].style;
    return STYLE_DIM;
}

void diagnosis_print(struct buf *out, const struct term *t, const struct diagnosis *d)
{
    term_style(out, t, result_style(d->result), "%-8s", d->result);
    buf_printf(out, " %-13.31s ", d->name);
    term_wrap(out, t, TEXT_COLUMN, d->text);
    buf_puts(out, "\n");
    if (!d->remedy[0])
        return;
    buf_printf(out, "%*s", TEXT_COLUMN, "");
    term_style(out, t, STYLE_DIM, "%s", HELPS);
    term_wrap(out, t, TEXT_COLUMN + (int)strlen(HELPS), d->remedy);
    buf_puts(out, "\n");
}
