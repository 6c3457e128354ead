/* align.c - the pull as a proximal step, and its measure (method.md 5).
 *
 *     R = 1/S [ sum over zero groups sqrt(n_g) ||W_g|| + sum over pairs sqrt(n_g) ||W_g - W_owner,g|| ]
 *     zero: W_g <- W_g max(0, 1 - t/||W_g||)      pair: towards each other by min(t, distance)
 *     t = lr gamma sqrt(n_g) / S
 *
 * Sums are double. Groups are taken CHUNK at a time, so that the columns of W2 are read along the rows.
 */
#include "engine/structure/align.h"

#include "engine/structure/binding.h"

#include <math.h>
#include <stdlib.h>

#define CHUNK 256
#define MATRICES_MAX 4

/* Whether group g of the site computes, there or for a user of any order. */
static bool needed(const struct structure *st, int site, int g)
{
    const struct frame *f = st->frame;
    if (st->m[f->site[site].first + g])
        return true;
    for (int user = site + 1; user < f->nsites; user++)
        if (f->site[user].source == site && st->s[f->site[user].first + g] && needed(st, user, g))
            return true;
    return false;
}

int align_kind(const struct structure *st, int site, int g)
{
    const struct site *t = &st->frame->site[site];
    int at = t->first + g, owner = site;
    if (!st->m[at])
        return needed(st, site, g) ? ALIGN_NONE : ALIGN_ZERO;
    if (t->source < 0 || !st->s[at])
        return ALIGN_NONE;
    structure_owner(st, site, at, &owner);
    return owner;
}

/* The matrices of a site, side by side. */
struct matrices {
    int n;
    int64_t groups;
    real *w[MATRICES_MAX];
    struct slot_view view[MATRICES_MAX];
};

static struct matrices matrices_of(struct params *p, const struct frame *f, int site)
{
    struct matrices x = {.groups = f->site[site].groups};
    int slots;
    const struct slot *slot = site_slots(f->site[site].part, &slots);
    for (int i = 0; i < slots; i++) {
        char name[SLOT_NAME_MAX];
        if (!slot_is_matrix(&slot[i]))
            continue;
        x.w[x.n] = params_find(p, slot_name(name, &f->site[site], &slot[i]))->tensor.data;
        x.view[x.n++] = slot_view_of(f, &f->site[site], &slot[i]);
    }
    return x;
}

/* Groups first .. first+n-1 of a site, and which of them are meant. */
struct chunk {
    int64_t first, n;
    bool on[CHUNK];
};

static void line_squares(double *sum, const real *a, const real *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum[i] += d * d;
    }
}

static double run_square(const real *a, const real *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sum;
}

/* sum[g] = ||a_g - b_g||^2 of the groups that are on; b NULL: ||a_g||^2. */
static void squares(double *sum, const struct matrices *a, const struct matrices *b,
                    const struct chunk *c)
{
    for (int64_t g = 0; g < c->n; g++)
        sum[g] = 0;
    for (int k = 0; k < a->n; k++) {
        struct slot_view v = a->view[k];
        for (int64_t o = 0; o < v.outer; o++) {
            int64_t at = (o * a->groups + c->first) * v.inner;
            const real *wa = a->w[k] + at, *wb = b ? b->w[k] + at : NULL;
            if (v.inner == 1) { /* W2: a row holds one element of every group */
                line_squares(sum, wa, wb, c->n);
                continue;
            }
            for (int64_t g = 0; g < c->n; g++)
                if (c->on[g])
                    sum[g] += run_square(wa + g * v.inner, wb ? wb + g * v.inner : NULL, v.inner);
        }
    }
}

/* a_g *= factor[g] */
static void shrink(const struct matrices *a, const double *factor, const struct chunk *c)
{
    for (int k = 0; k < a->n; k++) {
        struct slot_view v = a->view[k];
        for (int64_t o = 0; o < v.outer; o++) {
            real *w = a->w[k] + (o * a->groups + c->first) * v.inner;
            for (int64_t g = 0; g < c->n; g++) {
                real f = (real)factor[g];
                for (int64_t i = 0; c->on[g] && i < v.inner; i++)
                    w[g * v.inner + i] *= f;
            }
        }
    }
}

/* a_g += ka[g] (b_g - a_g), b_g -= kb[g] (b_g - a_g) */
static void approach(const struct matrices *a, const struct matrices *b, const double *ka,
                     const double *kb, const struct chunk *c)
{
    for (int k = 0; k < a->n; k++) {
        struct slot_view v = a->view[k];
        for (int64_t o = 0; o < v.outer; o++) {
            int64_t at = (o * a->groups + c->first) * v.inner;
            real *wa = a->w[k] + at, *wb = b->w[k] + at;
            for (int64_t g = 0; g < c->n; g++) {
                real fa = (real)ka[g], fb = (real)kb[g];
                for (int64_t i = g * v.inner; c->on[g] && i < (g + 1) * v.inner; i++) {
                    real d = wb[i] - wa[i];
                    wa[i] += fa * d;
                    wb[i] -= fb * d;
                }
            }
        }
    }
}

