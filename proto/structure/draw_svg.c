/* draw_svg.c - the map of a structure as a stand-alone SVG: the two backbones side by side, a row a
 * layer with its heads and its FFN units, and a curve from each place that stores weights to every
 * text site that takes them. */
#include "structure/draw.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_WIDTH 1120
#define MARGIN 40
#define TOP 158 /* title, totals, legend */
#define LAYER_HEIGHT 46
#define BAR_WIDTH 300
#define BAR_HEIGHT 13
#define LABEL_WIDTH 62 /* layer number and part, left of the bar */
#define COUNT_WIDTH 80 /* "201/384", right of it */
#define PANEL_WIDTH (LABEL_WIDTH + BAR_WIDTH + COUNT_WIDTH)
#define CELLS_MAX 48 /* groups drawn one by one */
#define ARC_REACH 26 /* curves inside the text backbone stay this near to it */

static const char *const fill[LOOKS] = {"#2f7d55", "#3f7fd0", "#e79b35", "#a8d3bb", "#e8eaee"};

struct sheet {
    const struct structure *st;
    const uint8_t *look;
    struct buf *out;
    double body; /* height of the layers */
};

static int panel_left(enum side side)
{
    return side == SIDE_VISION ? MARGIN : PAGE_WIDTH - MARGIN - PANEL_WIDTH;
}

/* Middle of a site's bar. Both backbones fill the same height, so that paired layers face each
 * other. */
static double site_y(const struct sheet *sh, const struct site *t)
{
    double layer = ((double)t->layer + 0.5) * sh->body / sh->st->frame->shape[t->side].layers;
    return TOP + 34 + layer + (t->part == PART_MSA ? -9 : 9);
}

static void put_text(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '<':
            buf_puts(out, "&lt;");
            break;
        case '>':
            buf_puts(out, "&gt;");
            break;
        case '&':
            buf_puts(out, "&amp;");
            break;
        default: /* control characters are not allowed in XML, not even as references */
            if ((unsigned char)*c >= 0x20)
                buf_add(out, c, 1);
        }
    }
}

static void put_rect(struct buf *out, double x, double y, double width, enum look look)
{
    buf_printf(
        out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%d\" rx=\"1.5\" fill=\"%s\"/>\n",
        x, y - BAR_HEIGHT / 2.0, width, BAR_HEIGHT, fill[look]);
}

static void put_bar(const struct sheet *sh, const struct site *t, double x, double y)
{
    if (t->groups <= CELLS_MAX) {
        double step = (BAR_WIDTH + 2.0) / t->groups;
        for (int g = 0; g < t->groups; g++)
            put_rect(sh->out, x + g * step, y, step - 2, (enum look)sh->look[t->first + g]);
        return;
    }
    struct tally tally = draw_tally(sh->look, t);
    int cells[LOOKS], at = 0;
    draw_split(&tally, BAR_WIDTH, cells);
    for (int k = 0; k < LOOKS; k++) {
        if (cells[k])
            put_rect(sh->out, x + at, y, cells[k], (enum look)k);
        at += cells[k];
    }
}

static void put_site(const struct sheet *sh, const struct site *t)
{
    double x = panel_left(t->side), y = site_y(sh, t);
    struct tally tally = draw_tally(sh->look, t);
    if (t->part == PART_MSA)
        buf_printf(sh->out,
                   "<text x=\"%.0f\" y=\"%.1f\" class=\"layer\" text-anchor=\"end\">%d</text>\n",
                   x + 22, y + 9 + 4.5, t->layer);
    buf_printf(sh->out, "<text x=\"%.0f\" y=\"%.1f\" class=\"part\">%s</text>\n", x + 31, y + 3.5,
               t->part == PART_MSA ? "MSA" : "FFN");
    put_bar(sh, t, x + LABEL_WIDTH, y);
    buf_printf(sh->out, "<text x=\"%.0f\" y=\"%.1f\" class=\"part\">%d/%d</text>\n",
               x + LABEL_WIDTH + BAR_WIDTH + 7, y + 3.5, tally.kept, t->groups);
}

/* A curve between two sites, as thick as the part of the user's groups that it carries. */
static void put_link(const struct sheet *sh, int owner, int user, int groups)
{
    const struct site *from = &sh->st->frame->site[owner], *to = &sh->st->frame->site[user];
    bool cross = from->side != to->side;
    double x0 = panel_left(from->side) + PANEL_WIDTH, y0 = site_y(sh, from), y1 = site_y(sh, to);
    double x1 = cross ? panel_left(to->side) : x0;
    double bend = cross ? (x0 + x1) / 2 : x0 + ARC_REACH;
    buf_printf(sh->out,
               "<path d=\"M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f\" fill=\"none\" stroke=\"%s\" "
               "stroke-width=\"%.2f\" stroke-opacity=\"0.55\" stroke-linecap=\"round\">"
               "<title>%s: %d of %d groups from %s</title></path>\n",
               x0, y0, bend, y0, bend, y1, x1, y1, fill[cross ? LOOK_VISION : LOOK_BASE],
               0.8 + 5.2 * groups / to->groups, to->name, groups, to->groups, from->name);
}

