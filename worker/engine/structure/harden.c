/* harden.c - values between a dense model and its hardened one: stored groups are gathered, and
 * expanded again. Both tables name their parameters alike, so the loop runs over the table that is
 * filled. */
#include "engine/structure/binding.h"

#include "engine/structure/site.h"

#include <stdlib.h>
#include <string.h>

/* Which group is the how-many-th in a compact tensor. */
struct places {
    const struct structure *st;
    uint8_t *stored;
    int *rank, *kept_rank;
};

static void places_fini(struct places *p)
{
    free(p->stored);
    free(p->rank);
    free(p->kept_rank);
}

static enum status places_init(struct places *p, const struct structure *st, struct err *err)
{
    size_t n = (size_t)st->frame->ngroups;
    *p = (struct places){.st = st,
                         .stored = malloc(n),
                         .rank = calloc(n, sizeof *p->rank),
                         .kept_rank = calloc(n, sizeof *p->kept_rank)};
    if (!p->stored || !p->rank || !p->kept_rank) {
        places_fini(p);
        err_set(err, ST_NOMEM, "out of memory for a structure of %d groups", st->frame->ngroups);
        return ST_NOMEM;
    }
    structure_stored(st, p->stored);
    site_ranks(st->frame, p->stored, p->rank);
    site_ranks(st->frame, st->m, p->kept_rank);
    return ST_OK;
}

/* A tensor seen as [outer][groups][inner], site.h. */
struct grouped {
    real *value;
    int64_t groups;
};

static void group_copy(struct grouped to, int64_t i, const real *from, int64_t from_groups,
                       int64_t j, struct slot_view v)
{
    for (int64_t o = 0; o < v.outer; o++)
        memcpy(to.value + (o * to.groups + i) * v.inner, from + (o * from_groups + j) * v.inner,
               (size_t)v.inner * sizeof(real));
}

static enum status size_check(const struct param *p, int64_t size, struct err *err)
{
    if (p->size == size)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "%s has %lld values where this structure and model give %lld: it belongs to "
                   "another model",
                   p->spec.name, (long long)p->size, (long long)size);
}

static enum status partner_find(struct param **ret, struct params *table, const char *name,
                                const char *what, struct err *err)
{
    *ret = params_find(table, name);
    return *ret ? ST_OK : err_set(err, ST_INVALID, "the %s model has no parameter %s", what, name);
}

/* A parameter that no structure touches. */
static enum status whole_copy(const struct param *to, real *to_block, const struct param *from,
                              const real *from_block, struct err *err)
{
    TRY(size_check(from, to->size, err));
    memcpy(to_block + to->offset, from_block + from->offset, (size_t)to->size * sizeof(real));
    return ST_OK;
}

/* ---- harden ---------------------------------------------------------------------------------- */

static enum status site_harden(const struct places *pl, const struct site *t, const struct slot *s,
                               const struct param *to, real *to_block, const struct param *from,
                               const real *from_block, struct err *err)
{
    struct slot_view v = slot_view_of(pl->st->frame, t, s);
    const uint8_t *bit = slot_is_matrix(s) ? pl->stored : pl->st->m;
    int n = site_bits(t, bit), next = 0;
    TRY(size_check(to, v.outer * n * v.inner, err));
    TRY(size_check(from, v.outer * t->groups * v.inner, err));
    struct grouped dest = {to_block + to->offset, n};
    for (int g = 0; g < t->groups; g++)
        if (bit[t->first + g])
            group_copy(dest, next++, from_block + from->offset, t->groups, g, v);
    return ST_OK;
}

static enum status param_harden(const struct places *pl, const struct param *to, real *to_block,
                                struct params *dense, const real *from_block, struct err *err)
{
    struct param *from;
    int site = -1;
    TRY(partner_find(&from, dense, to->spec.name, "dense", err));
    const struct slot *s = slot_find(pl->st->frame, to->spec.name, &site);
    if (!s || s->kind == SLOT_WHOLE)
        return whole_copy(to, to_block, from, from_block, err);
    return site_harden(pl, &pl->st->frame->site[site], s, to, to_block, from, from_block, err);
}

enum status harden_values(struct params *compact, real *to, struct params *dense, const real *from,
                          const struct structure *st, struct err *err)
{
    struct places pl;
    TRY(places_init(&pl, st, err));
    enum status rc = ST_OK;
    for (int i = 0; i < params_count(compact) && rc == ST_OK; i++)
        rc = param_harden(&pl, params_at(compact, i), to, dense, from, err);
    places_fini(&pl);
    return rc;
}

/* ---- expand ---------------------------------------------------------------------------------- */

/* The compact tensor that group g's slot lives in, how many groups it holds, and the group's place
 * in it. */
struct home {
    const struct param *param;
    int groups, place;
};

static enum status home_find(struct home *ret, const struct places *pl, struct params *compact,
                             int site, const struct slot *s, int g, struct err *err)
{
    const struct frame *f = pl->st->frame;
    bool matrix = slot_is_matrix(s);
    int owner = site, group = g;
    if (matrix)
        group = structure_owner(pl->st, site, g, &owner);
    const struct site *t = &f->site[owner];
    char name[SLOT_NAME_MAX];
    struct param *p;
    TRY(partner_find(&p, compact, slot_name(name, t, s), "compact", err));
    struct slot_view v = slot_view_of(f, t, s);
    int groups = site_bits(t, matrix ? pl->stored : pl->st->m);
    TRY(size_check(p, v.outer * groups * v.inner, err));
    *ret = (struct home){p, groups, matrix ? pl->rank[group] : pl->kept_rank[group]};
    return ST_OK;
}

static enum status site_expand(const struct places *pl, int site, const struct slot *s,
                               const struct param *to, real *to_block, struct params *compact,
                               const real *from_block, struct err *err)
{
    const struct site *t = &pl->st->frame->site[site];
    struct slot_view v = slot_view_of(pl->st->frame, t, s);
    TRY(size_check(to, v.outer * t->groups * v.inner, err));
    struct grouped dest = {to_block + to->offset, t->groups};
    memset(dest.value, 0, (size_t)to->size * sizeof(real));
    for (int g = 0; g < t->groups; g++) {
        struct home h;
        if (!pl->st->m[t->first + g])
            continue;
        TRY(home_find(&h, pl, compact, site, s, t->first + g, err));
        group_copy(dest, g, from_block + h.param->offset, h.groups, h.place, v);
    }
    return ST_OK;
}

static enum status param_expand(const struct places *pl, const struct param *to, real *to_block,
                                struct params *compact, const real *from_block, struct err *err)
{
    struct param *from;
    int site = -1;
    const struct slot *s = slot_find(pl->st->frame, to->spec.name, &site);
    if (s && s->kind != SLOT_WHOLE)
        return site_expand(pl, site, s, to, to_block, compact, from_block, err);
    TRY(partner_find(&from, compact, to->spec.name, "compact", err));
    return whole_copy(to, to_block, from, from_block, err);
}

enum status expand_values(struct params *dense, real *to, struct params *compact, const real *from,
                          const struct structure *st, struct err *err)
{
    struct places pl;
    TRY(places_init(&pl, st, err));
    enum status rc = ST_OK;
    for (int i = 0; i < params_count(dense) && rc == ST_OK; i++)
        rc = param_expand(&pl, params_at(dense, i), to, compact, from, err);
    places_fini(&pl);
    return rc;
}