/* The next chunk of the site that holds a group of the kind; starts at c->first + c->n. */
static bool chunk_next(struct chunk *c, const struct structure *st, int site, int kind)
{
    int64_t groups = st->frame->site[site].groups;
    for (c->first += c->n; c->first < groups; c->first += c->n) {
        bool any = false;
        c->n = groups - c->first < CHUNK ? groups - c->first : CHUNK;
        for (int64_t g = 0; g < c->n; g++) {
            c->on[g] = align_kind(st, site, (int)(c->first + g)) == kind;
            any = any || c->on[g];
        }
        if (any)
            return true;
    }
    return false;
}

/* ---- one site, one kind ---------------------------------------------------------------------- */

struct pull {
    struct params *params;
    const struct structure *st;
    const double *lr;
    double strength; /* gamma / S */
    bool both;
};

static double step_of(const struct pull *p, int site)
{
    const struct site *t = &p->st->frame->site[site];
    return p->lr[site_param_group(t)] * p->strength * sqrt((double)t->cost);
}

static void pull_zero(const struct pull *p, int site)
{
    struct matrices a = matrices_of(p->params, p->st->frame, site);
    struct chunk c = {0};
    double sum[CHUNK], factor[CHUNK], t = step_of(p, site);
    while (chunk_next(&c, p->st, site, ALIGN_ZERO)) {
        squares(sum, &a, NULL, &c);
        for (int64_t g = 0; g < c.n; g++)
            factor[g] = fmax(0, 1 - t / sqrt(sum[g])); /* t/0 and 0/0: 0 stays 0 */
        shrink(&a, factor, &c);
    }
}

static void pull_pairs(const struct pull *p, int site, int owner)
{
    struct matrices a = matrices_of(p->params, p->st->frame, site);
    struct matrices b = matrices_of(p->params, p->st->frame, owner);
    struct chunk c = {0};
    double sum[CHUNK], ka[CHUNK], kb[CHUNK];
    double ta = step_of(p, site), tb = p->both ? step_of(p, owner) : 0, half = p->both ? 0.5 : 1;
    while (chunk_next(&c, p->st, site, owner)) {
        squares(sum, &a, &b, &c);
        for (int64_t g = 0; g < c.n; g++) {
            double d = sqrt(sum[g]);
            ka[g] = d > 0 ? half * fmin(ta / d, 1) : 0;
            kb[g] = d > 0 ? half * fmin(tb / d, 1) : 0;
        }
        approach(&a, &b, ka, kb, &c);
    }
}

/* The sites that a site's groups may be paired with lie along its chain. */
static void pull_site(const struct pull *p, int site)
{
    const struct frame *f = p->st->frame;
    pull_zero(p, site);
    for (int owner = f->site[site].source; owner >= 0; owner = f->site[owner].source)
        pull_pairs(p, site, owner);
}

void align_pull(struct params *dense, const struct structure *st, const double *lr, double gamma,
                bool both)
{
    struct pull p = {dense, st, lr, gamma / st->frame->nsites, both};
    for (int site = 0; site < st->frame->nsites; site++)
        pull_site(&p, site);
}

/* ---- measure --------------------------------------------------------------------------------- */

/* Norms of one kind in the order of the walk; value NULL: no memory, only counted. */
struct norms {
    double *value;
    int n;
};

static void norm_add(struct norms *x, double norm)
{
    if (x->value)
        x->value[x->n] = norm;
    x->n++;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts. */
static double median(struct norms *x)
{
    if (!x->n)
        return 0;
    if (!x->value)
        return NAN;
    qsort(x->value, (size_t)x->n, sizeof *x->value, by_size);
    return (x->value[(x->n - 1) / 2] + x->value[x->n / 2]) / 2;
}

/* Adds the site's groups of one kind; returns the sum of their roots. */
static double measure_kind(struct norms *x, struct params *p, const struct structure *st, int site,
                           int kind)
{
    struct matrices a = matrices_of(p, st->frame, site), b = {0};
    struct chunk c = {0};
    double sum[CHUNK], total = 0;
    if (kind >= 0)
        b = matrices_of(p, st->frame, kind);
    while (chunk_next(&c, st, site, kind)) {
        squares(sum, &a, kind >= 0 ? &b : NULL, &c);
        for (int64_t g = 0; g < c.n; g++) {
            if (!c.on[g])
                continue;
            norm_add(x, sqrt(sum[g]));
            total += sqrt(sum[g] + ALIGN_EPS);
        }
    }
    return total;
}

void align_measure(struct params *dense, const struct structure *st, struct align_report *ret)
{
    const struct frame *f = st->frame;
    size_t n = (size_t)f->ngroups;
    struct norms zero = {malloc(n * sizeof(double)), 0}, pair = {malloc(n * sizeof(double)), 0};
    double r = 0;
    for (int site = 0; site < f->nsites; site++) {
        double sum = measure_kind(&zero, dense, st, site, ALIGN_ZERO);
        for (int owner = f->site[site].source; owner >= 0; owner = f->site[owner].source)
            sum += measure_kind(&pair, dense, st, site, owner);
        r += sum * sqrt((double)f->site[site].cost);
    }
    *ret = (struct align_report){.r_align = r / f->nsites,
                                 .zero_norm = median(&zero),
                                 .pair_norm = median(&pair),
                                 .zero_groups = zero.n,
                                 .pairs = pair.n};
    free(zero.value);
    free(pair.value);
}
