/* draw_text.c - the map of a structure for a terminal: a row a site, the two backbones one under
 * the other.
 *
 *     vision.0.msa  ██████ ██████ ······ ░░░░░░          2/4
 *     vision.0.ffn  ███████████████████░░░·····      268/384
 *
 * An MSA shows its heads in their order where they fit; an FFN's units are condensed to bars by
 * proportion.
 */
#include "structure/draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH 15
#define TAIL_WIDTH 12
#define COLUMNS_MIN 48
#define COLUMNS_MAX 240

static const char *const glyph[LOOKS] = {"█", "▓", "▒", "░", "·"};
static const char *const colour_code[LOOKS] = {"\033[32m", "\033[34m", "\033[33m", "\033[36m",
                                               "\033[90m"};

struct page {
    struct buf *out;
    int bar; /* cells of a bar */
    bool colour;
};

static void put_cells(const struct page *p, enum look look, int n)
{
    if (n <= 0)
        return;
    if (p->colour)
        buf_puts(p->out, colour_code[look]);
    for (int i = 0; i < n; i++)
        buf_puts(p->out, glyph[look]);
    if (p->colour)
        buf_puts(p->out, "\033[0m");
}

static void put_spaces(const struct page *p, int n)
{
    for (int i = 0; i < n; i++)
        buf_puts(p->out, " ");
}

/* Every group in its place, as wide as fits; returns the cells used, 0 when they do not fit. */
static int put_groups(const struct page *p, const uint8_t *look, const struct site *t)
{
    int wide = (p->bar + 1) / t->groups - 1;
    if (wide < 1)
        return 0;
    for (int g = 0; g < t->groups; g++) {
        put_cells(p, (enum look)look[t->first + g], wide);
        put_spaces(p, g + 1 < t->groups);
    }
    return t->groups * (wide + 1) - 1;
}

static void put_row(const struct page *p, const uint8_t *look, const struct site *t)
{
    struct tally tally = draw_tally(look, t);
    buf_printf(p->out, "%-*s", NAME_WIDTH, t->name);
    int used = t->part == PART_MSA ? put_groups(p, look, t) : 0;
    if (!used) {
        int cells[LOOKS];
        draw_split(&tally, p->bar, cells);
        for (int k = 0; k < LOOKS; k++)
            put_cells(p, (enum look)k, cells[k]);
        used = p->bar;
    }
    put_spaces(p, p->bar - used);
    char tail[TAIL_WIDTH * 2];
    snprintf(tail, sizeof tail, "%d/%d", tally.kept, t->groups);
    buf_printf(p->out, " %*s\n", TAIL_WIDTH - 1, tail);
}

static void put_legend(const struct page *p, const uint8_t *look, int ngroups)
{
    int seen[LOOKS] = {0};
    for (int g = 0; g < ngroups; g++)
        seen[look[g]] = 1;
    int used = 0;
    for (int k = 0; k < LOOKS; k++) {
        if (!seen[k])
            continue;
        int width = (int)strlen(look_name[k]) + 3, gap = used ? 3 : 0;
        if (used + gap + width > NAME_WIDTH + p->bar + TAIL_WIDTH) {
            buf_puts(p->out, "\n");
            used = gap = 0;
        }
        put_spaces(p, gap);
        put_cells(p, (enum look)k, 2);
        buf_printf(p->out, " %s", look_name[k]);
        used += gap + width;
    }
    buf_puts(p->out, "\n");
}

static void put_totals(struct buf *out, const struct structure *st)
{
    struct structure_count c;
    char a[DRAW_NUMBER_MAX], b[DRAW_NUMBER_MAX];
    structure_count(st, &c);
    buf_printf(out, "whole model  %5.1f %%  %s of %s parameters\n", 100 * c.kept,
               draw_number(a, c.whole), draw_number(b, c.dense_whole));
    buf_printf(out, "backbones    %5.1f %%  %s of %s\n",
               100.0 * (double)c.backbones / (double)c.dense_backbones, draw_number(a, c.backbones),
               draw_number(b, c.dense_backbones));
    buf_printf(out, "groups       %s of %s pruned", draw_number(a, c.pruned),
               draw_number(b, c.groups));
    buf_printf(out, "; %s of %s in text shared\n", draw_number(a, c.shared),
               draw_number(b, c.text_groups));
}

void structure_draw_text(const struct structure *st, int columns, bool colour, struct buf *out)
{
    const struct frame *f = st->frame;
    columns = columns < COLUMNS_MIN ? COLUMNS_MIN : columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
    struct page p = {out, columns - NAME_WIDTH - TAIL_WIDTH, colour};
    uint8_t *look = draw_looks(st);
    if (!look) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < f->nsites; i++) {
        if (i && f->site[i].side != f->site[i - 1].side)
            buf_puts(out, "\n");
        put_row(&p, look, &f->site[i]);
    }
    buf_puts(out, "\n");
    put_legend(&p, look, f->ngroups);
    put_totals(out, st);
    free(look);
}