/* A text site's groups come from at most two other sites: its source, and its source's source. */
static void put_links(const struct sheet *sh, int user)
{
    const struct structure *st = sh->st;
    const struct site *t = &st->frame->site[user];
    for (int at = t->source; at >= 0; at = st->frame->site[at].source) {
        int groups = 0;
        for (int g = t->first; g < t->first + t->groups; g++) {
            int owner = user;
            if (st->m[g])
                structure_owner(st, user, g, &owner);
            groups += owner == at;
        }
        if (groups)
            put_link(sh, at, user, groups);
    }
}

static void put_blocks(const struct sheet *sh)
{
    const struct frame *f = sh->st->frame;
    int L = f->shape[SIDE_TEXT].layers, size = f->options.block_size;
    double step = sh->body / L, x = panel_left(SIDE_TEXT);
    if (!f->options.share || (!f->options.block_msa && !f->options.block_ffn))
        return;
    for (int l = 0; l < L; l += size) {
        int n = l + size > L ? L - l : size;
        buf_printf(sh->out,
                   "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" rx=\"6\" "
                   "fill=\"none\" stroke=\"#d5d9e0\"/>\n",
                   x, TOP + 34 + l * step + 2, PANEL_WIDTH, n * step - 4);
    }
}

static void put_head(const struct sheet *sh, const char *title)
{
    struct structure_count c;
    char a[DRAW_NUMBER_MAX], b[DRAW_NUMBER_MAX];
    structure_count(sh->st, &c);
    buf_printf(sh->out, "<text x=\"%d\" y=\"46\" class=\"title\">", MARGIN);
    put_text(sh->out, title && *title ? title : "Structure");
    buf_printf(sh->out, "</text>\n<text x=\"%d\" y=\"74\" class=\"note\">", MARGIN);
    buf_printf(sh->out, "%.1f %% of the whole model kept: %s of %s parameters.", 100 * c.kept,
               draw_number(a, c.whole), draw_number(b, c.dense_whole));
    buf_printf(sh->out, " Backbones: %.1f %%.</text>\n<text x=\"%d\" y=\"94\" class=\"note\">",
               100.0 * (double)c.backbones / (double)c.dense_backbones, MARGIN);
    buf_printf(sh->out, "%s of %s groups pruned", draw_number(a, c.pruned),
               draw_number(b, c.groups));
    buf_printf(sh->out, "; %s of %s groups in text shared.</text>\n", draw_number(a, c.shared),
               draw_number(b, c.text_groups));
}

static void put_legend(const struct sheet *sh)
{
    static const int wide[LOOKS] = {134, 172, 236, 212, 80};
    double x = MARGIN, y = 126;
    for (int k = 0; k < LOOKS; k++) {
        buf_printf(sh->out,
                   "<rect x=\"%.0f\" y=\"%.0f\" width=\"16\" height=\"13\" rx=\"1.5\" "
                   "fill=\"%s\"/>\n<text x=\"%.0f\" y=\"%.1f\" class=\"note\">",
                   x, y - 10, fill[k], x + 23, y + 1.5);
        put_text(sh->out, look_name[k]);
        buf_puts(sh->out, "</text>\n");
        x += wide[k];
    }
}

static void put_panels(const struct sheet *sh)
{
    static const char *const name[] = {"Vision backbone", "Text backbone"};
    const struct frame *f = sh->st->frame;
    for (int side = 0; side < 2; side++)
        buf_printf(sh->out,
                   "<text x=\"%d\" y=\"%d\" class=\"head\">%s</text>\n<text x=\"%d\" y=\"%d\" "
                   "class=\"part\" text-anchor=\"end\">%d layers of %d channels</text>\n",
                   panel_left((enum side)side) + LABEL_WIDTH, TOP + 16, name[side],
                   panel_left((enum side)side) + LABEL_WIDTH + BAR_WIDTH, TOP + 16,
                   f->shape[side].layers, f->shape[side].width);
}

void structure_draw_svg(const struct structure *st, const char *title, struct buf *out)
{
    const struct frame *f = st->frame;
    int layers = f->shape[0].layers > f->shape[1].layers ? f->shape[0].layers : f->shape[1].layers;
    uint8_t *look = draw_looks(st);
    if (!look) {
        out->failed = true;
        return;
    }
    struct sheet sh = {st, look, out, (double)layers * LAYER_HEIGHT};
    int height = TOP + 34 + layers * LAYER_HEIGHT + MARGIN;
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
               "height=\"%d\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n"
               "<style>.title{font-size:21px;font-weight:600;fill:#1d2733}"
               ".head{font-size:14px;font-weight:600;fill:#1d2733}"
               ".note{font-size:12.5px;fill:#46525f}.part{font-size:10.5px;fill:#6b7684}"
               ".layer{font-size:13px;font-weight:600;fill:#46525f}</style>\n"
               "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
               PAGE_WIDTH, height, PAGE_WIDTH, height, PAGE_WIDTH, height);
    put_head(&sh, title);
    put_legend(&sh);
    put_panels(&sh);
    put_blocks(&sh);
    for (int i = 0; i < f->nsites; i++)
        put_links(&sh, i);
    for (int i = 0; i < f->nsites; i++)
        put_site(&sh, &f->site[i]);
    buf_puts(out, "</svg>\n");
    free(look);
}
