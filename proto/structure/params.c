/* params.c - P(m, s), the stored parameters as a differentiable function (method.md 3, union rule).
 *
 * For one group index, over the sites that share it (a tree: vision <- base <- other):
 *     users_i  = product over i's users u of (1 - need_u s_u)
 *     need_i   = 1 - (1 - m_i) users_i
 *     stored_i = need_i (1 - s_i)
 *     P        = total - sum over all groups of (cost (1 - stored) + bias (1 - m))
 * and backwards, sources before users, with D_i = dP/dneed_i:
 *     D_i      = cost (1 - s_i) + D_src s_i other_i        other_i = (1 - m_src) users_src without i's factor
 *     dP/dm_i  = bias + D_i users_i
 *     dP/ds_i  = need_i (D_src other_i - cost)
 * Group indices do not mix, so each is a column of at most FRAME_SITES_MAX sites and needs no memory.
 */
#include "structure/structure.h"

struct column {
    double need[FRAME_SITES_MAX];
    double users[FRAME_SITES_MAX]; /* product of the factors that are not zero */
    int zeros[FRAME_SITES_MAX];    /* factors that are */
    double dneed[FRAME_SITES_MAX];
};

static double share_of(const struct site *t, const double *s, int g)
{
    return t->source >= 0 ? s[t->first + g] : 0;
}

static double users_of(const struct column *c, int i)
{
    return c->zeros[i] ? 0 : c->users[i];
}

/* Stored weights of column g that are missing against the dense model; fills need and users. */
static double column_saved(struct column *c, const struct frame *f, int g, const double *m,
                           const double *s)
{
    double saved = 0;
    for (int i = 0; i < f->nsites; i++) {
        c->users[i] = 1;
        c->zeros[i] = 0;
    }
    for (int i = f->nsites - 1; i >= 0; i--) {
        const struct site *t = &f->site[i];
        if (g >= t->groups)
            continue;
        double mi = m[t->first + g], si = share_of(t, s, g);
        c->need[i] = 1 - (1 - mi) * users_of(c, i);
        saved += (double)t->cost * (1 - c->need[i] * (1 - si)) + (double)t->bias * (1 - mi);
        if (t->source < 0)
            continue;
        double factor = 1 - c->need[i] * si;
        if (factor == 0)
            c->zeros[t->source]++;
        else
            c->users[t->source] *= factor;
    }
    return saved;
}

/* (1 - m_src) times the factors of the source's users other than site i. */
static double column_other(const struct column *c, const struct frame *f, int i, int g,
                           const double *m, double si)
{
    int src = f->site[i].source;
    double factor = 1 - c->need[i] * si, open = 1 - m[f->site[src].first + g];
    if (factor == 0)
        return c->zeros[src] == 1 ? open * c->users[src] : 0;
    return c->zeros[src] ? 0 : open * (c->users[src] / factor);
}

static void column_grad(struct column *c, const struct frame *f, int g, const double *m,
                        const double *s, double *dm, double *ds)
{
    for (int i = 0; i < f->nsites; i++) {
        const struct site *t = &f->site[i];
        if (g >= t->groups)
            continue;
        double cost = (double)t->cost, si = share_of(t, s, g), dsi = 0;
        c->dneed[i] = cost * (1 - si);
        if (t->source >= 0) {
            double up = c->dneed[t->source] * column_other(c, f, i, g, m, si);
            c->dneed[i] += up * si;
            dsi = c->need[i] * (up - cost);
        }
        if (dm)
            dm[t->first + g] = (double)t->bias + c->dneed[i] * users_of(c, i);
        if (ds)
            ds[t->first + g] = dsi;
    }
}

double structure_params(const struct frame *f, const double *m, const double *s, double *dm,
                        double *ds)
{
    struct column c;
    int columns = 0;
    double saved = 0;
    for (int i = 0; i < f->nsites; i++)
        columns = f->site[i].groups > columns ? f->site[i].groups : columns;
    for (int g = 0; g < columns; g++) {
        saved += column_saved(&c, f, g, m, s);
        if (dm || ds)
            column_grad(&c, f, g, m, s, dm, ds);
    }
    return (double)f->total - saved;
}
