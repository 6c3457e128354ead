/* structure.c - the bits m and s: ownership along the chains, what is stored, counts and
 * differences. */
#include "structure/structure.h"

#include <stdlib.h>
#include <string.h>

enum status structure_create(struct structure **ret_st, const struct frame *frame, struct err *err)
{
    struct structure *st = calloc(1, sizeof *st);
    size_t n = (size_t)frame->ngroups;
    if (st) {
        st->frame = frame;
        st->m = malloc(n);
        st->s = malloc(n);
    }
    if (!st || !st->m || !st->s) {
        structure_destroy(st);
        return err_set(err, ST_NOMEM, "out of memory for a structure of %d groups", frame->ngroups);
    }
    structure_fill(st);
    *ret_st = st;
    return ST_OK;
}

void structure_fill(struct structure *st)
{
    memset(st->m, 1, (size_t)st->frame->ngroups);
    memset(st->s, 0, (size_t)st->frame->ngroups);
}

void structure_destroy(struct structure *st)
{
    if (!st)
        return;
    free(st->m);
    free(st->s);
    free(st);
}

void structure_copy(struct structure *to, const struct structure *from)
{
    memcpy(to->m, from->m, (size_t)from->frame->ngroups);
    memcpy(to->s, from->s, (size_t)from->frame->ngroups);
}

bool structure_equal(const struct structure *a, const struct structure *b)
{
    size_t n = (size_t)a->frame->ngroups;
    return frame_equal(a->frame, b->frame) && memcmp(a->m, b->m, n) == 0 &&
           memcmp(a->s, b->s, n) == 0;
}

static bool taken(const struct structure *st, const struct site *t, int group)
{
    return t->source >= 0 && st->s[group];
}

int structure_owner(const struct structure *st, int site, int group, int *ret_site)
{
    const struct frame *f = st->frame;
    while (taken(st, &f->site[site], group)) {
        int source = f->site[site].source;
        group += f->site[source].first - f->site[site].first;
        site = source;
    }
    *ret_site = site;
    return group;
}

/* Users stand after their source, so one pass from the last site to the first settles every chain.
 */
void structure_needed(const struct structure *st, uint8_t *ret_needed)
{
    const struct frame *f = st->frame;
    memcpy(ret_needed, st->m, (size_t)f->ngroups);
    for (int i = f->nsites - 1; i >= 0; i--) {
        const struct site *t = &f->site[i];
        if (t->source < 0)
            continue;
        uint8_t *source = ret_needed + f->site[t->source].first;
        for (int g = 0; g < t->groups; g++)
            source[g] |= ret_needed[t->first + g] & st->s[t->first + g];
    }
}

void structure_stored(const struct structure *st, uint8_t *ret_stored)
{
    const struct frame *f = st->frame;
    structure_needed(st, ret_stored);
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        for (int g = t->first; g < t->first + t->groups; g++)
            ret_stored[g] = ret_stored[g] && !taken(st, t, g);
    }
}

/* What goes for one group index across all sites; needs no memory, so counting cannot fail. */
static void count_column(const struct structure *st, int g, struct structure_count *c)
{
    const struct frame *f = st->frame;
    uint8_t needed[FRAME_SITES_MAX];
    for (int i = 0; i < f->nsites; i++)
        needed[i] = g < f->site[i].groups && st->m[f->site[i].first + g];
    for (int i = f->nsites - 1; i >= 0; i--) {
        const struct site *t = &f->site[i];
        if (g >= t->groups)
            continue;
        int at = t->first + g;
        bool takes = taken(st, t, at), kept = st->m[at];
        if (takes)
            needed[t->source] |= needed[i];
        if (!needed[i] || takes)
            c->whole -= t->cost;
        if (!kept)
            c->whole -= t->bias;
        c->pruned += !kept;
        c->shared += kept && takes;
    }
}

void structure_count(const struct structure *st, struct structure_count *ret_count)
{
    const struct frame *f = st->frame;
    struct structure_count c = {.whole = f->total,
                                .dense_whole = f->total,
                                .dense_backbones = f->backbones,
                                .groups = f->ngroups};
    int columns = 0;
    for (int i = 0; i < f->nsites; i++) {
        columns = f->site[i].groups > columns ? f->site[i].groups : columns;
        if (f->site[i].side == SIDE_TEXT)
            c.text_groups += f->site[i].groups;
    }
    for (int g = 0; g < columns; g++)
        count_column(st, g, &c);
    c.backbones = f->backbones - (f->total - c.whole);
    c.kept = (double)c.whole / (double)f->total;
    *ret_count = c;
}

void structure_diff(const struct structure *from, const struct structure *to,
                    struct structure_diff *ret_diff)
{
    struct structure_diff d = {0};
    for (int g = 0; g < from->frame->ngroups; g++) {
        d.m_on += !from->m[g] && to->m[g];
        d.m_off += from->m[g] && !to->m[g];
        d.s_on += !from->s[g] && to->s[g];
        d.s_off += from->s[g] && !to->s[g];
    }
    *ret_diff = d;
}
