/* draw.c - see draw.h. */
#include "structure/draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const look_name[LOOKS] = {
    [LOOK_OWN] = "own weights",
    [LOOK_VISION] = "shared: from vision",
    [LOOK_BASE] = "shared: from the block's base",
    [LOOK_LENT] = "pruned, stored for others",
    [LOOK_PRUNED] = "pruned",
};

static enum look look_of(const struct structure *st, const uint8_t *stored, int site, int g)
{
    if (!st->m[g])
        return stored[g] ? LOOK_LENT : LOOK_PRUNED;
    int owner = site;
    structure_owner(st, site, g, &owner);
    if (owner == site)
        return LOOK_OWN;
    return st->frame->site[owner].side == SIDE_VISION ? LOOK_VISION : LOOK_BASE;
}

uint8_t *draw_looks(const struct structure *st)
{
    const struct frame *f = st->frame;
    uint8_t *look = malloc((size_t)f->ngroups);
    if (!look)
        return NULL;
    structure_stored(st, look);
    for (int i = 0; i < f->nsites; i++)
        for (int g = f->site[i].first; g < f->site[i].first + f->site[i].groups; g++)
            look[g] = (uint8_t)look_of(st, look, i, g);
    return look;
}

struct tally draw_tally(const uint8_t *look, const struct site *t)
{
    struct tally tally = {0};
    for (int g = 0; g < t->groups; g++)
        tally.count[look[t->first + g]]++;
    tally.kept = tally.count[LOOK_OWN] + tally.count[LOOK_VISION] + tally.count[LOOK_BASE];
    return tally;
}

void draw_split(const struct tally *tally, int width, int ret_cells[LOOKS])
{
    int total = 0, used = 0, present = 0;
    for (int k = 0; k < LOOKS; k++) {
        total += tally->count[k];
        present += tally->count[k] > 0;
    }
    for (int k = 0; k < LOOKS; k++) {
        ret_cells[k] = (int)((int64_t)tally->count[k] * width / total);
        if (tally->count[k] && !ret_cells[k] && width >= present)
            ret_cells[k] = 1;
        used += ret_cells[k];
    }
    while (used != width) { /* the look that is furthest from its share gives or takes a cell */
        int step = used < width ? 1 : -1, best = -1;
        int64_t most = INT64_MIN;
        for (int k = 0; k < LOOKS; k++) {
            int64_t off = step * ((int64_t)tally->count[k] * width - (int64_t)ret_cells[k] * total);
            if (tally->count[k] && (step > 0 || ret_cells[k] > 1) && off > most) {
                most = off;
                best = k;
            }
        }
        ret_cells[best] += step;
        used += step;
    }
}

const char *draw_number(char to[DRAW_NUMBER_MAX], int64_t n)
{
    char digits[DRAW_NUMBER_MAX];
    int len = snprintf(digits, sizeof digits, "%" PRId64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0 && digits[i - 1] != '-')
            to[at++] = ',';
        to[at++] = digits[i];
    }
    to[at] = '\0';
    return to;
}
