/* draw_diff.c - what changed between two structures, for a terminal and as a stand-alone SVG. */
#include "structure/draw.h"

#include <stdio.h>

/* What became of a group. */
enum fate { FATE_KEPT, FATE_OUT, FATE_BACK, FATE_SHARED, FATE_OWN, FATE_GONE, FATES };

static const struct {
    const char *name, *code, *fill;
} fates[FATES] = {
    [FATE_KEPT] = {"as before", "\033[90m", "#c3ccd6"},
    [FATE_OUT] = {"pruned now", "\033[31m", "#c8413b"},
    [FATE_BACK] = {"kept again", "\033[32m", "#2f7d55"},
    [FATE_SHARED] = {"shared now", "\033[34m", "#3f7fd0"},
    [FATE_OWN] = {"own weights again", "\033[33m", "#e79b35"},
    [FATE_GONE] = {"pruned before and now", "\033[90m", "#f1f3f6"},
};

static enum fate fate_of(const struct structure *from, const struct structure *to, int g)
{
    if (from->m[g] != to->m[g])
        return to->m[g] ? FATE_BACK : FATE_OUT;
    if (from->s[g] != to->s[g])
        return to->s[g] ? FATE_SHARED : FATE_OWN;
    return to->m[g] ? FATE_KEPT : FATE_GONE;
}

static int kept_in(const struct structure *st, const struct site *t)
{
    int kept = 0;
    for (int g = t->first; g < t->first + t->groups; g++)
        kept += st->m[g];
    return kept;
}

static void put_totals(const struct structure *from, const struct structure *to, struct buf *out)
{
    struct structure_count a, b;
    char x[DRAW_NUMBER_MAX], y[DRAW_NUMBER_MAX];
    structure_count(from, &a);
    structure_count(to, &b);
    buf_printf(out, "parameters   %s (%.1f %%) -> %s (%.1f %%)\n", draw_number(x, a.whole),
               100 * a.kept, draw_number(y, b.whole), 100 * b.kept);
    buf_printf(out, "pruned       %s -> %s groups of %d\n", draw_number(x, a.pruned),
               draw_number(y, b.pruned), b.groups);
    buf_printf(out, "shared       %s -> %s groups of %d in text\n", draw_number(x, a.shared),
               draw_number(y, b.shared), b.text_groups);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* The column is as wide as "-m 99999"; nothing is padded behind the last one. */
static void put_count(struct buf *out, bool colour, enum fate fate, int n, int *gap)
{
    char text[32];
    static const char *const marks[FATES] = {"", "-m ", "+m ", "+s ", "-s ", ""};
    *gap += n ? 0 : 9;
    if (!n)
        return;
    int len = snprintf(text, sizeof text, "%s%d", marks[fate], n);
    buf_printf(out, "%*s%s%s%s", *gap, "", colour ? fates[fate].code : "", text,
               colour ? "\033[0m" : "");
    *gap = len < 9 ? 9 - len : 1;
}

void structure_diff_text(const struct structure *from, const struct structure *to, int columns,
                         bool colour, struct buf *out)
{
    const struct frame *f = from->frame;
    int changed = 0;
    (void)columns;
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        struct structure_diff d;
        structure_diff_site(from, to, i, &d);
        if (d.m_on + d.m_off + d.s_on + d.s_off == 0)
            continue;
        if (changed++ == 0)
            buf_printf(out, "%-15s %15s     %s\n", "", "kept",
                       "-m pruned, +m kept again, +s "
                       "shared, -s own weights again");
        int gap = 0;
        buf_printf(out, "%-15s %5d -> %5d/%-5d", t->name, kept_in(from, t), kept_in(to, t),
                   t->groups);
        put_count(out, colour, FATE_OUT, d.m_off, &gap);
        put_count(out, colour, FATE_BACK, d.m_on, &gap);
        put_count(out, colour, FATE_SHARED, d.s_on, &gap);
        put_count(out, colour, FATE_OWN, d.s_off, &gap);
        buf_puts(out, "\n");
    }
    if (changed)
        buf_printf(out, "\n%d of %d sites changed\n", changed, f->nsites);
    else
        buf_puts(out, "no group differs\n");
    put_totals(from, to, out);
}

/* ---- SVG ------------------------------------------------------------------------------------- */

#define PAGE_WIDTH 1120
#define MARGIN 40
#define TOP 118
#define ROW 18
#define NAME_WIDTH 110
#define BAR_WIDTH 820
#define BAR_HEIGHT 12

static void put_text(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '<' || *c == '>' || *c == '&')
            buf_printf(out, "&#%d;", *c);
        else if ((unsigned char)*c >= 0x20)
            buf_add(out, c, 1);
    }
}

static void put_bar(struct buf *out, double x, double y, double width, enum fate fate)
{
    buf_printf(out, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" fill=\"%s\"/>\n", x,
               y, width, BAR_HEIGHT, fates[fate].fill);
}

/* Neighbours with one fate are one bar: an FFN has thousands of units. */
static void put_site(const struct structure *from, const struct structure *to, const struct site *t,
                     double y, struct buf *out)
{
    double step = (double)BAR_WIDTH / t->groups;
    buf_printf(out, "<text x=\"%d\" y=\"%.1f\" class=\"name\">%s</text>\n", MARGIN, y + 10,
               t->name);
    for (int g = 0, next; g < t->groups; g = next) {
        enum fate fate = fate_of(from, to, t->first + g);
        for (next = g + 1; next < t->groups && fate_of(from, to, t->first + next) == fate;)
            next++;
        put_bar(out, MARGIN + NAME_WIDTH + g * step, y, (next - g) * step, fate);
    }
    buf_printf(out, "<text x=\"%d\" y=\"%.1f\" class=\"name\">%d &#8594; %d/%d</text>\n",
               MARGIN + NAME_WIDTH + BAR_WIDTH + 8, y + 10, kept_in(from, t), kept_in(to, t),
               t->groups);
}

static void put_legend(struct buf *out)
{
    double x = MARGIN;
    for (int k = 0; k < FATES; k++) {
        put_bar(out, x, 92, 16, (enum fate)k);
        buf_printf(out, "<text x=\"%.0f\" y=\"102\" class=\"name\">%s</text>\n", x + 22,
                   fates[k].name);
        x += 160;
    }
}

void structure_diff_svg(const struct structure *from, const struct structure *to, const char *title,
                        struct buf *out)
{
    const struct frame *f = from->frame;
    struct structure_count a, b;
    int height = TOP + f->nsites * ROW + MARGIN;
    structure_count(from, &a);
    structure_count(to, &b);
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
               "height=\"%d\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n"
               "<style>.title{font-size:21px;font-weight:600;fill:#1d2733}"
               ".note{font-size:12.5px;fill:#46525f}.name{font-size:11px;fill:#46525f}</style>\n"
               "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n"
               "<text x=\"%d\" y=\"46\" class=\"title\">",
               PAGE_WIDTH, height, PAGE_WIDTH, height, PAGE_WIDTH, height, MARGIN);
    put_text(out, title && *title ? title : "Structures compared");
    buf_printf(out,
               "</text>\n<text x=\"%d\" y=\"72\" class=\"note\">%.1f %% of the whole model kept, "
               "before %.1f %%; %d groups pruned, before %d; %d shared, before %d.</text>\n",
               MARGIN, 100 * b.kept, 100 * a.kept, b.pruned, a.pruned, b.shared, a.shared);
    put_legend(out);
    for (int i = 0; i < f->nsites; i++)
        put_site(from, to, &f->site[i], TOP + i * ROW, out);
    buf_puts(out, "</svg>\n");
}
